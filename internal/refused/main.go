// Command refused writes messages that every reader must refuse, each with one fault and
// everything else as it should be, and some that every reader must open:
//
//	go run ./internal/refused > envelope/testdata/refused/messages.json
//
// What the fields mean is said in envelope/testdata/refused/README.md. The same bytes are
// written every time. With -table it writes the table that is there, of the results in a
// file:
//
//	go run ./internal/refused -table envelope/testdata/refused/readers.json
package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// A fault says what is wrong with a message, and how it is made so. The functions are
// called one after the other, each when a part of the message has been made; what comes
// later is made of what they leave.
type fault struct {
	id   string
	text string
	kind string // of error; empty if the message is to be opened

	// The kind in signed suites, and in those of version 2, if it is another.
	kindSigned, kindV2 string

	spec string // the part of the specification that is not followed

	shapes string

	plan   func(*draft)             // before all
	head   func(*draft)             // the header's body is there; its tag is not
	tagged func(*draft)             // the header is there
	sealed func(*draft)             // the body is there too; the signature is not
	signed func(*draft)             // all is there
	whole  func(msg []byte) []byte  // the message as bytes
	open   func(d *draft, e *entry) // how it is opened
	either bool                     // a reader may open it too
}

// whenSigned returns the fault with another kind of error in signed messages.
func (f fault) whenSigned(kind string) fault {
	f.kindSigned = kind
	return f
}

// An entry is a case of the manifest.
type entry struct {
	ID        string            `json:"id"`
	Fault     string            `json:"fault"`
	Verdict   string            `json:"verdict"`
	Kind      string            `json:"kind"`
	Spec      string            `json:"spec"`
	Key       string            `json:"key"`
	Context   map[string]string `json:"context"`
	Policy    string            `json:"policy"`
	MaxKeys   int               `json:"max_keys,omitempty"`
	Plaintext string            `json:"plaintext,omitempty"`
	Message   []byte            `json:"message"`
}

// build makes the message of a shape that has a fault.
func (f *fault) build(shape string) entry {
	d := newDraft(shape)
	for _, step := range []struct {
		write func()
		then  func(*draft)
	}{
		{func() {}, f.plan}, {d.writeHeader, f.head}, {d.writeTag, f.tagged}, {d.writeBody, f.sealed}, {d.writeFooter, f.signed},
	} {
		if step.write(); step.then != nil {
			step.then(d)
		}
	}
	msg := d.bytes()
	if f.whole != nil {
		msg = f.whole(msg)
	}

	e := entry{
		ID: strings.Replace(shape, "n", "-nonframed", 1) + "/" + f.id, Fault: f.text, Verdict: "refuse", Kind: f.kind, Spec: f.spec,
		Key: "right", Context: map[string]string{"tenant": "42"}, Policy: "allow", Message: msg,
	}
	if d.suite.version == 2 {
		e.Policy = "require"
		e.Kind = cmp.Or(f.kindV2, f.kind)
	}
	if suiteOf(d.suite.id).curve != nil {
		e.Kind = cmp.Or(f.kindSigned, e.Kind)
	}
	switch {
	case f.either:
		e.Verdict, e.Plaintext = "either", d.plaintext
	case f.kind == "":
		e.Verdict, e.Plaintext = "open", d.plaintext
	}
	if f.open != nil {
		f.open(d, &e)
	}
	return e
}

// entries builds all there are.
func entries() []entry {
	var all []entry
	for _, faults := range [][]fault{controls, versionFaults, contextFaults, keyFaults, headerFaults, frameFaults, bodyFaults, footerFaults, openingFaults, cuts()} {
		for i := range faults {
			for _, shape := range strings.Fields(faults[i].shapes) {
				all = append(all, faults[i].build(shape))
			}
		}
	}
	return all
}

// write writes the manifest, with one case a line.
func write(w io.Writer, all []entry) error {
	keys, err := compact(wrapping)
	if err != nil {
		return err
	}
	lines := make([]string, len(all))
	for i := range all {
		line, err := compact(all[i])
		if err != nil {
			return err
		}
		lines[i] = string(line)
	}
	_, err = fmt.Fprintf(w, "{\"keys\":%s,\n\"cases\":[\n%s\n]}\n", keys, strings.Join(lines, ",\n"))
	return err
}

// compact is JSON on one line, without the escapes for HTML.
func compact(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSpace(b.Bytes()), err
}

func main() {
	results := flag.String("table", "", "the `file` of results to write as a table")
	flag.Parse()
	err := run(*results)
	if err != nil {
		fmt.Fprintln(os.Stderr, "refused:", err)
		os.Exit(1)
	}
}

func run(results string) error {
	if results == "" {
		return write(os.Stdout, entries())
	}
	text, err := table(results, entries())
	fmt.Print(text)
	return err
}
