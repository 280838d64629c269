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
	done chan struct{} // closed when the rest is set

	err error
	// reserved is a use of what was loaded, set aside for whoever started the
	// load, who may be gone by then.
	reserved *copied
	handover atomic.Bool // set by the first: reserved is there, or nobody waits
}

// deliver ends the load.
func (l *load) deliver(reserved *copied, err error) {
	l.reserved, l.err = reserved, err
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

// loads are the loads under way.
type loads struct {
	mu      sync.Mutex
	running map[identity]*load
}

// join returns the load of an identity, which start begins if there is none, and
// whether it did. No lock is held while the manager is asked.
func (l *loads) join(id identity, start func() *load) (one *load, leads bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if one, ok := l.running[id]; ok {
		return one, false
	}
	one = start()
	l.running[id] = one
	return one, true
}

func (l *loads) leave(id identity) {
	l.mu.Lock()
	delete(l.running, id)
	l.mu.Unlock()
}

// startLoad asks the manager in a goroutine of its own: it outlives the caller's
// context, whose values it keeps, since others may be waiting too.
func (c *Cache) startLoad(ctx context.Context, id identity, n int64, e *entry) *load {
	l := &load{done: make(chan struct{})}
	ctx = context.WithoutCancel(ctx)
	go func() {
		reserved, err := c.fill(ctx, e, n)
		c.loads.leave(id)
		l.deliver(reserved, err)
	}()
	return l
}

// refreshSoon replaces an entry in the background, unless that is being done or
// enough is.
func (c *Cache) refreshSoon(id identity) {
	if c.limits.NoRefresh {
		return
	}
	s := c.shard(id)
	s.mu.RLock()
	e := s.entries[id]
	s.mu.RUnlock()
	if e == nil || !e.refreshing.CompareAndSwap(false, true) {
		return
	}
	select {
	case c.refresh <- struct{}{}:
	default:
		e.refreshing.Store(false)
		return
	}
	c.counters.refreshes.Add(1)
	c.event(Event{Kind: Refresh})
	go func() {
		defer func() { <-c.refresh }()
		l, leads := c.loads.join(id, func() *load { return c.startLoad(c.ctx, id, 0, e.again()) })
		if leads {
			l.abandon()
		}
		<-l.done
		// A failure shows to the caller who comes when the key has expired;
		// until then the next hit tries again, if not at once.
		if l.err != nil {
			time.AfterFunc(c.limits.MaxAge/20, func() { e.refreshing.Store(false) })
		}
	}()
}

// fill has the manager make the materials of an entry, inserts it, and returns
// a use of n bytes of it.
func (c *Cache) fill(ctx context.Context, e *entry, n int64) (reserved *copied, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.limits.LoadTimeout)
	defer cancel()
	stop := context.AfterFunc(c.ctx, cancel)
	defer stop()
	defer func() {
		if err != nil {
			c.counters.failed.Add(1)
			c.event(Event{Kind: LoadFailed, Err: err})
			if c.ctx.Err() != nil {
				err = ErrClosed
			}
			// A refusal ends what was granted before. An outage does not.
			c.settle(e, unavailable(err))
		}
	}()

	// The age counts from before the manager was asked.
	now := c.now()
	c.counters.loads.Add(1)
	if err := c.call(ctx, e); err != nil {
		return nil, err
	}
	e.born(now, &c.limits)
	if !e.spend(n, &c.limits) {
		return nil, fmt.Errorf("cache: a message of %d bytes is past the limits of a new data key", n)
	}
	reserved = e.copy()
	c.event(Event{Kind: Load})
	if !c.insert(e) {
		e.clear()
	}
	return reserved, nil
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

// outageHold is how long after an outage was met a key past its age is used
// without asking the key service again, so that not every caller waits for it.
const outageHold = time.Second

// settle deals with the entry in whose place e was to be, when loading failed.
func (c *Cache) settle(e *entry, outage bool) {
	s := c.shard(e.id)
	s.mu.RLock()
	old := s.entries[e.id]
	s.mu.RUnlock()
	switch {
	case old == nil:
	case outage:
		old.heldUntil.Store(c.now().Add(outageHold).UnixNano())
	default:
		c.drop(old, Purged)
	}
}

// unavailable says whether an error is an outage and nothing else: something in
// it says that the service was unavailable, and nothing that it was not.
func unavailable(err error) bool {
	outage, refusal := false, false
	var walk func(error)
	walk = func(err error) {
		if u, ok := err.(interface{ Unavailable() bool }); ok {
			if u.Unavailable() {
				outage = true
			} else {
				refusal = true
			}
			return
		}
		if errors.Is(err, context.DeadlineExceeded) {
			outage = true
		}
		switch u := err.(type) {
		case interface{ Unwrap() error }:
			if inner := u.Unwrap(); inner != nil {
				walk(inner)
			}
		case interface{ Unwrap() []error }:
			for _, inner := range u.Unwrap() {
				walk(inner)
			}
		}
	}
	walk(err)
	return outage && !refusal
}

// sweep removes expired entries that nobody asks for.
func (c *Cache) sweep() {
	defer close(c.swept)
	life := c.limits.MaxAge + c.limits.StaleFor
	ticker := time.NewTicker(min(max(life/4, time.Millisecond), time.Minute))
	defer ticker.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-ticker.C:
			now := c.now()
			c.purge(func(e *entry) bool {
				age := now.Sub(e.made)
				return age < 0 || age >= life
			}, Expired)
		}
	}
}
