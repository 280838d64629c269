package envelope

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/keyring"
)

// checkLen is the length in bytes of what a check encrypts.
const checkLen = 32

// A CheckError says that a client could not encrypt, or not decrypt what it had encrypted.
// It unwraps to the cause, such as an awskms.Error or a [keyring.NoMatchError].
type CheckError struct {
	// Op is the half that failed: "encrypt" or "decrypt".
	Op string

	// Err is the cause.
	Err error
}

func (e *CheckError) Error() string {
	if e.Op == "encrypt" {
		return fmt.Sprintf("envelope: check: the client cannot encrypt: %v", e.Err)
	}
	return fmt.Sprintf("envelope: check: the client encrypts, and cannot decrypt what it has encrypted: %v", e.Err)
}

// Unwrap returns the cause.
func (e *CheckError) Unwrap() error { return e.Err }

// Check encrypts 32 random bytes with the encryption context, decrypts the message, and
// compares. So it finds, before there is data, a permission to decrypt that is missing, a
// key that is disabled, a keyring that decrypts with another key or region than the one
// it encrypts with, and an HSM that wraps under a padding which it cannot unwrap. The error
// is a [*CheckError].
//
// The context should be one that messages have: key policies may demand its pairs, and
// branch keys may be chosen by them. Nothing is kept of the message.
//
// A cache is passed by in both directions, and none of its entries is used, made or
// displaced: [keyring.EncryptionRequest.Fresh] asks for that. It counts two Bypasses. A
// manager of one's own that keeps materials must heed Fresh for the check to mean
// anything. What a keyring itself keeps, as that of branch keys does, it uses within its
// limits.
//
// It costs what a message costs without a cache. For awskms.New that is one call of
// kms:GenerateDataKey and one of kms:Decrypt, and kms:Encrypt for each further key of a
// multi-keyring.
//
// Any one wrapped key is enough for Check, as it is for decrypting: of a multi-keyring it
// proves the first that can unwrap. [Client.CheckKeys] proves each.
//
// At a program's start every error is one. A readiness probe that is asked again and again
// should let [ErrUnavailable] pass: else an outage of the key service takes all replicas
// out at once, also those that could go on with the data keys in their cache.
func (c *Client) Check(ctx context.Context, ec keyring.EncryptionContext) error {
	plaintext, msg, err := c.checkEncrypt(ctx, ec)
	if err != nil {
		return err
	}
	return c.checkDecrypt(ctx, plaintext, msg, ec, freshDecryption{c.Decrypter.manager})
}

// A KeyCheck is what [Client.CheckKeys] has found of one wrapping key.
type KeyCheck struct {
	// ProviderID and Name tell the key, as [keyring.EncryptedDataKey] has them: "aws-kms"
	// and the key's ARN.
	ProviderID, Name string

	// Err is nil if the client can decrypt with this key alone. Else it is a [*CheckError].
	Err error
}

// CheckKeys is [Client.Check] for each wrapping key: it decrypts its message once for every
// wrapped key, and has the client see no other. So it finds what would show only on the
// day when the first key cannot be asked. It returns one result for each wrapped key, in
// the message's order. The error wraps those of the results that have one; if encrypting
// fails there are no results.
//
// For KMS it costs one call of kms:Decrypt for each wrapped key; one that fails may cost
// one for each keyring, and each region, that may unwrap it.
//
// Two things are for the caller to know. A key that only others are to unwrap, as one in
// escrow, is an error here. And replicas of a multi-Region key have one wrapped key among
// them, so that a MultiRegion over them is proved in the first region alone that answers.
// To prove each region, check a client of awskms.New for each replica, MRKAware, instead.
func (c *Client) CheckKeys(ctx context.Context, ec keyring.EncryptionContext) ([]KeyCheck, error) {
	plaintext, msg, err := c.checkEncrypt(ctx, ec)
	if err != nil {
		return nil, err
	}
	h, err := message.ParseHeader(msg, c.Encrypter.opts.limits())
	if err != nil {
		return nil, &CheckError{"encrypt", err}
	}
	var checks []KeyCheck
	for i, k := range dataKeys(h) {
		check := KeyCheck{ProviderID: k.ProviderID, Name: k.KeyName()}
		check.Err = c.checkDecrypt(ctx, plaintext, msg, ec, oneKey{freshDecryption{c.Decrypter.manager}, i})
		switch {
		case check.Err == nil:
		case err == nil:
			err = fmt.Errorf("wrapped key %d: %w", i+1, check.Err)
		default:
			err = fmt.Errorf("%w; wrapped key %d: %w", err, i+1, check.Err) // one line, as logs have
		}
		checks = append(checks, check)
	}
	return checks, err
}

// checkEncrypt encrypts random bytes under a data key that no cache has.
func (c *Client) checkEncrypt(ctx context.Context, ec keyring.EncryptionContext) (plaintext, msg []byte, err error) {
	plaintext = make([]byte, checkLen)
	rand.Read(plaintext)
	e := &Encrypter{freshEncryption{c.Encrypter.manager}, c.Encrypter.opts}
	if msg, err = e.appendEncrypt(ctx, nil, plaintext, ec); err != nil {
		return nil, nil, &CheckError{"encrypt", err}
	}
	return plaintext, msg, nil
}

// checkDecrypt decrypts msg with the materials of a manager, and compares.
func (c *Client) checkDecrypt(ctx context.Context, plaintext, msg []byte, ec keyring.EncryptionContext, m keyring.DecryptionManager) error {
	d := &Decrypter{m, c.Decrypter.opts}
	got, _, err := d.appendDecrypt(ctx, nil, msg, ec)
	if err == nil && subtle.ConstantTimeCompare(got, plaintext) != 1 {
		err = errors.New("another plaintext came out")
	}
	clear(got)
	if err != nil {
		return &CheckError{"decrypt", err}
	}
	return nil
}

// freshEncryption asks a manager for materials that are not kept.
type freshEncryption struct{ manager keyring.EncryptionManager }

func (f freshEncryption) EncryptionMaterials(ctx context.Context, req keyring.EncryptionRequest) (*keyring.EncryptionMaterials, error) {
	req.Fresh = true
	return f.manager.EncryptionMaterials(ctx, req)
}

// freshDecryption is the same to decrypt.
type freshDecryption struct{ manager keyring.DecryptionManager }

func (f freshDecryption) DecryptionMaterials(ctx context.Context, req keyring.DecryptionRequest) (*keyring.DecryptionMaterials, error) {
	req.Fresh = true
	return f.manager.DecryptionMaterials(ctx, req)
}

// oneKey shows a manager one of a message's wrapped keys, and none of the others. The
// message stays as it is: its header is never written again under its key.
type oneKey struct {
	manager keyring.DecryptionManager
	index   int
}

func (o oneKey) DecryptionMaterials(ctx context.Context, req keyring.DecryptionRequest) (*keyring.DecryptionMaterials, error) {
	ec, keys, err := req.Parse()
	if err != nil {
		return nil, err
	}
	if req.Stored, err = message.AppendStored(nil, ec, keys[o.index:o.index+1]); err != nil {
		return nil, err
	}
	return o.manager.DecryptionMaterials(ctx, req)
}
