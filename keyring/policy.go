package keyring

import "fmt"

// A CommitmentPolicy says which suites may be used, by whether they commit to
// the data key. The names and meanings are those of the AWS Encryption SDK.
type CommitmentPolicy uint8

const (
	// RequireEncryptRequireDecrypt writes and reads committing suites only. It
	// is the zero value and the right policy unless older messages must be read.
	RequireEncryptRequireDecrypt CommitmentPolicy = iota

	// RequireEncryptAllowDecrypt writes committing suites and reads all: for
	// reading what was written before there was commitment.
	RequireEncryptAllowDecrypt

	// ForbidEncryptAllowDecrypt writes suites without commitment and reads all:
	// for writing to readers that do not know commitment yet.
	ForbidEncryptAllowDecrypt
)

// DefaultSuite returns the suite that is used when none is named: the strongest
// that the policy lets through and that does not sign.
func (p CommitmentPolicy) DefaultSuite() Suite {
	if p == ForbidEncryptAllowDecrypt {
		return SuiteAES256GCMHKDFSHA256
	}
	return SuiteAES256GCMHKDFSHA512Commit
}

// CheckEncrypt returns nil if the policy lets messages of suite s be written,
// and an error that wraps [ErrPolicy] if not.
func (p CommitmentPolicy) CheckEncrypt(s Suite) error {
	if s.Commits() == (p == ForbidEncryptAllowDecrypt) {
		return fmt.Errorf("%w: policy %v does not encrypt with suite %v", ErrPolicy, p, s)
	}
	return nil
}

// CheckDecrypt returns nil if the policy lets messages of suite s be read, and
// an error that wraps [ErrPolicy] if not.
func (p CommitmentPolicy) CheckDecrypt(s Suite) error {
	if p == RequireEncryptRequireDecrypt && !s.Commits() {
		return fmt.Errorf("%w: policy %v does not decrypt suite %v; RequireEncryptAllowDecrypt does", ErrPolicy, p, s)
	}
	return nil
}

// String returns the policy's name.
func (p CommitmentPolicy) String() string {
	switch p {
	case RequireEncryptRequireDecrypt:
		return "RequireEncryptRequireDecrypt"
	case RequireEncryptAllowDecrypt:
		return "RequireEncryptAllowDecrypt"
	case ForbidEncryptAllowDecrypt:
		return "ForbidEncryptAllowDecrypt"
	}
	return fmt.Sprintf("CommitmentPolicy(%d)", uint8(p))
}
