package main

import (
	"errors"
	"math"

	"github.com/go-sealring/sealring/keyring"
)

// A limit is of a peer's own, known and stated: cells in which it shows are kept out of the
// count, by its name.
type limit struct {
	name string
	kind kind

	// lack, for the kind lacks, is what the peer says it does not have.
	lack string

	// applies says, for other kinds, in which cells it must show. Where it does not, the
	// list is wrong, and the cell fails.
	applies func(c *cell) bool

	// sometimes is for a limit that is of something beneath the release, such as the
	// language's runtime: where it does not show, all is well.
	sometimes bool
}

// holds says whether a limit is to show in a cell.
func (l *limit) holds(c *cell) bool { return l.kind != lacks && l.applies(c) }

// shows says whether it is a limit why a cell ended with an error.
func (l *limit) shows(c *cell, err error) bool {
	switch {
	case err == nil || kindOf(err) != l.kind:
		return false
	case l.kind == lacks:
		return errors.Is(err, lack(l.lack))
	}
	return l.applies(c)
}

var (
	pythonLimits = []limit{
		{
			name: "writes frames only of a multiple of 128 bytes", kind: refuses,
			applies: func(c *cell) bool { return c.theirs && c.frame%128 != 0 },
		},
		{
			name: "opens a message with a byte behind it", kind: opens,
			applies: func(c *cell) bool { return !c.theirs && c.part == partBehind },
		},
	}

	javascriptLimits = []limit{
		{
			name: "opens an unsigned message with a byte behind it", kind: opens,
			applies: func(c *cell) bool { return !c.theirs && c.part == partBehind && !c.suite.Signs() },
		},
		{
			name: "sorts the context by locale where a raw AES key wraps, unless told utf8Sorting", kind: unread,
			applies: func(c *cell) bool { return c.theirs && c.group == groupSorting && sortsDifferently(c) },
		},
		{
			name: "sorts the context by locale where a raw AES key unwraps, unless told utf8Sorting", kind: refuses,
			applies: func(c *cell) bool { return !c.theirs && c.group == groupSorting && sortsDifferently(c) },
		},
		{
			// Node.js 20 does so against CVE-2023-46809.
			name: "does not decrypt RSA with PKCS #1 v1.5 where Node.js has forbidden it", kind: refuses, sometimes: true,
			applies: func(c *cell) bool { return !c.theirs && c.reads.Padding == "PKCS1" },
		},
		{name: "has no raw ECDH keyring", kind: lacks, lack: "raw-ecdh"},
		{name: "has no keyring for RSA keys of KMS", kind: lacks, lack: "kms-rsa"},
		{name: "has no keyring for ECDH keys of KMS", kind: lacks, lack: "kms-ecdh"},
		{name: "has no master keys", kind: lacks, lack: "master-key"},
		{name: "has no required contexts", kind: lacks, lack: "required context"},
		{name: "takes no context to decrypt: its callers compare what it returns", kind: lacks, lack: "context on decrypt"},
		{name: "writes no messages without frames", kind: lacks, lack: "non-framed"},
	}

	javaLimits = []limit{
		{
			name: "neither reads nor writes empty keys or values of a context", kind: refuses,
			applies: func(c *cell) bool { return hasText(c.context, func(n int) bool { return n == 0 }) },
		},
		{
			name: "reads no keys or values of a context above 32,767 bytes", kind: refuses,
			applies: func(c *cell) bool {
				return !c.theirs && hasText(c.context, func(n int) bool { return n > math.MaxInt16 })
			},
		},
		{
			name: "reads no context above 32,767 bytes with its master keys", kind: refuses,
			applies: func(c *cell) bool {
				return !c.theirs && c.reads.Kind == "master-key" && serialized(c.context) > math.MaxInt16
			},
		},
		{
			name: "writes no context above 32,767 bytes", kind: refuses,
			applies: func(c *cell) bool { return c.theirs && serialized(c.context) > math.MaxInt16 },
		},
		{
			name: "writes nothing at all to a stream when nothing is written to it", kind: unread,
			applies: func(c *cell) bool { return c.theirs && c.push && c.size == 0 },
		},
		{
			name: "opens an unsigned message with other sequence numbers", kind: opens,
			applies: func(c *cell) bool { return !c.theirs && c.part == partSequence && !c.suite.Signs() },
		},
		{
			// The signature fails then.
			name: "releases frames of a signed message with other sequence numbers, by its streams", kind: releases,
			applies: func(c *cell) bool { return !c.theirs && c.stream && c.part == partSequence && c.suite.Signs() },
		},
		{
			name: "opens a message with a byte behind it, by its streams", kind: opens,
			applies: func(c *cell) bool { return !c.theirs && c.stream && c.part == partBehind },
		},
		{
			// Its DecryptionHandler calls it a special case.
			name: "reads an empty plaintext from no message at all, by its streams", kind: misreads,
			applies: func(c *cell) bool { return !c.theirs && c.stream && c.part == partNothing },
		},
	}

	rustLimits = []limit{
		{
			name: "overflows its stack on 20,000 frames", kind: dies,
			applies: func(c *cell) bool { return c.frame > 0 && c.size/c.frame >= 20_000 },
		},
		{name: "has no streams", kind: lacks, lack: "stream"},
		{name: "has no master keys: its keyrings are tried", kind: lacks, lack: "master-key"},
		{name: "writes no messages without frames", kind: lacks, lack: "non-framed"},
	}
)

// serialized returns how many bytes a context takes in a message.
func serialized(ec keyring.EncryptionContext) int { return len(must(ec.AppendBinary(nil))) }

// hasText says whether the length of a key or of a value is such.
func hasText(ec keyring.EncryptionContext, such func(int) bool) bool {
	for k, v := range ec {
		if such(len(k)) || such(len(v)) {
			return true
		}
	}
	return false
}

// sortsDifferently says whether a locale has another order than the format.
func sortsDifferently(c *cell) bool {
	_, has := c.context["Table"]
	return has
}
