package envelope_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/internal/suite"
	"github.com/go-sealring/sealring/keyring"
)

var testContext = keyring.EncryptionContext{"tenant": "42"}

// tampered are the errors that altered messages end in, by what was altered.
var tampered = []error{
	envelope.ErrMalformed, envelope.ErrAuthentication, envelope.ErrCommitment, envelope.ErrSignature,
	envelope.ErrLimit, envelope.ErrNoMatchingKey, envelope.ErrContextMismatch, io.ErrUnexpectedEOF,
}

func encrypt(t *testing.T, c *envelope.Client, plaintext []byte) []byte {
	t.Helper()
	msg, err := c.Encrypt(t.Context(), plaintext, testContext)
	require.NoError(t, err)
	return msg
}

func TestPrefixes(t *testing.T) {
	eachSuite(t, 10, func(t *testing.T, c *envelope.Client) {
		plaintext := randomBytes(35)
		msg := encrypt(t, c, plaintext)
		for n := range msg {
			decryptFails(t, c, msg[:n], plaintext, testContext, io.ErrUnexpectedEOF)
		}
	})
}

// TestFlips alters every byte of a message of every suite.
func TestFlips(t *testing.T) {
	if testing.Short() {
		t.Skip("verifies thousands of signatures")
	}
	eachSuite(t, 10, func(t *testing.T, c *envelope.Client) {
		plaintext := randomBytes(35)
		msg := encrypt(t, c, plaintext)
		for at := range msg {
			altered := bytes.Clone(msg)
			altered[at] ^= 1 << (at % 8)
			// ErrPolicy: it may now be a suite that the policy refuses.
			decryptFails(t, c, altered, plaintext, testContext, append(tampered, envelope.ErrPolicy)...)
		}
	})
}

func TestTrailingBytes(t *testing.T) {
	eachSuite(t, 10, func(t *testing.T, c *envelope.Client) {
		for _, n := range []int{0, 35} {
			plaintext := randomBytes(n)
			msg := encrypt(t, c, plaintext)
			for _, more := range [][]byte{{0}, msg, make([]byte, 10_000)} {
				long := slices.Concat(msg, more)
				if n > 0 {
					decryptFails(t, c, long, plaintext, testContext, envelope.ErrMalformed)
				} else {
					_, err := c.Decrypt(t.Context(), long, testContext)
					require.ErrorIs(t, err, envelope.ErrMalformed)
				}
			}
		}
	})
}

