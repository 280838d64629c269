package kmscall

import (
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	smithymiddleware "github.com/aws/smithy-go/middleware"
)

// MaxCiphertext is the longest ciphertext in bytes that KMS takes.
const MaxCiphertext = 6144

// userAgent names the library in the requests, and so in the audit log.
func userAgent(o *kms.Options) {
	o.APIOptions = append(o.APIOptions, middleware.AddUserAgentKey("sealring"))
}

// Options returns the options of calls for a key in a region, which is empty if
// it is not known. With them, a client of another region sends nothing and returns a
// [RegionError]. So the check also reaches a client that wraps a [kms.Client] without
// telling its region, since it passes the options on.
func Options(region string, more ...func(*kms.Options)) []func(*kms.Options) {
	options := append([]func(*kms.Options){userAgent}, more...)
	if region == "" {
		return options
	}
	return append(options, func(o *kms.Options) {
		if asks := plainRegion(o.Region); asks != "" && asks != region {
			o.APIOptions = append(o.APIOptions, func(*smithymiddleware.Stack) error { return &RegionError{asks, region} })
		}
	})
}

// RegionOf returns the region that a client asks, or "" if it does not tell. A
// [kms.Client] does; one that wraps it can have a method Region.
func RegionOf(client any) string {
	switch c := client.(type) {
	case interface{ Options() kms.Options }:
		return plainRegion(c.Options().Region)
	case interface{ Region() string }:
		return plainRegion(c.Region())
	}
	return ""
}

// plainRegion returns the region that a name in the SDK's options stands for. Such a name
// can also demand FIPS endpoints: "fips-us-east-1" and "us-east-1-fips" are us-east-1.
func plainRegion(name string) string {
	return strings.TrimSuffix(strings.TrimPrefix(name, "fips-"), "-fips")
}

// CheckRegion returns a [RegionError] if a client asks another region than its key is in.
// Else that would be noticed only when the key is used.
func CheckRegion(client any, region string) error {
	if asks := RegionOf(client); asks != "" && asks != region {
		return &RegionError{asks, region}
	}
	return nil
}

// A RegionError says that a client asks another region than its key is in.
type RegionError struct{ Asks, Want string }

func (e *RegionError) Error() string {
	return fmt.Sprintf("the client asks %s, and the key is in %s", e.Asks, e.Want)
}

// An AnswerError says that KMS answered with what must not be believed: it is not from
// the key that was asked, or KMS itself would not give it.
type AnswerError string

// BadAnswer returns an AnswerError. The text says what KMS answered with.
func BadAnswer(format string, args ...any) error {
	return AnswerError("KMS answered with " + fmt.Sprintf(format, args...))
}

func (e AnswerError) Error() string { return string(e) }

// AnsweredAs says which key has answered in the place of another.
func AnsweredAs(keyARN *string) string {
	if keyARN == nil {
		return "no key"
	}
	return fmt.Sprintf("another key: %q", Clip(*keyARN))
}
