package main

import (
	"bytes"
	"fmt"

	"github.com/go-sealring/sealring/envelope"
)

const (
	oneCore  = "AES-GCM alone, one core"
	withAAD  = "AES-GCM alone, one core, with the format's AAD"
	allCores = "AES-GCM alone, all cores"

	// These write each frame where the one before it was.
	oneCoreOneFrame  = oneCore + ", into one frame"
	allCoresOneFrame = allCores + ", into one frame"
)

// targets for long streams, by frame length: what is left of a core when frames
// have been numbered and moved. They are held against a loop that writes to as
// much memory as we do.
var (
	oneCoreTargets  = map[int]target{4096: atLeast(0.93), 65536: atLeast(0.96)}
	allCoresTargets = map[int]target{4096: atLeast(0.90), 65536: atLeast(0.93)}
)

// oneCoreGroup compares a stream on one core with the cipher alone. A long frame
// is all that is written at once: then there is one bound and not two.
func oneCoreGroup(frameLen int) group {
	const size = 64 << 20
	encryptName := fmt.Sprintf("stream-encrypt-1core-%d", frameLen)
	decryptName := fmt.Sprintf("stream-decrypt-1core-%d", frameLen)
	want := oneCoreTargets[frameLen]
	g := group{
		name:   fmt.Sprintf("stream-1core-%d", frameLen),
		rounds: 31,
		build: func() ([]entrant, error) {
			loop, err := newCipherLoop(frameLen)
			if err != nil {
				return nil, err
			}
			c, err := newOurStream(ours, envelope.Options{FrameLength: frameLen, Concurrency: 1})
			if err != nil {
				return nil, err
			}
			src := randomBytes(size)
			msg, err := c.check(src)
			if err != nil {
				return nil, err
			}
			entrants := append(loop.entrants(oneCore, src), c.entrants(src, msg, memory)...)
			if loop.perWrite > 1 {
				entrants = append(entrants, loop.oneFrame().entrants(oneCoreOneFrame, src)...)
			}
			loop.aad = randomBytes(aadLen)
			entrants = append(entrants, loop.entrants(withAAD, src)...)
			c.name = fromReader
			return append(entrants, c.entrants(src, msg, plainReader)...), nil
		},
		ratios: []ratio{
			{encryptName, key{oneCore, encrypt}, key{ours, encrypt}, want},
			{encryptName + "-of-aad", key{withAAD, encrypt}, key{ours, encrypt}, target{}},
			{encryptName + "-from-reader", key{oneCore, encrypt}, key{fromReader, encrypt}, target{}},
			{decryptName, key{oneCore, decrypt}, key{ours, decrypt}, want},
			{decryptName + "-of-aad", key{withAAD, decrypt}, key{ours, decrypt}, target{}},
			{decryptName + "-from-reader", key{oneCore, decrypt}, key{fromReader, decrypt}, target{}},
			{decryptName + "-of-seal", key{oneCore, encrypt}, key{ours, decrypt}, target{}},
		},
	}
	if framesPerWrite(frameLen) > 1 {
		g.ratios = append(g.ratios,
			ratio{encryptName + "-of-one-frame", key{oneCoreOneFrame, encrypt}, key{ours, encrypt}, target{}},
			ratio{decryptName + "-of-one-frame", key{oneCoreOneFrame, decrypt}, key{ours, decrypt}, target{}})
	}
	return g
}

// allCoresGroup compares a stream on all cores with the cipher alone, on all of
// them too. Names have the count of cores; where there is one, there is no group.
func allCoresGroup(frameLen int) []group {
	const size = 256 << 20
	if cores() == 1 {
		return nil
	}
	encryptName := fmt.Sprintf("stream-encrypt-%dcore-%d", cores(), frameLen)
	decryptName := fmt.Sprintf("stream-decrypt-%dcore-%d", cores(), frameLen)
	want := allCoresTargets[frameLen]
	g := group{
		name:   fmt.Sprintf("stream-%dcore-%d", cores(), frameLen),
		rounds: 21,
		build: func() ([]entrant, error) {
			loop, err := newCipherLoop(frameLen)
			if err != nil {
				return nil, err
			}
			c, err := newOurStream(ours, envelope.Options{FrameLength: frameLen})
			if err != nil {
				return nil, err
			}
			src := randomBytes(size)
			entrants, err := c.checked(src)
			if err != nil {
				return nil, err
			}
			entrants = append(entrants, loop.parallelEntrants(allCores, src)...)
			if loop.perWrite > 1 {
				entrants = append(entrants, loop.oneFrame().parallelEntrants(allCoresOneFrame, src)...)
			}
			return entrants, nil
		},
		ratios: []ratio{
			{encryptName, key{allCores, encrypt}, key{ours, encrypt}, want},
			{decryptName, key{allCores, decrypt}, key{ours, decrypt}, want},
		},
	}
	if framesPerWrite(frameLen) > 1 {
		g.ratios = append(g.ratios,
			ratio{encryptName + "-of-one-frame", key{allCoresOneFrame, encrypt}, key{ours, encrypt}, target{}},
			ratio{decryptName + "-of-one-frame", key{allCoresOneFrame, decrypt}, key{ours, decrypt}, target{}})
	}
	return []group{g}
}

// signedGroup compares signed streams with the hash that a signature needs: it
// is slower than the cipher, which can run beside it.
func signedGroup() group {
	const size = 64 << 20
	const bound, hash = "SHA-384 alone", "hash"
	return group{
		name:   "signed",
		rounds: 21,
		build: func() ([]entrant, error) {
			c, err := newOurStream(ours, envelope.Options{Suite: signedSuite})
			if err != nil {
				return nil, err
			}
			src := randomBytes(size)
			msg, err := c.check(src)
			if err != nil {
				return nil, err
			}
			h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
			if err != nil {
				return nil, err
			}
			if h.Suite != signedSuite {
				return nil, fmt.Errorf("the message has suite %v", h.Suite)
			}
			return append(c.entrants(src, msg, memory),
				entrant{key: key{bound, hash}, bytes: size, run: hashLoop(msg)}), nil
		},
		ratios: []ratio{
			{"signed-encrypt", key{bound, hash}, key{ours, encrypt}, atLeast(0.93)},
			{"signed-decrypt", key{bound, hash}, key{ours, decrypt}, atLeast(0.93)},
		},
	}
}