func TestEmptyInput(t *testing.T) {
	c := newClient(t, nil)
	for _, msg := range [][]byte{nil, {}} {
		decryptFails(t, c, msg, nil, nil, io.ErrUnexpectedEOF)
	}
	_, err := envelope.ParseHeader(bytes.NewReader(nil), nil)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

func TestBase64Input(t *testing.T) {
	eachSuite(t, 10, func(t *testing.T, c *envelope.Client) {
		msg := []byte(base64.StdEncoding.EncodeToString(encrypt(t, c, nil)))
		_, err := c.Decrypt(t.Context(), msg, testContext)
		require.ErrorIs(t, err, envelope.ErrMalformed)
		assert.ErrorContains(t, err, "base64")
	})
}

func TestWrongKey(t *testing.T) {
	c := newClient(t, nil)
	msg := encrypt(t, c, []byte("plaintext"))
	for name, k := range map[string]struct{ namespace, name string }{
		"same name":    {"test", "zero"},
		"another name": {"test", "one"},
		"another kind": {"other", "zero"},
	} {
		t.Run(name, func(t *testing.T) {
			wrong, err := keyring.NewRawAES(k.namespace, k.name, randomBytes(32))
			require.NoError(t, err)
			client, err := envelope.New(wrong, nil)
			require.NoError(t, err)
			decryptFails(t, client, msg, []byte("plaintext"), testContext, envelope.ErrNoMatchingKey)
			_, err = client.Decrypt(t.Context(), msg, testContext)
			var noMatch *keyring.NoMatchError
			require.ErrorAs(t, err, &noMatch)
		})
	}
}

func TestContexts(t *testing.T) {
	eachSuite(t, 10, func(t *testing.T, c *envelope.Client) {
		plaintext := []byte("plaintext of three frames")
		msg, err := c.Encrypt(t.Context(), plaintext, keyring.EncryptionContext{"tenant": "42", "table": "patients"})
		require.NoError(t, err)
		for _, holds := range []keyring.EncryptionContext{
			nil, {}, {"tenant": "42"}, {"table": "patients"}, {"tenant": "42", "table": "patients"},
		} {
			decryptsTo(t, c, msg, plaintext, holds)
		}
		for _, fails := range []keyring.EncryptionContext{
			{"tenant": "43"}, {"tenant": ""}, {"tenant": "42", "table": "visits"}, {"tenant": "42", "row": "7"}, {"": ""},
			{"aws-crypto-public-key": "x"}, {"aws-crypto-other": ""},
		} {
			decryptFails(t, c, msg, plaintext, fails, envelope.ErrContextMismatch)
		}
	})
}

func TestContextsRefusedOnEncrypt(t *testing.T) {
	c := newClient(t, nil)
	for name, ec := range map[string]keyring.EncryptionContext{
		"reserved key":       {"aws-crypto-public-key": "x"},
		"reserved prefix":    {"aws-crypto-": ""},
		"key not UTF-8":      {"\xff": ""},
		"value not UTF-8":    {"k": "a\xc3"},
		"longer than 64 KiB": {"k": strings.Repeat("x", 1<<16-6)},
	} {
		t.Run(name, func(t *testing.T) {
			for way, encrypt := range encryptWays {
				msg, err := encrypt(t.Context(), c.Encrypter, []byte("plaintext"), ec)
				require.ErrorIs(t, err, envelope.ErrInvalidArgument, way)
				require.Empty(t, msg)
			}
		})
	}
	longest := keyring.EncryptionContext{"k": strings.Repeat("x", 1<<16-1-7)}
	msg, err := c.Encrypt(t.Context(), []byte("plaintext"), longest)
	require.NoError(t, err)
	decryptsTo(t, c, msg, []byte("plaintext"), longest)
}

// TestFrameOrder takes the frames of a good message apart.
func TestFrameOrder(t *testing.T) {
	eachSuite(t, 10, func(t *testing.T, c *envelope.Client) {
		plaintext := randomBytes(40) // three regular frames and a full final one
		msg := encrypt(t, c, plaintext)
		h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
		require.NoError(t, err)
		const wire = 10 + message.RegularOverhead
		head, rest := msg[:h.Length], msg[h.Length:]
		f1, f2, f3, end := rest[:wire], rest[wire:2*wire], rest[2*wire:3*wire], rest[3*wire:]
		decryptsTo(t, c, slices.Concat(head, f1, f2, f3, end), plaintext, testContext)

		for name, frames := range map[string][][]byte{
			"swapped":            {f2, f1, f3, end},
			"first dropped":      {f2, f3, end},
			"middle dropped":     {f1, f3, end},
			"last dropped":       {f1, f2, end},
			"all dropped":        {end},
			"first repeated":     {f1, f1, f2, f3, end},
			"last repeated":      {f1, f2, f3, f3, end},
			"after the end":      {f1, f2, end, f3},
			"final frame twice":  {f1, f2, f3, end, end},
			"number rewritten":   {f1, f3, renumber(f2, 3), end},
			"number zero":        {renumber(f1, 0), f2, f3, end},
			"regular as the end": {f1, f2, renumber(f3, 0xffffffff), end},
		} {
			t.Run(name, func(t *testing.T) {
				decryptFails(t, c, slices.Concat(append([][]byte{head}, frames...)...), plaintext, testContext,
					envelope.ErrMalformed)
			})
		}
		t.Run("renumbered in order", func(t *testing.T) {
			swapped := slices.Concat(head, renumber(f2, 1), renumber(f1, 2), f3, end)
			decryptFails(t, c, swapped, plaintext, testContext, envelope.ErrAuthentication)
		})
		t.Run("end missing", func(t *testing.T) {
			decryptFails(t, c, slices.Concat(head, f1, f2, f3), plaintext, testContext, io.ErrUnexpectedEOF)
		})
		t.Run("body of another message", func(t *testing.T) {
			other := encrypt(t, c, plaintext)
			spliced := slices.Concat(head, other[h.Length:])
			decryptFails(t, c, spliced, plaintext, testContext, envelope.ErrAuthentication)
		})
	})
}

func renumber(frame []byte, seq uint32) []byte {
	return append(binary.BigEndian.AppendUint32(nil, seq), frame[4:]...)
}

// TestForgedWrong has a sender who holds the data key write what the format
// does not allow.
func TestForgedWrong(t *testing.T) {
	plaintext := randomBytes(101)
	always := func(int) bool { return true }
	for name, c := range map[string]struct {
		suite    keyring.Suite
		frameLen uint32
		write    func(f *forger)
		is       error
	}{
		"final frame too long": {unsigned, 100, func(f *forger) { f.writeHeader().final(1, plaintext) }, envelope.ErrMalformed},
		"sequence from zero":   {unsigned, 101, func(f *forger) { f.writeHeader().final(0, plaintext) }, envelope.ErrMalformed},
		"sequence from two":    {unsigned, 101, func(f *forger) { f.writeHeader().final(2, plaintext) }, envelope.ErrMalformed},
		"gap": {unsigned, 100, func(f *forger) {
			f.writeHeader().regular(1, plaintext[:100]).final(3, plaintext[100:])
		}, envelope.ErrMalformed},
		"wrong commitment": {unsigned, 101, func(f *forger) {
			f.header.Commitment = make([]byte, 32)
			f.writeHeader().final(1, plaintext)
		}, envelope.ErrCommitment},
		"header tag over something else": {unsigned, 101, func(f *forger) {
			f.writeHeader()
			f.header.Tag = f.aead.Seal(nil, f.header.IV, nil, []byte("else"))
			f.msg = append(f.msg[:len(f.msg)-16], f.header.Tag...)
			f.final(1, plaintext)
		}, envelope.ErrAuthentication},
		"non-framed body in frames' clothes": {unsigned, 101, func(f *forger) {
			f.writeHeader().nonFramed(plaintext)
		}, envelope.ErrMalformed},
		"no footer": {signed, 101, func(f *forger) { f.writeHeader().final(1, plaintext) }, io.ErrUnexpectedEOF},
		"empty signature": {signed, 101, func(f *forger) {
			f.writeHeader().final(1, plaintext)
			f.msg = message.AppendFooter(f.msg, nil)
		}, envelope.ErrSignature},
		"signature that is no DER": {signed, 101, func(f *forger) {
			f.writeHeader().final(1, plaintext)
			f.msg = message.AppendFooter(f.msg, randomBytes(103))
		}, envelope.ErrSignature},
		"huge signature": {signed, 101, func(f *forger) {
			f.writeHeader().final(1, plaintext)
			f.msg = message.AppendFooter(f.msg, make([]byte, 1<<16-1))
		}, envelope.ErrSignature},
		"signature by another key": {signed, 101, func(f *forger) {
			other := newForger(t, signed, 101)
			f.writeHeader().final(1, plaintext)
			f.signingKey = other.signingKey
			f.footer(always)
		}, envelope.ErrSignature},
		"signature over less": {signed, 101, func(f *forger) {
			f.writeHeader()
			head := len(f.msg)
			f.footer(always)
			footer := bytes.Clone(f.msg[head:])
			f.msg = f.msg[:head]
			f.final(1, plaintext)
			f.msg = append(f.msg, footer...)
		}, envelope.ErrSignature},
		"frame replaced by a holder of the data key": {signed, 101, func(f *forger) {
			f.writeHeader().final(1, plaintext).footer(always)
			h, err := envelope.ParseHeader(bytes.NewReader(f.msg), nil)
			require.NoError(t, err)
			footer := bytes.Clone(f.msg[h.Length+message.FinalOverhead+len(plaintext):])
			f.msg = f.msg[:h.Length]
			f.final(1, plaintext)
			f.msg = append(f.msg, footer...)
		}, envelope.ErrSignature},
		"footer on an unsigned message": {unsigned, 101, func(f *forger) {
			f.writeHeader().final(1, plaintext)
			f.msg = message.AppendFooter(f.msg, randomBytes(103))
		}, envelope.ErrMalformed},
		"public key in an unsigned message": {unsigned, 101, func(f *forger) {
			f.header.Context["aws-crypto-public-key"] = "AA=="
			f.writeHeader().final(1, plaintext)
		}, envelope.ErrMalformed},
		"no public key in a signed message": {signed, 101, func(f *forger) {
			delete(f.header.Context, "aws-crypto-public-key")
			f.writeHeader().final(1, plaintext).footer(always)
		}, envelope.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			f := newForger(t, c.suite, c.frameLen)
			c.write(f)
			d, err := envelope.NewDecrypter(f, nil)
			require.NoError(t, err)
			decryptFails(t, &envelope.Client{Decrypter: d}, f.msg, plaintext, nil, c.is)
		})
	}
}

