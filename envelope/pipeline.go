package envelope

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/internal/suite"
)

// A batch is a run of whole frames, sealed or opened by one goroutine.
type batch struct {
	in  []byte // what to work on
	out []byte // when started, where the result goes; when done, the result
	seq uint32 // of the frame before the first
	err error  // with what came before the error in out

	frame, count int64 // instead of in and seq: which to read, in a ReaderAt

	state    frameState
	buf      []byte  // out's own memory, in streams; what is read, in a ReaderAt
	lent     *buffer // the source's that in is part of, nil if none
	done     chan struct{}
	panicked any
}

// frameState is what sealing or opening a frame changes.
type frameState struct {
	aad message.BodyAAD
	iv  [suite.NonceLen]byte
}

// useOwnMemory makes out empty with room for n bytes of the batch's own.
func (b *batch) useOwnMemory(n int) {
	if cap(b.buf) < n {
		clear(b.buf[:cap(b.buf)]) // plaintext, in a Reader
		freeBuffer(b.buf)
		b.buf = newBuffer(n)
	}
	b.out = b.buf[:0]
}

// A pipeline has batches worked on by the calling goroutine and by others beside
// it, and gives them back in the order in which they were started. The others
// live from start to stop, and do nothing but work.
//
// Its methods are for one goroutine.
type pipeline struct {
	work        func(*batch)
	hashInput   func(*batch) // if not nil, what next does with each batch while others work
	goHelp      func()       // help, made a function once
	goNudge     func()       // nudgeScheduler
	ring        []batch
	first       int // of the batches in flight
	inFlight    int
	unhashed    int         // the last of them, which hashInput has not had
	draining    bool        // was full, and is still more than half full
	maxInFlight int         // what newPipeline was told the ring may be
	helpers     int         // goroutines there may be; without, what is started is done
	queue       chan *batch // what nobody works on yet; nil sends a goroutine home
	running     int
	idle        atomic.Int32 // of those that run, about
	wait        sync.WaitGroup
}

// concurrency returns how many goroutines may work on one message.
func (o *Options) concurrency() int {
	if o.Concurrency == 0 {
		return runtime.GOMAXPROCS(0)
	}
	return o.Concurrency
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
	p := &pipeline{
		work:        work,
		hashInput:   hashInput,
		ring:        make([]batch, n),
		maxInFlight: maxInFlight,
		helpers:     min(concurrency, n) - 1,
	}
	for i := range p.ring {
		p.ring[i].state.aad = aad
	}
	if p.helpers == 0 {
		return p
	}
	for i := range p.ring {
		p.ring[i].done = make(chan struct{}, 1)
	}
	p.goHelp, p.goNudge = p.help, p.nudgeScheduler
	p.queue = make(chan *batch, n+p.helpers)
	return p
}

// memoryPipeline returns a pipeline for n bytes in frames that are in memory.
func memoryPipeline(o *Options, n, frameLen int, aad message.BodyAAD, work, hashInput func(*batch)) *pipeline {
	return newPipeline(o.concurrency(), n/frameLen/framesPerBatch(frameLen)+1, aad, work, hashInput)
}

// run works through all batches that there are. It calls fill for each before it is
// started, until fill returns false, and take for each that is done, in the order in
// which they were started; if its work failed, with what came before that. After an
// error of fill, of take or of the work nothing more is started or taken. When run
// returns, all that was started has ended, and so have the helpers.
func (p *pipeline) run(fill func(*batch) (bool, error), take func(*batch) error) error {
	defer p.stop()
	for more := true; ; {
		switch {
		case more && !p.full():
			b := p.free()
			var err error
			if more, err = fill(b); err != nil {
				return err
			}
			if more {
				p.start(b)
			}
		case p.inFlight == 0:
			return nil
		default:
			b := p.next(nil)
			if err := take(b); err != nil {
				return err
			}
			if b.err != nil {
				return b.err
			}
		}
	}
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
		p.inFlight++
		p.unhashed++
		return
	}
	p.inFlight++
	p.unhashed++
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
	p.hashInputs()
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

// hashInputs calls hashInput for each batch that was started since it was called last,
// in their order.
func (p *pipeline) hashInputs() {
	for ; p.unhashed > 0; p.unhashed-- {
		if p.hashInput != nil {
			p.hashInput(&p.ring[(p.first+p.inFlight-p.unhashed)%len(p.ring)])
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

// stop ends the goroutines. What is in flight has been worked on then.
func (p *pipeline) stop() {
	defer p.stopHelpers()
	for {
		b, ok := p.takeQueued()
		if !ok {
			return
		}
		p.do(b)
	}
}

// stopHelpers ends the goroutines, also when a source ends the one that it is called
// on.
func (p *pipeline) stopHelpers() {
	for len(p.queue) > 0 {
		if b, ok := p.takeQueued(); ok {
			b.err = errGoexit
			b.done <- struct{}{}
		}
	}
	for ; p.running > 0; p.running-- {
		p.queue <- nil
	}
	p.wait.Wait()
	// A helper that ended in Goexit has not had its nil.
	for len(p.queue) > 0 {
		<-p.queue
	}
}

// takeQueued returns a batch that nobody works on yet.
func (p *pipeline) takeQueued() (b *batch, ok bool) {
	select {
	case b := <-p.queue:
		return b, true
	default:
		return nil, false
	}
}

// discard forgets what is in flight, which was opened, and clears it. The memory of
// what was taken back stays as it is.
func (p *pipeline) discard() {
	p.stop()
	for ; p.inFlight > 0; p.inFlight-- {
		b := &p.ring[p.first]
		if p.helpers > 0 {
			<-b.done
		}
		clear(b.out)
		b.in, b.out, b.panicked = nil, nil, nil
		p.first = (p.first + 1) % len(p.ring)
	}
	p.unhashed = 0
}

// freeMemory forgets what is in flight, and lets go of the memory. What was opened is
// cleared; what was sealed is no secret.
func (p *pipeline) freeMemory(opened bool) {
	p.stop()
	for i := range p.ring {
		b := &p.ring[i]
		select {
		case <-b.done:
		default:
		}
		if opened {
			clear(b.buf[:cap(b.buf)])
		}
		freeBuffer(b.buf)
		if b.lent != nil {
			clear(b.lent.bytes)
		}
		b.in, b.out, b.buf, b.lent, b.panicked = nil, nil, nil, nil, nil
	}
	p.first, p.inFlight, p.unhashed, p.draining = 0, 0, 0, false
}
