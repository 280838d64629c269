package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/schollz/progressbar/v3"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// A job is one file to encrypt or decrypt.
type job struct {
	operation string
	in, out   string
	force     bool
	context   keyring.EncryptionContext
	keyring   keyring.Keyring
	progress  io.Writer
}

func (j *job) run(ctx context.Context) error {
	if _, err := os.Lstat(j.out); err == nil && !j.force {
		return fmt.Errorf("%s: %w: -force replaces it", j.out, fs.ErrExist)
	}
	client, err := envelope.New(j.keyring, nil)
	if err != nil {
		return err
	}
	src, err := os.Open(j.in)
	if err != nil {
		return err
	}
	defer src.Close()
	info, err := src.Stat()
	if err != nil {
		return err
	}
	bar := progressbar.NewOptions64(info.Size(),
		progressbar.OptionSetDescription(j.operation),
		progressbar.OptionSetWriter(j.progress),
		progressbar.OptionShowBytes(true),
		progressbar.OptionThrottle(100_000_000),
	)
	in := progressbar.NewReader(src, bar)
	err = replaceFile(j.out, func(dst io.Writer) error {
		if j.operation == "encrypt" {
			return encrypt(ctx, client, dst, &in, j.context)
		}
		return decrypt(ctx, client, dst, &in, j.context)
	})
	fmt.Fprintln(j.progress)
	return err
}

func encrypt(ctx context.Context, client *envelope.Client, dst io.Writer, src io.Reader, ec keyring.EncryptionContext) error {
	w, err := client.NewWriter(ctx, dst, ec)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, src); err != nil {
		return err
	}
	return w.Close()
}

func decrypt(ctx context.Context, client *envelope.Client, dst io.Writer, src io.Reader, ec keyring.EncryptionContext) error {
	r, err := client.NewReader(ctx, src, ec)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, r)
	return err
}

// replaceFile has write fill a temporary file beside path, and renames it to
// path only when all of it is on the disk. On any failure nothing is left.
func replaceFile(path string, write func(io.Writer) error) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			tmp.Close()
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	if err := write(tmp); err != nil {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
