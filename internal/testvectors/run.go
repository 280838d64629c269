package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing/iotest"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// run decrypts the vector in each of the ways and returns why it failed. The
// first result is the kind of key that it was skipped for, if it was.
func (v *vector) run(ctx context.Context, wantError bool) (skip string, err error) {
	manager, err := v.manager(v.key)
	var service needsService
	if errors.As(err, &service) {
		return string(service), nil
	}
	if err != nil {
		return "", err
	}
	client, err := envelope.NewDecrypterFromManager(manager, &envelope.Options{
		CommitmentPolicy: keyring.RequireEncryptAllowDecrypt,
		RefuseSigned:     v.unsignedOnly,
	})
	if err != nil {
		return "", err
	}
	msg, err := os.ReadFile(v.ciphertext)
	if err != nil {
		return "", err
	}
	var want []byte
	if v.plaintext != "" {
		if want, err = os.ReadFile(v.plaintext); err != nil {
			return "", err
		}
	}
	for _, way := range ways {
		got, err := way.decrypt(ctx, client, msg, v.reproduced)
		switch {
		case wantError && err == nil:
			err = errors.New("decrypted, where an authentication error was wanted")
		case wantError && isAuthentication(err):
			err = nil
		case wantError:
			err = fmt.Errorf("failed otherwise than with an authentication error: %w", err)
		case v.plaintext == "" && err == nil:
			err = errors.New("decrypted, where the manifest wants an error")
		case v.plaintext == "":
			err = nil
		case err == nil && !bytes.Equal(got, want):
			err = fmt.Errorf("decrypted to %d bytes that are not the %d of the plaintext", len(got), len(want))
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", way.name, err)
		}
	}
	return "", nil
}

func isAuthentication(err error) bool {
	return errors.Is(err, envelope.ErrAuthentication) ||
		errors.Is(err, envelope.ErrCommitment) ||
		errors.Is(err, envelope.ErrSignature)
}

// ways are the ways in which every vector is decrypted.
var ways = []struct {
	name    string
	decrypt func(context.Context, *envelope.Decrypter, []byte, keyring.EncryptionContext) ([]byte, error)
}{
	{"Decrypt", func(ctx context.Context, d *envelope.Decrypter, msg []byte, ec keyring.EncryptionContext) ([]byte, error) {
		return d.Decrypt(ctx, msg, ec)
	}},
	{"reader, one byte at a time", func(ctx context.Context, d *envelope.Decrypter, msg []byte, ec keyring.EncryptionContext) ([]byte, error) {
		r, err := d.NewReader(ctx, iotest.OneByteReader(bytes.NewReader(msg)), ec)
		if err != nil {
			return nil, err
		}
		return io.ReadAll(iotest.OneByteReader(r))
	}},
	{"reader, large reads", func(ctx context.Context, d *envelope.Decrypter, msg []byte, ec keyring.EncryptionContext) ([]byte, error) {
		r, err := d.NewReader(ctx, bytes.NewReader(msg), ec)
		if err != nil {
			return nil, err
		}
		var got []byte
		for buf := make([]byte, 1<<20); ; {
			n, err := r.Read(buf)
			got = append(got, buf[:n]...)
			if err == io.EOF {
				return got, nil
			}
			if err != nil {
				return nil, err
			}
		}
	}},
}