func TestLimits(t *testing.T) {
	aes := zeroKey(t)
	plaintext := randomBytes(1000)
	three, err := keyring.NewMultiEncrypter(aes, aes, aes)
	require.NoError(t, err)
	nonFramed := newForger(t, unsigned, 0)
	nonFramed.writeHeader().nonFramed(plaintext)
	for name, c := range map[string]struct {
		msg   func() []byte
		tight envelope.Options
		wide  envelope.Options
		says  string
		other keyring.Decrypter
	}{
		"encrypted data keys": {func() []byte {
			e, err := envelope.NewEncrypter(three, nil)
			require.NoError(t, err)
			msg, err := e.Encrypt(t.Context(), plaintext, nil)
			require.NoError(t, err)
			return msg
		}, envelope.Options{MaxEncryptedDataKeys: 2}, envelope.Options{MaxEncryptedDataKeys: 3}, "3 encrypted data keys", aes},
		"header length": {func() []byte {
			msg, err := newClient(t, nil).Encrypt(t.Context(), plaintext, keyring.EncryptionContext{"k": strings.Repeat("x", 1000)})
			require.NoError(t, err)
			return msg
		}, envelope.Options{MaxHeaderLength: 1000}, envelope.Options{MaxHeaderLength: 2000}, "past 1000 bytes", aes},
		"frame length": {func() []byte {
			return encrypt(t, newClient(t, &envelope.Options{FrameLength: 501}), plaintext)
		}, envelope.Options{FrameLength: 1, MaxFrameLength: 500}, envelope.Options{FrameLength: 1, MaxFrameLength: 501},
			"frame length is 501", aes},
		"non-framed length": {func() []byte { return nonFramed.msg },
			envelope.Options{MaxNonFramedLength: 999}, envelope.Options{MaxNonFramedLength: 1000}, "non-framed body of 1000", nonFramed},
	} {
		t.Run(name, func(t *testing.T) {
			msg := c.msg()
			d, err := envelope.NewDecrypter(c.other, &c.tight)
			require.NoError(t, err)
			decryptFails(t, &envelope.Client{Decrypter: d}, msg, plaintext, nil, envelope.ErrLimit)
			_, err = d.Decrypt(t.Context(), msg, nil)
			require.ErrorContains(t, err, c.says)

			d, err = envelope.NewDecrypter(c.other, &c.wide)
			require.NoError(t, err)
			decryptsTo(t, &envelope.Client{Decrypter: d}, msg, plaintext, nil)
		})
	}
}

