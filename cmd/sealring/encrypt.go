package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/go-sealring/sealring/envelope"
)

type encrypt struct {
	keys    keyFlags
	context contextFlags
	format  formatFlags
	out     outputFlags
	objects objectFlags
	armor   bool
}

func newEncrypt() *cobra.Command {
	var e encrypt
	c := &cobra.Command{
		Use:   "encrypt [FILE]",
		Short: "Encrypt a file or standard input",
		Long: `Encrypt a file or standard input into a message with a data key of its own.

The encryption context is stored in the message in the clear, authenticated, and to be
repeated to decrypt: name by it what the data belongs to, such as a tenant.

With -o s3://BUCKET/KEY it is an object in S3, which is there only when it is whole, and is
bound to its key by the pair s3-key of the encryption context.

With --armor the message is text, for environment variables, parameters and configuration:
unpadded base64url in one line. With a short context a parameter of 4 KiB holds 2,600 bytes
of plaintext, and an environment variable in Linux, of 128 KiB, 96,000 bytes.`,
		Example: `  sealring encrypt -k aws-kms:alias/orders?region=eu-west-1 -c tenant=42 -o a.sealed a.csv
  pg_dump shop | sealring encrypt -k "$KEY" -o shop.sealed
  export TOKEN=$(printf %s "$SECRET" | sealring encrypt --armor)`,
		Args: oneFile,
		RunE: func(c *cobra.Command, args []string) error { return e.run(c.Context(), argument(args)) },
	}
	e.keys.add(c)
	e.context.add(c, "`KEY=VALUE` of the encryption context; may be repeated")
	c.Flags().BoolVarP(&e.armor, "armor", "a", false, "write text: unpadded base64url in one line")
	e.out.add(c)
	e.objects.add(c)
	e.format.addEncrypt(c)
	return c
}

func (e *encrypt) run(ctx context.Context, name string) error {
	uris, err := e.keys.parse()
	if err != nil {
		return err
	}
	ec, err := e.context.parse()
	if err != nil {
		return err
	}
	o, _, err := e.format.options()
	if err != nil {
		return err
	}
	in, err := openInput(name)
	if err != nil {
		return err
	}
	defer in.close()
	to, err := parseObject(e.out.name)
	if err != nil {
		return err
	}
	var out output
	if !to.is() {
		if out, err = e.out.open(messageForm(e.armor)); err != nil {
			return err
		}
		defer out.abort()
	} else if e.armor {
		return usagef("an object in S3 is no text: leave --armor out")
	}
	opener := newOpener()
	defer opener.Close()
	kr, err := opener.OpenEncrypter(ctx, uris...)
	if err != nil {
		return err
	}
	client, err := envelope.NewEncrypter(kr, o)
	if err != nil {
		return err
	}
	bar := e.out.progress("encrypting", in.size)
	defer bar.end()
	if to.is() {
		return e.objects.put(ctx, client, to, e.out.force, bar.reader(in), in.size, ec)
	}
	w, err := client.NewWriter(ctx, out, ec)
	if err != nil {
		return err
	}
	// A Writer that is not closed leaves what is no message.
	if _, err := io.Copy(w, bar.reader(in)); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return finish(in, out)
}
