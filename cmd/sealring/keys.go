package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/go-sealring/sealring/keyring/branchkey"
	"github.com/go-sealring/sealring/keyring/branchkey/dynamostore"
)

// keys are what the commands for branch keys share.
type keys struct {
	table, name string
	kms, kmsMRK string
}

func newKeys() *cobra.Command {
	var k keys
	c := &cobra.Command{
		Use:   "keys",
		Short: "Make, list and destroy branch keys, such as one for each tenant",
		Long: `Make, list and destroy branch keys in a table of DynamoDB. A branch key wraps data keys, and
is itself wrapped by a key in AWS KMS: so a tenant can have a key of its own, and KMS is
asked once for many messages. AWS calls it the hierarchical keyring.

The table is in the region of the KMS key. --name is the logical name of the key store, to
which all branch keys are bound: it is the same wherever the table is used, and can never
be changed. To encrypt under a branch key, name the same in a URI:

    branch-keys:ID?table=TABLE&name=NAME&kms=ARN&max-age=5m`,
		Args: cobra.ArbitraryArgs,
		RunE: noCommand,
	}
	c.AddCommand(newKeysCreate(&k), newKeysVersion(&k), newKeysList(&k), newKeysDestroy(&k))
	return c
}

func (k *keys) add(c *cobra.Command) {
	c.Flags().StringVar(&k.table, "table", "", "`NAME` of the table")
	c.Flags().StringVar(&k.name, "name", "", "logical `NAME` of the key store")
	c.Flags().StringVar(&k.kms, "kms", "", "`ARN` of the KMS key that wraps branch keys")
	c.Flags().StringVar(&k.kmsMRK, "kms-mrk", "", "`ARN` of a multi-Region key in the place of --kms, whose other replicas may have wrapped some")
}

// open returns the table and the key store in it.
func (k *keys) open(ctx context.Context) (*dynamostore.Store, *branchkey.KeyStore, error) {
	arn := k.kms + k.kmsMRK
	switch {
	case k.table == "":
		return nil, nil, usagef("--table is missing")
	case k.name == "":
		return nil, nil, usagef("--name is missing")
	case (k.kms == "") == (k.kmsMRK == ""):
		return nil, nil, usagef("--kms or --kms-mrk is needed, and not both")
	}
	// arn:aws:kms:REGION:ACCOUNT:key/ID
	parts := strings.Split(arn, ":")
	if len(parts) != 6 || parts[3] == "" {
		return nil, nil, usagef("--kms is no ARN of a key: write arn:aws:kms:REGION:ACCOUNT:key/ID")
	}
	client, err := newKMS(ctx, parts[3])
	if err != nil {
		return nil, nil, err
	}
	table, err := newTable(ctx, k.table, parts[3])
	if err != nil {
		return nil, nil, err
	}
	store, err := branchkey.NewKeyStore(branchkey.KeyStoreConfig{
		Store: table, Name: k.name, Client: client, KeyARN: arn, MRKAware: k.kmsMRK != "",
	})
	return table, store, err
}

// oneID is the check of the arguments of a command for one branch key.
func oneID(c *cobra.Command, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return usagef("%s takes the ID of one branch key", c.CommandPath())
	}
	return nil
}

func newKeysCreate(k *keys) *cobra.Command {
	var context contextFlags
	var createTable bool
	c := &cobra.Command{
		Use:   "create [ID]",
		Short: "Make a branch key, and print its ID",
		Long: `Make a branch key with its first version, and print its ID. Without an ID it is a new UUID.
An ID of your own needs an encryption context, which is bound to the branch key, and can be
read by whoever can read the table. A branch key that is there already is exit code 7, and
stays as it is.

It needs kms:GenerateDataKeyWithoutPlaintext, kms:ReEncryptFrom and kms:ReEncryptTo on the
key, and dynamodb:PutItem on the table; and no kms:Decrypt. --create-table needs
dynamodb:CreateTable and dynamodb:DescribeTable too.`,
		Example: `  sealring keys create --table tenant-keys --name tenant-keys --kms "$ARN" -c tenant=42 tenant-42`,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ec, err := context.parse()
			if err != nil {
				return err
			}
			table, store, err := k.open(c.Context())
			if err != nil {
				return err
			}
			if createTable {
				if err := table.CreateTable(c.Context()); err != nil {
					return err
				}
			}
			id, err := store.Create(c.Context(), argument(args), ec)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(os.Stdout, id)
			return err
		},
	}
	k.add(c)
	context.add(c, "`KEY=VALUE` that is bound to the branch key; may be repeated")
	c.Flags().BoolVar(&createTable, "create-table", false, "make the table first if it is not there, and wait for it")
	return c
}

