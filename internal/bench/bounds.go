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
// else: AES-GCM, one frame after the other, out of memory, into a buffer that is
// as long as what the library writes at once.
type cipherLoop struct {
	aead     cipher.AEAD
	frameLen int
	perWrite int    // frames that the buffer has room for
	aad      []byte // of each frame
}

// writeLen is about how many bytes our Writer and Reader hand on at once. A test
// holds it against what they write.
const writeLen = 64 << 10

// framesPerWrite returns how many frames that is.
func framesPerWrite(frameLen int) int { return max(1, writeLen/(frameLen+frameOverhead)) }

// aadLen is how much additional data the message format has for a frame of its
// version 2: message ID, name, number and length.
const aadLen = messageIDLen + len("AWSKMSEncryptionClient Frame") + 4 + 8

const (
	tagLen        = 16
	frameOverhead = 4 + 12 + tagLen // sequence number, nonce, tag
)

func newCipherLoop(frameLen int) (cipherLoop, error) {
	block, err := aes.NewCipher(randomBytes(32))
	if err != nil {
		return cipherLoop{}, err
	}
	aead, err := cipher.NewGCM(block)
	return cipherLoop{aead: aead, frameLen: frameLen, perWrite: framesPerWrite(frameLen)}, err
}

// oneFrame is the loop with room for one frame. With short frames its buffer stays
// in the first-level cache, where no writer's can: it sets a bound that is out of
// reach by as much as the processor is faster there.
func (l cipherLoop) oneFrame() cipherLoop {
	l.perWrite = 1
	return l
}

// newBuffer returns one for seal or open. It is not part of what is timed.
func (l cipherLoop) newBuffer() []byte { return make([]byte, 0, l.perWrite*(l.frameLen+tagLen)) }

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

// seal seals src in frames that are numbered from seq on. It fills buf and begins
// at its start again.
func (l cipherLoop) seal(buf, src []byte, seq uint32) {
	var nonce [12]byte
	for i := 0; len(src) > 0; i++ {
		if i%l.perWrite == 0 {
			buf = buf[:0]
		}
		n := min(l.frameLen, len(src))
		binary.BigEndian.PutUint32(nonce[8:], seq+uint32(i))
		buf = l.aead.Seal(buf, nonce[:], src[:n], l.aad)
		src = src[n:]
	}
}

// open opens frames that are numbered from seq on, into buf as seal does.
func (l cipherLoop) open(buf, frames []byte, seq uint32) error {
	var nonce [12]byte
	for i := 0; len(frames) > 0; i++ {
		if i%l.perWrite == 0 {
			buf = buf[:0]
		}
		n := min(l.frameLen+tagLen, len(frames))
		binary.BigEndian.PutUint32(nonce[8:], seq+uint32(i))
		var err error
		if buf, err = l.aead.Open(buf, nonce[:], frames[:n], l.aad); err != nil {
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
	buf := l.newBuffer()
	return []entrant{
		{key: key{name, encrypt}, bytes: n, run: func() error { l.seal(buf, src, 0); return nil }},
		{key: key{name, decrypt}, bytes: n, run: func() error { return l.open(buf, frames, 0) }},
	}
}

// parallelEntrants is entrants on as many goroutines as there are cores, each
// with its own share and buffer.
func (l cipherLoop) parallelEntrants(name string, src []byte) []entrant {
	frames := l.frames(src)
	n := int64(len(src))
	bufs := make([][]byte, cores())
	for i := range bufs {
		bufs[i] = l.newBuffer()
	}
	return []entrant{
		{key: key{name, encrypt}, bytes: n, run: func() error {
			return shares(src, l.frameLen, len(bufs), func(i int, share []byte, seq uint32) error {
				l.seal(bufs[i], share, seq)
				return nil
			})
		}},
		{key: key{name, decrypt}, bytes: n, run: func() error {
			return shares(frames, l.frameLen+tagLen, len(bufs), func(i int, share []byte, seq uint32) error {
				return l.open(bufs[i], share, seq)
			})
		}},
	}
}

// shares calls f at once for n equal shares of b, in whole frames, with the number
// of the share and that of its first frame.
func shares(b []byte, frame, n int, f func(i int, share []byte, seq uint32) error) error {
	total := (len(b) + frame - 1) / frame
	each := (total + n - 1) / n
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range errs {
		first, last := min(i*each*frame, len(b)), min((i+1)*each*frame, len(b))
		wg.Go(func() { errs[i] = f(i, b[first:last], uint32(i*each)) })
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
