package awskms

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// An Error is a call to KMS that failed. It unwraps to the AWS SDK's error, or
// to the context's when the call was cut off by it.
type Error struct {
	// Operation is the KMS operation: "Decrypt".
	Operation string

	// KeyID is the key as it was asked for.
	KeyID string

	// Region is the region that was asked; empty if the client does not tell.
	Region string

	// Code is the service's error code, such as "AccessDeniedException"; empty
	// when no answer came, and "InvalidAnswer" for one that was not believed,
	// because it came from another key or has a data key of another length.
	Code string

	// RequestID is AWS's ID of the request; empty when no answer came.
	RequestID string

	status      int // of the HTTP answer; zero when none came
	credentials bool
	message     string // the service's own
	err         error
}

// newError describes the failure of a call, and lets a context that is done
// show through whatever the SDK made of it.
func newError(ctx context.Context, operation, keyID, region string, err error) error {
	e := &Error{Operation: operation, KeyID: keyID, Region: region, err: err}
	// What could not be parsed holds the answer, and that a data key.
	var unparsed *smithy.DeserializationError
	if errors.As(err, &unparsed) {
		clear(unparsed.Snapshot)
		unparsed.Snapshot = nil
	}
	// An operation inside the operation is one to get credentials. What it says
	// is not said of the key.
	var outer, inner *smithy.OperationError
	if errors.As(err, &outer) && errors.As(outer.Err, &inner) {
		e.credentials = true
		return e.under(ctx)
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		e.Code, e.message = api.ErrorCode(), api.ErrorMessage()
	}
	var answer *smithyhttp.ResponseError
	if errors.As(err, &answer) {
		e.status = answer.HTTPStatusCode()
	}
	var request interface{ ServiceRequestID() string }
	if errors.As(err, &request) {
		e.RequestID = request.ServiceRequestID()
	}
	return e.under(ctx)
}

// under adds the error of a context that is done.
func (e *Error) under(ctx context.Context) *Error {
	if cause := ctx.Err(); cause != nil && !errors.Is(e.err, cause) {
		e.err = reasons{cause, e.err}
	}
	return e
}

// Unwrap returns the underlying error.
func (e *Error) Unwrap() error { return e.err }

// Error says what failed and, where the caller can act, what to do.
func (e *Error) Error() string {
	s := fmt.Sprintf("kms:%s on %s", e.Operation, clip(e.KeyID))
	if e.Region != "" {
		s += " in " + e.Region
	}
	s += e.sentence()
	if e.RequestID != "" {
		s += " (request " + e.RequestID + ")"
	}
	return s
}

func (e *Error) sentence() string {
	switch {
	case errors.Is(e.err, context.Canceled):
		return " was cancelled"
	case errors.Is(e.err, context.DeadlineExceeded):
		return " timed out"
	case e.credentials:
		return fmt.Sprintf(" was not sent, for want of credentials: %v", e.err)
	}
	switch e.Code {
	case invalidAnswer:
		return fmt.Sprintf(" was not believed: %v", e.err)
	case "AccessDeniedException":
		return fmt.Sprintf(" denied: the caller's IAM policy and the key's policy must allow kms:%s on this key, and either may be what is missing%s", e.Operation, e.said())
	case "DisabledException":
		return " failed: the key is disabled; kms:EnableKey makes it usable again"
	case "KMSInvalidStateException":
		return " failed: the key is pending deletion or otherwise in no state to be used; kms:DescribeKey tells, and kms:CancelKeyDeletion keeps it"
	case "NotFoundException":
		return " failed: no such key or alias there; check account, region and spelling"
	case "InvalidCiphertextException":
		return " failed: the wrapped key was made with another encryption context, or is altered"
	case "IncorrectKeyException":
		return " failed: the wrapped key was not made by this key"
	case "InvalidKeyUsageException":
		return " failed: the key is of another kind than the keyring needs"
	}
	switch {
	case e.throttled():
		return fmt.Sprintf(" was throttled (%s): ask less often, as with a cache of data keys, or have the request quota raised", e.Code)
	case e.status >= http.StatusInternalServerError:
		return fmt.Sprintf(" failed: the service answered %d %s", e.status, e.Code)
	case e.Code != "":
		return " failed: " + e.Code + e.said()
	case e.status == 0:
		return fmt.Sprintf(" failed: KMS cannot be reached: %v", e.err)
	default:
		return fmt.Sprintf(" failed: %v", e.err)
	}
}

// said quotes the service's own words.
func (e *Error) said() string {
	if e.message == "" {
		return ""
	}
	const most = 500 // holds the sentence that names the policy and the caller
	if len(e.message) > most {
		return fmt.Sprintf(" (%q...)", strings.ToValidUTF8(e.message[:most], ""))
	}
	return fmt.Sprintf(" (%q)", e.message)
}

func (e *Error) throttled() bool {
	switch e.Code {
	case "ThrottlingException", "Throttling", "ThrottledException", "RequestThrottledException", "RequestThrottled",
		"TooManyRequestsException", "RequestLimitExceeded", "LimitExceededException":
		return true
	}
	return e.status == http.StatusTooManyRequests
}

// Unavailable says whether the service could not do its work just then, so that
// asking later or elsewhere makes sense: it timed out, could not be reached,
// throttled, or answered with a failure of its own. A call that the service
// refused, and one whose caller went away, is none.
func (e *Error) Unavailable() bool {
	switch {
	case e.credentials, errors.Is(e.err, context.Canceled):
		return false
	case errors.Is(e.err, context.DeadlineExceeded), e.throttled(), e.status >= http.StatusInternalServerError:
		return true
	case e.status == http.StatusRequestTimeout:
		return true
	}
	switch e.Code {
	case "":
	case "KeyUnavailableException", "KMSInternalException", "DependencyTimeoutException", "InternalFailure",
		"ServiceUnavailableException", "RequestTimeout", "RequestTimeoutException":
		return true
	default:
		return false
	}
	// No answer that could be read, and no reason of the SDK's own, such as
	// missing credentials: the connection failed, before or in the middle.
	var notSent *smithyhttp.RequestSendError
	var unparsed *smithy.DeserializationError
	return errors.As(e.err, &notSent) || errors.As(e.err, &unparsed)
}

// invalidAnswer is the Code of an answer that was not believed. It is not one of
// the service's.
const invalidAnswer = "InvalidAnswer"

// badAnswer is the error for an answer that must not be believed.
func badAnswer(operation, keyID, region, format string, args ...any) error {
	return &Error{Operation: operation, KeyID: keyID, Region: region, Code: invalidAnswer,
		err: fmt.Errorf("KMS answered with %s", fmt.Sprintf(format, args...))}
}

func answeredAs(keyARN *string) string {
	if keyARN == nil {
		return "no key"
	}
	return fmt.Sprintf("another key: %q", clip(*keyARN))
}

// reasons are several errors on one line, all of them reachable.
type reasons []error

func (r reasons) Error() string {
	texts := make([]string, len(r))
	for i, err := range r {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (r reasons) Unwrap() []error { return r }
