package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
)

// Parts of a message that are altered: a bit of each byte of the part, one at a time.
const (
	partHeader   = "header"
	partSequence = "sequence numbers"
	partEnd      = "mark of the final frame"
	partLength   = "length of the last content"
	partIV       = "IVs"
	partContent  = "content"
	partTag      = "tags"
	partFooter   = "footer"

	// Not a part: the message cut short at each byte but the first, nothing of it, and one
	// byte longer.
	partPrefixes = "cut short"
	partNothing  = "cut to nothing"
	partBehind   = "a byte behind"
)

// partsOf returns the parts that the messages of an exchange have.
func partsOf(x *exchange) []string {
	parts := []string{partHeader, partLength, partIV, partContent, partTag, partPrefixes, partNothing, partBehind}
	if x.frame > 0 {
		parts = append(parts, partSequence, partEnd)
	}
	if x.suite.Signs() {
		parts = append(parts, partFooter)
	}
	return parts
}

// A field is bytes of a message that are of one part.
type field struct {
	part    string
	at, end int
	whole   int // bytes of plaintext in the frames that end in front of it
}

// split returns the fields of a message, and how long its plaintext is.
func split(msg []byte) (fields []field, size int, err error) {
	h, err := header(msg)
	if err != nil {
		return nil, 0, err
	}
	at := 0
	take := func(part string, n int) {
		if n > 0 {
			fields = append(fields, field{part, at, at + n, size})
		}
		at += n
	}
	const ivLen, tagLen = 12, 16
	take(partHeader, h.Length)
	for last := h.FrameLength == 0; ; {
		n := h.FrameLength
		if n > 0 {
			if last = binary.BigEndian.Uint32(msg[at:]) == 0xFFFFFFFF; last {
				take(partEnd, 4)
			}
			take(partSequence, 4)
		}
		take(partIV, ivLen)
		switch {
		case n == 0:
			n = int(binary.BigEndian.Uint64(msg[at:]))
			take(partLength, 8)
		case last:
			n = int(binary.BigEndian.Uint32(msg[at:]))
			take(partLength, 4)
		}
		take(partContent, n)
		take(partTag, tagLen)
		size += n
		if last {
			break
		}
	}
	if h.Suite.Signs() {
		take(partFooter, len(msg)-at)
	}
	if at != len(msg) {
		return nil, 0, fmt.Errorf("its parts have %d bytes of %d", at, len(msg))
	}
	return fields, size, nil
}

// An alteration is what became of a message.
type alteration struct {
	message []byte
	what    string // was done to it
	whole   int    // bytes of plaintext in the frames in front of that: no others are authentic
}

// alter returns what becomes of a message when a part is altered, one by one. Edges alters only
// the first and the last byte of each field, and cuts only there.
func alter(msg []byte, part string, edges bool) ([]alteration, error) {
	fields, size, err := split(msg)
	if err != nil {
		return nil, err
	}
	switch part {
	case partNothing:
		return []alteration{{what: "nothing of it"}}, nil
	case partBehind:
		return []alteration{{append(bytes.Clone(msg), 0), "a zero behind it", size}}, nil
	}
	var all []alteration
	for _, f := range fields {
		for i := f.at; i < f.end; i++ {
			switch {
			case edges && i > f.at && i < f.end-1:
			case part == partPrefixes && i > 0:
				all = append(all, alteration{msg[:i], fmt.Sprintf("the first %d of its %d bytes", i, len(msg)), f.whole})
			case part == f.part:
				altered := bytes.Clone(msg)
				altered[i] ^= 1 << (i % 8)
				all = append(all, alteration{altered, fmt.Sprintf("bit %d of byte %d of %d", i%8, i, len(msg)), f.whole})
			}
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("it has no %s", part)
	}
	return all, nil
}

// tamper has the reader refuse a message that was altered, and open it as it was. All that is
// altered is asked, though some of it is opened or released: a limit of the peer's must not
// hide what is worse.
func (t *table) tamper(ctx context.Context, c *cell, plaintext []byte) error {
	msg, err := t.write(ctx, c, plaintext)
	if err != nil {
		return err
	}
	if err := t.read(ctx, c, plaintext, msg); err != nil {
		return fmt.Errorf("as it was: %w", err)
	}
	all, err := alter(msg, c.part, c.edges)
	if err != nil {
		return &fault{fails, err}
	}
	refused := *c
	refused.readerRefuses = true
	var first error
	for _, a := range all {
		if c.theirs {
			err = t.oursRead(ctx, &refused, plaintext, a.message)
		} else {
			err = t.theirsRefuse(ctx, &refused, plaintext, a)
		}
		if err == nil {
			continue
		}
		err = fmt.Errorf("%s: %w", a.what, err)
		if k := kindOf(err); k != opens && k != releases {
			return err
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// theirsRefuse has the peer refuse an altered message. What its stream released before the
// error must be plaintext of the frames in front of what was altered.
func (t *table) theirsRefuse(ctx context.Context, c *cell, plaintext []byte, altered alteration) error {
	a, err := t.theirsRead(ctx, c, altered.message)
	switch {
	case err == nil && bytes.Equal(plaintext, *a.Data):
		return faultf(opens, "it opens it")
	case err == nil:
		return faultf(misreads, "it opens it, and reads another plaintext, of %d bytes", len(*a.Data))
	case kindOf(err) != refuses:
		return err
	case !c.stream:
		return nil
	case a.Released == nil:
		return faultf(dies, "%w: it does not say what its stream released", errBroken)
	}
	released := *a.Released
	switch {
	case !bytes.HasPrefix(plaintext, released):
		return faultf(fails, "its stream released what is no plaintext")
	case len(released) > altered.whole:
		return faultf(releases, "its stream released %d bytes, and %d are in frames that are authentic", len(released), altered.whole)
	case len(released) == 0 && altered.whole > c.frame:
		// A stream that holds back everything is none, or its program does not tell.
		return faultf(fails, "its stream released nothing of two frames and more that are authentic")
	}
	return nil
}
