package main

import (
	"fmt"

	"github.com/tink-crypto/tink-go/v2/streamingaead"

	"github.com/go-sealring/sealring/envelope"
)

// copyLen is the buffer that readers without a WriteTo are drained through.
const copyLen = 64 << 10

const (
	awsName      = "AWS Encryption SDK"
	tinkEnvelope = "Tink envelope AEAD"
)

// awsGroup compares with AWS's SDK, under one suite and frame length, with a data
// key of its own for each message on both sides. Theirs has neither a cache nor a
// way to reuse the result's memory, which is how ours is meant to be used: for a
// field the first is measured too, for a long message the second.
func awsGroup(size, rounds int, want target) group {
	name := "aws-" + sizeName(int64(size))
	g := group{
		name:   name,
		rounds: rounds,
		build:  func() ([]entrant, error) { return awsAndOurs(randomBytes(size)) },
		ratios: []ratio{
			{name + "-encrypt", key{awsName, encrypt}, key{ours, encrypt}, want},
			{name + "-decrypt", key{awsName, decrypt}, key{ours, decrypt}, want},
		},
	}
	if size == smallLen {
		g.ratios = append(g.ratios,
			ratio{name + "-encrypt-cached", key{awsName, encrypt}, key{oursCached, encrypt}, target{}},
			ratio{name + "-decrypt-cached", key{awsName, decrypt}, key{oursCached, decrypt}, target{}})
	} else {
		g.ratios = append(g.ratios,
			ratio{name + "-encrypt-buffer", key{awsName, encrypt}, key{oursBuffer, encrypt}, target{}},
			ratio{name + "-decrypt-buffer", key{awsName, decrypt}, key{oursBuffer, decrypt}, target{}})
	}
	return g
}

func awsAndOurs(plaintext []byte) ([]entrant, error) {
	aws, err := newAWS()
	if err != nil {
		return nil, err
	}
	client, err := newClient(envelope.Options{FrameLength: frameLen})
	if err != nil {
		return nil, err
	}
	ciphers := []memoryCipher{aws, ourMemory(ours, client)}
	if err := interchange(ciphers[0], ciphers[1], plaintext); err != nil {
		return nil, err
	}
	if len(plaintext) == smallLen {
		cached, err := newCachedClient()
		if err != nil {
			return nil, err
		}
		ciphers = append(ciphers, ourMemory(oursCached, cached))
	} else {
		ciphers = append(ciphers, ourAppend(oursBuffer, client))
	}
	return checkedAll(ciphers, plaintext)
}

// interchange checks that either of two reads what the other writes, and that
// they write the same parts.
func interchange(a, b memoryCipher, plaintext []byte) error {
	lengths := map[int]bool{}
	for _, m := range []memoryCipher{
		{a.name + " to " + b.name, a.encrypt, b.decrypt},
		{b.name + " to " + a.name, b.encrypt, a.decrypt},
	} {
		msg, err := m.check(plaintext)
		if err != nil {
			return err
		}
		lengths[len(msg)] = true
	}
	if len(lengths) != 1 {
		return fmt.Errorf("messages of %s and %s differ in length", a.name, b.name)
	}
	return nil
}

func checkedAll(ciphers []memoryCipher, plaintext []byte) ([]entrant, error) {
	var entrants []entrant
	for _, c := range ciphers {
		both, err := c.checked(plaintext)
		if err != nil {
			return nil, err
		}
		entrants = append(entrants, both...)
	}
	return entrants, nil
}

// peers are the libraries that stream.
var peers = []struct {
	short string // in the names of ratios
	name  string
	open  func(name string) (streamCipher, error)
}{
	{"tink", "Tink, 4 KB segments", func(name string) (streamCipher, error) {
		return newTinkStream(name, streamingaead.AES256GCMHKDF4KBKeyTemplate())
	}},
	{"tink-1MB", "Tink, 1 MB segments", func(name string) (streamCipher, error) {
		return newTinkStream(name, streamingaead.AES256GCMHKDF1MBKeyTemplate())
	}},
	{"age", "age", newAge},
	{"sio", "sio", newSio},
}

// streamPeersGroup compares streams with those of the other libraries, none of
// which uses a second core. The bounds are there for the table.
func streamPeersGroup(size int) group {
	g := group{
		name:   "streams-" + sizeName(int64(size)),
		rounds: 21,
		build:  func() ([]entrant, error) { return streamPeers(randomBytes(size)) },
	}
	for _, p := range peers {
		for _, op := range []string{encrypt, decrypt} {
			name := fmt.Sprintf("%s-stream-%s-%s", p.short, op, sizeName(int64(size)))
			g.ratios = append(g.ratios, ratio{name, key{p.name, op}, key{ours, op}, target{}})
		}
	}
	return g
}

func streamPeers(src []byte) ([]entrant, error) {
	loop, err := newCipherLoop(frameLen)
	if err != nil {
		return nil, err
	}
	mine, err := newOurStream(ours, envelope.Options{FrameLength: frameLen})
	if err != nil {
		return nil, err
	}
	single, err := newOurStream(oursOne, envelope.Options{FrameLength: frameLen, Concurrency: 1})
	if err != nil {
		return nil, err
	}
	var entrants []entrant
	if cores() > 1 {
		entrants = loop.parallelEntrants(allCores, src)
	}
	entrants = append(entrants, loop.entrants(oneCore, src)...)
	ciphers := []streamCipher{mine, single}
	for _, p := range peers {
		c, err := p.open(p.name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		ciphers = append(ciphers, c)
	}
	for _, c := range ciphers {
		both, err := c.checked(src)
		if err != nil {
			return nil, err
		}
		entrants = append(entrants, both...)
	}
	return entrants, nil
}

// envelopePeersGroup compares Encrypt and Decrypt with Tink's envelope AEAD. Each
// makes a data key for each message and wraps it with a local key.
func envelopePeersGroup(size int) group {
	name := sizeName(int64(size))
	return group{
		name:   "envelope-" + name,
		rounds: 21,
		build: func() ([]entrant, error) {
			tink, err := newTinkEnvelope()
			if err != nil {
				return nil, err
			}
			c, err := newClient(envelope.Options{FrameLength: frameLen})
			if err != nil {
				return nil, err
			}
			return checkedAll([]memoryCipher{tink, ourMemory(ours, c)}, randomBytes(size))
		},
		ratios: []ratio{
			{"tink-envelope-encrypt-" + name, key{tinkEnvelope, encrypt}, key{ours, encrypt}, target{}},
			{"tink-envelope-decrypt-" + name, key{tinkEnvelope, decrypt}, key{ours, decrypt}, target{}},
		},
	}
}
