package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

const demoLen = 256 << 20

// demo makes a key and a file, encrypts and decrypts the file, compares, and
// shows that a damaged message leaves no file.
func demo(ctx context.Context, out, progress io.Writer) error {
	dir, err := os.MkdirTemp("", "largefile-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	at := func(name string) string { return filepath.Join(dir, name) }
	plain, sealed, opened, key := at("plain"), at("sealed"), at("opened"), at("key")

	if err := replaceFile(plain, func(w io.Writer) error {
		_, err := io.CopyN(w, rand.Reader, demoLen)
		return err
	}); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"keygen", key},
		{"encrypt", "-key", key, "-context", "purpose=demo", plain, sealed},
		{"decrypt", "-key", key, "-context", "purpose=demo", sealed, opened},
	} {
		if err := run(ctx, args, progress); err != nil {
			return err
		}
	}
	before, err := digest(plain)
	if err != nil {
		return err
	}
	after, err := digest(opened)
	if err != nil {
		return err
	}
	if !bytes.Equal(before, after) {
		return errors.New("decrypted to something else than the plaintext")
	}
	fmt.Fprintf(out, "%d bytes encrypted and decrypted, equal\n", demoLen)

	if err := os.Truncate(sealed, demoLen/2); err != nil {
		return err
	}
	broken := at("broken")
	err = run(ctx, []string{"decrypt", "-key", key, sealed, broken}, progress)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("a truncated file was answered with: %v", err)
	}
	if _, statErr := os.Stat(broken); !errors.Is(statErr, os.ErrNotExist) {
		return errors.New("a truncated file left output")
	}
	fmt.Fprintf(out, "a truncated file is refused and leaves nothing: %v\n", err)
	return nil
}

func digest(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return h.Sum(nil), err
}