func newKeysVersion(k *keys) *cobra.Command {
	c := &cobra.Command{
		Use:   "version ID",
		Short: "Give a branch key a new version, and print it",
		Long: `Give a branch key a new version, make it the active one, and print its UUID. What the old
versions have wrapped can still be read. Programs that write take the new one once their
max-age has passed. Permissions are those of create, and dynamodb:GetItem.`,
		Args: oneID,
		RunE: func(c *cobra.Command, args []string) error {
			_, store, err := k.open(c.Context())
			if err != nil {
				return err
			}
			version, err := store.Version(c.Context(), args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(os.Stdout, version)
			return err
		},
	}
	k.add(c)
	return c
}

func newKeysList(k *keys) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list ID",
		Short: "List the versions of a branch key",
		Long: `List the versions of a branch key, the active one first: its UUID, whether it is active, when
it was made, and the KMS key that wraps it. Only the table is asked, by dynamodb:Query, and
nothing of it is authenticated. With --json it is an array, which has the encryption
context too.`,
		Args: oneID,
		RunE: func(c *cobra.Command, args []string) error {
			_, store, err := k.open(c.Context())
			if err != nil {
				return err
			}
			versions, err := store.List(c.Context(), args[0])
			if err != nil {
				return err
			}
			return writeVersions(versions, asJSON)
		},
	}
	k.add(c)
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return c
}

// A listedVersion is what list shows of one version.
type listedVersion struct {
	ID      string            `json:"id"`
	Version string            `json:"version"`
	Active  bool              `json:"active"`
	Created string            `json:"created"`
	KMSKey  string            `json:"kms_key"`
	Context map[string]string `json:"context"`
}

func writeVersions(versions []branchkey.VersionInfo, asJSON bool) error {
	if asJSON {
		listed := make([]listedVersion, len(versions))
		for i, v := range versions {
			listed[i] = listedVersion{v.ID, v.Version, v.Active, v.Created, v.KMSKey, v.Context}
		}
		return writeJSON(os.Stdout, listed)
	}
	t := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	for _, v := range versions {
		active := "old"
		if v.Active {
			active = "active"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", clean(v.Version), active, clean(v.Created), clean(v.KMSKey))
	}
	return t.Flush()
}

func newKeysDestroy(k *keys) *cobra.Command {
	var again string
	c := &cobra.Command{
		Use:   "destroy ID",
		Short: "Destroy a branch key, and with it all that is under it alone",
		Long: `Delete all versions of a branch key. Nothing that was encrypted under them alone can be read
again: there is no way back but a backup of the table. --again must repeat the ID, so that
no slip does this.

Programs that run forget the branch key once their max-age has passed, and stale-for if
the table or KMS cannot be reached; data keys in a cache serve for its own time. If it
fails, some versions may be gone: run it again. It needs dynamodb:Query and
dynamodb:DeleteItem.`,
		Example: `  sealring keys destroy --table tenant-keys --name tenant-keys --kms "$ARN" --again tenant-42 tenant-42`,
		Args:    oneID,
		RunE: func(c *cobra.Command, args []string) error {
			if again != args[0] {
				return hinted{usagef("--again does not repeat the ID"), "what is under this branch key alone cannot be read any more, by anybody: --again ID says that you mean it"}
			}
			_, store, err := k.open(c.Context())
			if err != nil {
				return err
			}
			return store.Destroy(c.Context(), args[0], again)
		},
	}
	k.add(c)
	c.Flags().StringVar(&again, "again", "", "the `ID` once more")
	return c
}
