package awskms

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/assert"

	"github.com/go-sealring/sealring/internal/kmscall"
)

// TestErrorTable holds the table in the documentation of Error, but for the rows about the
// caller and about InvalidAnswer.
func TestErrorTable(t *testing.T) {
	answer := func(status int, code, message string) error {
		return &smithy.OperationError{Err: &smithyhttp.ResponseError{
			Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}},
			Err:      &smithy.GenericAPIError{Code: code, Message: message},
		}}
	}
	credentials := func(err error) error { return &smithy.OperationError{Err: &smithy.OperationError{Err: err}} }

	type row struct{ unavailable, refused, next, counts bool }
	outage, refusal, stop := row{true, false, true, true}, row{false, true, false, false}, row{}
	undecided := row{false, false, true, true}
	const unwrap, wrap = "Decrypt", "GenerateDataKey"
	both := []string{unwrap, wrap}
	for name, c := range map[string]struct {
		err        error
		operations []string
		want       row
	}{
		"no answer":               {errors.New("connection refused"), both, outage},
		"503":                     {answer(503, "AccessDeniedException", ""), both, outage},
		"408":                     {answer(408, "AccessDeniedException", ""), both, outage},
		"429":                     {answer(429, "AccessDeniedException", ""), both, outage},
		"503, signature":          {answer(503, "SignatureDoesNotMatch", ""), both, undecided},
		"throttling":              {answer(400, "ThrottlingException", ""), both, outage},
		"limit":                   {answer(400, "LimitExceededException", ""), both, outage},
		"KMS's own":               {answer(400, "KMSInternalException", ""), both, outage},
		"key unavailable":         {answer(400, "KeyUnavailableException", ""), both, outage},
		"dependency":              {answer(400, "DependencyTimeoutException", ""), both, outage},
		"credentials ran out":     {answer(400, "ExpiredTokenException", ""), both, outage},
		"clock":                   {answer(400, "RequestTimeTooSkewed", ""), both, outage},
		"no code":                 {answer(400, "", ""), both, outage},
		"no credentials":          {credentials(errors.New("connection refused")), both, row{true, false, true, false}},
		"credentials refused":     {credentials(answer(403, "AccessDenied", "")), both, row{false, false, true, false}},
		"credentials not taken":   {answer(400, "UnrecognizedClientException", ""), both, undecided},
		"signature not taken":     {answer(400, "InvalidSignatureException", ""), both, undecided},
		"serialization":           {answer(400, "SerializationException", ""), both, undecided},
		"operation":               {answer(400, "UnknownOperationException", ""), both, undecided},
		"state":                   {answer(400, "KMSInvalidStateException", "key store"), both, undecided},
		"pending":                 {answer(400, "KMSInvalidStateException", "is pending deletion"), both, refusal},
		"denied":                  {answer(400, "AccessDeniedException", ""), both, refusal},
		"disabled":                {answer(400, "DisabledException", ""), both, refusal},
		"not found":               {answer(400, "NotFoundException", ""), both, refusal},
		"any other code":          {answer(400, "InvalidGrantTokenException", ""), both, refusal},
		"ciphertext":              {answer(400, "InvalidCiphertextException", ""), both, stop},
		"another key's":           {answer(400, "IncorrectKeyException", ""), both, stop},
		"validation, unwrapping":  {answer(400, "ValidationException", ""), []string{unwrap}, stop},
		"validation, wrapping":    {answer(400, "ValidationException", ""), []string{wrap}, refusal},
		"too long, unwrapping":    {answer(413, "", ""), []string{unwrap}, stop},
		"not sent, unwrapping":    {smithy.InvalidParamsError{}, []string{unwrap}, stop},
		"not sent, wrapping":      {smithy.InvalidParamsError{}, []string{wrap}, row{false, false, true, false}},
		"client of other regions": {&kmscall.RegionError{Asks: "eu-west-1", Want: "us-east-1"}, both, stop},
		"another key answered":    {kmscall.BadAnswer("another key"), both, outage},
	} {
		for _, op := range c.operations {
			t.Run(name+"/"+op, func(t *testing.T) {
				ctx := context.Background()
				e := NewError(ctx, op, "key", "us-east-1", c.err)
				calls := regionCalls{candidate: candidate{region: &region{}}, ctx: ctx, limited: ctx}
				got := row{e.Unavailable(), e.Refused(), goOn(e), calls.judge(ctx, e, true) == failing}
				assert.Equal(t, c.want, got)
			})
		}
	}
}
