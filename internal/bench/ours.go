package main

import (
	"context"
	"io"
	"time"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

const (
	ours       = "sealring"
	oursOne    = ours + ", one core"
	oursCached = ours + ", cached data key"
	oursBuffer = ours + ", into a buffer"
	fromReader = ours + ", from an io.Reader"

	keyNamespace = "bench"
	keyName      = "kek"
	frameLen     = 4096 // the default, and what the others are given where they let one choose
	smallLen     = 64

	signedSuite = keyring.SuiteAES256GCMHKDFSHA512CommitECDSAP384
)

// wrappingKey returns the key that wraps data keys, here and in AWS's SDK.
func wrappingKey() []byte { return randomBytes(32) }

// encryptionContext is that of every message.
func encryptionContext() keyring.EncryptionContext {
	return keyring.EncryptionContext{"tenant": "42", "table": "patients"}
}

func newKeyring() (keyring.Keyring, error) {
	return keyring.NewRawAES(keyNamespace, keyName, wrappingKey())
}

func newClient(o envelope.Options) (*envelope.Client, error) {
	kr, err := newKeyring()
	if err != nil {
		return nil, err
	}
	return envelope.New(kr, &o)
}

// newCachedClient returns a client that asks for a data key once. Its cache is
// for the life of the program.
func newCachedClient() (*envelope.Client, error) {
	kr, err := newKeyring()
	if err != nil {
		return nil, err
	}
	cached, err := cache.New(kr, cache.Limits{MaxAge: 24 * time.Hour})
	if err != nil {
		return nil, err
	}
	return envelope.NewFromManager(cached, nil)
}

// ourStream is a client's Writer and Reader, driven as io.Copy drives them.
func ourStream(name string, c *envelope.Client) streamCipher {
	ctx, ec := context.Background(), encryptionContext()
	return streamCipher{
		name: name,
		encrypt: func(dst io.Writer, src io.Reader) error {
			w, err := c.NewWriter(ctx, dst, ec)
			if err != nil {
				return err
			}
			if _, err := io.Copy(w, src); err != nil {
				return err
			}
			return w.Close()
		},
		decrypt: func(dst io.Writer, src io.Reader) error {
			r, err := c.NewReader(ctx, src, ec)
			if err != nil {
				return err
			}
			_, err = io.Copy(dst, r)
			return err
		},
	}
}

func newOurStream(name string, o envelope.Options) (streamCipher, error) {
	c, err := newClient(o)
	if err != nil {
		return streamCipher{}, err
	}
	return ourStream(name, c), nil
}

// ourMemory is a client's Encrypt and Decrypt, which return new bytes as those
// of other libraries do.
func ourMemory(name string, c *envelope.Client) memoryCipher {
	ctx, ec := context.Background(), encryptionContext()
	return memoryCipher{
		name:    name,
		encrypt: func(_, plaintext []byte) ([]byte, error) { return c.Encrypt(ctx, plaintext, ec) },
		decrypt: func(_, msg []byte) ([]byte, error) { return c.Decrypt(ctx, msg, ec) },
	}
}

// ourAppend is a client's append forms.
func ourAppend(name string, c *envelope.Client) memoryCipher {
	ctx, ec := context.Background(), encryptionContext()
	return memoryCipher{
		name:    name,
		encrypt: func(dst, plaintext []byte) ([]byte, error) { return c.AppendEncrypt(ctx, dst, plaintext, ec) },
		decrypt: func(dst, msg []byte) ([]byte, error) { return c.AppendDecrypt(ctx, dst, msg, ec) },
	}
}
