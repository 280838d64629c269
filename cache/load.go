package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// A load is one call of the manager, for all who miss the same entry meanwhile.
type load struct {
	id   identity
	done chan struct{} // closed when the rest is set

	err error
	// reserved is a use of what was loaded, set aside for whoever started the
	// load, who may be gone by then.
	reserved copied
	kept     bool // others find it in the cache

	ended    atomic.Bool // set by the first: the manager is done, or out of time
	handover atomic.Bool // set by the first: reserved is there, or nobody waits

	cancel    context.CancelFunc
	cancelled atomic.Bool // since nobody waits

	// Guarded by loads.mu.
	waiting    int
	background bool // goes on though nobody waits
	orphan     bool // holds a token for that
}

// deliver hands over what came of the load.
func (l *load) deliver(reserved copied, kept bool, err error) {
	l.reserved, l.kept, l.err = reserved, kept, err
	if !l.handover.CompareAndSwap(false, true) {
		reserved.clear()
	}
	close(l.done)
}

// abandon says that whoever started the load takes nothing from it.
func (l *load) abandon() {
	if !l.handover.CompareAndSwap(false, true) {
		<-l.done
		l.reserved.clear()
	}
}

// loads are the loads under way that others may wait for.
type loads struct {
	mu      sync.Mutex
	running map[identity]*load
}

// join returns the load of an identity, which start begins if there is none, and
// whether it did. It returns none when another has just ended whose result is in
// the cache. No lock is held while the manager is asked.
func (c *Cache) join(id identity, n int64, start func() *load) (one *load, leads bool) {
	c.loads.mu.Lock()
	defer c.loads.mu.Unlock()
	if one, ok := c.loads.running[id]; ok {
		one.waiting++
		return one, false
	}
	// A load is in the cache before it leaves.
	if c.usable(id, n) {
		return nil, false
	}
	one = start()
	c.loads.running[id] = one
	return one, true
}

// left says that one of those who waited for a load does so no longer. When nobody
// does, the load goes on if its result may serve whoever comes next, and few do so;
// else it is cancelled, and whoever comes next starts another.
func (c *Cache) left(l *load) {
	c.loads.mu.Lock()
	defer c.loads.mu.Unlock()
	l.waiting--
	if l.waiting > 0 || l.background || l.ended.Load() {
		return
	}
	if c.loads.running[l.id] == l {
		select {
		case c.orphans <- struct{}{}:
			l.background, l.orphan = true, true
			return
		default:
		}
		delete(c.loads.running, l.id)
	}
	l.cancelled.Store(true)
	l.cancel()
}

// leave takes a load that has ended out of the books.
func (c *Cache) leave(l *load) {
	c.loads.mu.Lock()
	defer c.loads.mu.Unlock()
	if c.loads.running[l.id] == l {
		delete(c.loads.running, l.id)
	}
	if l.orphan {
		<-c.orphans
	}
}

// startLoad asks the manager in a goroutine of its own: it outlives the caller's
// context, whose values it keeps, since others may be waiting too. A manager that
// does not end in time is given up. One caller is taken to wait.
func (c *Cache) startLoad(ctx context.Context, id identity, n int64, e *entry) *load {
	l := &load{id: id, done: make(chan struct{}), waiting: 1}
	ctx, l.cancel = context.WithTimeout(context.WithoutCancel(ctx), c.limits.LoadTimeout)
	c.admit.Lock()
	e.generation = c.generation
	c.admit.Unlock()
	// Somewhat later than the context that tells the manager.
	giveUp := time.AfterFunc(c.limits.LoadTimeout+c.limits.LoadTimeout/8, func() {
		c.settle(id, errIgnoresContext)
		c.end(l, copied{}, false, errIgnoresContext)
	})
	go func() {
		var reserved copied
		var kept bool
		err := errors.New("cache: the materials manager ended its goroutine")
		defer func() {
			giveUp.Stop()
			l.cancel()
			c.end(l, reserved, kept, err)
		}()
		reserved, kept, err = c.fill(ctx, l, e, n)
	}()
	return l
}

// end ends a load that has not ended, and counts what came of it.
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
		// It has no bearing on the manager.
	case rejected(err):
		c.counters.rejected.Add(1)
		told = Event{Kind: LoadRejected, Err: err}
	default:
		err = asUnavailable(err)
		c.counters.failed.Add(1)
		told = Event{Kind: LoadFailed, Err: err}
	}
	c.leave(l)
	l.deliver(reserved, kept, err)
	// Last, since who is told may come back.
	if told.Kind != 0 {
		c.event(told)
	}
}

// refreshSoon replaces an entry in the background, unless that is being done or
// enough is.
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
		// A failure shows to the caller who comes when the key has expired;
		// until then a later hit tries again. So it does when what was loaded could
		// not be kept, as after a purge.
		if !c.replace(e) {
			time.AfterFunc(min(c.limits.MaxAge/20, firstProbe), func() { e.refreshing.Store(false) })
		}
	}()
}

// probe looks in the background whether an outage is over for an entry. There is
// one for each entry that is in use, in place of the callers who would ask.
func (c *Cache) probe(e *entry) {
	go func() {
		defer e.outages.looked()
		c.replace(e)
	}()
}

// replace loads an entry's materials anew, or waits for whoever does, and says
// whether there is nothing left to do.
func (c *Cache) replace(e *entry) bool {
	c.loads.mu.Lock()
	l, others := c.loads.running[e.id]
	if !others {
		// A load is in the cache before it leaves.
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
		c.event(Event{Kind: Refresh})
		l.abandon()
	}
	<-l.done
	return l.err == nil && l.kept
}

// fill has the manager make the materials of an entry, inserts it, and returns
// a use of n bytes of it, and whether the entry was kept.
func (c *Cache) fill(ctx context.Context, l *load, e *entry, n int64) (reserved copied, kept bool, err error) {
	stop := context.AfterFunc(c.ctx, l.cancel)
	defer stop()

	// The age counts from before the manager was asked.
	now := c.elapsed()
	c.counters.loads.Add(1)
	if err := c.call(ctx, e); err != nil {
		switch {
		case c.ctx.Err() != nil:
			err = ErrClosed
		case !l.cancelled.Load():
			c.settle(e.id, err)
		}
		return copied{}, false, err
	}
	e.born(now, &c.limits)
	e.spend(n, &c.limits) // a message that is past the limits alone does not come here
	reserved = e.copy()
	if kept = c.insert(e); !kept {
		e.clear()
	}
	return reserved, kept, nil
}

// call asks the manager, and turns a panic into an error: it would end the
// program from a goroutine that the caller cannot guard.
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
		m.Clear()
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
