// Command quickstart encrypts a file with a key made on the spot, in memory and
// as a stream, decrypts it again, and shows how bad input is answered.
//
//	go run ./examples/quickstart [FILE]
//
// Without FILE it takes the Go toolchain's own binary.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) > 2 {
		log.Fatal("usage: quickstart [FILE]")
	}
	path, err := inputPath(os.Args[1:])
	if err == nil {
		err = run(context.Background(), os.Stdout, path)
	}
	if err != nil {
		log.Fatal("quickstart: ", err)
	}
}

func inputPath(args []string) (string, error) {
	if len(args) == 1 {
		return args[0], nil
	}
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("no FILE was given, and the Go toolchain was not found: %w", err)
	}
	name := "go"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(strings.TrimSpace(string(out)), "bin", name), nil
}

func run(ctx context.Context, out io.Writer, path string) error {
	plaintext, err := os.ReadFile(path)
	if err != nil {
		return err
	}

	// A program of yours gets its key from where it keeps secrets.
	key := make([]byte, 32)
	rand.Read(key)
	kr, err := keyring.NewRawAES("quickstart", "key-1", key)
	if err != nil {
		return err
	}
	client, err := envelope.New(kr, nil)
	if err != nil {
		return err
	}
	ec := keyring.EncryptionContext{"file": filepath.Base(path), "purpose": "quickstart"}

	// In memory.
	start := time.Now()
	msg, err := client.Encrypt(ctx, plaintext, ec)
	if err != nil {
		return err
	}
	took := time.Since(start)
	fmt.Fprintf(out, "plaintext   %s, %d bytes\n", path, len(plaintext))
	fmt.Fprintf(out, "message     %d bytes (%d more)\n", len(msg), len(msg)-len(plaintext))
	fmt.Fprintf(out, "encrypted   in memory, %s\n", speed(len(plaintext), took))
	start = time.Now()
	got, err := client.Decrypt(ctx, msg, ec)
	if err != nil {
		return err
	}
	took = time.Since(start)
	if !bytes.Equal(got, plaintext) {
		return errors.New("decrypted to something else than the plaintext")
	}
	fmt.Fprintf(out, "decrypted   in memory, %s, equal\n", speed(len(plaintext), took))

	if err := stream(ctx, out, client, path, plaintext, ec); err != nil {
		return err
	}
	if err := showHeader(out, msg); err != nil {
		return err
	}
	return showRefusals(ctx, out, client, msg, ec)
}

// stream encrypts the file to another one and decrypts that, in constant memory.
func stream(ctx context.Context, out io.Writer, client *envelope.Client, path string, plaintext []byte, ec keyring.EncryptionContext) error {
	src, err := os.Open(path)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.CreateTemp("", "quickstart-*")
	if err != nil {
		return err
	}
	defer os.Remove(dst.Name())
	defer dst.Close()

	start := time.Now()
	w, err := client.NewWriter(ctx, dst, ec)
	if err != nil {
		return err
	}
	n, err := io.Copy(w, src)
	if err != nil {
		return err
	}
	if err := w.Close(); err != nil { // writes the end of the message
		return err
	}
	fmt.Fprintf(out, "encrypted   as a stream, %s\n", speed(int(n), time.Since(start)))

	if _, err := dst.Seek(0, io.SeekStart); err != nil {
		return err
	}
	start = time.Now()
	r, err := client.NewReader(ctx, dst, ec)
	if err != nil {
		return err
	}
	got := bytes.NewBuffer(make([]byte, 0, len(plaintext)))
	if _, err := io.Copy(got, r); err != nil {
		return err
	}
	took := time.Since(start)
	if !bytes.Equal(got.Bytes(), plaintext) {
		return errors.New("decrypted to something else than the plaintext")
	}
	fmt.Fprintf(out, "decrypted   as a stream, %s, equal\n", speed(got.Len(), took))
	return nil
}

func showHeader(out io.Writer, msg []byte) error {
	h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nheader, readable without a key\n")
	fmt.Fprintf(out, "  version       %d\n", h.Version)
	fmt.Fprintf(out, "  suite         %v\n", h.Suite)
	fmt.Fprintf(out, "  message ID    %x\n", h.MessageID)
	fmt.Fprintf(out, "  context       %v\n", h.Context)
	for _, k := range h.EncryptedDataKeys {
		fmt.Fprintf(out, "  wrapped key   provider %q, key %q, %d bytes\n", k.ProviderID, k.KeyName(), len(k.Ciphertext))
	}
	fmt.Fprintf(out, "  frame length  %d\n", h.FrameLength)
	fmt.Fprintf(out, "  length        %d\n", h.Length)
	return nil
}

func showRefusals(ctx context.Context, out io.Writer, client *envelope.Client, msg []byte, ec keyring.EncryptionContext) error {
	fmt.Fprintf(out, "\nrefused\n")
	flipped := bytes.Clone(msg)
	flipped[len(flipped)/2] ^= 1
	for _, c := range []struct {
		what string
		msg  []byte
		ec   keyring.EncryptionContext
		want error
	}{
		{"wrong context", msg, keyring.EncryptionContext{"purpose": "something else"}, envelope.ErrContextMismatch},
		{"flipped byte", flipped, ec, envelope.ErrAuthentication},
		{"truncated", msg[:len(msg)-1], ec, io.ErrUnexpectedEOF},
	} {
		_, err := client.Decrypt(ctx, c.msg, c.ec)
		if !errors.Is(err, c.want) {
			return fmt.Errorf("%s: got %v, want %v", c.what, err, c.want)
		}
		fmt.Fprintf(out, "  %-14s %v\n", c.what, err)
	}
	return nil
}

func speed(n int, took time.Duration) string {
	return fmt.Sprintf("%.0f MB/s", float64(n)/1e6/took.Seconds())
}
