package cache

import (
	"context"
	"time"
)

// Limits bound the use of data keys and the size of a cache. They hold however
// many goroutines there are.
type Limits struct {
	// MaxAge is how long a data key may be used after it was made or unwrapped,
	// unless StaleFor allows more. It must be set. If access is revoked in a key's policy, data keys from before go on
	// being used until they reach MaxAge, or a load meets the refusal.
	MaxAge time.Duration

	// MaxMessages is the most messages to encrypt under one data key. Zero is
	// 2^32, the most that the AWS Encryption SDK allows. One bypasses the cache.
	MaxMessages int64

	// MaxBytes is the most bytes of plaintext to encrypt under one data key.
	// Zero is no limit. With a limit, streams of unknown length bypass the cache:
	// envelope's Options.MaxStreamLength makes theirs known.
	MaxBytes int64

	// MaxEntries is the most data keys to hold. Zero is no limit: MaxMemory bounds
	// the cache.
	MaxEntries int

	// MaxMemory is the most bytes to hold, by an estimate of all that a data key
	// takes here: with its context, the wrapped keys, and what the cache notes about it.
	// Some 50 KB that every cache has are not counted. Zero is 64 MiB, the least is 16
	// KiB. A data key that takes more than half of it is not kept.
	//
	// A data key with a few pairs of context and one KMS key takes about 2.5 KB.
	// A tenant whose data is written and read has two, one for each, so that the
	// default holds those of ten thousand tenants.
	//
	// When the room is used up, data keys that are used again and again stay. Those that
	// are used once, as for a stranger's messages, do not displace them.
	// Stats.CapacityMisses says what more room would save.
	MaxMemory int64

	// LoadTimeout is how long the manager may take for one request, which several callers
	// may wait for. Zero is 10s. A manager that takes longer counts as an outage.
	LoadTimeout time.Duration

	// NoRefresh stops the cache from replacing data keys in the background. Without it, a
	// data key that is in use is replaced before it reaches MaxAge, MaxMessages or
	// MaxBytes, so that no caller waits for the key service. With it, the first caller
	// after that does.
	NoRefresh bool

	// MaxRefreshes bounds two things, each by itself. Zero is 4.
	//   - how many data keys are replaced in the background at once;
	//   - how many loads of a partition go on when all of their callers have gone away.
	//
	// With StaleFor two kinds of loads are not bounded: those that look in the background
	// whether an outage is over, and those whose callers have gone away and that replace
	// a data key which the cache still holds.
	MaxRefreshes int

	// StaleFor is how long past MaxAge a data key may still be used in an outage of the
	// key service. Zero, the default, is never. Each such use is counted in Stats.
	//
	// The use begins when
	//   - the data key is past MaxAge, and
	//   - a load to replace it has failed for an outage in the last 30 seconds, be it
	//     before or after MaxAge. Until a load has failed, callers wait for it.
	//
	// While the data key is used, the cache tries in the background to replace it, every
	// one to eight seconds. The use ends when
	//   - such a load succeeds: its data key is used instead;
	//   - a load, for whichever caller, meets a refusal: the data key is dropped, at any age;
	//   - a load fails for another reason than an outage;
	//   - the data key is StaleFor past MaxAge, has reached MaxMessages or MaxBytes, is
	//     purged, or gives way to others;
	//   - the last failed load is 30 seconds ago and none is under way, since nobody used
	//     the data key: the next caller waits for a load again.
	//
	// An error is an outage when it is keyring.ErrUnavailable, has a method
	// Unavailable() bool that returns true, or is a timeout, and no part of it is a
	// refusal. It is a refusal when it is keyring.ErrPolicy, or has a method
	// Refused() bool that returns true, or has no such method and an Unavailable that
	// returns false. Where errors are wrapped, the outermost with such a method decides.
	StaleFor time.Duration

	// OnEvent, if not nil, is called for each Event, with the context of the request. What
	// it is told of loads comes with the values of the context that began the load, and an
	// Evict with an empty context. Whoever it is about waits until it returns: so it must be
	// quick. It is called without locks and by several goroutines at once, and may use
	// the cache. A panic in it is not recovered, and may be in a goroutine of the cache.
	OnEvent func(context.Context, Event)
}

const (
	longest     = 10 * 365 * 24 * time.Hour
	leastMemory = 16 << 10

	defaultMaxMessages  = 1 << 32
	defaultMaxMemory    = 64 << 20
	defaultLoadTimeout  = 10 * time.Second
	defaultMaxRefreshes = 4
)

func (l *Limits) setDefaults() error {
	switch {
	case l.MaxAge <= 0:
		return invalid("Limits.MaxAge is %v: set how long a data key may be used", l.MaxAge)
	case l.MaxAge > longest || l.StaleFor > longest:
		return invalid("Limits.MaxAge and Limits.StaleFor are %v at the most", longest)
	case l.MaxMessages < 0 || l.MaxMessages > defaultMaxMessages:
		return invalid("Limits.MaxMessages is %d: it must be 1 to 2^32", l.MaxMessages)
	case l.MaxBytes < 0:
		return invalid("Limits.MaxBytes is %d", l.MaxBytes)
	case l.MaxEntries < 0:
		return invalid("Limits.MaxEntries is %d", l.MaxEntries)
	case l.MaxMemory < 0 || l.MaxMemory > 0 && l.MaxMemory < leastMemory:
		return invalid("Limits.MaxMemory is %d", l.MaxMemory)
	case l.LoadTimeout < 0:
		return invalid("Limits.LoadTimeout is %v", l.LoadTimeout)
	case l.MaxRefreshes < 0:
		return invalid("Limits.MaxRefreshes is %d", l.MaxRefreshes)
	case l.StaleFor < 0:
		return invalid("Limits.StaleFor is %v", l.StaleFor)
	}
	setDefault(&l.MaxMessages, defaultMaxMessages)
	setDefault(&l.MaxMemory, defaultMaxMemory)
	setDefault(&l.LoadTimeout, defaultLoadTimeout)
	setDefault(&l.MaxRefreshes, defaultMaxRefreshes)
	return nil
}

func setDefault[T int | int64 | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}
