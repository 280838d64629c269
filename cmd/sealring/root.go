package main

import (
	"cmp"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const about = `Sealring encrypts and decrypts files and streams, under keys that AWS KMS or another
keyring has. What it writes is in the message format of the AWS Encryption SDK, whose
releases read it, and the other way round.

Input is a FILE, or standard input if none is named or it is "-". Output is standard
output, or the file that -o names. A message may also be an object in S3, s3://BUCKET/KEY,
which is there only when it is whole too. A file is there only when it is whole: it is written
aside, with mode 0600, and put in its place at the end, and after a failure or a signal
nothing is left. A kill, which no program can notice, leaves nothing in Linux, on file systems
that let a file be without a name; elsewhere it may leave a file .sealring-* with a part. A
file that exists is replaced only with -f.

No plaintext is on output before its part of the message was found authentic. With -o
there is none before the end of the message was. Of standard output, which cannot be taken
back, a program that reads must wait for exit code 0 before it trusts the whole.`

const aboutKeys = `Keys are named by URIs with -k, which may be repeated, or else by the environment variable
SEALRING_KEY, several with spaces between them. The first makes the data key, the others
wrap it too, and any one decrypts:

    aws-kms:ARN                                 a key in AWS KMS; also the bare ARN
    aws-kms:alias/NAME?region=REGION
    aws-kms-mrk:ARN?regions=REGION,REGION       a multi-Region key
    aws-kms-regions:ARN,ARN                     keys in several regions
    aws-kms-discovery:?regions=REGION&accounts=ACCOUNT
                                                decrypts with every key of the accounts
    branch-keys:ID?table=TABLE&name=NAME&kms=ARN&max-age=5m
                                                a branch key, see "sealring keys"
    raw-aes:?namespace=NAMESPACE&name=NAME&file=PATH
                                                base64 of 16, 24 or 32 bytes; env=VARIABLE
                                                in the place of file
    raw-rsa:?namespace=NAMESPACE&name=NAME&padding=oaep-sha256&file=PATH
                                                PEM; a public key encrypts only

No URI holds a secret. All forms are in the documentation of the package keyring/keyuri.
Credentials, profile and endpoints of AWS are those of its own variables and files, such
as AWS_PROFILE and AWS_ENDPOINT_URL_KMS.`

// newRoot returns the command with all others beneath it. Started is set once a command
// runs: what fails before is about the command line.
func newRoot(started *bool) *cobra.Command {
	root := &cobra.Command{
		Use:           "sealring",
		Short:         "Encrypt and decrypt in the AWS Encryption SDK's message format",
		Long:          about + "\n\n" + aboutKeys + "\n\nExit codes:\n\n" + exitCodeList(),
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE:          noCommand,
	}
	cobra.EnableCommandSorting = false // the order here is that of use
	root.SetVersionTemplate("sealring {{.Version}}\n")
	root.AddCommand(
		newEncrypt(), newDecrypt(), newInspect(), newReencrypt(),
		newCheck(), newKeys(), newBench(), newMan(root),
	)
	markStarted(root, started)
	return root
}

// noCommand is what a command does that only has others beneath it.
func noCommand(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("there is no command %q", strings.TrimSpace(c.CommandPath()+" "+args[0]))
	}
	return usagef("%s: a command is missing", c.CommandPath())
}

func markStarted(c *cobra.Command, started *bool) {
	if run := c.RunE; run != nil {
		c.RunE = func(c *cobra.Command, args []string) error {
			*started = true
			if err := noneEmpty(c, args); err != nil {
				return err
			}
			return run(c, args)
		}
	}
	for _, child := range c.Commands() {
		markStarted(child, started)
	}
}

// noneEmpty refuses an argument or a flag that is empty, as one of a variable is that is not
// set. Without an output's name plaintext would go to standard output, and without that of
// an input nothing would be encrypted.
func noneEmpty(c *cobra.Command, args []string) error {
	const hint = "if it is a variable, it is not set"
	if slices.Contains(args, "") {
		return hinted{usagef("an argument is empty"), hint}
	}
	var err error
	c.Flags().Visit(func(f *pflag.Flag) {
		if f.Value.String() == "" {
			err = hinted{usagef("--%s is empty", f.Name), hint}
		}
	})
	return err
}

func exitCodeList() string {
	var b strings.Builder
	for _, e := range exitCodes {
		fmt.Fprintf(&b, "    %-6s %s\n", e.code, e.meaning)
	}
	return strings.TrimRight(b.String(), "\n")
}

// version is that of the module, if it was built from one.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown)"
	}
	return cmp.Or(info.Main.Version, "(devel)")
}
