package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf16"

	"github.com/spf13/cobra"

	"github.com/go-sealring/sealring/envelope"
)

type inspect struct{ json bool }

func newInspect() *cobra.Command {
	var i inspect
	c := &cobra.Command{
		Use:   "inspect [FILE]",
		Short: "Show what a message says of itself, without a key",
		Long: `Show the header of a message, binary or text: its format and suite, the encryption context,
and which keys wrapped its data key. No key is needed, and so nothing is authenticated:
anybody may have written what is shown. Sizes are shown if the message is a file,
or an object in S3, s3://BUCKET/KEY.

With --json it is one object, whose names do not change; more may be added.`,
		Example: `  sealring inspect a.sealed
  sealring inspect --json a.sealed | jq -r '.wrapped_by[].key'`,
		Args: oneFile,
		RunE: func(c *cobra.Command, args []string) error { return i.run(c.Context(), argument(args)) },
	}
	c.Flags().BoolVar(&i.json, "json", false, "write JSON")
	return c
}

// An inspection is what inspect shows.
type inspection struct {
	Version       int               `json:"version"`
	Suite         string            `json:"suite"`
	SuiteName     string            `json:"suite_name"`
	Commits       bool              `json:"commits"`
	Signed        bool              `json:"signed"`
	MessageID     string            `json:"message_id"`
	FrameLength   int               `json:"frame_length"`
	HeaderLength  int               `json:"header_length"`
	Size          *int64            `json:"size,omitempty"`
	PlaintextSize *int64            `json:"plaintext_size,omitempty"`
	Context       map[string]string `json:"context"`
	WrappedBy     []wrappedBy       `json:"wrapped_by"`
}

type wrappedBy struct {
	Provider string `json:"provider"`
	Key      string `json:"key"`
	Version  string `json:"version,omitempty"`
}

func (i *inspect) run(ctx context.Context, name string) error {
	h, size, err := readHeader(ctx, name)
	if err != nil {
		return err
	}
	shown := newInspection(h, size)
	if i.json {
		return writeJSON(os.Stdout, shown)
	}
	return shown.write(os.Stdout)
}

// readHeader returns a message's header, and its size or -1 if that is not known.
func readHeader(ctx context.Context, name string) (*envelope.Header, int64, error) {
	from, err := parseObject(name)
	if err != nil {
		return nil, 0, err
	}
	if from.is() {
		objects, err := (&objectFlags{binding: "key"}).open(ctx, nil)
		if err != nil {
			return nil, 0, err
		}
		o, err := objects.Head(ctx, from.input())
		if err != nil {
			return nil, 0, err
		}
		size := int64(-1)
		if o.ContentLength != nil { // that of the plaintext
			size, err = o.Header.MessageSize(*o.ContentLength)
		}
		return o.Header, size, err
	}
	in, err := openMessage(name)
	if err != nil {
		return nil, 0, err
	}
	defer in.close()
	h, err := envelope.ParseHeader(in, nil)
	return h, in.size, err
}

func newInspection(h *envelope.Header, size int64) *inspection {
	id, name, _ := strings.Cut(h.Suite.String(), " ")
	shown := &inspection{
		Version:      h.Version,
		Suite:        id,
		SuiteName:    strings.Trim(name, "()"),
		Commits:      h.Suite.Commits(),
		Signed:       h.Suite.Signs(),
		MessageID:    hex.EncodeToString(h.MessageID),
		FrameLength:  h.FrameLength,
		HeaderLength: h.Length,
		Context:      h.Context,
		WrappedBy:    []wrappedBy{},
	}
	if shown.Context == nil {
		shown.Context = map[string]string{}
	}
	for _, k := range h.EncryptedDataKeys {
		shown.WrappedBy = append(shown.WrappedBy, wrappedBy{k.ProviderID, k.KeyName(), k.KeyVersion()})
	}
	if size >= 0 {
		shown.Size = &size
		// A message that was cut short has none, and other writers' signatures vary.
		if n, err := h.PlaintextSize(size); err == nil && !h.Suite.Signs() {
			shown.PlaintextSize = &n
		}
	}
	return shown
}

func (i *inspection) write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	yes := map[bool]string{true: "yes", false: "no"}
	fmt.Fprintf(t, "format\tversion %d, not authenticated without a key\n", i.Version)
	fmt.Fprintf(t, "suite\t%s %s\n", i.Suite, i.SuiteName)
	fmt.Fprintf(t, "commits to its key\t%s\n", yes[i.Commits])
	fmt.Fprintf(t, "signed\t%s\n", yes[i.Signed])
	fmt.Fprintf(t, "message ID\t%s\n", i.MessageID)
	if i.FrameLength > 0 {
		fmt.Fprintf(t, "frame length\t%d bytes\n", i.FrameLength)
	} else {
		fmt.Fprintf(t, "frame length\tno frames\n")
	}
	fmt.Fprintf(t, "header length\t%d bytes\n", i.HeaderLength)
	if i.Size != nil {
		fmt.Fprintf(t, "size\t%d bytes\n", *i.Size)
	}
	if i.PlaintextSize != nil {
		fmt.Fprintf(t, "plaintext size\t%d bytes\n", *i.PlaintextSize)
	}
	for _, key := range slices.Sorted(maps.Keys(i.Context)) {
		fmt.Fprintf(t, "context\t%s = %s\n", clean(key), clean(i.Context[key]))
	}
	for _, k := range i.WrappedBy {
		line := clean(k.Provider) + " " + clean(k.Key)
		if k.Version != "" {
			line += " version " + clean(k.Version)
		}
		fmt.Fprintf(t, "wrapped by\t%s\n", line)
	}
	return t.Flush()
}

// clean returns what a stranger may have written so that it does nothing to a terminal, and
// cannot pass for another line.
func clean(s string) string {
	quoted := strconv.Quote(s)
	if quoted == `"`+s+`"` && s != "" {
		return s
	}
	return quoted
}

// writeJSON writes what a stranger may have written so that it does nothing to a terminal.
func writeJSON(w io.Writer, v any) error {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return err
	}
	var out strings.Builder
	for _, r := range b.String() {
		if r == '\n' || unicode.IsPrint(r) {
			out.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) { // the encoder escapes ASCII alone
			fmt.Fprintf(&out, `\u%04x`, unit)
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}