// TestNonFramedClaim has a header that is authentic, and a body whose length,
// which is not yet, claims as much as is allowed.
func TestNonFramedClaim(t *testing.T) {
	f := newForger(t, unsigned, 0)
	f.writeHeader()
	f.msg = append(f.msg, make([]byte, 12)...)
	longest := min(1<<36-32, int64(math.MaxInt)-36) // memory's end, on 32-bit machines
	d, err := envelope.NewDecrypter(f, &envelope.Options{MaxNonFramedLength: longest})
	require.NoError(t, err)
	c := &envelope.Client{Decrypter: d}

	claim := func(n uint64) []byte { return binary.BigEndian.AppendUint64(bytes.Clone(f.msg), n) }
	decryptFails(t, c, claim(uint64(longest)+1), nil, nil, envelope.ErrLimit)
	decryptFails(t, c, claim(1<<64-1), nil, nil, envelope.ErrLimit)

	short := append(claim(uint64(longest)), "a few bytes"...)
	for name, decrypt := range decryptWays {
		allocated := testing.AllocsPerRun(1, func() {
			_, err = decrypt(t.Context(), d, short, nil)
		})
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, name)
		assert.Less(t, allocated, 1000.0)
	}
}

func TestEncryptLimits(t *testing.T) {
	aes := zeroKey(t)
	three, err := keyring.NewMultiEncrypter(aes, aes, aes)
	require.NoError(t, err)
	e, err := envelope.NewEncrypter(three, &envelope.Options{MaxEncryptedDataKeys: 2})
	require.NoError(t, err)
	_, err = e.Encrypt(t.Context(), nil, nil)
	require.ErrorIs(t, err, envelope.ErrLimit)

	c := newClient(t, &envelope.Options{MaxHeaderLength: 1000})
	_, err = c.Encrypt(t.Context(), nil, keyring.EncryptionContext{"k": strings.Repeat("x", 1000)})
	require.ErrorIs(t, err, envelope.ErrLimit)
}

