package cache

import "time"

// Limits bound the use of data keys and the size of a cache. They hold however
// many goroutines there are.
type Limits struct {
	// MaxAge is how long a data key may be used after it was made or unwrapped.
	// It must be set. Access that is revoked in a key's policy takes effect
	// when the last data key from before has reached it.
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
	// takes here: with its context, the wrapped keys, and the cache's own books,
	// of which a small cache has some 50 KB more. Zero is 64 MiB, the least is 16
	// KiB. A data key that takes more than half of it is not kept.
	//
	// A data key with a few pairs of context and one KMS key takes about 2.5 KB.
	// A tenant whose data is written and read has two, one for each, so that the
	// default holds those of ten thousand tenants.
	//
	// Where not all have room, those that are used again and again stay: data keys
	// that are used once, as a stranger's messages may have them loaded, do not
	// displace them. Stats.CapacityMisses says what more room would save.
	MaxMemory int64

	// LoadTimeout is how long the manager may take for one request that callers
	// wait for together. Zero is 10s. A key service that does not answer at all is
	// known to be out when it has passed.
	LoadTimeout time.Duration

	// NoRefresh switches off that a data key in use is replaced in the
	// background when it nears MaxAge, MaxMessages or MaxBytes, at a moment that
	// differs for each: with it, one caller in a while waits for the key service.
	NoRefresh bool

	// MaxRefreshes is the most of these replacements at once, and also the most loads
	// of a partition that go on when their callers have left. Zero is 4. With StaleFor,
	// loads that replace a data key which is held go on too, however many they are.
	MaxRefreshes int

	// StaleFor is how long past MaxAge a data key may still be used when the key
	// service is unavailable. Zero, the default, is never. Each use is counted in
	// Stats.
	//
	// It is unavailable for a data key when a load to replace it has failed for that
	// reason in the last 30 seconds, or one that looks whether it is back is under
	// way: when the manager's error is keyring.ErrUnavailable, has a method
	// Unavailable() bool that says so, or is a timeout, and no part of it is a refusal.
	// A refusal is keyring.ErrPolicy, or an error whose method Refused() bool says so,
	// or whose Unavailable says no and that has no Refused. It ends the use of what
	// was granted before, at any age.
	StaleFor time.Duration

	// OnEvent, if not nil, is called with what happens other than hits. Calls
	// come from several goroutines at once and hold up the caller.
	OnEvent func(Event)
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
