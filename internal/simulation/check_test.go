package simulation

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring/awskms"
)

// checked is how far check has come.
type checked struct{ calls, events int }

const (
	// settles is how long what was before may show in what comes after: a load that
	// began before, with its retries.
	settles = loadTimeout*9/8 + time.Second

	// enough is the time that a caller needs for all regions, and a caller in an
	// outage for a load to be given up.
	enough = 30 * time.Second

	// remembered is how long a cache takes a key service to be out after a failure.
	remembered = 30 * time.Second
)

// check holds what has happened since the last time against the invariants.
func (w *world) check(c *checked) error {
	j := w.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	for ; c.calls < len(j.calls); c.calls++ {
		call := j.calls[c.calls]
		if err := w.checkCall(call); err != nil {
			p := w.accounts[call.account]
			return fmt.Errorf("%w\nthe call: account %d (%v), tenant %d, message %.20q, %v to %v, limit %v, error %v",
				err, call.account, p.account, call.tenant, call.message, call.began, call.ended, call.timeLimit, call.err)
		}
	}
	for ; c.events < len(j.events); c.events++ {
		if err := w.checkEvent(j.events[c.events]); err != nil {
			return err
		}
	}
	return w.checkLoads()
}

// checkEvent checks that no region is taken to be down, nor left out of a message,
// without a reason.
func (w *world) checkEvent(e event) error {
	p := w.accounts[e.account]
	switch e.Kind {
	case awskms.RegionDown:
		if w.wasUp(e.Region, e.at-settles-hangTime, e.at) {
			return fmt.Errorf("%v: account %d (%v): %s is taken to be down, and is up: %w", e.at, e.account, p.account, e.Region, e.Err)
		}
	case awskms.Degraded:
		for _, r := range e.Missing {
			if !w.wasUp(r, e.at-settles-hangTime-cooldown, e.at) {
				return nil
			}
		}
		// As long as nobody has asked a region again, nobody knows that it is up.
		if !w.wasDenied(e.account, e.at-settles, e.at) && w.askedAgain(e) {
			return fmt.Errorf("%v: account %d (%v): a data key is not for %v, which are up: %w", e.at, e.account, p.account, e.Missing, e.Err)
		}
	}
	return nil
}

func (w *world) checkCall(c *call) error {
	switch {
	case c.hostile && c.err == nil:
		return errors.New("an altered message was opened")
	case c.hostile:
		return nil
	case c.wrong:
		return errors.New("the plaintext is another")
	case c.err == nil:
		return w.checkServed(c)
	default:
		return w.checkFailed(c)
	}
}

// checkServed checks that a call that was served might be: by a data key within its
// limits, and not after a refusal.
func (w *world) checkServed(c *call) error {
	if c.uncached {
		return nil
	}
	stale, fresh := false, false
	for _, i := range w.loaded(c.identity, c.ended) {
		// The age counts from before the keyring was asked.
		age := c.began - i.began
		if w.refusedBetween(c.identity, i.ended, c.began) {
			continue
		}
		switch {
		case age < maxAge:
			fresh = true
		case age < maxAge+w.accounts[c.account].staleFor:
			stale = true
		}
	}
	switch {
	case fresh:
		return nil
	case !stale:
		return errors.New("served by a data key that is past its limits, or that was refused since")
	case !w.outageKnown(c):
		return errors.New("served past its age, and no outage was met")
	}
	return nil
}

// checkFailed checks that a call that failed could not be served, and that its error
// says why.
func (w *world) checkFailed(c *call) error {
	hurried := c.timeLimit > 0 && c.timeLimit < enough
	denied := w.wasDenied(c.account, c.began-settles, c.ended)
	expired := c.timeLimit > 0 && c.timeLimit < time.Millisecond // before it began
	for _, i := range w.loaded(c.identity, c.began-time.Millisecond) {
		if c.uncached || w.accounts[c.account].maxEntries > 0 {
			break // it may have given way
		}
		age := c.ended - i.began
		if w.purgedSince(c.account, i.began) || w.wasDenied(c.account, i.began, c.ended) {
			continue
		}
		if age < maxAge && !expired {
			return fmt.Errorf("failed, and there is a data key from %v", i.began)
		}
		if age < maxAge+w.accounts[c.account].staleFor && (!hurried || !expired && w.toldOfOutage(c, i)) {
			return fmt.Errorf("failed in an outage, and there is a data key from %v that may be used", i.began)
		}
	}
	if hurried {
		return nil
	}
	if !denied && w.serviceUp(c) {
		return errors.New("failed, and KMS could serve it")
	}
	if !denied && !errors.Is(c.err, envelope.ErrUnavailable) {
		return errors.New("failed for an outage, and the error is not ErrUnavailable")
	}
	return nil
}