func TestFrameCount(t *testing.T) {
	c := newClient(t, &envelope.Options{FrameLength: 1})
	w, err := c.NewWriter(t.Context(), io.Discard, nil)
	require.NoError(t, err)
	w.SetFrames(1<<32 - 4)
	_, err = w.Write([]byte("abc")) // two regular frames, and one that may be final
	require.NoError(t, err)
	_, err = w.Write([]byte("d"))
	require.ErrorIs(t, err, envelope.ErrLimit)
	require.ErrorIs(t, w.Close(), envelope.ErrLimit)

	w, err = c.NewWriter(t.Context(), io.Discard, nil)
	require.NoError(t, err)
	w.SetFrames(1<<32 - 4)
	_, err = w.Write([]byte("abc"))
	require.NoError(t, err)
	require.NoError(t, w.Close(), "the last number there is")
}

func TestRefuseSigned(t *testing.T) {
	plaintext := []byte("plaintext")
	for _, s := range suite.IDs[keyring.Suite]() {
		msg := encrypt(t, newClient(t, optionsFor(s, 100)), plaintext)
		counting := &countingKeyring{Keyring: zeroKey(t)}
		o := optionsFor(s, 100)
		o.RefuseSigned = true
		c, err := envelope.New(counting, o)
		require.NoError(t, err)
		if s.Signs() {
			// Right after the header: what follows it need not even be there.
			h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
			require.NoError(t, err)
			decryptFails(t, c, msg[:h.Length], plaintext, nil, envelope.ErrPolicy)
			assert.Zero(t, counting.decrypts.Load())
		} else {
			decryptsTo(t, c, msg, plaintext, nil)
		}
	}
}

func TestPolicies(t *testing.T) {
	plaintext := []byte("plaintext")
	for _, policy := range []keyring.CommitmentPolicy{
		keyring.RequireEncryptRequireDecrypt, keyring.RequireEncryptAllowDecrypt, keyring.ForbidEncryptAllowDecrypt,
	} {
		for _, s := range suite.IDs[keyring.Suite]() {
			_, err := envelope.New(zeroKey(t), &envelope.Options{Suite: s, CommitmentPolicy: policy})
			if s.Commits() == (policy == keyring.ForbidEncryptAllowDecrypt) {
				require.ErrorIs(t, err, envelope.ErrPolicy)
			} else {
				require.NoError(t, err)
			}

			msg := encrypt(t, newClient(t, optionsFor(s, 100)), plaintext)
			counting := &countingKeyring{Keyring: zeroKey(t)}
			c, err := envelope.New(counting, &envelope.Options{CommitmentPolicy: policy})
			require.NoError(t, err)
			if policy == keyring.RequireEncryptRequireDecrypt && !s.Commits() {
				decryptFails(t, c, msg, plaintext, nil, envelope.ErrPolicy)
				assert.Zero(t, counting.decrypts.Load(), "the keyring was asked for a message that is refused")
			} else {
				decryptsTo(t, c, msg, plaintext, nil)
			}
		}
	}
}

// TestSignedIsHeldBack alters signatures: a reader must not have released the
// end of the message, and of a message of one frame nothing.
func TestSignedIsHeldBack(t *testing.T) {
	for _, n := range []int{5, 10, 35} {
		eachSuite(t, 10, func(t *testing.T, c *envelope.Client) {
			plaintext := randomBytes(n)
			msg := encrypt(t, c, plaintext)
			h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
			require.NoError(t, err)
			if !h.Suite.Signs() {
				return
			}
			msg[len(msg)-1] ^= 1
			for name, decrypt := range decryptWays {
				got, err := decrypt(t.Context(), c.Decrypter, msg, testContext)
				require.ErrorIs(t, err, envelope.ErrSignature, name)
				assert.LessOrEqual(t, len(got), (n-1)/10*10, name)
			}
		})
	}
}

