package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A load is one call of the manager. Callers who miss the same entry while it lasts wait
// for it together.
type load struct {
	id   identity
	done chan struct{} // closed when the next four fields are set

	err error
	// reserved are the materials for the caller who started the load. That use is
	// counted already, so that others cannot use up the entry first.
	reserved copied
	kept     bool // the entry, or a younger one, is in the cache, where the other callers find it
	purged   bool // the entry is not in the cache, because of a purge

	// ended is set when the manager returns, or when its time is up. Whichever comes
	// first delivers; what comes second is dropped.
	ended atomic.Bool

	// handover is set by deliver, and by abandon. Whichever comes second clears reserved.
	handover atomic.Bool

	cancel    context.CancelFunc
	cancelled atomic.Bool // by giveUp

	ctx   context.Context // with the values of whoever started it; does not end
	began time.Duration   // by Cache.elapsed

	partition string

	// Guarded by loads.mu.
	waiting    int  // callers
	background bool // goes on when no caller waits
	orphan     bool // is in loads.orphans
}

// deliver sets the result of the load and wakes the callers. If the one who started it
// has abandoned it, deliver clears what was reserved for them.
func (l *load) deliver(reserved copied, kept bool, err error) {
	l.reserved, l.kept, l.err = reserved, kept, err
	if !l.handover.CompareAndSwap(false, true) {
		reserved.clear()
	}
	close(l.done)
}

// abandon is called when whoever started the load will not take what is reserved for
// them. If that was delivered already, abandon clears it.
func (l *load) abandon() {
	if !l.handover.CompareAndSwap(false, true) {
		<-l.done
		l.reserved.clear()
	}
}

// loads are the loads under way.
type loads struct {
	mu      sync.Mutex
	running map[identity]*load // those that callers may join

	// orphans are loads that go on though their callers have gone away, the oldest
	// first. Whoever comes next may join one.
	orphans []*load
}

// Each partition may have Limits.MaxRefreshes orphans, and all partitions together
// maxOrphanPartitions times as many.
const maxOrphanPartitions = 16

// join returns the load of an identity for the caller to wait for. If none is under way,
// join has start begin one, and leads is true. It returns no load if one has just ended
// whose result is in the cache. The lock is not held while the manager is asked: start
// does that in another goroutine.
func (c *Cache) join(id identity, n int64, start func() *load) (one *load, leads bool) {
	c.loads.mu.Lock()
	defer c.loads.mu.Unlock()
	if one, ok := c.loads.running[id]; ok {
		one.waiting++
		return one, false
	}
	// A load's result is in the cache before the load is taken out of running.
	if c.usable(id, n) {
		return nil, false
	}
	one = start()
	c.loads.running[id] = one
	return one, true
}

// stopWaiting is called when a caller goes away before its load has ended. If that was the
// last caller, the load is cancelled, or goes on for whoever comes next. It goes on
//   - if it replaces an entry that may be used in an outage (StaleFor): only the load's
//     end tells of the outage;
//   - or else as an orphan. If there are too many of those, the oldest is cancelled.
func (c *Cache) stopWaiting(l *load) {
	c.loads.mu.Lock()
	defer c.loads.mu.Unlock()
	l.waiting--
	if l.waiting > 0 || l.background || l.ended.Load() {
		return
	}
	if c.loads.running[l.id] != l {
		l.giveUp()
		return
	}
	l.background = true
	if c.limits.StaleFor > 0 && c.find(l.id) != nil {
		return // as many as there are entries
	}
	l.orphan = true
	c.loads.orphans = append(c.loads.orphans, l)
	// The oldest is the least likely to end.
	ofPartition := 0
	for _, o := range slices.Backward(c.loads.orphans) {
		if o.partition == l.partition {
			ofPartition++
		}
		if ofPartition > c.limits.MaxRefreshes {
			c.loads.drop(o)
			return
		}
	}
	if len(c.loads.orphans) > maxOrphanPartitions*c.limits.MaxRefreshes {
		c.loads.drop(c.loads.orphans[0])
	}
}

