package kmstest

import (
	"fmt"
	"net/http"
	"strings"
)

// An apiError is an error as the service answers it.
type apiError struct {
	code    string
	message string // the service leaves it out of some errors
	status  int
}

func (e *apiError) Error() string {
	if e.message == "" {
		return e.code
	}
	return e.code + ": " + e.message
}

func fault(code, format string, args ...any) *apiError {
	return &apiError{code, fmt.Sprintf(format, args...), http.StatusBadRequest}
}

func notFound(format string, args ...any) *apiError {
	return fault("NotFoundException", format, args...)
}

func validation(format string, args ...any) *apiError {
	return fault("ValidationException", format, args...)
}

func unsupported(format string, args ...any) *apiError {
	return fault("UnsupportedOperationException", format, args...)
}

func invalidState(arn, what string) *apiError {
	return fault("KMSInvalidStateException", "%s %s.", arn, what)
}

func invalidUsage(k *key, op string) *apiError {
	return fault("InvalidKeyUsageException", "%s key usage is %s which is not valid for %s.", k.arn, k.spec.usage, op)
}

// constraint is the form in which the service reports a member that does not
// satisfy its model.
func constraint(value, member, rule string) *apiError {
	return validation("1 validation error detected: Value %sat '%s' failed to satisfy constraint: Member must %s", value, member, rule)
}

func missing(member string) *apiError { return constraint("null ", member, "not be null") }

func notInEnum(value, member string, allowed ...string) *apiError {
	return constraint("'"+clip(value, 256)+"' ", member, "satisfy enum value set: ["+strings.Join(allowed, ", ")+"]")
}

// checkLength reports a blob or a string whose length is not within min and max.
func checkLength(member string, n, min, max int) error {
	switch {
	case n < min:
		return constraint("", member, fmt.Sprintf("have length greater than or equal to %d", min))
	case n > max:
		return constraint("", member, fmt.Sprintf("have length less than or equal to %d", max))
	}
	return nil
}

func checkRange(member string, n, min, max int64) error {
	value := fmt.Sprintf("'%d' ", n)
	switch {
	case n < min:
		return constraint(value, member, fmt.Sprintf("have value greater than or equal to %d", min))
	case n > max:
		return constraint(value, member, fmt.Sprintf("have value less than or equal to %d", max))
	}
	return nil
}

// The service does not say what is wrong with a ciphertext.
func invalidCiphertext() *apiError {
	return &apiError{code: "InvalidCiphertextException", status: http.StatusBadRequest}
}

func throttled() *apiError {
	return fault("ThrottlingException", "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.")
}

func internalError() *apiError {
	return &apiError{"KMSInternalException", "AWS KMS could not complete the request. Retry the request.", http.StatusInternalServerError}
}

func dependencyTimeout() *apiError {
	return &apiError{"DependencyTimeoutException", "The system timed out while trying to fulfill the request. You can retry the request.", http.StatusServiceUnavailable}
}

func unknownOperation() *apiError {
	return &apiError{code: "UnknownOperationException", status: http.StatusBadRequest}
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}
