package awskms

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/go-sealring/sealring/internal/kmscall"
	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/keyring"
)

// An Error is a call to KMS that failed. It unwraps to the AWS SDK's error, or
// to the context's when the call was cut off by it.
//
// What it says depends on what happened, and so does what a [MultiRegion] makes of it:
// whether it asks the next region, and whether it counts the failure against this one.
//
//	what happened, or Code                     Unavailable  Refused  next region  counts
//	no answer: not reached, cut off, timed out yes          no       yes          yes (1)
//	the caller's deadline passed               yes          no       no           yes (1)
//	status 5xx, 408 or 429 (2)                 yes          no       yes          yes
//	throttling, LimitExceededException         yes          no       yes          yes
//	KMSInternalException,                      yes          no       yes          yes
//	  KeyUnavailableException,
//	  DependencyTimeoutException and such
//	ExpiredTokenException,                     yes          no       yes          yes
//	  RequestTimeTooSkewed and such
//	an answer without a code, or unreadable    yes          no       yes          yes
//	InvalidAnswer: another key answered, or    yes          no       yes          yes
//	  what KMS made has a wrong length
//	no credentials could be had                yes          no       yes          no
//	credentials were refused by the service    no           no       yes          no
//	  that gives them
//	credentials or signature were refused by   no           no       yes          yes
//	  KMS: UnrecognizedClientException,
//	  InvalidSignatureException and such
//	SerializationException,                    no           no       yes          yes
//	  UnknownOperationException
//	KMSInvalidStateException without           no           no       yes          yes
//	  "pending" in its message
//	AccessDeniedException, DisabledException,  no           yes      no (3)       no
//	  NotFoundException, and every code that
//	  is in no other row
//	InvalidCiphertextException,                no           no       no           no
//	  IncorrectKeyException
//	unwrapping: ValidationException, status    no           no       no           no
//	  413, 414 or 431, a ciphertext that is
//	  too long, or no valid request to send
//	unwrapping: InvalidAnswer, since the       no           no       no           no
//	  message holds no data key of the suite,
//	  or names another account
//	wrapping: no valid request to send         no           no       yes          no
//	the client asks another region             no           no       no (3)       no
//	the caller cancelled                       no           no       no           no
//
// (1) A call that the caller's deadline cut short counts only once such calls have
// together waited for AttemptTimeout without an answer. (2) A code in a row with no for both Unavailable and Refused goes
// before the status. (3) But to wrap a data key that another region has made, where
// MinRegions is less than all, the next region is asked after every error but the
// caller's own.
//
// With HedgeAfter, a region that had not answered when one that was asked later had
// counts too. Three of those in a row take it down.
type Error struct {
	// Operation is the KMS operation: "Decrypt".
	Operation string

	// KeyID is the key as it was asked for.
	KeyID string

	// Region is the region that was asked; empty if the client does not tell.
	Region string

	// Code is the service's error code, such as "AccessDeniedException"; empty
	// when no answer came or it had no code. It is "InvalidAnswer" for a success that
	// is of no use: it came from another key than was asked, or what it holds has
	// another length than it must.
	Code string

	// RequestID is AWS's ID of the request; empty when no answer came.
	RequestID string

	status      int // of the HTTP answer; zero when none came
	verdict     verdict
	credentials bool   // there were none to send the call with
	headerChose bool   // the message's header chose the key
	notSent     bool   // the call was not sent, since it would have been in vain
	message     string // the service's own
	err         error
}

// A verdict is what a failed call shows of the service and the key. The table at [Error]
// says what follows from each.
type verdict int

const (
	// outage: the service did not decide. It is the verdict of every failure that none
	// of the others fits: whatever says no has a code.
	outage verdict = iota
	// refused: the service answered that the key may not or cannot be used.
	refused
	// mismatched: the service answered that what the message has is not what the
	// key wrapped, or it holds what no data key is. The message is to blame.
	mismatched
	// undecided: the service answered no, but before it looked at the key, or not for
	// good: it does not take the credentials or the signature, or does not reach an
	// external key store. Or the service that gives credentials refused them.
	undecided
	// misdirected: the call was not made, since the client asks another region.
	misdirected
	// cancelled: the caller went away.
	cancelled
)

