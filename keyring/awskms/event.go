package awskms

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// An Event is something that a keyring did, or learned of a region, which its results do
// not show. It holds no keys and no encryption context.
type Event struct {
	Kind EventKind

	// Region is the region that it is about; empty for Degraded, and for a Call where
	// neither the key's ARN nor the client names it.
	Region string

	// Operation is the KMS operation of a Call: "Decrypt".
	Operation string

	// Code is the code of the [Error] of a Call that failed; empty if it has none.
	Code string

	// Duration is how long a Call took, with what the SDK tried again.
	Duration time.Duration

	// Missing are the regions that cannot unwrap the data key, for Degraded.
	Missing []string

	// Err is the cause, if there is one. It is nil for a Call that KMS answered as it should.
	Err error
}

// An EventKind is what an [Event] is about.
type EventKind int

const (
	// RegionFailed says of a failure that it counts against a region, as the table at [Error]
	// says: it timed out, could not be reached, throttled, or failed by itself.
	RegionFailed EventKind = iota + 1

	// RegionDown says that a region is asked last from now on.
	RegionDown

	// RegionUp says that a region that was down has answered.
	RegionUp

	// Degraded says that not all regions can unwrap a new data key.
	Degraded

	// Call says that a call to KMS has ended. A call that was not made, since it would
	// have been in vain, is none, and neither is one whose client panicked.
	Call
)

// String returns the kind's name.
func (k EventKind) String() string {
	switch k {
	case RegionFailed:
		return "region failed"
	case RegionDown:
		return "region down"
	case RegionUp:
		return "region up"
	case Degraded:
		return "degraded"
	case Call:
		return "call"
	}
	return fmt.Sprintf("EventKind(%d)", int(k))
}

// A Request is what KMS is asked for on behalf of one caller. It takes one call or several.
type Request int

const (
	// WrapDataKey is for a data key that is new to the key, and often to all.
	WrapDataKey Request = iota + 1

	// UnwrapDataKey is for the data key of a message.
	UnwrapDataKey

	// ReadBranchKey is for a branch key: a read of its table, and a call to KMS.
	ReadBranchKey

	// WriteBranchKey is for a new branch key, or a new version of one.
	WriteBranchKey
)

// String returns the request's name, in lower case with underscores.
func (r Request) String() string {
	switch r {
	case WrapDataKey:
		return "wrap_data_key"
	case UnwrapDataKey:
		return "unwrap_data_key"
	case ReadBranchKey:
		return "read_branch_key"
	case WriteBranchKey:
		return "write_branch_key"
	}
	return fmt.Sprintf("Request(%d)", int(r))
}

// An Observer hears of what a keyring does with KMS. The zero value hears nothing, and costs
// nothing. Its functions are called without locks and by several goroutines at once, and
// the keyring waits until they return: so they must be quick. A panic in one is not
// recovered, and may be in a goroutine of the keyring or of a cache.
type Observer struct {
	// OnEvent, if not nil, is called for each [Event], with the context of the request that
	// it came with, which may be done.
	OnEvent func(context.Context, Event)

	// OnRequest, if not nil, is called when KMS is about to be asked, with the caller's
	// context. The request goes on with the context that it returns, which must be made of
	// that one: so a trace has the calls, and the SDK's own spans of them, under the
	// request. The function that it returns, if not nil, is called when the request has
	// ended, with its error or nil. It is not called if the request panics.
	//
	// A request that finds no key of its own in a message is not told. Behind a cache, the
	// context has the values of the caller who began the load, and none if that is in the
	// background.
	OnRequest func(context.Context, Request) (context.Context, func(error))
}

// event calls OnEvent.
func (o *Observer) event(ctx context.Context, e Event) {
	if o.OnEvent != nil {
		o.OnEvent(ctx, e)
	}
}

// errNotReturned is what a call to KMS has failed with for as long as it has not returned.
var errNotReturned = errors.New("awskms: the client has not returned")

// calling notes that a call to KMS begins. The function that it returns is to be deferred: it
// tells of the call, with the error that err points to by then, unless the client panicked.
func (o *Observer) calling(ctx context.Context, operation, region string, err *error) func() {
	began := time.Now()
	*err = errNotReturned
	return func() {
		if o.OnEvent == nil || *err == errNotReturned {
			return
		}
		e := Event{Kind: Call, Region: region, Operation: operation, Duration: time.Since(began), Err: *err}
		var failed *Error
		if errors.As(*err, &failed) {
			if failed.notSent {
				return
			}
			e.Code = failed.Code
		}
		o.OnEvent(ctx, e)
	}
}

// A pending request is one that has not begun, and perhaps never does.
type pending struct {
	observer *Observer
	request  Request
	ctx      context.Context // of the calls, once it has begun
	ended    func(error)
}

// begin tells that KMS is about to be asked, if it was not told before, and returns the
// context for that.
func (p *pending) begin(ctx context.Context) context.Context {
	if p.ctx == nil {
		p.ctx = ctx
		if p.observer.OnRequest != nil {
			p.ctx, p.ended = p.observer.OnRequest(ctx, p.request)
		}
	}
	return p.ctx
}

// end tells that the request has ended, if it has begun.
func (p *pending) end(err error) {
	if p.ended != nil {
		p.ended(err)
	}
}