// TestVerifiedFramesComeFirst has a good frame and a bad one arrive together.
func TestVerifiedFramesComeFirst(t *testing.T) {
	c := newClient(t, &envelope.Options{FrameLength: 10})
	plaintext := randomBytes(35)
	msg := encrypt(t, c, plaintext)
	h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
	require.NoError(t, err)
	msg[h.Length+2*(10+message.RegularOverhead)+20] ^= 1 // in the third frame
	for name, decrypt := range decryptWays {
		got, err := decrypt(t.Context(), c.Decrypter, msg, testContext)
		require.ErrorIs(t, err, envelope.ErrAuthentication, name)
		assert.ErrorContains(t, err, "frame 3", name)
		if name != "Decrypt" {
			assert.Equal(t, plaintext[:20], got, name)
		}
	}
}

func TestOptionsRefused(t *testing.T) {
	for name, o := range map[string]envelope.Options{
		"policy":                    {CommitmentPolicy: 9},
		"suite":                     {Suite: 0x1234},
		"negative frame length":     {FrameLength: -1},
		"huge frame length":         {FrameLength: math.MaxInt},
		"negative unwraps":          {MaxUnwraps: -1},
		"negative keys":             {MaxEncryptedDataKeys: -1},
		"too many keys":             {MaxEncryptedDataKeys: 1 << 16},
		"negative header":           {MaxHeaderLength: -1},
		"negative max frame length": {MaxFrameLength: -1},
		"huge max frame length":     {MaxFrameLength: math.MaxInt},
		"unreadable frame length":   {FrameLength: 100, MaxFrameLength: 99},
		"negative non-framed":       {MaxNonFramedLength: -1},
		"negative stream":           {MaxStreamLength: -1},
		"huge non-framed":           {MaxNonFramedLength: 1 << 36},
		"negative concurrency":      {Concurrency: -1},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := envelope.New(zeroKey(t), &o)
			require.ErrorIs(t, err, envelope.ErrInvalidArgument)
			_, err = envelope.ParseHeader(bytes.NewReader(nil), &o)
			require.ErrorIs(t, err, envelope.ErrInvalidArgument)
		})
	}
	for _, err := range []error{
		func() error { _, err := envelope.New(nil, nil); return err }(),
		func() error { _, err := envelope.NewFromManager(nil, nil); return err }(),
		func() error { _, err := envelope.NewEncrypter(nil, nil); return err }(),
		func() error { _, err := envelope.NewDecrypter(nil, nil); return err }(),
		func() error { _, err := envelope.NewEncrypterFromManager(nil, nil); return err }(),
		func() error { _, err := envelope.NewDecrypterFromManager(nil, nil); return err }(),
		func() error { _, err := newClient(t, nil).NewWriter(t.Context(), nil, nil); return err }(),
		func() error { _, err := newClient(t, nil).NewReader(t.Context(), nil, nil); return err }(),
	} {
		require.ErrorIs(t, err, envelope.ErrInvalidArgument)
	}
}

func TestSizes(t *testing.T) {
	c := newClient(t, &envelope.Options{FrameLength: 10})
	h, err := envelope.ParseHeader(bytes.NewReader(encrypt(t, c, nil)), nil)
	require.NoError(t, err)
	for _, n := range []int64{-1, 10*(1<<32-1) + 1, 1<<63 - 1} {
		_, err := h.MessageSize(n)
		require.ErrorIs(t, err, envelope.ErrLimit, "%d", n)
	}
	size, err := h.MessageSize(10 * (1<<32 - 1))
	require.NoError(t, err)
	back, err := h.PlaintextSize(size)
	require.NoError(t, err)
	assert.Equal(t, int64(10*(1<<32-1)), back)

	// Between the longest final frame and the shortest frame more is nothing.
	possible := map[int64]bool{}
	for n := range int64(100) {
		size, err := h.MessageSize(n)
		require.NoError(t, err)
		possible[size] = true
		if n > 0 && n%10 == 0 { // with an empty final frame, as others may write it
			possible[size+message.RegularOverhead] = true
		}
	}
	for n := range int64(h.Length + 300) {
		_, err := h.PlaintextSize(n)
		if possible[n] {
			require.NoError(t, err, "%d", n)
		} else {
			require.ErrorIs(t, err, envelope.ErrMalformed, "%d", n)
		}
	}
	for _, n := range []int64{-1, -1 << 63} {
		_, err = h.PlaintextSize(n)
		require.ErrorIs(t, err, envelope.ErrMalformed)
	}
	_, err = h.PlaintextSize(1<<63 - 1)
	require.ErrorIs(t, err, envelope.ErrMalformed)

	h.FrameLength = 0
	_, err = h.MessageSize(1)
	require.ErrorIs(t, err, envelope.ErrLimit)
	back, err = h.PlaintextSize(int64(h.Length) + 36)
	require.NoError(t, err)
	assert.Zero(t, back)
	_, err = h.PlaintextSize(int64(h.Length) + 35)
	require.ErrorIs(t, err, envelope.ErrMalformed)
}

