package envelope

import (
	"context"
	"math"
	"runtime"

	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/internal/suite"
	"github.com/go-sealring/sealring/keyring"
)

// Options adjust a client. The zero value, like nil, is the safest choice.
// Constructors copy them.
type Options struct {
	// Sign signs messages with ECDSA, under a key pair that is made for each data key. So
	// whoever can only decrypt cannot write messages that look like yours. It costs a
	// signature for each message, and only at the end of a stream can a Reader say that
	// the plaintext is authentic.
	Sign bool

	// Suite is the algorithm suite to encrypt with, for readers that need a certain
	// one. Zero means the commitment policy's default: AES-256-GCM with HKDF-SHA512 and
	// key commitment (0x0478), or with Sign the one that also signs (0x0578).
	Suite keyring.Suite

	// CommitmentPolicy says which suites may be written and read. Zero is
	// keyring.RequireEncryptRequireDecrypt.
	CommitmentPolicy keyring.CommitmentPolicy

	// FrameLength is the length in bytes of the frames that a message is
	// encrypted in: what a reader must hold before it releases plaintext, and
	// the least that a range read opens. Each frame adds 32 bytes. Zero is 4096.
	FrameLength int

	// MaxStreamLength, if set, is the most bytes of plaintext that a Writer takes. To
	// write more is ErrLimit. A cache with Limits.MaxBytes serves streams only if this is
	// set, and counts each stream as that long.
	MaxStreamLength int64

	// Concurrency is the most goroutines that work on one message at once, the caller's
	// included. Zero is GOMAXPROCS. Only messages of more than about 128 KiB are worked on
	// by several. The goroutines have ended when the call that started them returns.
	Concurrency int

	// MaxUnwraps is how many calls of the materials manager, each of which may wait for
	// a key service, DecryptBatch makes at once. Zero is 16.
	MaxUnwraps int

	// RefuseSigned refuses to decrypt signed messages, with ErrPolicy, right after the
	// header. It is for programs that act on plaintext before the end of a stream: whether
	// to trust a signed one, only its end says.
	RefuseSigned bool

	// MaxEncryptedDataKeys is the most wrapped data keys a message may have, and
	// so bounds the keyring's work. It holds for writing too. Zero is 64. The format
	// allows 65535.
	MaxEncryptedDataKeys int

	// MaxHeaderLength is the longest header in bytes. It holds for writing too.
	// Zero is 256 KiB.
	MaxHeaderLength int

	// MaxFrameLength is the longest frame length that is read, in bytes. A
	// reader holds a few frames in memory. Zero is 16 MiB.
	MaxFrameLength int

	// MaxNonFramedLength is the longest non-framed body that is read, in bytes.
	// Such a body, which older SDKs wrote and this package does not, is held in
	// memory whole. Zero is 64 MiB.
	MaxNonFramedLength int64

	// OnEvent, if not nil, is called when an operation has ended, with the context that the
	// operation was given, which may be done. The operation returns when OnEvent does: so
	// it must be quick. It is called without locks and by several goroutines at once, and
	// may use the client. A panic in it is not recovered.
	OnEvent func(context.Context, Event)
}

const (
	defaultFrameLength        = 4096
	defaultMaxUnwraps         = 16
	defaultMaxDataKeys        = 64
	defaultMaxHeaderLength    = 256 << 10
	defaultMaxFrameLength     = 16 << 20
	defaultMaxNonFramedLength = 64 << 20
)

// withDefaults returns a copy of o in which every field has its meaning, or
// says which one cannot have it.
func (o *Options) withDefaults() (Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	if c.CommitmentPolicy > keyring.ForbidEncryptAllowDecrypt {
		return c, invalid("Options.CommitmentPolicy %v", c.CommitmentPolicy)
	}
	switch {
	case c.Suite == 0 && c.Sign && c.CommitmentPolicy == keyring.ForbidEncryptAllowDecrypt:
		c.Suite = keyring.SuiteAES256GCMHKDFSHA384ECDSAP384
	case c.Suite == 0 && c.Sign:
		c.Suite = keyring.SuiteAES256GCMHKDFSHA512CommitECDSAP384
	case c.Suite == 0:
		c.Suite = c.CommitmentPolicy.DefaultSuite()
	case suite.ByID(uint16(c.Suite)) == nil:
		return c, invalid("Options.Suite %v", c.Suite)
	case c.Sign && !c.Suite.Signs():
		return c, invalid("Options.Sign is set, and Options.Suite %v does not sign: leave Suite zero", c.Suite)
	}
	setDefault(&c.FrameLength, defaultFrameLength)
	setDefault(&c.MaxUnwraps, defaultMaxUnwraps)
	setDefault(&c.MaxEncryptedDataKeys, defaultMaxDataKeys)
	setDefault(&c.MaxHeaderLength, defaultMaxHeaderLength)
	setDefault(&c.MaxFrameLength, max(defaultMaxFrameLength, c.FrameLength))
	setDefault(&c.MaxNonFramedLength, defaultMaxNonFramedLength)

	// On 32-bit machines memory ends before the format does.
	longest := min(math.MaxUint32, int64(math.MaxInt)-message.FinalOverhead)
	longestBody := min(message.MaxNonFramed, int64(math.MaxInt)-message.NonFramedPrefix-suite.TagLen)
	switch {
	case c.FrameLength < 0 || int64(c.FrameLength) > longest:
		return c, invalid("Options.FrameLength %d: it must be 1 to %d", c.FrameLength, longest)
	case c.MaxStreamLength < 0:
		return c, invalid("Options.MaxStreamLength %d: it must be positive", c.MaxStreamLength)
	case c.Concurrency < 0:
		return c, invalid("Options.Concurrency %d: it must be positive", c.Concurrency)
	case c.MaxUnwraps < 0:
		return c, invalid("Options.MaxUnwraps %d: it must be positive", c.MaxUnwraps)
	case c.MaxEncryptedDataKeys < 0 || c.MaxEncryptedDataKeys > math.MaxUint16:
		return c, invalid("Options.MaxEncryptedDataKeys %d: it must be 1 to 65535", c.MaxEncryptedDataKeys)
	case c.MaxHeaderLength < 0:
		return c, invalid("Options.MaxHeaderLength %d: it must be positive", c.MaxHeaderLength)
	case c.MaxFrameLength < 0 || int64(c.MaxFrameLength) > longest:
		return c, invalid("Options.MaxFrameLength %d: it must be 1 to %d", c.MaxFrameLength, longest)
	case c.FrameLength > c.MaxFrameLength:
		return c, invalid("Options.FrameLength %d is past MaxFrameLength %d: the client could not read what it writes",
			c.FrameLength, c.MaxFrameLength)
	case c.MaxNonFramedLength < 0 || c.MaxNonFramedLength > longestBody:
		return c, invalid("Options.MaxNonFramedLength %d: it must be 1 to %d", c.MaxNonFramedLength, longestBody)
	}
	return c, nil
}

func setDefault[T int | int64](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

func (o *Options) limits() message.Limits {
	return message.Limits{
		EncryptedDataKeys: o.MaxEncryptedDataKeys,
		HeaderLen:         o.MaxHeaderLength,
		FrameLength:       uint32(o.MaxFrameLength),
	}
}

// concurrency returns how many goroutines may work on one message.
func (o *Options) concurrency() int {
	if o.Concurrency == 0 {
		return runtime.GOMAXPROCS(0)
	}
	return o.Concurrency
}
