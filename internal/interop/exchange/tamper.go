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

	// Not a part: the message cut short at each byte, and one byte longer.
	partPrefixes = "cut short"
	partBehind   = "a byte behind"
)

// partsOf returns the parts that the messages of an exchange have.
func partsOf(x *exchange) []string {
	parts := []string{partHeader, partLength, partIV, partContent, partTag, partPrefixes, partBehind}
	if x.frame > 0 {
		parts = append(parts, partSequence, partEnd)
	}
	if x.suite.Signs() {
		parts = append(parts, partFooter)
	}
	return parts
}

// split says which bytes of a message belong to which part.
func split(msg []byte) (map[string][]int, error) {
	h, err := header(msg)
	if err != nil {
		return nil, err
	}
	parts, at := map[string][]int{}, 0
	take := func(part string, n int) {
		for end := at + n; at < end; at++ {
			parts[part] = append(parts[part], at)
		}
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
		if last {
			break
		}
	}
	if h.Suite.Signs() {
		take(partFooter, len(msg)-at)
	}
	if at != len(msg) {
		return nil, fmt.Errorf("its parts have %d bytes of %d", at, len(msg))
	}
	return parts, nil
}

// alter returns what becomes of a message when a part is altered, one by one, and what was done.
func alter(msg []byte, part string) (all [][]byte, what []string, err error) {
	switch part {
	case partPrefixes:
		for n := range msg {
			all, what = append(all, msg[:n]), append(what, fmt.Sprintf("the first %d of its %d bytes", n, len(msg)))
		}
		return all, what, nil
	case partBehind:
		return [][]byte{append(bytes.Clone(msg), 0)}, []string{"a zero behind it"}, nil
	}
	parts, err := split(msg)
	if err != nil {
		return nil, nil, err
	}
	for _, i := range parts[part] {
		altered := bytes.Clone(msg)
		altered[i] ^= 1 << (i % 8)
		all, what = append(all, altered), append(what, fmt.Sprintf("bit %d of byte %d of %d", i%8, i, len(msg)))
	}
	if len(all) == 0 {
		return nil, nil, fmt.Errorf("it has no %s", part)
	}
	return all, what, nil
}

// tamper has the reader refuse a message that was altered, and open it as it was.
func (t *table) tamper(ctx context.Context, c *cell, plaintext []byte) error {
	msg, err := t.write(ctx, c, plaintext)
	if err != nil {
		return err
	}
	if err := t.read(ctx, c, plaintext, msg); err != nil {
		return fmt.Errorf("as it was: %w", err)
	}
	all, what, err := alter(msg, c.part)
	if err != nil {
		return &fault{fails, err}
	}
	refused := *c
	refused.readerRefuses = true
	for i, altered := range all {
		if err := t.read(ctx, &refused, plaintext, altered); err != nil {
			return fmt.Errorf("%s: %w", what[i], err)
		}
	}
	return nil
}
