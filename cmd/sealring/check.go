package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/go-sealring/sealring/envelope"
)

type check struct {
	keys    keyFlags
	context contextFlags
	format  formatFlags
}

func newCheck() *cobra.Command {
	var k check
	c := &cobra.Command{
		Use:   "check",
		Short: "Prove that keys can encrypt, and each decrypt what was encrypted",
		Long: `Encrypt 32 random bytes, and decrypt them with each of the keys by itself. That finds before
there is data a permission that is missing, a key that is disabled or in another region,
and a token that cannot unwrap what it wraps. A line on standard output says of each key
whether it can. Nothing is kept.

Pass a context as messages have it, since key policies may demand its pairs.

In AWS KMS it costs one kms:GenerateDataKey, and one kms:Encrypt and kms:Decrypt for each
further key. The replicas of a multi-Region key have one wrapped key among them, and are
proved in the first region alone that answers.`,
		Example: `  sealring check -k aws-kms:alias/orders?region=eu-west-1 -c tenant=42`,
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return k.run(c.Context()) },
	}
	k.keys.add(c)
	k.context.add(c, "`KEY=VALUE` of an encryption context; may be repeated")
	k.format.addPolicy(c)
	return c
}

func (k *check) run(ctx context.Context) error {
	uris, err := k.keys.parse()
	if err != nil {
		return err
	}
	ec, err := k.context.parse()
	if err != nil {
		return err
	}
	o, _, err := k.format.options()
	if err != nil {
		return err
	}
	opener := newOpener()
	defer opener.Close()
	kr, err := opener.Open(ctx, uris...)
	if err != nil {
		return err
	}
	client, err := envelope.New(kr, o)
	if err != nil {
		return err
	}
	results, err := client.CheckKeys(ctx, ec)
	for _, r := range results {
		line := "ok      " + clean(r.ProviderID) + " " + clean(r.Name)
		if r.Err != nil {
			line = "failed  " + clean(r.ProviderID) + " " + clean(r.Name) + ": " + oneLine(r.Err)
		}
		if _, err := fmt.Fprintln(os.Stdout, line); err != nil {
			return err
		}
	}
	return err
}
