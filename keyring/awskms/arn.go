package awskms

import (
	"fmt"
	"strings"

	"github.com/go-sealring/sealring/keyring"
)

// An arn is the ARN of a KMS key or alias, taken apart.
//
// Source: framework/aws-kms/aws-kms-key-arn.md of the AWS Encryption SDK
// specification.
type arn struct {
	partition, region, account string
	kind                       string // "key" or "alias"
	id                         string
}

func parseARN(s string) (arn, error) {
	parts := strings.SplitN(s, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "kms" {
		return arn{}, fmt.Errorf("%q is not the ARN of a KMS key", clip(s))
	}
	kind, id, _ := strings.Cut(parts[5], "/")
	a := arn{partition: parts[1], region: parts[3], account: parts[4], kind: kind, id: id}
	if !isName(a.partition, "") || !isName(a.region, "") || !isName(a.account, "") || !isName(id, "/_") || kind != "key" && kind != "alias" {
		return arn{}, fmt.Errorf("%q is not the ARN of a KMS key", clip(s))
	}
	return a, nil
}

// isName says whether s is not empty, and consists of letters, digits, hyphens and the
// extra characters. Nothing else is accepted, since anybody can write a header, and the
// names in it end up in logs.
func isName(s, extra string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && !strings.ContainsRune(extra, r)
	})
}

// parseKeyARN parses the ARN of a key. That of an alias is an error.
func parseKeyARN(s string) (arn, error) {
	a, err := parseARN(s)
	if err == nil && (a.kind != "key" || strings.Contains(a.id, "/")) {
		err = fmt.Errorf("%q is not the ARN of a KMS key but of something else", clip(s))
	}
	return a, err
}

func (a arn) String() string {
	return "arn:" + a.partition + ":kms:" + a.region + ":" + a.account + ":" + a.kind + "/" + a.id
}

// multiRegion says whether the key is a multi-Region key.
func (a arn) multiRegion() bool { return a.kind == "key" && strings.HasPrefix(a.id, "mrk-") }

// in returns the ARN of the same multi-Region key in another region.
func (a arn) in(region string) arn {
	a.region = region
	return a
}

// related says whether two ARNs name the same key or replicas of one
// multi-Region key.
func (a arn) related(b arn) bool {
	return a == b || a.multiRegion() && a.in(b.region) == b
}

// A keyID is a key as the caller names it: key ARN, alias ARN, key ID or alias.
type keyID struct {
	text  string
	arn   arn    // if text is an ARN
	alias bool   // text is an alias or the ARN of one
	bare  string // text, if it is a key ID
}

func parseKeyID(s string) (keyID, error) {
	switch {
	case strings.HasPrefix(s, "arn:"):
		a, err := parseARN(s)
		if err != nil {
			return keyID{}, invalid("%v", err)
		}
		return keyID{text: s, arn: a, alias: a.kind == "alias"}, nil
	case strings.HasPrefix(s, "alias/"):
		if !isName(s, "/_") || s == "alias/" {
			return keyID{}, invalid("%q names no alias", clip(s))
		}
		return keyID{text: s, alias: true}, nil
	case !isName(s, ""):
		return keyID{}, invalid("%q is neither the ARN nor the ID of a KMS key, nor an alias", clip(s))
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
	a, err := parseKeyARN(answered)
	switch {
	case err != nil:
		return false
	case k.bare != "":
		return a.id == k.bare
	case k.alias && k.arn.id != "":
		return a.partition == k.arn.partition && a.region == k.arn.region && a.account == k.arn.account
	case k.alias:
		return true
	default:
		return a == k.arn
	}
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("awskms: %w: %s", keyring.ErrInvalidArgument, fmt.Sprintf(format, args...))
}

// clip keeps names that an attacker chose from filling a log.
func clip(s string) string {
	if len(s) > 200 {
		return strings.ToValidUTF8(s[:200], "") + "..."
	}
	return s
}
