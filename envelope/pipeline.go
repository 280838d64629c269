package envelope

import (
	"sync"
	"sync/atomic"

	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/internal/suite"
)

// A batch is a run of whole frames that one goroutine seals or opens.
type batch struct {
	in  []byte // what to seal or open; not used in a ReaderAt, which reads it
	out []byte // before the work: where the result goes; after it: the result
	seq uint32 // number of the frame before the first
	err error  // of the work; out has what came before it

	state    frameState
	memory   []byte  // what out lies in, in streams, unless that is the user's
	lent     *buffer // what in lies in, if that is a source's
	done     chan struct{}
	panicked any // what the work panicked with
}

// frameState is what sealing or opening a frame changes.
type frameState struct {
	aad message.BodyAAD
	iv  [suite.NonceLen]byte
}

// useOwnMemory has the result go to n bytes of the batch's own.
func (b *batch) useOwnMemory(n int) {
	if cap(b.memory) < n {
		clear(b.memory[:cap(b.memory)]) // plaintext, in a Reader
		freeBuffer(b.memory)
		b.memory = newBuffer(n)
	}
	b.out = b.memory[:0]
}

// A pipeline has batches worked on by the calling goroutine and by helpers beside it, and
// gives them back in the order in which they were started. The helpers live from start
// to stop, and do nothing but work.
//
// Its methods are for one goroutine.
type pipeline struct {
	work      func(*batch)
	hashInput func(*batch) // called for each batch in their order, while others work; or nil
	goHelp    func()       // help, made a function once
	goNudge   func()       // nudgeScheduler

	ring     []batch
	first    int // index of the oldest batch in flight
	inFlight int
	unhashed int  // how many of the newest hashInput was not called for yet
	draining bool // the ring was full, and more than half of it is in flight still

	helpers int          // most; if zero, start works itself
	running int          // helpers that were started
	queue   chan *batch  // batches that nobody works on yet; nil ends a helper
	idle    atomic.Int32 // helpers that wait for the queue, about
	wait    sync.WaitGroup
}

// newPipeline returns a pipeline of at most maxInFlight batches, with helpers if the
// concurrency is more than one.
func newPipeline(concurrency, maxInFlight int, aad message.BodyAAD, work, hashInput func(*batch)) *pipeline {
	concurrency = max(1, min(concurrency, maxInFlight))
	n := 1
	if concurrency > 1 {
		// Several for each, so that the next is there when one is done.
		n = min(8*concurrency, maxInFlight)
	}
	p := &pipeline{work: work, hashInput: hashInput, ring: make([]batch, n), helpers: min(concurrency, n) - 1}
	for i := range p.ring {
		p.ring[i].state.aad = aad
		if p.helpers > 0 {
			p.ring[i].done = make(chan struct{}, 1)
		}
	}
	if p.helpers > 0 {
		p.goHelp, p.goNudge = p.help, p.nudgeScheduler
		p.queue = make(chan *batch, n+p.helpers)
	}
	return p
}

// memoryPipeline returns a pipeline for n bytes in frames that are in memory.
func memoryPipeline(o *Options, n, frameLen int, aad message.BodyAAD, work, hashInput func(*batch)) *pipeline {
	return newPipeline(o.concurrency(), n/frameLen/framesPerBatch(frameLen)+1, aad, work, hashInput)
}

// run works through all batches that there are. It calls fill for each before it is
// started, until fill returns false, and take for each that is done, in the order in
// which they were started. If there is a source, it is read ahead meanwhile, and fill is
// called again when more of it has arrived.
//
// After an error of fill or take nothing more is started or taken, and run returns the
// error once all that was started is done. Its caller defers stop, which ends the helpers.
func (p *pipeline) run(src source, fill func(*batch) (bool, error), take func(*batch) error) (err error) {
	for more := true; err == nil; {
		switch {
		case more && !p.full():
			b := p.free()
			if more, err = fill(b); more && err == nil {
				p.start(b)
			}
		case p.inFlight == 0:
			return nil
		default:
			var arrived <-chan struct{}
			if src != nil {
				arrived = src.ahead()
			}
			if b := p.next(arrived); b != nil {
				err = take(b)
			} else {
				src.settle()
				more = true
			}
		}
	}
	p.stop()
	return err
}

// full says whether no batch is to be started for now. Once it is full, half of
// what is in flight is taken back first: helpers that have nothing to do sleep, and
// waking one for each batch would cost as much as they bring.
func (p *pipeline) full() bool {
	switch {
	case p.inFlight == len(p.ring):
		p.draining = true
	case p.inFlight <= len(p.ring)/2:
		p.draining = false
	}
	return p.draining
}

