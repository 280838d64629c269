package s3object

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/go-sealring/sealring/keyring"
)

// An Error says what failed for which object. S3's errors, those of package envelope and what
// a keyring returned are reachable through it with errors.Is and errors.As. It never holds
// plaintext or keys.
type Error struct {
	// Op is "put", "get", "open", "head", "copy", "reencrypt" or "rotate".
	Op string

	// Bucket and Key name the object, and Key is empty where it is none. For a copy that is
	// the new one.
	Bucket, Key string

	Err error
}

func (e *Error) Error() string {
	where := fmt.Sprintf("s3object: %s: bucket %q: ", e.Op, e.Bucket)
	if e.Key != "" {
		where += fmt.Sprintf("key %q: ", e.Key)
	}
	return where + e.Err.Error()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", keyring.ErrInvalidArgument, fmt.Sprintf(format, args...))
}

// status returns the status of S3's answer, or 0 if there was none.
func status(err error) int {
	var answer *awshttp.ResponseError
	if errors.As(err, &answer) {
		return answer.HTTPStatusCode()
	}
	return 0
}

// hasCode says whether S3 answered with one of some codes.
func hasCode(err error, codes ...string) bool {
	var answer smithy.APIError
	return errors.As(err, &answer) && slices.Contains(codes, answer.ErrorCode())
}

// wasReplaced says whether a condition on the ETag did not hold: the object has another, or
// is gone, or another write was under way.
func wasReplaced(err error) bool {
	return status(err) == http.StatusPreconditionFailed || hasCode(err, "PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "NoSuchVersion", "NotFound")
}