// NewError returns the Error for a call of KMS under ctx that failed with err, which the
// AWS SDK returned. It is for keyrings that call KMS for other operations than those
// here, so that callers and the cache tell their failures apart by the same table. If ctx
// is done, the Error wraps ctx's error too, whatever the SDK made of that.
func NewError(ctx context.Context, operation, keyID, region string, err error) *Error {
	e := &Error{Operation: operation, KeyID: keyID, Region: region, err: err}
	var answer kmscall.AnswerError
	if errors.As(err, &answer) {
		e.Code = invalidAnswer
		return e
	}
	// An answer that could not be parsed is kept in the error. It may hold a data key.
	var unparsed *smithy.DeserializationError
	if errors.As(err, &unparsed) {
		clear(unparsed.Snapshot)
		unparsed.Snapshot = nil
	}
	var api smithy.APIError
	isAPI := errors.As(err, &api)
	// If an operation has failed inside the operation, the inner one was to get
	// credentials. Its code says nothing of the key.
	var outer, inner *smithy.OperationError
	if errors.As(err, &outer) {
		e.credentials = errors.As(outer.Err, &inner) || strings.HasPrefix(outer.Err.Error(), noIdentity)
	}
	if e.credentials {
		if isAPI && saysNo(api) {
			e.verdict = undecided
		}
		return e.under(ctx)
	}
	if isAPI {
		e.Code, e.message = api.ErrorCode(), api.ErrorMessage()
		if e.Code == unknownCode {
			e.Code = ""
		}
		if e.message == unknownCode {
			e.message = ""
		}
	}
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) {
		e.status = response.HTTPStatusCode()
	}
	var request interface{ ServiceRequestID() string }
	if errors.As(err, &request) {
		e.RequestID = request.ServiceRequestID()
	}
	var elsewhere *kmscall.RegionError
	var params smithy.InvalidParamsError
	e.notSent = errors.As(err, &params)
	switch {
	case errors.As(err, &elsewhere):
		e.verdict, e.notSent = misdirected, true
	case fromHeader(operation) && (e.notSent || e.Code == "ValidationException" || tooLong(e.status)):
		e.verdict = mismatched // what was sent is from a header
	case e.Code == "InvalidCiphertextException", e.Code == "IncorrectKeyException":
		e.verdict = mismatched
	case e.notSent, e.Code == "KMSInvalidStateException" && !strings.Contains(e.message, "pending"):
		// KMSInvalidStateException is said of an external key store that cannot be reached.
		// With "pending" it is said of a key that waits to be deleted or imported: a refusal.
		e.verdict = undecided
	case isAPI && beforeTheKey(e.Code):
		e.verdict = undecided
	case e.status >= http.StatusInternalServerError, e.throttled(), e.status == http.StatusRequestTimeout:
		// Whatever the code is, the service did not decide.
	case isAPI && saysNo(api):
		e.verdict = refused
	}
	return e.under(ctx)
}

// noIdentity begins the text of the SDK's error for a provider of credentials that
// failed. It has no type.
const noIdentity = "get identity: "

// unknownCode is the SDK's code for answers without one, as from a proxy.
const unknownCode = "UnknownError"

// fromHeader says whether an operation sends what a message's header has.
func fromHeader(operation string) bool {
	return operation == "Decrypt" || operation == "DeriveSharedSecret"
}

// tooLong says whether an HTTP status blames the length of a request.
func tooLong(status int) bool {
	switch status {
	case http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong, http.StatusRequestHeaderFieldsTooLarge:
		return true
	}
	return false
}

// beforeTheKey says whether a code is about the request's credentials, signature or
// form, which a service looks at before it looks at the key.
func beforeTheKey(code string) bool {
	switch code {
	case "UnrecognizedClientException", "InvalidClientTokenId", "AuthFailure", "MissingAuthenticationToken",
		"MissingAuthenticationTokenException", "SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature",
		"IncompleteSignatureException", "SerializationException", "UnknownOperationException":
		return true
	}
	return false
}

// saysNo says whether a service's answer is a refusal: it has a code, and that stands
// neither for a failure of the service, nor for too many requests, credentials that have
// run out, or a clock that is wrong.
func saysNo(answer smithy.APIError) bool {
	switch code := answer.ErrorCode(); code {
	case "", unknownCode:
		return false
	case "RequestTimeTooSkewed", "RequestInTheFuture",
		"KeyUnavailableException", "KMSInternalException", "DependencyTimeoutException",
		"InternalFailure", "InternalError", "InternalServerError", "InternalServerException",
		"ServiceUnavailable", "ServiceUnavailableException", "RequestTimeout", "RequestTimeoutException",
		"ExpiredToken", "ExpiredTokenException", "RequestExpired":
		return false
	default:
		return !throttling(code) && answer.ErrorFault() != smithy.FaultServer
	}
}

