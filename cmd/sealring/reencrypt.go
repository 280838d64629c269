package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/go-sealring/sealring/envelope"
)

type reencrypt struct {
	keys    keyFlags
	from    []string
	context contextFlags
	format  formatFlags
	out     outputFlags
	objects objectFlags
	armor   bool
}

func newReencrypt() *cobra.Command {
	var r reencrypt
	c := &cobra.Command{
		Use:   "reencrypt [FILE]",
		Short: "Decrypt a message and encrypt it again under other keys",
		Long: `Decrypt a message, binary or text, and encrypt its plaintext again: into a message of its own,
with a new data key under the keys of -k, and the same encryption context. No plaintext is
written anywhere. --from names the keys that open the old message; without it those of -k
do.

The body is always encrypted anew. There is no faster way that keeps it and wraps its data
key for other keys, and nothing should be made to do that: the format fixes the nonce that
authenticates a header, so that a second header under one message key uses a nonce twice,
and who has both headers can forge others.

An object in S3 is encrypted again where it is, with -f -o s3://BUCKET/KEY s3://BUCKET/KEY,
unless somebody has written it meanwhile; or to another one, which then is bound to its own
name. What S3 keeps with it, such as its content type, is kept.

To replace a message, write over it: -f -o FILE FILE. Until the new one is whole, the old
one is there. "sealring inspect" shows which keys a message is under.`,
		Example: `  sealring reencrypt -k "$NEW" --from "$OLD" -f -o a.sealed a.sealed`,
		Args:    oneFile,
		RunE:    func(c *cobra.Command, args []string) error { return r.run(c.Context(), argument(args)) },
	}
	r.keys.add(c)
	c.Flags().StringArrayVar(&r.from, "from", nil, "`URI` of a key of the old message; may be repeated (default those of -k)")
	r.context.add(c, "`KEY=VALUE` that the encryption context must have; may be repeated")
	c.Flags().BoolVarP(&r.armor, "armor", "a", false, "write text: unpadded base64url in one line")
	r.out.add(c)
	r.objects.add(c)
	r.format.addEncrypt(c)
	r.format.addDecrypt(c)
	return c
}

func (r *reencrypt) run(ctx context.Context, name string) error {
	uris, err := r.keys.parse()
	if err != nil {
		return err
	}
	old := uris
	if len(r.from) > 0 {
		if old, err = parseURIs(r.from); err != nil {
			return err
		}
	}
	ec, err := r.context.parse()
	if err != nil {
		return err
	}
	o, _, err := r.format.options()
	if err != nil {
		return err
	}
	source, err := parseObject(name)
	if err != nil {
		return err
	}
	to, err := parseObject(r.out.name)
	if err != nil {
		return err
	}
	if source.is() != to.is() || to.is() && r.armor {
		return usagef("an object in S3 is encrypted again where it is, or to another object")
	}
	var in *input
	var out output
	if !to.is() {
		if in, err = openMessage(name); err != nil {
			return err
		}
		defer in.close()
		if out, err = r.out.open(messageForm(r.armor)); err != nil {
			return err
		}
		defer out.abort()
	}
	opener := newOpener()
	defer opener.Close()
	oldKeys, err := opener.OpenDecrypter(ctx, old...)
	if err != nil {
		return err
	}
	newKeys, err := opener.OpenEncrypter(ctx, uris...)
	if err != nil {
		return err
	}
	decrypter, err := envelope.NewDecrypter(oldKeys, o)
	if err != nil {
		return err
	}
	encrypter, err := envelope.NewEncrypter(newKeys, o)
	if err != nil {
		return err
	}
	if to.is() {
		return r.objects.reencrypt(ctx, &envelope.Client{Encrypter: encrypter, Decrypter: decrypter}, source, to, r.out.force, ec)
	}
	bar := r.out.progress("encrypting again", in.size)
	defer bar.end()
	if err := encrypter.Reencrypt(ctx, out, decrypter, bar.reader(in), ec); err != nil {
		return err
	}
	return finish(in, out)
}
