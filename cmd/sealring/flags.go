package main

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/keyuri"
)

// keyVariable names keys where no flag does.
const keyVariable = "SEALRING_KEY"

// keyFlags say which keys a command uses.
type keyFlags struct{ uris []string }

func (k *keyFlags) add(c *cobra.Command) {
	c.Flags().StringArrayVarP(&k.uris, "key", "k", nil, "`URI` of a key; may be repeated (default $"+keyVariable+")")
}

// parse returns the keys.
func (k *keyFlags) parse() ([]keyuri.URI, error) {
	texts := k.uris
	if len(texts) == 0 {
		texts = strings.Fields(os.Getenv(keyVariable))
	}
	if len(texts) == 0 {
		return nil, hinted{usagef("no key is named"), "name one with -k URI, or in the environment variable " + keyVariable}
	}
	return parseURIs(texts)
}

func parseURIs(texts []string) ([]keyuri.URI, error) {
	uris := make([]keyuri.URI, len(texts))
	for i, t := range texts {
		u, err := keyuri.Parse(t)
		if err != nil {
			return nil, usageError{err}
		}
		uris[i] = u
	}
	return uris, nil
}

// contextFlags are an encryption context.
type contextFlags struct{ pairs []string }

func (f *contextFlags) add(c *cobra.Command, usage string) {
	c.Flags().StringArrayVarP(&f.pairs, "context", "c", nil, usage)
}

// parse returns the context. Errors do not show values.
func (f *contextFlags) parse() (keyring.EncryptionContext, error) {
	ec := keyring.EncryptionContext{}
	for i, pair := range f.pairs {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return nil, usagef("-c number %d is no KEY=VALUE", i+1)
		}
		if _, twice := ec[key]; twice {
			return nil, usagef("-c has the key %q twice", key)
		}
		ec[key] = value
	}
	return ec, nil
}

// outputFlags say where output goes.
type outputFlags struct {
	name  string
	force bool
	quiet bool
}

func (f *outputFlags) add(c *cobra.Command) {
	c.Flags().StringVarP(&f.name, "output", "o", "", "write `FILE`, which is there only when it is whole")
	c.Flags().BoolVarP(&f.force, "force", "f", false, "replace the output if it exists")
	c.Flags().BoolVarP(&f.quiet, "quiet", "q", false, "show no progress, which only a terminal is shown")
}

// open opens the output.
func (f *outputFlags) open(as form) (output, error) {
	return createOutput(f.name, f.force, as)
}

// messageForm is the form that --armor says.
func messageForm(armor bool) form {
	if armor {
		return armored
	}
	return binary
}

// policies are the names that AWS's command line has for them.
var policies = map[string]keyring.CommitmentPolicy{
	"require-encrypt-require-decrypt": keyring.RequireEncryptRequireDecrypt,
	"require-encrypt-allow-decrypt":   keyring.RequireEncryptAllowDecrypt,
	"forbid-encrypt-allow-decrypt":    keyring.ForbidEncryptAllowDecrypt,
}

// suites are the suites of messages.
var suites = []keyring.Suite{
	0x0014, 0x0046, 0x0078, 0x0114, 0x0146, 0x0178, 0x0214, 0x0346, 0x0378, 0x0478, 0x0578,
}

// formatFlags are what a message must be like.
type formatFlags struct {
	policy      string
	suite       string
	sign        bool
	frameLength int
	maxMemory   string
}

// addPolicy adds the flag that each command with keys has.
func (f *formatFlags) addPolicy(c *cobra.Command) {
	names := []string{"require-encrypt-require-decrypt", "require-encrypt-allow-decrypt", "forbid-encrypt-allow-decrypt"}
	c.Flags().StringVar(&f.policy, "commitment-policy", names[0], "`POLICY`: "+names[0]+", "+names[1]+" to read old messages, or "+names[2])
	complete(c, "commitment-policy", names)
}

func (f *formatFlags) addEncrypt(c *cobra.Command) {
	f.addPolicy(c)
	names := make([]string, len(suites))
	for i, s := range suites {
		names[i] = fmt.Sprintf("0x%04x", uint16(s))
	}
	c.Flags().StringVar(&f.suite, "suite", "", "`ID` of the algorithm suite, such as 0x0478, for readers that need a certain one")
	complete(c, "suite", names)
	c.Flags().BoolVar(&f.sign, "sign", false, "sign the message, so that who can only decrypt cannot have written it")
	c.Flags().IntVar(&f.frameLength, "frame-length", 4096, "`BYTES` that are encrypted, and later released, at a time")
}

func (f *formatFlags) addDecrypt(c *cobra.Command) {
	c.Flags().StringVar(&f.maxMemory, "max-memory", "64MiB", "the most of a message that is held at once: a `SIZE` in bytes, or with KiB, MiB or GiB")
}

func complete(c *cobra.Command, flag string, values []string) {
	_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// options returns what a client is made with, and the most bytes to hold.
func (f *formatFlags) options() (*envelope.Options, int64, error) {
	o := &envelope.Options{Sign: f.sign, FrameLength: f.frameLength}
	var ok bool
	if o.CommitmentPolicy, ok = policies[f.policy]; !ok {
		return nil, 0, usagef("--commitment-policy is none of the three that there are")
	}
	if f.suite != "" {
		id, err := strconv.ParseUint(strings.TrimPrefix(strings.ToLower(f.suite), "0x"), 16, 16)
		if o.Suite = keyring.Suite(id); err != nil || !slices.Contains(suites, o.Suite) {
			return nil, 0, usagef("--suite is no ID of a suite of messages, such as 0x0478")
		}
	}
	if f.frameLength < 0 {
		return nil, 0, usagef("--frame-length is negative")
	}
	var most int64
	if f.maxMemory != "" {
		var err error
		if most, err = parseSize("--max-memory", f.maxMemory); err != nil {
			return nil, 0, err
		}
		o.MaxNonFramedLength = most
		o.MaxFrameLength = int(min(most, math.MaxInt32))
	}
	return o, most, nil
}

// parseSize returns a number of bytes, which is not zero.
func parseSize(flag, text string) (int64, error) {
	digits, unit := text, int64(1)
	for suffix, n := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if rest, ok := strings.CutSuffix(text, suffix); ok {
			digits, unit = rest, n
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt64/unit {
		return 0, usagef("%s is no size: a number of bytes, or with KiB, MiB or GiB behind it", flag)
	}
	return n * unit, nil
}

// oneFile is the check of a command's arguments: a file, or none.
func oneFile(c *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usagef("%s takes one FILE", c.CommandPath())
	}
	return nil
}

func argument(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}
