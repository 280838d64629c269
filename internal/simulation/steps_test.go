package simulation

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

var regions = []string{"us-east-1", "eu-west-1", "ap-south-1"}

// An account is a keyring with a cache, for some tenants.
type account struct {
	regions    int  // that its keys are in, the first ones
	replicas   bool // of one multi-Region key, else independent keys
	minRegions int
	hedgeAfter time.Duration
	ownClients bool // and so a retry quota of its own
	staleFor   time.Duration
	tenants    int
	maxEntries int // of the cache; zero is no limit
}

func (a account) String() string {
	return fmt.Sprintf("%+v", struct {
		regions, minRegions  int
		replicas, ownClients bool
		hedgeAfter, staleFor time.Duration
		tenants, maxEntries  int
	}{a.regions, a.minRegions, a.replicas, a.ownClients, a.hedgeAfter, a.staleFor, a.tenants, a.maxEntries})
}

// What all accounts have in common.
const (
	maxAge         = time.Minute
	loadTimeout    = 10 * time.Second
	attemptTimeout = 2 * time.Second
	cooldown       = 10 * time.Second
	messages       = 3 // of each tenant, from before the history
)

type kind int

const (
	encrypting kind = iota
	decrypting
	attacking
	faulting
	denying
	purging
)

// A step is one thing that happens, some time after the one before it.
type step struct {
	after     time.Duration
	kind      kind
	account   int
	tenant    int
	message   int
	times     int           // calls at once
	timeLimit time.Duration // of each; zero is none
	region    int
	fault     fault
	deny      bool
	uncached  bool
	attack    attack
}

// An attack is what a hostile header lists before some of the good wrapped keys.
type attack int

const (
	junkForTheFirst attack = iota // nine keys that the first region did not wrap
	junkForTheLast
	tooLong // nine that are longer than KMS takes
	attacks
)

func (s step) String() string {
	what := fmt.Sprintf("account %d, tenant %d", s.account, s.tenant)
	limit := ""
	if s.timeLimit > 0 {
		limit = fmt.Sprintf(", %v each", s.timeLimit)
	}
	if s.uncached {
		limit += ", without the cache"
	}
	switch s.kind {
	case encrypting:
		what = fmt.Sprintf("%s: encrypt %d times%s", what, s.times, limit)
	case decrypting:
		what = fmt.Sprintf("%s: decrypt message %d %d times%s", what, s.message, s.times, limit)
	case attacking:
		what = fmt.Sprintf("%s: decrypt message %d altered (%d) %d times%s", what, s.message, s.attack, s.times, limit)
	case faulting:
		what = fmt.Sprintf("%s is %v", regions[s.region], s.fault)
	case denying:
		what = fmt.Sprintf("account %d denied: %v", s.account, s.deny)
	case purging:
		what = fmt.Sprintf("%s: purge", what)
	}
	return fmt.Sprintf("after %v, %s", s.after, what)
}

// A history is the accounts and what happens to them.
type history struct {
	seed     uint64
	accounts []account
	steps    []step
}

func (h history) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d\n", h.seed)
	for i, a := range h.accounts {
		fmt.Fprintf(&b, "account %d: %v\n", i, a)
	}
	for _, s := range h.steps {
		fmt.Fprintln(&b, s)
	}
	return b.String()
}

// generate returns the history of a seed.
func generate(seed uint64) history {
	r := rand.New(rand.NewPCG(seed, 1))
	pick := func(ds ...time.Duration) time.Duration { return ds[r.IntN(len(ds))] }
	h := history{seed: seed}
	for range 1 + r.IntN(3) {
		a := account{
			regions:    1 + r.IntN(len(regions)),
			replicas:   r.IntN(2) == 0,
			ownClients: r.IntN(2) == 0,
			hedgeAfter: pick(0, 0, 10*time.Millisecond, 500*time.Millisecond),
			staleFor:   pick(0, 10*time.Second, time.Hour, time.Hour),
			tenants:    1 + r.IntN(3),
			maxEntries: []int{0, 0, 0, 0, 1, 3}[r.IntN(6)],
		}
		a.minRegions = 1 + r.IntN(a.regions)
		h.accounts = append(h.accounts, a)
	}
	// Some histories are calm, and some have many faults.
	calls, faults := 4+r.IntN(20), 1+r.IntN(6)
	for range 40 + r.IntN(80) {
		s := step{
			after:     pick(0, time.Millisecond, 50*time.Millisecond, time.Second, time.Second, 5*time.Second, 12*time.Second, 40*time.Second),
			account:   r.IntN(len(h.accounts)),
			message:   r.IntN(messages),
			times:     1,
			timeLimit: pick(0, 0, 5*time.Minute, 5*time.Minute, time.Nanosecond, 10*time.Millisecond, 30*time.Millisecond, time.Second, 5*time.Second),
			region:    r.IntN(len(regions)),
		}
		s.tenant = r.IntN(h.accounts[s.account].tenants)
		if r.IntN(5) == 0 {
			s.times = 2 + r.IntN(30)
		}
		// In an outage they spend the retry quota.
		s.uncached = r.IntN(10) == 0
		switch n := r.IntN(2*calls + 2*faults + 5); {
		case n < calls:
			s.kind = encrypting
		case n < 2*calls:
			s.kind = decrypting
		case n < 2*calls+faults:
			s.kind, s.fault = faulting, fault(r.IntN(int(faultCount)))
		case n < 2*calls+2*faults:
			s.kind = faulting // up
		case n < 2*calls+2*faults+2:
			s.kind, s.attack = attacking, attack(r.IntN(int(attacks)))
		case n < 2*calls+2*faults+4:
			s.kind, s.deny = denying, r.IntN(2) == 0
		default:
			s.kind = purging
		}
		h.steps = append(h.steps, s)
	}
	return h
}
