package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

type bench struct {
	keys     keyFlags
	size     string
	duration time.Duration
}

func newBench() *cobra.Command {
	var b bench
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure how fast this machine, and a key, encrypt and decrypt",
		Long: `Encrypt and decrypt in memory, long messages and messages of 64 bytes, each for as long as
--duration says, and print how fast it was.

Without -k a key is made for it in memory, whatever SEALRING_KEY names. With -k each
message asks for a data key under those keys: that shows what a key service adds, and costs
what it asks for its calls.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return b.run(c.Context()) },
	}
	b.keys.add(c)
	c.Flag("key").Usage = "`URI` of a key; may be repeated (default a key made for it)"
	c.Flags().StringVar(&b.size, "size", "64MiB", "the `SIZE` of long messages, in bytes, or with KiB, MiB or GiB")
	c.Flags().DurationVar(&b.duration, "duration", time.Second, "the `TIME` that each of the four measurements takes, as 500ms or 10s")
	return c
}

func (b *bench) run(ctx context.Context) error {
	size, err := parseSize("--size", b.size)
	if err != nil {
		return err
	}
	if size > 1<<30 {
		return usagef("--size is more than 1GiB, and all of it is held in memory")
	}
	if b.duration <= 0 {
		return usagef("--duration is not positive")
	}
	opener := newOpener()
	defer opener.Close()
	var kr keyring.Keyring
	if len(b.keys.uris) == 0 {
		key := make([]byte, 32)
		rand.Read(key)
		kr, err = keyring.NewRawAES("bench", "bench", key)
	} else {
		uris, parseErr := b.keys.parse()
		if parseErr != nil {
			return parseErr
		}
		kr, err = opener.Open(ctx, uris...)
	}
	if err != nil {
		return err
	}
	client, err := envelope.New(kr, nil)
	if err != nil {
		return err
	}
	for _, length := range []int64{size, 64} {
		if err := b.measure(ctx, client, make([]byte, length)); err != nil {
			return err
		}
	}
	return nil
}

// measure prints how fast a plaintext is encrypted and decrypted.
func (b *bench) measure(ctx context.Context, client *envelope.Client, plaintext []byte) error {
	var msg bytes.Buffer
	encrypt := func() error {
		msg.Reset()
		w, err := client.NewWriter(ctx, &msg, nil)
		if err != nil {
			return err
		}
		if _, err := w.ReadFrom(bytes.NewReader(plaintext)); err != nil {
			return err
		}
		return w.Close()
	}
	decrypt := func() error {
		r, err := client.NewReader(ctx, bytes.NewReader(msg.Bytes()), nil)
		if err != nil {
			return err
		}
		_, err = r.WriteTo(io.Discard)
		return err
	}
	for _, half := range []struct {
		name string
		do   func() error
	}{{"encrypt", encrypt}, {"decrypt", decrypt}} {
		if err := half.do(); err != nil { // what only the first one costs is not measured
			return err
		}
		began, n := time.Now(), 0
		for ; n == 0 || time.Since(began) < b.duration; n++ {
			if err := half.do(); err != nil {
				return err
			}
		}
		each := time.Since(began) / time.Duration(n)
		speed := float64(len(plaintext)) / each.Seconds() / 1e6
		if _, err := fmt.Fprintf(os.Stdout, "%s %10d bytes: %10v for each, %8.1f MB/s\n", half.name, len(plaintext), each.Round(100*time.Nanosecond), speed); err != nil {
			return err
		}
	}
	return nil
}
