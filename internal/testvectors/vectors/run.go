// Package vectors runs decrypt manifests of AWS's test vector framework through the
// public API. It is apart from the command so that tests can run them too.
package vectors

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"testing/iotest"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// Totals counts over all manifests.
type Totals struct {
	Passed, Failed int
	Skipped        map[string]int // by kind of key
}

// NewTotals returns totals of nothing.
func NewTotals() *Totals { return &Totals{Skipped: map[string]int{}} }

// OK says whether vectors passed and none failed.
func (t *Totals) OK() bool { return t.Failed == 0 && t.Passed > 0 }

// Print writes the totals to w.
func (t *Totals) Print(w io.Writer) {
	var skipped int
	for _, kind := range slices.Sorted(maps.Keys(t.Skipped)) {
		fmt.Fprintf(w, "skipped %d of %s\n", t.Skipped[kind], kind)
		skipped += t.Skipped[kind]
	}
	fmt.Fprintf(w, "%d passed, %d failed", t.Passed, t.Failed)
	if skipped > 0 {
		fmt.Fprintf(w, ", %d skipped", skipped)
	}
	fmt.Fprintln(w)
}

// Run decrypts the vectors of the manifest at path, counts them in t, and prints a line
// to w for each that fails. With wantError a vector passes when decryption fails with an
// authentication error. Vectors under a branch key are skipped if h is nil.
func Run(ctx context.Context, w io.Writer, t *Totals, path string, wantError bool, h Hierarchy) error {
	vectors, err := loadManifest(path)
	if err != nil {
		return err
	}
	for _, v := range vectors {
		v.hierarchy = h
		skip, err := v.run(ctx, wantError)
		switch {
		case skip != "":
			t.Skipped[skip]++
		case err != nil:
			t.Failed++
			fmt.Fprintf(w, "FAIL %s %s: %v\n", path, v.name, err)
		default:
			t.Passed++
		}
	}
	return nil
}

// run decrypts the vector in each of the ways and returns why it failed. The
// first result is the kind of key that it was skipped for, if it was.
func (v *vector) run(ctx context.Context, wantError bool) (skip string, err error) {
	defer func() {
		for _, f := range v.close {
			_ = f()
		}
	}()
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