// free returns the batch to be started next. The pipeline is not full.
func (p *pipeline) free() *batch {
	if p.inFlight == 0 {
		p.first = 0 // so that one at a time makes do with one's memory
	}
	b := &p.ring[(p.first+p.inFlight)%len(p.ring)]
	b.err = nil
	return b
}

// start has the batch that free returned worked on.
func (p *pipeline) start(b *batch) {
	if p.helpers == 0 {
		p.work(b) // when it panics, nothing was started
	}
	p.inFlight++
	p.unhashed++
	if p.helpers == 0 {
		return
	}
	wakes := p.idle.Load() > 0
	p.queue <- b
	// The caller itself takes one.
	if p.running < min(p.helpers, p.inFlight-1) {
		p.running++
		p.wait.Add(1)
		go p.goHelp()
		wakes = true
	}
	if wakes {
		p.wait.Add(1)
		go p.goNudge()
	}
}

// nudgeScheduler is a goroutine that makes the scheduler put the one that was started or woken
// before it where other threads take it from at once. The newest they leave for this
// thread to run, which is busy, and come back for it only after a sleep of 50 to 100
// microseconds: as long as the cipher takes for a fourth of a MiB.
func (p *pipeline) nudgeScheduler() { p.wait.Done() }

func (p *pipeline) help() {
	defer p.wait.Done()
	for {
		p.idle.Add(1)
		b := <-p.queue
		p.idle.Add(-1)
		if b == nil {
			return
		}
		p.do(b)
	}
}

// do works on a batch. A panic is kept for the goroutine that takes the batch
// back, where it can be recovered.
func (p *pipeline) do(b *batch) {
	contain(func() { p.work(b) }, func(panicked any, returned bool) {
		b.panicked = panicked
		if !returned && panicked == nil {
			b.err = errGoexit
		}
		b.done <- struct{}{}
	})
}

// next takes back the oldest batch in flight, of which there is one, and helps
// until it is done. It returns nil when wake has something first.
func (p *pipeline) next(wake <-chan struct{}) *batch {
	for ; p.unhashed > 0; p.unhashed-- {
		if p.hashInput != nil {
			p.hashInput(&p.ring[(p.first+p.inFlight-p.unhashed)%len(p.ring)])
		}
	}
	b := &p.ring[p.first]
	if p.helpers == 0 {
		return p.collect(b)
	}
	for {
		select {
		case <-b.done:
			return p.collect(b)
		default:
		}
		select {
		case <-wake:
			return nil
		default:
		}
		select {
		case <-b.done:
			return p.collect(b)
		case <-wake:
			return nil
		case other := <-p.queue:
			p.do(other)
		}
	}
}

func (p *pipeline) collect(b *batch) *batch {
	p.first = (p.first + 1) % len(p.ring)
	p.inFlight--
	if v := b.panicked; v != nil {
		b.panicked = nil
		panic(v)
	}
	return b
}

// stop has all that is in flight done, and ends the helpers.
func (p *pipeline) stop() {
	defer p.stopHelpers()
	p.emptyQueue(p.do)
}

func (p *pipeline) stopHelpers() {
	// There are batches left only if a source ends the goroutine that this runs on.
	p.emptyQueue(func(b *batch) {
		b.err = errGoexit
		b.done <- struct{}{}
	})
	for ; p.running > 0; p.running-- {
		p.queue <- nil
	}
	p.wait.Wait()
	// A helper that a source has ended leaves its nil behind.
	p.emptyQueue(func(*batch) {})
}

// emptyQueue calls f for each batch that nobody works on yet.
func (p *pipeline) emptyQueue(f func(*batch)) {
	for {
		select {
		case b := <-p.queue:
			f(b)
		default:
			return
		}
	}
}

// discard forgets what is in flight, which was opened, and clears it. The memory of
// batches that were taken stays as it is.
func (p *pipeline) discard() {
	p.reset(func(b *batch) { clear(b.out) })
}

// freeMemory forgets what is in flight, and lets go of the batches' memory. What was
// opened it clears; what was sealed is no secret.
func (p *pipeline) freeMemory(opened bool) {
	p.reset(func(b *batch) {
		if opened {
			clear(b.memory[:cap(b.memory)])
		}
		freeBuffer(b.memory)
		if b.lent != nil {
			clear(b.lent.bytes)
		}
		b.memory, b.lent = nil, nil
	})
}

// reset stops the pipeline and empties it. It calls forget for each batch of the ring.
func (p *pipeline) reset(forget func(*batch)) {
	p.stop()
	for i := range p.ring {
		b := &p.ring[i]
		select {
		case <-b.done:
		default:
		}
		forget(b)
		b.in, b.out, b.panicked = nil, nil, nil
	}
	p.first, p.inFlight, p.unhashed, p.draining = 0, 0, 0, false
}
