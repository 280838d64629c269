//go:build cgo

package main

import (
	"cmp"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/pkcs11"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/keyuri"
)

const (
	messages = 100
	field    = "4 of item 1201, to the back door"
)

func fieldContext() keyring.EncryptionContext {
	return keyring.EncryptionContext{"tenant": "shop-7", "table": "orders"}
}

// demo is what the steps share.
type demo struct {
	out  io.Writer
	uri  keyuri.URI
	find func(context.Context, keyuri.PKCS11Key) (crypto.Decrypter, error)

	opener *keyuri.Opener
	token  *counted // the private half, when it was found
	can    []string // the paddings that the token can undo
	cannot []string
}

// A counted decrypter counts how often the token is asked.
type counted struct {
	crypto.Decrypter
	asked atomic.Int64
}

func (c *counted) Decrypt(random io.Reader, ciphertext []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	c.asked.Add(1)
	return c.Decrypter.Decrypt(random, ciphertext, opts)
}

// run is all steps.
func (d *demo) run(ctx context.Context) error {
	// The same key for each padding, so that the program logs in once.
	d.opener = &keyuri.Opener{PKCS11: func(ctx context.Context, key keyuri.PKCS11Key) (crypto.Decrypter, error) {
		if d.token == nil {
			found, err := d.find(ctx, key)
			if err != nil {
				return nil, err
			}
			d.token = &counted{Decrypter: found}
		}
		return d.token, nil
	}}
	for _, step := range []func(context.Context) error{d.paddings, d.check, d.decrypts} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

var (
	allPaddings  = []string{"oaep-sha256", "oaep-sha384", "oaep-sha512", "oaep-sha1", "pkcs1"}
	paddingParam = regexp.MustCompile(`&padding=([a-z0-9-]+)`) // String encodes every & of a value
)

func isPKCS11(uri keyuri.URI) bool { return strings.HasPrefix(uri.String(), "pkcs11:") }

// withPadding returns the URI with another padding.
func withPadding(uri keyuri.URI, padding string) (keyuri.URI, error) {
	return keyuri.Parse(paddingParam.ReplaceAllString(uri.String(), "&padding="+padding))
}

// client returns a client for the key with a padding.
func (d *demo) client(ctx context.Context, padding string) (*envelope.Client, error) {
	uri, err := withPadding(d.uri, padding)
	if err != nil {
		return nil, err
	}
	kr, err := d.opener.Open(ctx, uri)
	if err != nil {
		return nil, err
	}
	return envelope.New(kr, nil)
}

// paddings tries each padding on the token. The public half wraps, which is done in this
// process, and goes with them all.
func (d *demo) paddings(ctx context.Context) error {
	var rows []string
	for _, padding := range allPaddings {
		client, err := d.client(ctx, padding)
		if err != nil {
			return err
		}
		row, err := d.try(ctx, client, padding)
		if err != nil {
			return err
		}
		rows = append(rows, row)
	}
	fmt.Fprintf(d.out, "key  %v\n\n", d.uri)
	fmt.Fprintf(d.out, rowFormat, "padding", "wraps", "unwraps", "the token's answer")
	for _, row := range rows {
		fmt.Fprint(d.out, row)
	}
	return nil
}

const rowFormat = "%-11s  %-5s  %-7s  %s\n"

// try returns a padding's row of the table.
func (d *demo) try(ctx context.Context, client *envelope.Client, padding string) (string, error) {
	err := client.Check(ctx, fieldContext())
	var failed *envelope.CheckError
	var answer pkcs11.Error
	switch {
	case err == nil:
		d.can = append(d.can, padding)
		wrong, err := d.wrong(padding)
		return fmt.Sprintf(rowFormat, padding, "yes", "yes", "to a wrong padding: "+wrong), err
	case ctx.Err() != nil || !errors.As(err, &failed) || failed.Op != "decrypt" || !errors.As(err, &answer):
		return "", err // the token was not asked
	}
	d.cannot = append(d.cannot, padding)
	return fmt.Sprintf(rowFormat, padding, "yes", "no", answer), nil
}

// wrong says what the token answers to a ciphertext that no padding fits: m^e mod n of
// m = 2.
func (d *demo) wrong(padding string) (string, error) {
	public, ok := d.token.Public().(*rsa.PublicKey)
	if !ok {
		return "", fmt.Errorf("the public half is %T", d.token.Public())
	}
	c := new(big.Int).Exp(big.NewInt(2), big.NewInt(int64(public.E)), public.N)
	opts, ok := decrypterOpts[padding]
	if !ok {
		return "", fmt.Errorf("unknown padding %s", padding)
	}
	got, err := d.token.Decrypt(rand.Reader, c.FillBytes(make([]byte, public.Size())), opts)
	if err != nil {
		return err.Error(), nil
	}
	clear(got)
	return "no error, and some other bytes", nil
}

var decrypterOpts = map[string]crypto.DecrypterOpts{
	"oaep-sha256": &rsa.OAEPOptions{Hash: crypto.SHA256},
	"oaep-sha384": &rsa.OAEPOptions{Hash: crypto.SHA384},
	"oaep-sha512": &rsa.OAEPOptions{Hash: crypto.SHA512},
	"oaep-sha1":   &rsa.OAEPOptions{Hash: crypto.SHA1},
	"pkcs1":       &rsa.PKCS1v15DecryptOptions{},
}

// check is what a service does at its start: before there is data, not after.
func (d *demo) check(ctx context.Context) error {
	fmt.Fprint(d.out, "\nClient.Check at the start\n")
	configured := paddingParam.FindStringSubmatch(d.uri.String())[1]
	for _, padding := range slices.Concat(d.cannot[:min(len(d.cannot), 1)], []string{configured}) {
		client, err := d.client(ctx, padding)
		if err != nil {
			return err
		}
		err = client.Check(ctx, fieldContext())
		switch {
		case err == nil:
			fmt.Fprintf(d.out, "  %s: ready\n", padding)
		case padding == configured:
			return fmt.Errorf("%w; paddings that the token can undo: %s", err, cmp.Or(strings.Join(d.can, ", "), "none"))
		default:
			fmt.Fprintf(d.out, "  %s: %v\n", padding, err)
		}
	}
	return nil
}

// decrypts counts the calls of the token for the same messages without a cache and with one.
func (d *demo) decrypts(ctx context.Context) error {
	kr, err := d.opener.Open(ctx, d.uri)
	if err != nil {
		return err
	}
	plain, err := envelope.New(kr, nil)
	if err != nil {
		return err
	}
	// Each reader gets a cache of its own, or it would find the writer's data keys.
	cached := func() (*envelope.Client, func() error, error) {
		c, err := cache.New(kr, cache.Limits{MaxAge: 5 * time.Minute})
		if err != nil {
			return nil, nil, err
		}
		client, err := envelope.NewFromManager(c, nil)
		return client, c.Close, err
	}
	writer, closeWriter, err := cached()
	if err != nil {
		return err
	}
	defer closeWriter()

	fmt.Fprintf(d.out, "\n%-40s  calls  time\n", fmt.Sprintf("%d messages of one encryption context", messages))
	shared, err := d.encrypt(ctx, "encrypted with a cache", writer)
	if err != nil {
		return err
	}
	own, err := d.encrypt(ctx, "encrypted without", plain)
	if err != nil {
		return err
	}
	if err := d.decrypt(ctx, "decrypted without a cache", plain, shared, messages); err != nil {
		return err
	}
	for _, read := range []struct {
		what string
		of   [][]byte
		want int64
	}{
		{"decrypted with a cache", shared, 1},
		// Its data keys are as many as the messages.
		{"decrypted with it, if encrypted without", own, messages},
	} {
		reader, closeReader, err := cached()
		if err != nil {
			return err
		}
		err = d.decrypt(ctx, read.what, reader, read.of, read.want)
		if err := errors.Join(err, closeReader()); err != nil {
			return err
		}
	}
	return nil
}

// encrypt returns messages, and fails if the token was asked for one.
func (d *demo) encrypt(ctx context.Context, what string, client *envelope.Client) ([][]byte, error) {
	var all [][]byte
	err := d.measure(what, 0, func() error {
		for range messages {
			msg, err := client.Encrypt(ctx, []byte(field), fieldContext())
			if err != nil {
				return err
			}
			all = append(all, msg)
		}
		return nil
	})
	return all, err
}

// decrypt fails if the token is not asked exactly as often as is said.
func (d *demo) decrypt(ctx context.Context, what string, client *envelope.Client, all [][]byte, want int64) error {
	return d.measure(what, want, func() error {
		for _, msg := range all {
			got, err := client.Decrypt(ctx, msg, fieldContext())
			if err != nil {
				return err
			}
			if string(got) != field {
				return errors.New("decrypted to something else than the field")
			}
		}
		return nil
	})
}

// measure prints how often a function asks the token, and how long it takes. The time is
// for information only.
func (d *demo) measure(what string, want int64, f func() error) error {
	before, start := d.token.asked.Load(), time.Now()
	if err := f(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	asked := d.token.asked.Load() - before
	fmt.Fprintf(d.out, "%-40s  %5d  %v\n", what, asked, time.Since(start).Round(10*time.Microsecond))
	if asked != want {
		return fmt.Errorf("%s: the token was asked %d times, want %d", what, asked, want)
	}
	return nil
}
