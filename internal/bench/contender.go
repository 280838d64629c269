package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
)

const (
	encrypt = "encrypt"
	decrypt = "decrypt"
)

// A streamCipher is a library that encrypts streams, ready with its keys.
type streamCipher struct {
	name    string
	encrypt func(dst io.Writer, src io.Reader) error
	decrypt func(dst io.Writer, src io.Reader) error
}

// A memoryCipher is a library that encrypts bytes. It may append to dst, or
// return bytes of its own.
type memoryCipher struct {
	name    string
	encrypt func(dst, plaintext []byte) ([]byte, error)
	decrypt func(dst, msg []byte) ([]byte, error)
}

var errRoundTrip = errors.New("what was decrypted is not what was encrypted")

// check encrypts and decrypts, and returns the message.
func (c streamCipher) check(plaintext []byte) (msg []byte, err error) {
	var m, p bytes.Buffer
	if err := c.encrypt(&m, bytes.NewReader(plaintext)); err != nil {
		return nil, fmt.Errorf("%s: encrypt: %w", c.name, err)
	}
	if err := c.decrypt(&p, bytes.NewReader(m.Bytes())); err != nil {
		return nil, fmt.Errorf("%s: decrypt: %w", c.name, err)
	}
	if !bytes.Equal(p.Bytes(), plaintext) {
		return nil, fmt.Errorf("%s: %w", c.name, errRoundTrip)
	}
	return m.Bytes(), nil
}

func (c memoryCipher) check(plaintext []byte) (msg []byte, err error) {
	if msg, err = c.encrypt(nil, plaintext); err != nil {
		return nil, fmt.Errorf("%s: encrypt: %w", c.name, err)
	}
	got, err := c.decrypt(nil, msg)
	if err != nil {
		return nil, fmt.Errorf("%s: decrypt: %w", c.name, err)
	}
	if !bytes.Equal(got, plaintext) {
		return nil, fmt.Errorf("%s: %w", c.name, errRoundTrip)
	}
	return msg, nil
}

// entrants returns both directions of c, which has been checked. What a run
// reads comes from source.
func (c streamCipher) entrants(plaintext, msg []byte, source func([]byte) io.Reader) []entrant {
	n := int64(len(plaintext))
	return []entrant{
		{key: key{c.name, encrypt}, bytes: n, run: func() error { return c.encrypt(sink{}, source(plaintext)) }},
		{key: key{c.name, decrypt}, bytes: n, run: func() error { return c.decrypt(sink{}, source(msg)) }},
	}
}

// checked checks c and returns both directions of it.
func (c streamCipher) checked(plaintext []byte) ([]entrant, error) {
	msg, err := c.check(plaintext)
	if err != nil {
		return nil, err
	}
	return c.entrants(plaintext, msg, memory), nil
}

// checked checks c and returns both directions of it. They reuse one buffer,
// if c does.
func (c memoryCipher) checked(plaintext []byte) ([]entrant, error) {
	msg, err := c.check(plaintext)
	if err != nil {
		return nil, err
	}
	var n int64
	if len(plaintext) > smallLen {
		n = int64(len(plaintext))
	}
	buf := make([]byte, 0, len(msg))
	return []entrant{
		{key: key{c.name, encrypt}, bytes: n, run: func() error { _, err := c.encrypt(buf, plaintext); return err }},
		{key: key{c.name, decrypt}, bytes: n, run: func() error { _, err := c.decrypt(buf, msg); return err }},
	}, nil
}

// A sink drops what is written. Unlike io.Discard it has no ReadFrom, which
// would make the libraries whose readers have no WriteTo go through a buffer of
// 8 KiB.
type sink struct{}

func (sink) Write(p []byte) (int, error) { return len(p), nil }

// memory is a source whose bytes can be had without a copy.
func memory(b []byte) io.Reader { return bytes.NewReader(b) }

// plainReader is a source that is no more than an io.Reader, as a socket is.
func plainReader(b []byte) io.Reader { return struct{ io.Reader }{bytes.NewReader(b)} }

// randomBytes returns the same bytes each time.
func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b) // never fails
	return b
}

// sizeName is how a size stands in the names of ratios.
func sizeName(n int64) string {
	for i, unit := range []string{"GiB", "MiB", "KiB"} {
		if shift := 30 - 10*i; n >= 1<<shift && n%(1<<shift) == 0 {
			return fmt.Sprintf("%d%s", n>>shift, unit)
		}
	}
	return fmt.Sprintf("%dB", n)
}

// cores is how many goroutines run at once.
func cores() int { return runtime.GOMAXPROCS(0) }
