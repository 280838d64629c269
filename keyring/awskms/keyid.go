package awskms

import (
	"fmt"
	"strings"

	"github.com/go-sealring/sealring/internal/kmscall"
	"github.com/go-sealring/sealring/keyring"
)

// A keyID is a key as the caller names it: key ARN, alias ARN, key ID or alias.
type keyID struct {
	text  string
	arn   kmscall.ARN // if text is an ARN
	alias bool        // text is an alias or the ARN of one
	bare  string      // text, if it is a key ID
}

func parseKeyID(s string) (keyID, error) {
	switch {
	case strings.HasPrefix(s, "arn:"):
		a, err := kmscall.ParseARN(s)
		if err != nil {
			return keyID{}, invalid("%v", err)
		}
		return keyID{text: s, arn: a, alias: a.Kind == "alias"}, nil
	case strings.HasPrefix(s, "alias/"):
		if !kmscall.IsName(s, "/_") || s == "alias/" {
			return keyID{}, invalid("%q names no alias", kmscall.Clip(s))
		}
		return keyID{text: s, alias: true}, nil
	case !kmscall.IsName(s, ""):
		return keyID{}, invalid("%q is neither the ARN nor the ID of a KMS key, nor an alias", kmscall.Clip(s))
	default:
		return keyID{text: s, bare: s}, nil
	}
}

// mayAnswer says whether KMS may answer with the key of this ARN when asked for k. It
// compares as much as k tells: all of a key ARN, the ID of a key ID, partition, region
// and account of an alias ARN. Of a mere alias it compares nothing, but the ARN must be
// that of a key: only KMS knows which key an alias stands for.
//
// Each call to KMS is followed by a comparison. They are all here:
//
//	GenerateDataKey     wrapping.wrapped            mayAnswer
//	Encrypt             wrapping.wrapped            mayAnswer
//	Decrypt             decrypting.unwrap           equal to the ARN of the header, or of the
//	                                                replica that is asked in its place
//	Decrypt, RSA        RSADecrypter.unwrap         equal to the keyring's ARN
//	GetPublicKey        agreement.fetchPublicKey    mayAnswer; the answer is the key from then on
//	DeriveSharedSecret  agreement.derive            mayAnswer
//	DescribeKey         ResolveKey                  mayAnswer
func (k keyID) mayAnswer(answered string) bool {
	a, err := kmscall.ParseKeyARN(answered)
	switch {
	case err != nil:
		return false
	case k.bare != "":
		return a.ID == k.bare
	case k.alias && k.arn.ID != "":
		return a.Partition == k.arn.Partition && a.Region == k.arn.Region && a.Account == k.arn.Account
	case k.alias:
		return true
	default:
		return a == k.arn
	}
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("awskms: %w: %s", keyring.ErrInvalidArgument, fmt.Sprintf(format, args...))
}
