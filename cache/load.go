package cache

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-sealring/sealring/keyring"
)

// A load is one call of the manager, for all who miss the same entry meanwhile.
type load struct {
	done chan struct{} // closed when the rest is set

	err error
	// reserved is a use of what was loaded, set aside for whoever started the
	// load, who may be gone by then.
	reserved copied
	kept     bool // others find it in the cache

	ended    atomic.Bool // set by the first: the manager is done, or out of time
	handover atomic.Bool // set by the first: reserved is there, or nobody waits
}

// deliver ends the load, if it has not ended.
func (l *load) deliver(reserved copied, kept bool, err error) {
	if !l.ended.CompareAndSwap(false, true) {
		reserved.clear()
		return
	}
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

// loads are the loads under way.
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

func (l *loads) leave(id identity, one *load) {
	l.mu.Lock()
	if l.running[id] == one {
		delete(l.running, id)
	}
	l.mu.Unlock()
}

// startLoad asks the manager in a goroutine of its own: it outlives the caller's
// context, whose values it keeps, since others may be waiting too. A manager that
// does not end in time is given up.
func (c *Cache) startLoad(ctx context.Context, id identity, n int64, e *entry) *load {
	l := &load{done: make(chan struct{})}
	ctx = context.WithoutCancel(ctx)
	c.admit.Lock()
	e.generation = c.generation
	c.admit.Unlock()
	end := func(reserved copied, kept bool, err error) {
		c.loads.leave(id, l)
		l.deliver(reserved, kept, err)
	}
	// Somewhat later than the context that tells the manager.
	giveUp := time.AfterFunc(c.limits.LoadTimeout+c.limits.LoadTimeout/8, func() {
		end(copied{}, false, fmt.Errorf("cache: the materials manager did not heed its context: %w", context.DeadlineExceeded))
	})
	go func() {
		var reserved copied
		var kept bool
		err := errors.New("cache: the materials manager ended its goroutine")
		defer func() {
			giveUp.Stop()
			end(reserved, kept, err)
			// Last, since who is told may come back.
			if err == nil {
				c.event(Event{Kind: Load})
			} else {
				c.event(Event{Kind: LoadFailed, Err: err})
			}
		}()
		reserved, kept, err = c.fill(ctx, e, n)
	}()
	return l
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
		c.loads.mu.Lock()
		l, others := c.loads.running[e.id]
		if !others {
			// A load is in the cache before it leaves.
			if c.find(e.id) != e {
				c.loads.mu.Unlock()
				return
			}
			l = c.startLoad(c.ctx, e.id, 0, e.again())
			c.loads.running[e.id] = l
		}
		c.loads.mu.Unlock()
		if !others {
			c.counters.refreshes.Add(1)
			c.event(Event{Kind: Refresh})
			l.abandon()
		}
		<-l.done
		// A failure shows to the caller who comes when the key has expired;
		// until then a later hit tries again. So it does when what was loaded could
		// not be kept, as after a purge.
		if l.err != nil || !l.kept {
			time.AfterFunc(min(c.limits.MaxAge/20, outageHold), func() { e.refreshing.Store(false) })
		}
	}()
}

// fill has the manager make the materials of an entry, inserts it, and returns
// a use of n bytes of it, and whether the entry was kept.
func (c *Cache) fill(ctx context.Context, e *entry, n int64) (reserved copied, kept bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.limits.LoadTimeout)
	defer cancel()
	stop := context.AfterFunc(c.ctx, cancel)
	defer stop()

	// The age counts from before the manager was asked.
	now := c.elapsed()
	c.counters.loads.Add(1)
	if err := c.call(ctx, e); err != nil {
		c.counters.failed.Add(1)
		if c.ctx.Err() != nil {
			return copied{}, false, ErrClosed
		}
		c.settle(e.id, err)
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
	// The materials may refer to the context, which whoever gets them might change.
	// The entry's own is what hits are held against.
	req := *e.decryptReq
	req.Context = maps.Clone(req.Context)
	m, err := c.manager.DecryptionMaterials(ctx, req)
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
// without asking the key service again.
const outageHold = time.Second

// settle deals with the entry that was to be replaced, when loading failed. An
// outage leaves it, for StaleFor. A refusal ends what was granted before. Of
// another error nothing is known, so that the entry lives to its age, and not
// past it.
func (c *Cache) settle(id identity, err error) {
	e := c.find(id)
	switch {
	case e == nil:
	case unavailable(err):
		e.outage.Store(true)
		e.heldUntil.Store(int64(c.elapsed() + outageHold))
	case refused(err) || c.elapsed()-e.made >= c.limits.MaxAge:
		c.drop(e, Purged)
	}
}

// unavailable says whether an error is an outage and nothing else.
func unavailable(err error) bool {
	outages, others := causes(err)
	return outages > 0 && others == 0
}

// refused says whether a key service has said no.
func refused(err error) bool {
	if errors.Is(err, keyring.ErrPolicy) {
		return true
	}
	var u interface{ Unavailable() bool }
	return errors.As(err, &u) && !unavailable(err)
}

// causes counts what an error comes from: outages, which say so of themselves or
// are timeouts, and everything else.
func causes(err error) (outages, others int) {
	if u, ok := err.(interface{ Unavailable() bool }); ok {
		if u.Unavailable() {
			return 1, 0
		}
		return 0, 1
	}
	switch u := err.(type) {
	case interface{ Unwrap() error }:
		if inner := u.Unwrap(); inner != nil {
			return causes(inner)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range u.Unwrap() {
			o, t := causes(inner)
			outages, others = outages+o, others+t
		}
		return outages, others
	}
	switch err {
	case context.DeadlineExceeded:
		return 1, 0
	case keyring.ErrNoMatchingKey, keyring.ErrContextMismatch:
		// What keyrings say beside their reasons.
		return 0, 0
	}
	return 0, 1
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
