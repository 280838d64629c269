package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-sealring/sealring/internal/peerkey"
	"github.com/go-sealring/sealring/keyring"
)

// A message is one that a peer wrote, for the tests of package envelope.
type message struct {
	Name     string                    `json:"name"`
	Suite    keyring.Suite             `json:"suite"`
	Frame    int                       `json:"frame"` // zero: without frames
	Size     int                       `json:"size"`  // of the plaintext, whose bytes count up and begin again after 250
	Context  keyring.EncryptionContext `json:"context"`
	Required []string                  `json:"required,omitempty"` // keys of the pairs that are not stored
	Wrapped  int                       `json:"wrapped"`            // how many wrapped keys there are
	Key      string                    `json:"key"`                // the name of the keyring that opens it
	Message  []byte                    `json:"message"`
}

// theirMessages are the exchanges whose messages are kept. The group of each is the name of
// its keyring.
func theirMessages() (all []*cell) {
	add := func(name, key string, x exchange) {
		all = append(all, &cell{group: key, name: name, exchange: x, theirs: true})
	}
	aes := same("of most", aesSpec("interop", "most", 32))
	for _, s := range allSuites {
		x := newExchange(s, aes.writes)
		x.frame = 128
		for _, x.size = range []int{0, 1, 128, 300} {
			add("framed", aes.name, x)
		}
		x.frame = 0
		for _, x.size = range []int{0, 100} {
			add("not framed", aes.name, x)
		}
	}
	for i, k := range rawPairs() {
		if strings.HasPrefix(k.name, "multi of 20, read by number 1") {
			continue // they are long, and the last of them will do
		}
		for _, s := range []keyring.Suite{unsigned, []keyring.Suite{legacy, signed}[i%2]} {
			x := newExchange(s, k.writes)
			x.reads, x.frame, x.size = k.reads, 512, 20
			add("keyring", k.name, x)
		}
	}
	for _, s := range []keyring.Suite{legacy, unsigned, signed} {
		for name, ec := range inOrder(map[string]keyring.EncryptionContext{
			"no context": {}, "context past ASCII": unicode, "empty value": {"k": "", "l": "v"},
			"context past the basic plane": {"\uffff": "1", "\U00010000": "2", "\ue000": "3", "\U0010ffff": "4", "😀": "🔑", "～": "5"},
			"control characters":           {"a\x00b": "\x00", "\n": "\t", "\x7f": "\u2028"},
		}) {
			x := newExchange(s, aes.writes)
			x.context, x.size = ec, 20
			add(name, aes.name, x)
		}
		for _, required := range [][]string{{"🔑", "a"}, keysOf(unicode)} {
			x := newExchange(s, aes.writes)
			x.context, x.required, x.reproduced, x.size = unicode, required, unicode, 20
			add("required context", aes.name, x)
		}
		for _, frame := range []int{1024, 65536, 1 << 20} {
			x := newExchange(s, aes.writes)
			x.frame, x.size = frame, 100
			add("frame longer than the message", aes.name, x)
		}
	}
	return all
}

// writeMessages has a peer write messages into a file, and reads each.
func writeMessages(ctx context.Context, t *table, r recipe, dir string) error {
	about, err := t.peer.about(ctx)
	if err != nil {
		return err
	}
	keys := map[string]*peerkey.Spec{}
	var messages []string
	for _, c := range theirMessages() {
		plaintext := make([]byte, c.size)
		for i := range plaintext {
			plaintext[i] = byte(i % 251)
		}
		msg, err := t.write(ctx, c, plaintext)
		if err == nil {
			err = t.read(ctx, c, plaintext, msg)
		}
		if isKnown(r.limits, c, err) {
			continue
		} else if err != nil {
			return fmt.Errorf("%v: %w", c, err)
		}
		if k, has := keys[c.group]; has && k != c.reads {
			return fmt.Errorf("two keyrings are named %q", c.group)
		}
		keys[c.group] = c.reads
		messages = append(messages, line(message{
			Name: c.name, Suite: c.suite, Frame: c.frame, Size: c.size, Context: c.context, Required: c.required,
			Wrapped: len(c.writes.Parts()), Key: c.group, Message: msg,
		}))
	}
	var specs []string
	for name, k := range inOrder(keys) {
		specs = append(specs, line(name)+": "+line(k))
	}
	const between = ",\n  "
	file := fmt.Sprintf("{\"peer\": %s,\n \"version\": %s,\n \"also\": %s,\n \"keys\": {\n  %s},\n \"messages\": [\n  %s]}\n",
		line(about.Name), line(about.Version), line(about.Also), strings.Join(specs, between), strings.Join(messages, between))
	return os.WriteFile(filepath.Join(dir, r.name+".json"), []byte(file), 0o666)
}

// isKnown says whether an error is one of the limits.
func isKnown(limits []limit, c *cell, err error) bool {
	for _, l := range limits {
		if l.shows(c, err) {
			return true
		}
	}
	return false
}

// line returns JSON in one line, with text as it is.
func line(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return string(bytes.TrimRight(b.Bytes(), "\n"))
}
