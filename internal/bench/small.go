package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"github.com/go-sealring/sealring/envelope"
)

// smallGroup compares a field, with its data key in a cache, with the shortest
// sequence of calls that makes the message: with the one that takes the least time,
// and with the one that leaves HKDF to the standard library. All append to a buffer
// that is reused. Allocations are counted of Encrypt and Decrypt, which make one.
func smallGroup() group {
	const bound, boundHKDF = "shortest calls, least time", "shortest calls, crypto/hkdf"
	return group{
		name:   "small",
		rounds: 51,
		build: func() ([]entrant, error) {
			c, err := newCachedClient()
			if err != nil {
				return nil, err
			}
			mine := ourAppend(oursCached, c)
			plaintext := randomBytes(smallLen)
			ciphers := []memoryCipher{mine}
			for _, name := range []string{bound, boundHKDF} {
				s, err := newShortest(frameLen, name == bound)
				if err != nil {
					return nil, err
				}
				// A bound is one only if what it makes is a message.
				if _, err := (memoryCipher{name, s.encrypt, mine.decrypt}).check(plaintext); err != nil {
					return nil, err
				}
				ciphers = append(ciphers, memoryCipher{name, s.encrypt, s.decrypt})
			}
			return checkedAll(ciphers, plaintext)
		},
		ratios: []ratio{
			{"small-encrypt", key{oursCached, encrypt}, key{bound, encrypt}, atMost(1.25)},
			{"small-decrypt", key{oursCached, decrypt}, key{bound, decrypt}, atMost(1.25)},
			{"small-encrypt-of-hkdf", key{oursCached, encrypt}, key{boundHKDF, encrypt}, atMost(1.25)},
			{"small-decrypt-of-hkdf", key{oursCached, decrypt}, key{boundHKDF, decrypt}, atMost(1.25)},
		},
		counts: []count{
			{"small-encrypt-allocs", atMost(8), func() (float64, error) { return smallAllocs(encrypt) }},
			{"small-decrypt-allocs", atMost(8), func() (float64, error) { return smallAllocs(decrypt) }},
		},
	}
}

func smallAllocs(op string) (float64, error) {
	c, err := newCachedClient()
	if err != nil {
		return 0, err
	}
	both, err := ourMemory(oursCached, c).checked(randomBytes(smallLen))
	if err != nil {
		return 0, err
	}
	for _, e := range both {
		if e.op == op {
			return allocsPerRun(e.run)
		}
	}
	return 0, fmt.Errorf("no operation %q", op)
}

// rangeGroup compares reads of 4 KiB at random places with opening the two
// frames that each of them touches.
func rangeGroup() group {
	const bound, op = "two frames opened", "range of 4 KiB"
	const size, rangeLen, ranges = 64 << 20, 4096, 1024
	return group{
		name:   "range",
		rounds: 51,
		build: func() ([]entrant, error) {
			src := randomBytes(size)
			loop, err := newCipherLoop(frameLen)
			if err != nil {
				return nil, err
			}
			frames := loop.frames(src)
			c, err := newClient(envelope.Options{FrameLength: frameLen})
			if err != nil {
				return nil, err
			}
			msg, err := c.Encrypt(context.Background(), src, encryptionContext())
			if err != nil {
				return nil, err
			}
			r, err := c.NewReaderAt(context.Background(), bytes.NewReader(msg), int64(len(msg)), encryptionContext())
			if err != nil {
				return nil, err
			}

			// Never on a frame's boundary, where one frame would do, and never in
			// the final frame, which a ReaderAt holds.
			places := make([]int, ranges)
			buf := make([]byte, rangeLen)
			random := rand.New(rand.NewPCG(1, 2))
			for i := range places {
				places[i] = random.IntN(size/frameLen-2)*frameLen + 1 + random.IntN(frameLen-1)
				if _, err := r.ReadAt(buf, int64(places[i])); err != nil {
					return nil, err
				}
				if !bytes.Equal(buf, src[places[i]:][:rangeLen]) {
					return nil, errRoundTrip
				}
			}
			return []entrant{
				{key: key{bound, op}, calls: ranges, run: func() error { return loop.openPairs(frames, places) }},
				{key: key{ours, op}, calls: ranges, run: func() error {
					for _, at := range places {
						if _, err := r.ReadAt(buf, int64(at)); err != nil {
							return err
						}
					}
					return nil
				}},
			}, nil
		},
		ratios: []ratio{{"range-4k", key{ours, op}, key{bound, op}, atMost(1.3)}},
	}
}

// openPairs opens, for each place in the plaintext, the frame it is in and the
// one behind it.
func (l cipherLoop) openPairs(frames []byte, places []int) error {
	var nonce [12]byte
	dst := make([]byte, 0, l.frameLen)
	stride := l.frameLen + tagLen
	for _, at := range places {
		for i := range 2 {
			seq := at/l.frameLen + i
			binary.BigEndian.PutUint32(nonce[8:], uint32(seq))
			if _, err := l.aead.Open(dst, nonce[:], frames[seq*stride:(seq+1)*stride], nil); err != nil {
				return err
			}
		}
	}
	return nil
}
