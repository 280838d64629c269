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

// parts collects what an identity is made of. Its first bytes are on the stack.
type parts struct{ b []byte }

func (p *parts) number(n int) { p.b = binary.BigEndian.AppendUint64(p.b, uint64(n)) }

func (p *parts) bytes(b []byte) {
	p.number(len(b))
	p.b = append(p.b, b...)
}

func (p *parts) string(s string) {
	p.number(len(s))
	p.b = append(p.b, s...)
}

// context is told in its serialized form, which is one for each context.
func (p *parts) context(ec keyring.EncryptionContext) error {
	at := len(p.b)
	p.number(0)
	b, err := ec.AppendBinary(p.b)
	p.b = b
	binary.BigEndian.PutUint64(p.b[at:], uint64(len(p.b)-at-8))
	return err
}

// encryptionIdentity names what a request to encrypt may share. The request's
// context is valid.
func encryptionIdentity(req keyring.EncryptionRequest, partition string) identity {
	var buf [512]byte
	p := parts{buf[:0]}
	p.b = append(p.b, forEncryption, byte(req.CommitmentPolicy))
	p.number(int(req.Suite))
	p.string(partition)
	p.context(req.Context)
	p.number(len(req.RequiredKeys))
	if len(req.RequiredKeys) > 0 {
		for _, k := range slices.Sorted(slices.Values(req.RequiredKeys)) {
			p.string(k)
		}
	}
	return sha256.Sum256(p.b)
}

// decryptionIdentity names what a request to decrypt may share.
func decryptionIdentity(req keyring.DecryptionRequest, partition string) (identity, error) {
	var buf [1024]byte
	p := parts{buf[:0]}
	p.b = append(p.b, forDecryption, byte(req.CommitmentPolicy))
	p.number(int(req.Suite))
	p.string(partition)
	if err := p.context(req.Context); err != nil {
		return identity{}, err
	}
	if err := p.context(req.Reproduced); err != nil {
		return identity{}, err
	}
	p.number(len(req.EncryptedDataKeys))
	for _, k := range req.EncryptedDataKeys {
		p.string(k.ProviderID)
		p.bytes(k.ProviderInfo)
		p.bytes(k.Ciphertext)
	}
	return sha256.Sum256(p.b), nil
}