func throttling(code string) bool {
	_, is := retry.DefaultThrottleErrorCodes[code]
	return is || code == "LimitExceededException"
}

// under adds ctx's error if ctx is done.
func (e *Error) under(ctx context.Context) *Error {
	if cause := ctx.Err(); cause != nil && !errors.Is(e.err, cause) {
		e.err = reasons{cause, e.err}
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		e.verdict = cancelled
	}
	return e
}

// Unwrap returns the underlying error.
func (e *Error) Unwrap() error { return e.err }

// Error says what failed and, where the caller can act, what to do.
func (e *Error) Error() string {
	s := fmt.Sprintf("kms:%s on %s", e.Operation, kmscall.Clip(e.KeyID))
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
		return " was not sent, for want of credentials: " + oneLine(e.err)
	case e.notSent:
		return " was not sent: " + oneLine(e.err)
	}
	switch e.Code {
	case invalidAnswer:
		return " failed, since the answer is of no use: " + oneLine(e.err)
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
	case e.status != 0:
		return fmt.Sprintf(" failed: the service answered %d, and nothing that can be read", e.status)
	}
	var notSent *smithyhttp.RequestSendError
	var quota ratelimit.QuotaExceededError
	switch {
	case errors.As(e.err, &notSent):
		return " failed: KMS cannot be reached: " + oneLine(e.err)
	case errors.As(e.err, &quota):
		return " failed, and the client's retry quota is spent on earlier failures: " + oneLine(e.err)
	default:
		return " was not sent, or not answered: " + oneLine(e.err)
	}
}

// oneLine returns the text of an error without line breaks, which joined errors
// have.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// said quotes the service's own words, in which the key has been named already.
func (e *Error) said() string {
	if e.message == "" {
		return ""
	}
	message := strings.ReplaceAll(e.message, e.KeyID, "this key")
	const most = 500 // holds the sentence that names the policy and the caller
	if len(message) > most {
		return fmt.Sprintf(" (%q...)", strings.ToValidUTF8(message[:most], ""))
	}
	return fmt.Sprintf(" (%q)", message)
}

func (e *Error) throttled() bool {
	return throttling(e.Code) || e.status == http.StatusTooManyRequests
}

// Unavailable says whether the key could not be asked just then, so that asking
// later or elsewhere makes sense: the service was not reached, timed out, throttled,
// failed by itself, or answered with what cannot be read or must not be believed, or
// there were no credentials to ask with. Then the error is [keyring.ErrUnavailable] too. A call
// that the service refused, and one whose caller went away, is none.
func (e *Error) Unavailable() bool { return e.verdict == outage }

// Refused says whether the service answered that the key may not or cannot be used:
// access is denied, the key is disabled, pending deletion, of another kind, or not
// there. A cache drops the data keys that were granted before.
func (e *Error) Refused() bool { return e.verdict == refused }

// Is says that an error for which Unavailable is true is [keyring.ErrUnavailable]. It
// also tells this module's cache whether the message is to blame.
func (e *Error) Is(target error) bool {
	switch target {
	case keyring.ErrUnavailable:
		return e.Unavailable()
	case message.ErrBlamesMessage:
		return e.verdict == mismatched || e.verdict == refused && e.headerChose
	}
	return false
}

// invalidAnswer is the Code of a success that is of no use. It is not one of the
// service's. There are two kinds: badAnswer is KMS's fault, or that of whoever stands
// between, and badContent is the message's.
const invalidAnswer = "InvalidAnswer"

// badAnswer is the error for an answer that must not be believed: it is not from the
// key that was asked, or KMS itself would not give it.
func badAnswer(operation, keyID, region, format string, args ...any) *Error {
	return &Error{Operation: operation, KeyID: keyID, Region: region, Code: invalidAnswer,
		err: kmscall.BadAnswer(format, args...)}
}

// badContent is the error for an answer that can be believed: the key unwrapped what the
// message has, and that is no data key for it. Whoever may wrap with the key can have
// made such a message.
func badContent(operation, keyID, region, format string, args ...any) *Error {
	e := badAnswer(operation, keyID, region, format, args...)
	e.verdict = mismatched
	return e
}

// tooLongForKMS is the error for a ciphertext that is not sent, since KMS would not take it.
func tooLongForKMS(operation, keyID, region string, n int) error {
	return &Error{Operation: operation, KeyID: keyID, Region: region, verdict: mismatched, notSent: true,
		err: fmt.Errorf("the ciphertext is %d bytes, KMS takes %d", n, kmscall.MaxCiphertext)}
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