// askedAgain says whether an account's keyring has encrypted, for all its regions, since
// the last fault of one of them and its cooldown.
func (w *world) askedAgain(e event) bool {
	last := time.Duration(0)
	for _, c := range w.journal.changes {
		if c.region != "" && c.at <= e.at {
			last = c.at
		}
	}
	for _, i := range w.journal.invocations {
		if i.account == e.account && i.message == "" && i.err == nil && i.began > last+cooldown && i.ended != 0 && i.ended < e.at-time.Millisecond {
			return true
		}
	}
	return false
}

// toldOfOutage says whether a load to replace a data key failed so lately that the cache
// knows of the outage.
func (w *world) toldOfOutage(c *call, held *invocation) bool {
	told := false
	for _, i := range w.journal.invocations {
		if i.identity != c.identity || i.ended == 0 || i.ended <= held.ended || i.ended >= c.began-time.Millisecond {
			continue
		}
		if i.err == nil {
			return false // another data key is held
		}
		told = told || !i.cancelled && c.began-i.ended < remembered-5*time.Second
	}
	return told
}

// loaded returns invocations that brought a data key, until some moment.
func (w *world) loaded(id identity, until time.Duration) (all []*invocation) {
	for _, i := range w.journal.invocations {
		if i.identity == id && i.ended != 0 && i.ended <= until+1 && i.err == nil {
			all = append(all, i)
		}
	}
	return all
}

// refusedBetween says whether the cache has been told of a refusal.
func (w *world) refusedBetween(id identity, from, to time.Duration) bool {
	for _, i := range w.journal.invocations {
		if i.identity == id && i.ended > from && i.ended < to && i.err != nil && !i.cancelled && i.denied.Load() {
			return true
		}
	}
	return false
}

// outageKnown says whether a load failed not long before a call, or one that was to
// find out lasted.
func (w *world) outageKnown(c *call) bool {
	for _, i := range w.journal.invocations {
		if i.identity != c.identity || i.began > c.ended {
			continue
		}
		if i.ended == 0 || i.ended >= c.began-remembered && i.err != nil {
			return true
		}
	}
	return false
}

func (w *world) purgedSince(account int, since time.Duration) bool {
	for _, c := range w.journal.changes {
		if c.purged && c.account == account && c.at >= since {
			return true
		}
	}
	return false
}

// wasDenied says whether an account was denied at any moment of a time.
func (w *world) wasDenied(account int, from, to time.Duration) bool {
	denied := false
	for _, c := range w.journal.changes {
		if c.region != "" || c.purged || c.account != account {
			continue
		}
		if denied && c.at >= from || c.denied && c.at >= from && c.at <= to {
			return true
		}
		if c.at > to {
			break
		}
		denied = c.denied
	}
	return denied
}

// wasUp says whether a region had no fault at any moment of a time.
func (w *world) wasUp(region string, from, to time.Duration) bool {
	was := up
	for _, c := range w.journal.changes {
		if c.region != region {
			continue
		}
		if c.at > to {
			break
		}
		if c.at >= from && (was != up || c.fault != up) {
			return false
		}
		was = c.fault
	}
	return was == up
}

// serviceUp says whether KMS could serve a call the whole time, and long enough before
// that nothing from earlier hinders.
func (w *world) serviceUp(c *call) bool {
	p := w.accounts[c.account]
	good := 0
	for _, r := range regions[:p.regions] {
		if w.wasUp(r, c.began-settles-cooldown, c.ended) {
			good++
		}
	}
	if c.message != "" || p.replicas {
		return good > 0
	}
	return good >= p.minRegions
}

// checkLoads checks that in calm times keyrings are asked rarely.
func (w *world) checkLoads() error {
	type tally struct {
		n    int
		from time.Duration
	}
	counts := map[identity]*tally{}
	for _, i := range w.journal.invocations {
		if i.ended == 0 || i.uncached || w.accounts[i.account].maxEntries > 0 {
			continue
		}
		t := counts[i.identity]
		if t == nil {
			t = &tally{}
			counts[i.identity] = t
		}
		if i.err != nil {
			*t = tally{}
			continue
		}
		// From one moment on: all is calm, and so a load serves for most of its age.
		if t.n == 0 || !w.calm(i.account, t.from, i.ended) {
			*t = tally{from: i.began}
		}
		t.n++
		if most := 2 + int((i.ended-t.from)/(maxAge*7/10)); t.n > most {
			return fmt.Errorf("account %d, tenant %d, message %.20q: %d loads from %v to %v, where %d are enough",
				i.account, i.tenant, i.message, t.n, t.from, i.ended, most)
		}
	}
	return nil
}

func (w *world) calm(account int, from, to time.Duration) bool {
	for _, c := range w.journal.changes {
		if c.at >= from-settles && c.at <= to && (c.purged || c.region != "" || c.account == account) {
			return false
		}
	}
	return true
}
