package cache

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/maphash"
	"slices"

	"github.com/go-sealring/sealring/keyring"
)

// An identity is the key of an entry in the cache. It consists of everything that
// materials depend on, each part with its length before it, so that different parts never
// make the same identity. One that would be too long is the SHA-256 of its parts. A short
// one is not hashed, since that would take longer than the map's own hash, with which it
// is looked up and then compared as a whole.
type identity string

const (
	forEncryption = 1
	forDecryption = 2
	hashed        = 3
)

// maxIdentity is the longest identity in bytes that is kept as it is.
const maxIdentity = 1024

// Plain functions append the parts, since with methods on a pointer the buffer would not
// stay on the stack.

func appendNumber(b []byte, n int) []byte { return binary.BigEndian.AppendUint64(b, uint64(n)) }

func appendPart[T string | []byte](b []byte, part T) []byte {
	return append(appendNumber(b, len(part)), part...)
}

// setLength sets the length at index at to that of all bytes which follow it in b.
// appendNumber has left room for it.
func setLength(b []byte, at int) { binary.BigEndian.PutUint64(b[at:], uint64(len(b)-at-8)) }

func appendHead(b []byte, kind byte, p keyring.CommitmentPolicy, s keyring.Suite, partition string) []byte {
	b = append(b, kind, byte(p))
	b = appendNumber(b, int(s))
	return appendPart(b, partition)
}

// appendContext appends a context in its serialized form. Equal contexts have the same.
func appendContext(b []byte, ec keyring.EncryptionContext) ([]byte, error) {
	at := len(b)
	b, err := ec.AppendBinary(appendNumber(b, 0))
	setLength(b, at)
	return b, err
}

// finish returns the identity that consists of the parts in b: b itself, or its hash.
func finish(b []byte) []byte {
	if len(b) <= maxIdentity {
		return b
	}
	sum := sha256.Sum256(b)
	return append(append(b[:0], hashed), sum[:]...)
}

// encryptionIdentity appends the identity of a request to encrypt to b, which is empty.
// Requests with the same identity may share a data key.
func encryptionIdentity(b []byte, req *keyring.EncryptionRequest, partition string) ([]byte, error) {
	b = appendHead(b, forEncryption, req.CommitmentPolicy, req.Suite, partition)
	b, err := appendContext(b, req.Context)
	if err != nil {
		return nil, err
	}
	b = appendNumber(b, len(req.RequiredKeys))
	if len(req.RequiredKeys) > 0 {
		for _, k := range slices.Sorted(slices.Values(req.RequiredKeys)) {
			b = appendPart(b, k)
		}
	}
	return finish(b), nil
}

// decryptionIdentity appends the identity of a request to decrypt to b, which is empty.
// Requests with the same identity may share a data key. The pairs that the caller expects
// are a part of it if reproduced says so.
func decryptionIdentity(b []byte, req *keyring.DecryptionRequest, partition string, reproduced bool) ([]byte, error) {
	b = appendHead(b, forDecryption, req.CommitmentPolicy, req.Suite, partition)
	b = appendPart(b, req.Stored)
	if !reproduced {
		return finish(appendNumber(b, 0)), nil
	}
	b, err := appendContext(b, req.Reproduced)
	if err != nil {
		return nil, err
	}
	return finish(b), nil
}

// shardOf returns the shard of an identity that is given as bytes.
func (c *Cache) shardOf(id []byte) *shard {
	return &c.shards[maphash.Bytes(c.seed, id)%shardCount]
}

func (c *Cache) shard(id identity) *shard {
	return &c.shards[maphash.String(c.seed, string(id))%shardCount]
}
