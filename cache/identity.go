package cache

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/go-sealring/sealring/keyring"
)

// An identity tells entries apart: a hash over everything that materials depend
// on, each part with its length before it, so that no two lists of parts read
// the same.
type identity [sha256.Size]byte

const (
	forEncryption = 1
	forDecryption = 2
)

// The parts are appended by plain functions, and not by methods on a pointer:
// so the buffer stays on the stack.

func appendNumber(b []byte, n int) []byte { return binary.BigEndian.AppendUint64(b, uint64(n)) }

func appendPart[T string | []byte](b []byte, part T) []byte {
	return append(appendNumber(b, len(part)), part...)
}

// appendContext appends a context in its serialized form, which is one for each
// context.
func appendContext(b []byte, ec keyring.EncryptionContext) ([]byte, error) {
	at := len(b)
	b, err := ec.AppendBinary(appendNumber(b, 0))
	binary.BigEndian.PutUint64(b[at:], uint64(len(b)-at-8))
	return b, err
}

// encryptionIdentity names what a request to encrypt may share.
func encryptionIdentity(req keyring.EncryptionRequest, partition string) (identity, error) {
	var buf [512]byte
	b := append(buf[:0], forEncryption, byte(req.CommitmentPolicy))
	b = appendNumber(b, int(req.Suite))
	b = appendPart(b, partition)
	b, err := appendContext(b, req.Context)
	if err != nil {
		return identity{}, err
	}
	b = appendNumber(b, len(req.RequiredKeys))
	if len(req.RequiredKeys) > 0 {
		for _, k := range slices.Sorted(slices.Values(req.RequiredKeys)) {
			b = appendPart(b, k)
		}
	}
	return sha256.Sum256(b), nil
}

// confirms says whether every pair is stored with the same value.
func confirms(reproduced, stored keyring.EncryptionContext) bool {
	for k, v := range reproduced {
		if got, ok := stored[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// decryptionIdentity names what a request to decrypt may share.
func decryptionIdentity(req keyring.DecryptionRequest, partition string) (identity, error) {
	var buf [1024]byte
	b := append(buf[:0], forDecryption, byte(req.CommitmentPolicy))
	b = appendNumber(b, int(req.Suite))
	b = appendPart(b, partition)
	b, err := appendContext(b, req.Context)
	if err != nil {
		return identity{}, err
	}
	// Pairs that only confirm what is stored change nothing of the materials.
	reproduced := req.Reproduced
	if confirms(reproduced, req.Context) {
		reproduced = nil
	}
	if b, err = appendContext(b, reproduced); err != nil {
		return identity{}, err
	}
	b = appendNumber(b, len(req.EncryptedDataKeys))
	for _, k := range req.EncryptedDataKeys {
		b = appendPart(b, k.ProviderID)
		b = appendPart(b, k.ProviderInfo)
		b = appendPart(b, k.Ciphertext)
	}
	return sha256.Sum256(b), nil
}