// drop cancels an orphan, unless callers have joined it again: then it goes on only for as
// long as one of them waits. mu is held.
func (l *loads) drop(orphan *load) {
	l.forget(orphan)
	if orphan.background = false; orphan.waiting == 0 {
		delete(l.running, orphan.id)
		orphan.giveUp()
	}
}

// forget takes a load out of orphans. mu is held.
func (l *loads) forget(orphan *load) {
	orphan.orphan = false
	l.orphans = slices.DeleteFunc(l.orphans, func(o *load) bool { return o == orphan })
}

// giveUp cancels a load that nobody waits for.
func (l *load) giveUp() {
	l.cancelled.Store(true)
	l.cancel()
}

// unlist takes a load that has ended out of running and orphans.
func (c *Cache) unlist(l *load) {
	c.loads.mu.Lock()
	defer c.loads.mu.Unlock()
	if c.loads.running[l.id] == l {
		delete(c.loads.running, l.id)
	}
	if l.orphan {
		c.loads.forget(l)
	}
}

// startLoad starts a goroutine that asks the manager for an entry's materials, and
// returns the load with one caller waiting. The manager gets the values of the caller's
// context but not its end, since other callers may wait too. A manager that does not
// return when LoadTimeout is over is not waited for.
func (c *Cache) startLoad(ctx context.Context, id identity, n int64, e *entry) *load {
	l := &load{id: id, partition: e.partition, done: make(chan struct{}), waiting: 1,
		ctx: context.WithoutCancel(ctx), began: c.elapsed()}
	ctx, l.cancel = context.WithTimeout(l.ctx, c.limits.LoadTimeout)
	c.admit.Lock()
	e.generation = c.generation
	c.admit.Unlock()
	// Somewhat later than the manager's context ends, so that a manager which heeds it
	// has the time to return its own error.
	giveUp := time.AfterFunc(c.limits.LoadTimeout+c.limits.LoadTimeout/8, func() {
		c.loadFailed(id, errIgnoresContext)
		c.end(l, copied{}, false, errIgnoresContext)
	})
	go func() {
		var reserved copied
		var kept, filled bool
		var err error
		defer func() {
			if !filled {
				err = c.failed(l, errors.New("cache: the materials manager ended its goroutine"))
			}
			giveUp.Stop()
			l.cancel()
			c.end(l, reserved, kept, err)
		}()
		reserved, kept, err = c.fill(ctx, l, e, n)
		filled = true
	}()
	return l
}

// end delivers the result of a load, and counts it. A second call for a load, of a manager
// that returned after its time was up, only clears what it brings.
func (c *Cache) end(l *load, reserved copied, kept bool, err error) {
	if !l.ended.CompareAndSwap(false, true) {
		reserved.clear()
		return
	}
	var told Event
	switch {
	case err == nil:
		told.Kind = Load
	case l.cancelled.Load() || errors.Is(err, ErrClosed):
		// This says nothing of the manager.
	case rejected(err):
		c.counters.rejected.Add(1)
		told = Event{Kind: LoadRejected, Err: err}
	default:
		err = asUnavailable(err)
		c.counters.failed.Add(1)
		told = Event{Kind: LoadFailed, Err: err}
	}
	c.unlist(l)
	l.deliver(reserved, kept, err)
	// Last, since who is told may come back.
	if told.Kind != 0 {
		c.answered(l.ctx, told, l.began)
	}
}

// refreshSoon replaces an entry in the background, unless that is being done already, or
// MaxRefreshes other entries are being replaced.
func (c *Cache) refreshSoon(e *entry) {
	if !e.refreshing.CompareAndSwap(false, true) {
		return
	}
	select {
	case c.refresh <- struct{}{}:
	default:
		e.refreshing.Store(false)
		return
	}
	go func() {
		defer func() { <-c.refresh }()
		// If that failed, or the new entry could not be kept, as after a purge, a later
		// hit tries again. Callers see the error only once the old entry has expired.
		if !c.replace(e) {
			time.AfterFunc(min(c.limits.MaxAge/20, firstProbe), func() { e.refreshing.Store(false) })
		}
	}()
}

