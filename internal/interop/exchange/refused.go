package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/go-sealring/sealring/internal/peerkey"
	"github.com/go-sealring/sealring/keyring"
)

// A faulty message is a case of envelope/testdata/refused.
type faulty struct {
	ID, Verdict, Key, Policy string
	Context                  map[string]string
	MaxKeys                  int `json:"max_keys"`
	Plaintext                string
	Message                  []byte
}

// A reading says in which cases a peer does not do what it should, as readers.json has it.
type reading struct {
	Opens   []string `json:"opens"`
	Refuses []string `json:"refuses"`
}

// readers are the ways in which a peer reads, by what is behind its name in readers.json.
var readers = []struct {
	name string
	way  request
}{{"", request{}}, {", streams", request{Stream: true}}, {", streams to write to", request{Stream: true, Push: true}}}

// readFaulty has a peer read the messages in a file, and prints what readers.json has of it.
func readFaulty(ctx context.Context, to io.Writer, file string, p *peer, pushes bool) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var manifest struct {
		Keys  map[string]*peerkey.Spec
		Cases []faulty
	}
	if err := json.Unmarshal(b, &manifest); err != nil {
		return err
	}
	for _, k := range manifest.Keys {
		k.Kind = "raw-aes"
	}
	about, err := p.about(ctx)
	if err != nil {
		return err
	}
	for _, r := range readers {
		if r.way.Push && !pushes {
			continue
		}
		found, err := readAll(ctx, p, r.way, manifest.Keys, manifest.Cases)
		if errors.As(err, new(lack)) {
			continue
		} else if err != nil {
			return err
		}
		line, err := json.Marshal(found)
		if err != nil {
			return err
		}
		fmt.Fprintf(to, "\"AWS %s %s%s\": %s\n", about.Name, about.Version, r.name, line)
	}
	return nil
}

func readAll(ctx context.Context, p *peer, way request, keys map[string]*peerkey.Spec, cases []faulty) (reading, error) {
	found := reading{[]string{}, []string{}}
	for _, c := range cases {
		plaintext, err := readOne(ctx, p, way, keys[c.Key], c)
		switch {
		case err == nil && c.Verdict != "refuse" && plaintext != c.Plaintext:
			return found, fmt.Errorf("%s: it reads another plaintext", c.ID)
		case err == nil && c.Verdict != "open":
			found.Opens = append(found.Opens, c.ID)
		case err == nil:
		case !errors.As(err, new(refusal)):
			return found, fmt.Errorf("%s: %w", c.ID, err)
		case c.Verdict == "open":
			found.Refuses = append(found.Refuses, c.ID)
		}
	}
	return found, nil
}

// readOne has a peer read a message. Where the peer takes no expected pairs, they are compared
// afterwards, as its callers are told to.
func readOne(ctx context.Context, p *peer, way request, key *peerkey.Spec, c faulty) (string, error) {
	policy := keyring.RequireEncryptRequireDecrypt
	if c.Policy == "allow" {
		policy = keyring.RequireEncryptAllowDecrypt
	}
	way.Op, way.Policy, way.Context, way.Keyring, way.Data, way.MaxKeys = "decrypt", policies[policy], c.Context, key, c.Message, c.MaxKeys
	a, err := p.call(ctx, way)
	if errors.Is(err, lack("context on decrypt")) {
		way.Context = nil
		if a, err = p.call(ctx, way); err == nil && !contains(a.Context, c.Context) {
			err = refusal("another context")
		}
	}
	if err != nil {
		return "", err
	}
	return string(*a.Data), nil
}

// contains says whether all pairs of part are in all.
func contains(all, part map[string]string) bool {
	for k, v := range part {
		if got, has := all[k]; !has || got != v {
			return false
		}
	}
	return true
}
