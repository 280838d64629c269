package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

type decrypt struct {
	keys     keyFlags
	context  contextFlags
	format   formatFlags
	out      outputFlags
	objects  objectFlags
	part     string
	unsigned bool
}

func newDecrypt() *cobra.Command {
	var d decrypt
	c := &cobra.Command{
		Use:   "decrypt [FILE]",
		Short: "Decrypt a message",
		Long: `Decrypt a message, binary or text.

Pass the encryption context that you expect, whole or in part: a message that has another
is refused, with exit code 6. That keeps one tenant's data from being taken for another's.

On standard output there is each frame once it was found authentic, and a message that is
cut short or altered further on ends with exit code 3: drop then what was read. With -o
nothing is there before the end was verified. The signature of a signed message stands at
its end: for standard output such a message is held in memory until then, --max-memory at
the most, and is never on output if the signature does not verify. A longer one needs -o.

FILE may be s3://BUCKET/KEY, an object in S3. It must be bound to its key, as encrypt and
the package envelope/s3object do it; --s3-binding nothing is for objects that are not.

With --range only the frames are read in which the range lies. It needs a binary message
in a file or an object, without a signature.`,
		Example: `  sealring decrypt -k aws-kms:alias/orders?region=eu-west-1 -c tenant=42 -o a.csv a.sealed
  sealring decrypt -k "$KEY" --range 0-1023 a.sealed
  sealring decrypt -k "$KEY" --range -1000 s3://shop/2026/a.sealed
  printf %s "$TOKEN" | sealring decrypt`,
		Args: oneFile,
		RunE: func(c *cobra.Command, args []string) error { return d.run(c.Context(), argument(args)) },
	}
	d.keys.add(c)
	d.context.add(c, "`KEY=VALUE` that the encryption context must have; may be repeated")
	c.Flags().StringVar(&d.part, "range", "", "decrypt these `BYTES` of the plaintext only: 0-499, 500-, or -500 for the last 500")
	d.out.add(c)
	d.objects.add(c)
	d.format.addPolicy(c)
	c.Flags().BoolVar(&d.unsigned, "refuse-signed", false, "refuse signed messages, right after the header")
	d.format.addDecrypt(c)
	return c
}

func (d *decrypt) run(ctx context.Context, name string) error {
	uris, err := d.keys.parse()
	if err != nil {
		return err
	}
	ec, err := d.context.parse()
	if err != nil {
		return err
	}
	o, most, err := d.format.options()
	if err != nil {
		return err
	}
	o.RefuseSigned = d.unsigned
	var part *byteRange
	if d.part != "" {
		if part, err = parseRange(d.part); err != nil {
			return err
		}
	}
	from, err := parseObject(name)
	if err != nil {
		return err
	}
	var in *input
	if !from.is() {
		if in, err = openMessage(name); err != nil {
			return err
		}
		defer in.close()
		if part != nil && in.at == nil {
			return usagef("--range needs a binary message in a file or an object")
		}
	}
	out, err := d.out.open(plaintext)
	if err != nil {
		return err
	}
	defer out.abort()
	opener := newOpener()
	defer opener.Close()
	kr, err := opener.OpenDecrypter(ctx, uris...)
	if err != nil {
		return err
	}
	client, err := envelope.NewDecrypter(kr, o)
	if err != nil {
		return err
	}
	switch {
	case from.is():
		err = d.copyObject(ctx, client, out, from, part, most, ec)
	case part != nil:
		err = d.copyRange(ctx, client, out, in, part, ec)
	default:
		err = d.copyAll(ctx, client, out, in, most, ec)
	}
	if err != nil {
		return err
	}
	return finish(in, out)
}

// copyAll decrypts all of the message.
func (d *decrypt) copyAll(ctx context.Context, client *envelope.Decrypter, out output, in *input, most int64, ec keyring.EncryptionContext) error {
	bar := d.out.progress("decrypting", in.size)
	defer bar.end()
	r, err := client.NewReader(ctx, bar.reader(in), ec)
	if err != nil {
		return err
	}
	return release(out, r, r.Header(), most)
}

