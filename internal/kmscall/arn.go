// Package kmscall has what every caller of AWS KMS here needs, whatever it calls for:
// ARNs of keys, and the options of a call.
package kmscall

import (
	"fmt"
	"strings"
)

// An ARN is the ARN of a KMS key or alias, taken apart.
//
// Source: framework/aws-kms/aws-kms-key-arn.md of the AWS Encryption SDK
// specification.
type ARN struct {
	Partition, Region, Account string
	Kind                       string // "key" or "alias"
	ID                         string
}

// ParseARN parses the ARN of a key or of an alias.
func ParseARN(s string) (ARN, error) {
	parts := strings.SplitN(s, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "kms" {
		return ARN{}, fmt.Errorf("%q is not the ARN of a KMS key", Clip(s))
	}
	kind, id, _ := strings.Cut(parts[5], "/")
	a := ARN{Partition: parts[1], Region: parts[3], Account: parts[4], Kind: kind, ID: id}
	if !IsName(a.Partition, "") || !IsName(a.Region, "") || !IsName(a.Account, "") || !IsName(id, "/_") || kind != "key" && kind != "alias" {
		return ARN{}, fmt.Errorf("%q is not the ARN of a KMS key", Clip(s))
	}
	return a, nil
}

// IsName says whether s is not empty, and consists of letters, digits, hyphens and the
// extra characters. Nothing else is accepted, since anybody can write a header, and the
// names in it end up in logs.
func IsName(s, extra string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && !strings.ContainsRune(extra, r)
	})
}

// ParseKeyARN parses the ARN of a key. That of an alias is an error.
func ParseKeyARN(s string) (ARN, error) {
	a, err := ParseARN(s)
	if err == nil && (a.Kind != "key" || strings.Contains(a.ID, "/")) {
		err = fmt.Errorf("%q is not the ARN of a KMS key but of something else", Clip(s))
	}
	return a, err
}

// String returns the ARN as text.
func (a ARN) String() string {
	return "arn:" + a.Partition + ":kms:" + a.Region + ":" + a.Account + ":" + a.Kind + "/" + a.ID
}

// MultiRegion says whether the key is a multi-Region key.
func (a ARN) MultiRegion() bool { return a.Kind == "key" && strings.HasPrefix(a.ID, "mrk-") }

// In returns the ARN of the same multi-Region key in another region.
func (a ARN) In(region string) ARN {
	a.Region = region
	return a
}

// Related says whether two ARNs name the same key or replicas of one
// multi-Region key.
func (a ARN) Related(b ARN) bool {
	return a == b || a.MultiRegion() && a.In(b.Region) == b
}

// Clip keeps names that an attacker chose from filling a log.
func Clip(s string) string {
	if len(s) > 200 {
		return strings.ToValidUTF8(s[:200], "") + "..."
	}
	return s
}
