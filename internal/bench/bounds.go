package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"sync"
)

// A cipherLoop does to a stream what every writer of frames must, and nothing
// else: AES-GCM, one frame after the other, into one buffer, out of memory.
type cipherLoop struct {
	aead     cipher.AEAD
	frameLen int
	aad      []byte // of each frame
}

// aadLen is how much additional data the message format has for a frame of its
// version 2: message ID, name, number and length.
const aadLen = messageIDLen + len("AWSKMSEncryptionClient Frame") + 4 + 8

const tagLen = 16

func newCipherLoop(frameLen int) (cipherLoop, error) {
	block, err := aes.NewCipher(randomBytes(32))
	if err != nil {
		return cipherLoop{}, err
	}
	aead, err := cipher.NewGCM(block)
	return cipherLoop{aead: aead, frameLen: frameLen}, err
}

// frames returns what open opens: src in sealed frames, back to back.
func (l cipherLoop) frames(src []byte) []byte {
	// Seal grows its destination to no more than it needs.
	out := make([]byte, 0, len(src)+(len(src)/l.frameLen+1)*tagLen)
	var nonce [12]byte
	for seq := uint32(0); len(src) > 0; seq++ {
		n := min(l.frameLen, len(src))
		binary.BigEndian.PutUint32(nonce[8:], seq)
		out = l.aead.Seal(out, nonce[:], src[:n], l.aad)
		src = src[n:]
	}
	return out
}

// seal seals src in frames that are numbered from seq on.
func (l cipherLoop) seal(src []byte, seq uint32) {
	var nonce [12]byte
	dst := make([]byte, 0, l.frameLen+tagLen)
	for ; len(src) > 0; seq++ {
		n := min(l.frameLen, len(src))
		binary.BigEndian.PutUint32(nonce[8:], seq)
		l.aead.Seal(dst, nonce[:], src[:n], l.aad)
		src = src[n:]
	}
}

// open opens frames that are numbered from seq on.
func (l cipherLoop) open(frames []byte, seq uint32) error {
	var nonce [12]byte
	dst := make([]byte, 0, l.frameLen)
	for ; len(frames) > 0; seq++ {
		n := min(l.frameLen+tagLen, len(frames))
		binary.BigEndian.PutUint32(nonce[8:], seq)
		if _, err := l.aead.Open(dst, nonce[:], frames[:n], l.aad); err != nil {
			return err
		}
		frames = frames[n:]
	}
	return nil
}

// entrants returns the loop on one goroutine over src, and over what it is
// sealed to.
func (l cipherLoop) entrants(name string, src []byte) []entrant {
	frames := l.frames(src)
	n := int64(len(src))
	return []entrant{
		{key: key{name, encrypt}, bytes: n, run: func() error { l.seal(src, 0); return nil }},
		{key: key{name, decrypt}, bytes: n, run: func() error { return l.open(frames, 0) }},
	}
}

// parallelEntrants is entrants on as many goroutines as there are cores, each
// with its own share.
func (l cipherLoop) parallelEntrants(name string, src []byte) []entrant {
	frames := l.frames(src)
	n := int64(len(src))
	return []entrant{
		{key: key{name, encrypt}, bytes: n, run: func() error {
			return shares(src, l.frameLen, func(share []byte, seq uint32) error { l.seal(share, seq); return nil })
		}},
		{key: key{name, decrypt}, bytes: n, run: func() error {
			return shares(frames, l.frameLen+tagLen, l.open)
		}},
	}
}

// shares calls f at once for equal shares of b, in whole frames, with the number
// of the first frame.
func shares(b []byte, frame int, f func(share []byte, seq uint32) error) error {
	total := (len(b) + frame - 1) / frame
	each := (total + cores() - 1) / cores()
	errs := make([]error, cores())
	var wg sync.WaitGroup
	for i := range errs {
		first, last := min(i*each*frame, len(b)), min((i+1)*each*frame, len(b))
		wg.Go(func() { errs[i] = f(b[first:last], uint32(i*each)) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// hashLoop is what signing a message takes at the least: its SHA-384.
func hashLoop(msg []byte) func() error {
	sum := make([]byte, 0, sha512.Size384)
	return func() error {
		h := sha512.New384()
		h.Write(msg)
		h.Sum(sum)
		return nil
	}
}