// release writes a message's plaintext, when it may be seen.
func release(out output, r io.WriterTo, h *envelope.Header, most int64) error {
	if !h.Suite.Signs() || out.held() {
		_, err := r.WriteTo(out)
		return err
	}
	// Until its end nobody knows whether the signature verifies.
	held := &limited{most: most}
	defer held.clear()
	if _, err := r.WriteTo(held); err != nil {
		return err
	}
	for _, part := range held.parts {
		if _, err := out.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// limited holds a signed message's plaintext, in parts: a buffer that grows would leave
// copies of it behind, and hold more than most.
type limited struct {
	parts [][]byte
	size  int64
	most  int64
}

func (l *limited) Write(b []byte) (int, error) {
	if int64(len(b)) > l.most-l.size {
		return 0, hinted{fmt.Errorf("%w: the message is signed, and its plaintext longer than the %d bytes that are held for standard output", envelope.ErrLimit, l.most),
			"-o FILE has no limit, and --max-memory raises this one"}
	}
	l.size += int64(len(b))
	for rest := b; len(rest) > 0; {
		last := len(l.parts) - 1
		if last < 0 || len(l.parts[last]) == cap(l.parts[last]) {
			l.parts = append(l.parts, make([]byte, 0, 64<<10))
			last++
		}
		part := l.parts[last]
		n := min(len(rest), cap(part)-len(part))
		l.parts[last] = append(part, rest[:n]...)
		rest = rest[n:]
	}
	return len(b), nil
}

func (l *limited) clear() {
	for _, part := range l.parts {
		clear(part)
	}
}

// A byteRange is what --range says, with the meaning that HTTP gives it.
type byteRange struct {
	first int64 // negative for the last -first bytes
	last  int64
}

func parseRange(text string) (*byteRange, error) {
	first, last, ok := strings.Cut(text, "-")
	bad := usagef("--range is none: write 0-499, 500-, or -500 for the last 500 bytes")
	if !ok || first == "" && last == "" {
		return nil, bad
	}
	r := &byteRange{last: math.MaxInt64}
	for _, n := range []struct {
		text string
		to   *int64
	}{{first, &r.first}, {last, &r.last}} {
		if n.text == "" {
			continue
		}
		v, err := strconv.ParseUint(n.text, 10, 63)
		if err != nil {
			return nil, bad
		}
		*n.to = int64(v)
	}
	switch {
	case first == "" && r.last == 0, r.last < r.first:
		return nil, bad
	case first == "":
		r.first, r.last = -r.last, math.MaxInt64
	}
	return r, nil
}

// of returns the range's place in a plaintext of that size.
func (r *byteRange) of(size int64) (off, n int64, err error) {
	off = r.first
	if off < 0 {
		off = max(size+off, 0)
	}
	if off >= size && !(off == 0 && r.first < 0) {
		return 0, 0, usagef("--range begins behind the plaintext, which has %d bytes", size)
	}
	return off, min(r.last, size-1) - off + 1, nil
}

// copyRange decrypts a part of the message.
func (d *decrypt) copyRange(ctx context.Context, client *envelope.Decrypter, out output, in *input, part *byteRange, ec keyring.EncryptionContext) error {
	r, err := client.NewReaderAt(ctx, in.at, in.size, ec)
	if err != nil {
		return err
	}
	off, n, err := part.of(r.Size())
	if err != nil {
		return err
	}
	return d.copyPart(out, io.NewSectionReader(r, off, n), n)
}

// copyPart writes n bytes of plaintext.
func (d *decrypt) copyPart(out output, r io.Reader, n int64) error {
	bar := d.out.progress("decrypting", n)
	defer bar.end()
	const step = 1 << 20 // of which many parts are opened at once
	_, err := io.CopyBuffer(struct{ io.Writer }{out}, bar.reader(r), make([]byte, min(n, step)+1))
	return err
}

// copyObject decrypts an object in S3, or a part of it.
func (d *decrypt) copyObject(ctx context.Context, client *envelope.Decrypter, out output, from object, part *byteRange, most int64, ec keyring.EncryptionContext) error {
	objects, err := d.objects.open(ctx, &envelope.Client{Decrypter: client})
	if err != nil {
		return err
	}
	if part == nil {
		o, err := objects.Get(ctx, from.input(), ec)
		if err != nil {
			return err
		}
		defer o.Body.Close()
		return release(out, o.Body.(io.WriterTo), o.Header, most) // which it says that it is
	}
	f, err := objects.Open(ctx, from.input(), ec)
	if err != nil {
		return err
	}
	off, n, err := part.of(f.Size())
	if err != nil {
		return err
	}
	section := f.NewSectionReader(ctx, off, n)
	defer section.Close()
	return d.copyPart(out, section, n)
}