// probe tries in the background to replace an entry, to find out whether an outage is
// over. It does so in place of the entry's callers, who need not wait.
func (c *Cache) probe(e *entry) {
	go func() {
		defer e.outages.probeEnded()
		c.replace(e)
	}()
}

// replace loads an entry's materials anew, or waits for a load under way that does. It
// returns true if the entry is no longer in the cache.
func (c *Cache) replace(e *entry) bool {
	c.loads.mu.Lock()
	l, others := c.loads.running[e.id]
	if !others {
		// A load's result is in the cache before the load is taken out of running.
		if c.find(e.id) != e {
			c.loads.mu.Unlock()
			return true
		}
		l = c.startLoad(c.ctx, e.id, 0, e.again())
		l.waiting, l.background = 0, true
		c.loads.running[e.id] = l
	}
	c.loads.mu.Unlock()
	if !others {
		c.counters.refreshes.Add(1)
		c.event(l.ctx, Event{Kind: Refresh})
		l.abandon()
	}
	<-l.done
	return l.err == nil && l.kept
}

// fill has the manager make the materials of an entry, and inserts it. It returns a copy
// of the materials for a message of n bytes, and whether the entry is in the cache.
func (c *Cache) fill(ctx context.Context, l *load, e *entry, n int64) (reserved copied, kept bool, err error) {
	stop := context.AfterFunc(c.ctx, l.cancel)
	defer stop()

	// The age counts from before the manager was asked.
	now := c.elapsed()
	c.counters.loads.Add(1)
	if err := c.call(ctx, e); err != nil {
		return copied{}, false, c.failed(l, err)
	}
	e.born(now, &c.limits)
	e.spend(n, &c.limits) // succeeds: cachesEncryption turns away a message over MaxBytes
	reserved = e.copy()
	if kept = c.insert(e); !kept {
		l.purged = c.admission.fits(e)
		c.clear(e)
	}
	return reserved, kept, nil
}

// failed takes note of a load that failed, and returns the error for its callers.
func (c *Cache) failed(l *load, err error) error {
	switch {
	case c.ctx.Err() != nil:
		return ErrClosed
	case !l.cancelled.Load():
		c.loadFailed(l.id, err)
	default:
		// A cancelled load fails for that reason: only a refusal says more.
		if _, refusal := classify(err); refusal {
			c.loadFailed(l.id, err)
		}
	}
	return err
}

// call asks the manager. It turns a panic into an error, since the caller cannot recover
// from one in this goroutine, and it would end the program.
func (c *Cache) call(ctx context.Context, e *entry) (err error) {
	defer func() {
		if p := recover(); p != nil {
			// Of the value only the type: it may hold anything.
			err = fmt.Errorf("cache: the materials manager panicked with a value of type %T", p)
		}
	}()
	if e.encryptReq != nil {
		m, err := c.manager.EncryptionMaterials(ctx, *e.encryptReq)
		if err != nil {
			return err
		}
		if err := m.Check(*e.encryptReq); err != nil {
			m.Clear()
			return err
		}
		if !m.Suite.DerivesKey() {
			m.Clear()
			return fmt.Errorf("cache: the materials manager chose suite %v, which must not be cached", m.Suite)
		}
		if err := m.Serialize(); err != nil {
			m.Clear()
			return fmt.Errorf("cache: %w", err)
		}
		e.encrypt = m
		return nil
	}
	m, err := c.manager.DecryptionMaterials(ctx, *e.decryptReq)
	if err != nil {
		return err
	}
	if err := m.Check(*e.decryptReq); err != nil {
		c.clearDecryption(m)
		return err
	}
	e.decrypt = m
	return nil
}

// sweep removes expired entries that nobody asks for.
func (c *Cache) sweep() {
	ticker := time.NewTicker(min(max((c.limits.MaxAge+c.limits.StaleFor)/4, time.Millisecond), time.Minute))
	defer ticker.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-ticker.C:
			c.expire()
		}
	}
}

// expire removes all expired entries.
func (c *Cache) expire() {
	c.purge(func(e *entry) bool {
		age := c.elapsed() - e.made
		return age < 0 || age >= c.limits.MaxAge+c.limits.StaleFor
	}, Expired)
}