// TestErrorsKeepSecrets looks for plaintext and ciphertext in errors.
func TestErrorsKeepSecrets(t *testing.T) {
	eachSuite(t, 10, func(t *testing.T, c *envelope.Client) {
		plaintext := []byte("SECRETSECRETSECRETSECRET")
		msg := encrypt(t, c, plaintext)
		for at := range msg {
			altered := bytes.Clone(msg)
			altered[at] ^= 0x20
			_, err := c.Decrypt(t.Context(), altered, testContext)
			require.Error(t, err)
			text := err.Error()
			assert.NotContains(t, text, "SECRET")
			assert.LessOrEqual(t, len(text), 600, text)
			for n := 0; n+8 <= len(altered)-40; n++ {
				if piece := altered[n : n+8]; !isASCII(piece) && strings.Contains(text, string(piece)) {
					t.Fatalf("ciphertext in %q", text)
				}
			}
		}
	})
}

func isASCII(b []byte) bool {
	return !bytes.ContainsFunc(b, func(r rune) bool { return r < ' ' || r > '~' })
}

func TestReaderSourceErrors(t *testing.T) {
	eachSuite(t, 10, func(t *testing.T, c *envelope.Client) {
		plaintext := randomBytes(35)
		msg := encrypt(t, c, plaintext)
		for n := range msg {
			src := io.MultiReader(bytes.NewReader(msg[:n]), iotest.ErrReader(errBroken))
			r, err := c.NewReader(t.Context(), src, testContext)
			var got []byte
			if err == nil {
				got, err = io.ReadAll(r)
			}
			require.ErrorIs(t, err, errBroken)
			require.NotErrorIs(t, err, io.ErrUnexpectedEOF)
			require.True(t, bytes.HasPrefix(plaintext, got))
			require.Less(t, len(got), len(plaintext))
		}
		// After the message, where the end ought to be.
		src := io.MultiReader(bytes.NewReader(msg), iotest.ErrReader(errBroken))
		r, err := c.NewReader(t.Context(), src, testContext)
		require.NoError(t, err)
		_, err = io.ReadAll(r)
		require.ErrorIs(t, err, errBroken)
	})
}

// TestNothingIsLeftBehind decrypts into buffers of every capacity around the
// plaintext's a message whose signature does not verify, with a footer shorter
// than the usual one: what was opened must be gone.
func TestNothingIsLeftBehind(t *testing.T) {
	c := newClient(t, &envelope.Options{Suite: signed, FrameLength: 512})
	plaintext := bytes.Repeat([]byte{0xaa}, 4096)
	msg := encrypt(t, c, plaintext)
	msg = message.AppendFooter(msg[:len(msg)-105], bytes.Repeat([]byte{0x55}, 60))
	for capacity := 3950; capacity < 4350; capacity++ {
		dst := make([]byte, capacity)
		got, err := c.AppendDecrypt(t.Context(), dst[:0], msg, nil)
		require.ErrorIs(t, err, envelope.ErrSignature)
		require.Nil(t, got)
		require.NotContains(t, string(dst), "\xaa\xaa\xaa\xaa", "capacity %d", capacity)
	}
}

func TestParseHeaderOddSources(t *testing.T) {
	for _, n := range []liar{-1, 1 << 30} {
		_, err := envelope.ParseHeader(n, nil)
		require.ErrorIs(t, err, envelope.ErrInvalidArgument)
	}
	_, err := envelope.ParseHeader(lazyReader{}, nil)
	require.ErrorIs(t, err, io.ErrNoProgress)
}
