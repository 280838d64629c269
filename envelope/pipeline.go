package envelope

import (
	"sync"
	"sync/atomic"

	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/internal/suite"
)

// A batch is a few whole frames in a row, which one goroutine seals or opens.
type batch struct {
	in  []byte // what to seal or open; a ReaderAt reads that elsewhere
	out []byte // before the work: where its result goes; after it: the result
	seq uint32 // number of the frame before the first
	err error  // what the work ended with; out has the result up to there

	state    frameState
	memory   []byte        // the batch's own, for out; unused if out is a caller's memory
	lent     *buffer       // the source's buffer that in is a part of; nil if it is not
	done     chan struct{} // gets a value when the work has ended; nil without helpers
	panicked any           // what the work panicked with
}

// A frameState is what sealing or opening a frame overwrites: a goroutine needs its own.
type frameState struct {
	aad message.BodyAAD
	iv  [suite.IVLen]byte
}

// useOwnMemory makes n bytes of the batch's own memory what the result goes to.
func (b *batch) useOwnMemory(n int) {
	if cap(b.memory) < n {
		clear(b.memory[:cap(b.memory)]) // plaintext, in a Reader
		freeBuffer(b.memory)
		b.memory = newBuffer(n)
	}
	b.out = b.memory[:0]
}

// A pipeline works on several batches at once, and gives them back in the order in which
// they were started. The goroutine that calls its methods, always the same, works too,
// while it waits for a batch. Helpers are goroutines that do nothing else: the first is
// started when there is work for it, and stop ends them all.
type pipeline struct {
	work      func(*batch)
	hashInput func(*batch) // if not nil: next calls it for each batch, in their order
	goHelp    func()       // help, made once: each go p.help() would allocate
	goNudge   func()       // nudgeScheduler, likewise

	ring     []batch
	first    int  // index of the oldest batch in flight
	inFlight int  // batches that were started and not given back
	unhashed int  // how many of those, the newest, hashInput was not called for yet
	draining bool // see full

	helpers int            // how many there may be; if none, start does the work
	running int            // how many there are
	queue   chan *batch    // what nobody works on yet; a helper ends when it gets nil
	idle    atomic.Int32   // how many helpers wait for the queue, about
	wait    sync.WaitGroup // for all goroutines of the pipeline
}

// newPipeline returns a pipeline of at most maxInFlight batches, on which as many
// goroutines work as the concurrency says, the caller included.
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
			b := p.vacant()
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

// full says whether to start nothing for now. Once all batches are in flight, it says so
// until only half of them are: helpers without work sleep, and to wake one for each batch
// would cost as much as it brings.
func (p *pipeline) full() bool {
	switch {
	case p.inFlight == len(p.ring):
		p.draining = true
	case p.inFlight <= len(p.ring)/2:
		p.draining = false
	}
	return p.draining
}

// vacant returns the batch to start next. The pipeline is not full.
func (p *pipeline) vacant() *batch {
	if p.inFlight == 0 {
		p.first = 0 // who starts one at a time uses the memory of only one
	}
	b := &p.ring[(p.first+p.inFlight)%len(p.ring)]
	b.err = nil
	return b
}

// start gives the batch that vacant returned to whoever works on it.
func (p *pipeline) start(b *batch) {
	if p.helpers == 0 {
		p.work(b) // if it panics, b does not count as started
	}
	p.inFlight++
	p.unhashed++
	if p.helpers == 0 {
		return
	}
	wakes := p.idle.Load() > 0
	p.queue <- b
	// One of the batches is left for the calling goroutine.
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

// nudgeScheduler is all that a goroutine does which is started right after a helper was
// started or woken. Go's scheduler leaves the newest goroutine of a thread to that thread,
// which is busy here: another thread takes it only after a sleep of 50 to 100
// microseconds, in which the cipher does a fourth of a MiB. The newest but one it takes at
// once, and that is the helper then.
func (p *pipeline) nudgeScheduler() { p.wait.Done() }

// help is what a helper does.
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

// do works on a batch. A panic it keeps for collect, out of which the user can recover it.
func (p *pipeline) do(b *batch) {
	contain(func() { p.work(b) }, func(panicked any, returned bool) {
		b.panicked = panicked
		if !returned && panicked == nil {
			b.err = errGoexit
		}
		b.done <- struct{}{}
	})
}

// next gives back the oldest batch in flight, of which there is one, and works on others
// until it is done. It may return nil once something can be received from wake.
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
		select { // first, since select prefers none
		case <-b.done:
			return p.collect(b)
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

// collect gives back b, the oldest batch in flight, which is done.
func (p *pipeline) collect(b *batch) *batch {
	p.first = (p.first + 1) % len(p.ring)
	p.inFlight--
	if v := b.panicked; v != nil {
		b.panicked = nil
		panic(v)
	}
	return b
}

// stop ends the helpers, once all that is in flight is done.
func (p *pipeline) stop() {
	defer p.stopHelpers()
	p.emptyQueue(p.do)
}

func (p *pipeline) stopHelpers() {
	// A batch is left in the queue only if a source has called runtime.Goexit in this
	// goroutine while stop emptied the queue.
	p.emptyQueue(func(b *batch) {
		b.err = errGoexit
		b.done <- struct{}{}
	})
	for ; p.running > 0; p.running-- {
		p.queue <- nil
	}
	p.wait.Wait()
	// If a source has called runtime.Goexit in a helper, that one's nil is left.
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

// discard drops the batches in flight, and clears the plaintext in them. Batches that were
// given back stay as they are.
func (p *pipeline) discard() {
	p.reset(func(b *batch) { clear(b.out) })
}

// freeMemory forgets what is in flight, and lets go of the batches' own memory. It clears
// that if it is plaintext, and in any case what the batches were lent.
func (p *pipeline) freeMemory(plaintext bool) {
	p.reset(func(b *batch) {
		if plaintext {
			clear(b.memory[:cap(b.memory)])
		}
		freeBuffer(b.memory)
		if b.lent != nil {
			clear(b.lent.bytes)
		}
		b.memory, b.lent = nil, nil
	})
}

// reset stops the pipeline, calls forget for each batch, and empties it.
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
