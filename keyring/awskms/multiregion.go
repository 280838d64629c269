package awskms

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/go-sealring/sealring/internal/kmscall"
	"github.com/go-sealring/sealring/keyring"
)

// A RegionKey is a KMS key in one region and the client that asks for it.
type RegionKey struct {
	// Client asks KMS in the key's region.
	Client Client

	// KeyARN is the key's ARN. Replicas of one multi-Region key serve for one
	// another; any other keys are independent.
	KeyARN string

	// GrantTokens go with every request to the region.
	GrantTokens []string
}

// MultiRegionConfig says which regions a keyring asks, and how.
type MultiRegionConfig struct {
	// Regions are the keys to use, the nearest first. No two are in one region.
	Regions []RegionKey

	// MinRegions is the least number of regions that must be able to unwrap a
	// new data key; with fewer, encrypting fails. Zero means all. A data key for
	// fewer than all is reported as an event [Degraded]: so Observer.OnEvent must be set
	// if MinRegions is less than all.
	//
	// A replica of a multi-Region key counts, without a call, as soon as any of
	// its siblings has wrapped the data key.
	MinRegions int

	// AttemptTimeout is how long one region may take to answer a call. Zero is 2s. It
	// covers all of the call: connecting, the answer and, where the SDK tries twice, its
	// wait and its second try. The error of a region that took longer wraps
	// context.DeadlineExceeded and says that it timed out. If the SDK was waiting for its
	// second try by then, that error does not say why the first one failed.
	AttemptTimeout time.Duration

	// HedgeAfter, if positive, is how long a region may take to unwrap before the next
	// one is asked too. The first data key that arrives is used. So slow regions cost
	// more calls, and less time.
	HedgeAfter time.Duration

	// Cooldown is how long a region that is down is asked last. After it, one call at a
	// time tries the region again. Zero is 10s.
	Cooldown time.Duration

	// MaxCalls is the most calls to KMS that unwrapping one message's data key
	// may take in each region. Zero is 10.
	MaxCalls int

	// Observer hears of the calls to KMS, and of what they show of a region.
	Observer Observer
}

// A MultiRegion wraps and unwraps data keys with KMS keys in several regions, and
// goes on to the next when one does not answer. It is safe for concurrent use.
type MultiRegion struct {
	name       keyringName
	regions    []*region
	minRegions int
	hedgeAfter time.Duration
	maxCalls   int
	observer   Observer
}

// region is one region's key, and the breaker that remembers how the region answers.
type region struct {
	wrapping
	decrypting decrypting
	breaker    breaker
	timeout    time.Duration
}

var _ keyring.Keyring = (*MultiRegion)(nil)

// NewMultiRegion returns a keyring over keys in several regions.
//
// To encrypt, the first region that answers generates the data key. If the other
// regions' keys are not its replicas, they wrap it too, as MinRegions says.
//
// To decrypt, regions whose key can unwrap are asked in order. The next is asked
// when one times out, cannot be reached, throttles, or fails by itself. With HedgeAfter,
// the next is also asked when one is slow. After a refusal no further region is asked:
// denied access, a disabled key or a wrong encryption context is what the caller must
// learn, and the answer of another region would hide it. While the first region answers,
// no other is asked. The table at [Error] has each case.
//
// A region goes down when a call takes AttemptTimeout, or when calls fail otherwise twice
// in a row. A region that is down is asked last. To wrap a data key that another region
// has made, it is asked only if MinRegions needs it, and if it does not answer at all, not
// more than once a second. After the Cooldown one call at a time tries it again.
//
// If the caller has a deadline, each region gets a share of the time that is left, so that
// there is some for the next. A call whose share was shorter than AttemptTimeout does not
// take its region down, unless such calls have waited for AttemptTimeout in all and none
// was answered.
//
// The SDK's own retries are switched off, except to wrap with a key that has no replica
// in another region: there the SDK tries twice. This holds whatever RetryMaxAttempts the
// clients have.
func NewMultiRegion(c MultiRegionConfig) (*MultiRegion, error) {
	if len(c.Regions) == 0 {
		return nil, invalid("MultiRegionConfig.Regions is empty")
	}
	if c.MinRegions < 0 || c.MinRegions > len(c.Regions) {
		return nil, invalid("MultiRegionConfig.MinRegions is %d of %d", c.MinRegions, len(c.Regions))
	}
	if c.AttemptTimeout < 0 || c.HedgeAfter < 0 || c.Cooldown < 0 {
		return nil, invalid("MultiRegionConfig has a negative duration")
	}
	maxCalls, err := checkMaxCalls(c.MaxCalls)
	if err != nil {
		return nil, err
	}
	if c.MinRegions == 0 {
		c.MinRegions = len(c.Regions)
	}
	if c.MinRegions < len(c.Regions) && c.Observer.OnEvent == nil {
		return nil, invalid("MultiRegionConfig.MinRegions is less than all, and Observer.OnEvent is nil: nobody would hear that a data key is not for all regions")
	}
	if c.AttemptTimeout == 0 {
		c.AttemptTimeout = 2 * time.Second
	}
	if c.Cooldown == 0 {
		c.Cooldown = 10 * time.Second
	}
	k := &MultiRegion{minRegions: c.MinRegions, hedgeAfter: c.HedgeAfter, maxCalls: maxCalls, observer: c.Observer}
	for i, r := range c.Regions {
		if r.Client == nil {
			return nil, invalid("MultiRegionConfig.Regions[%d].Client is nil", i)
		}
		a, err := kmscall.ParseKeyARN(r.KeyARN)
		if err != nil {
			return nil, invalid("MultiRegionConfig.Regions[%d]: %v", i, err)
		}
		if err := checkRegion(r.Client, a.Region); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(k.regions, func(other *region) bool { return other.region == a.Region }) {
			return nil, invalid("MultiRegionConfig.Regions has region %s twice", a.Region)
		}
		k.regions = append(k.regions, &region{
			wrapping: wrapping{
				client:      r.Client,
				id:          keyID{text: r.KeyARN, arn: a},
				region:      a.Region,
				grantTokens: slices.Clone(r.GrantTokens),
				options:     kmscall.Options(a.Region, attempts(1)),
				observer:    c.Observer,
			},
			decrypting: decrypting{
				client:      r.Client,
				region:      a.Region,
				grantTokens: slices.Clone(r.GrantTokens),
				options:     kmscall.Options(a.Region, attempts(1)),
				observer:    c.Observer,
			},
			breaker: breaker{cooldown: c.Cooldown, timeout: c.AttemptTimeout},
			timeout: c.AttemptTimeout,
		})
	}
	// If no replica can wrap in a region's place, the SDK tries twice.
	for _, r := range k.regions {
		if !slices.ContainsFunc(k.regions, func(other *region) bool { return other != r && other.id.arn.Related(r.id.arn) }) {
			r.options = kmscall.Options(r.region, attempts(2))
		}
	}
	k.name = keyringName{kind: "AWS KMS multi-region", key: "with " + k.regions[0].id.text + " first"}
	return k, nil
}

// attempts limits how often the SDK makes a call.
func attempts(n int) func(*kms.Options) { return func(o *kms.Options) { o.RetryMaxAttempts = n } }

// String names the keyring.
func (k *MultiRegion) String() string {
	return k.name.String()
}

// A candidate is a region that may be asked, and its turn from the breaker, which must be
// reported once.
type candidate struct {
	*region
	turn turn

	// beaten is set when a region that was asked later has answered first.
	beaten *atomic.Bool
}

// order returns regions in the order in which to ask them: first those that are up, then
// those that are down, in both cases as the config lists them. The caller must report each
// turn, by regionCalls.end or by release.
func order(regions []*region) []candidate {
	var up, down []candidate
	for _, r := range regions {
		c := candidate{r, r.breaker.admit(), new(atomic.Bool)}
		if c.turn == lastResort {
			down = append(down, c)
		} else {
			up = append(up, c)
		}
	}
	return append(up, down...)
}

// release reports turns that were not used.
func release(candidates []candidate) {
	for _, c := range candidates {
		c.breaker.report(c.turn, nothing, 0, nil)
	}
}

// regionCalls are the calls to one region that one data key takes: one to wrap it, or as
// many to unwrap it as the header has wrapped keys for the region. They are made one
// after another by do. After the last of them end tells the breaker, and the observer, what
// they have shown of the region.
type regionCalls struct {
	candidate
	observer *Observer

	ctx     context.Context // the caller's
	limited context.Context // ends before ctx when the answer is not needed any more
	left    int             // how many regions can still be asked, this one included

	result result
	heard  bool          // any answer came
	waited time.Duration // by calls that were cut short
}

// do makes one call, with the region's share of the time that the caller has left, and
// notes what it shows of the region.
func (r *regionCalls) do(call func(context.Context) error) error {
	timeout, whole := r.share()
	ctx, cancel := context.WithTimeout(r.limited, timeout)
	defer cancel()
	began := time.Now()
	err := call(ctx)
	if r.heard {
		return err // It answered just before: the call is to blame, not the region.
	}
	r.result = r.judge(ctx, err, whole)
	switch r.result {
	case answered:
		r.heard = true
	case cutShort:
		r.waited += time.Since(began)
	}
	return err
}

// share returns how long a call may take, and whether that is as long as the region may
// take: less if the caller's deadline leaves less for each region.
func (r *regionCalls) share() (timeout time.Duration, whole bool) {
	if deadline, ok := r.ctx.Deadline(); ok {
		if share := time.Until(deadline) / time.Duration(r.left); share < r.timeout {
			return share, false
		}
	}
	return r.timeout, true
}

// judge returns what the first call, or one after calls without an answer, shows of the
// region. Its context was ctx; whole says whether it had as long as the region may take.
func (r *regionCalls) judge(ctx context.Context, err error, whole bool) result {
	var e *Error
	switch isKMS := errors.As(err, &e); {
	case err == nil:
		return answered
	case isKMS && (e.notSent || e.credentials):
		return nothing // it was not asked
	case errors.Is(r.ctx.Err(), context.Canceled):
		return nothing
	case r.ctx.Err() != nil:
		return cutShort // the caller had less time than the region may take
	case r.limited.Err() != nil && r.beaten.Load():
		return tooSlow
	case r.limited.Err() != nil:
		return nothing
	case !goOn(err):
		return answered
	case ctx.Err() == nil:
		return failing
	case whole:
		return timedOut
	default:
		return cutShort
	}
}

// end reports to the breaker what the calls have shown, and tells the observer. It takes the
// error that they ended with, and returns the one to report to the caller. It must be
// called, once, also when a call panics: defer it.
func (r *regionCalls) end(err error) error {
	name := r.region.region
	if r.result == tooSlow {
		err = fmt.Errorf("%w: %s had not answered when a region that was asked later had", keyring.ErrUnavailable, name)
	}
	// Before anybody is told, so that a panic there leaves no turn open.
	changed := r.breaker.report(r.turn, r.result, r.waited, err)
	if r.result == failing || r.result == timedOut {
		r.observer.event(r.ctx, Event{Kind: RegionFailed, Region: name, Err: err})
	}
	switch {
	case !changed:
	case r.result == answered:
		r.observer.event(r.ctx, Event{Kind: RegionUp, Region: name})
	default:
		r.observer.event(r.ctx, Event{Kind: RegionDown, Region: name, Err: err})
	}
	return err
}

// goOn says whether another region may be asked after an error: after an outage, and after
// an answer that KMS gave before it looked at the key.
func goOn(err error) bool {
	var e *Error
	return errors.As(err, &e) && (e.verdict == outage || e.verdict == undecided)
}

// OnEncrypt implements [keyring.Encrypter].
func (k *MultiRegion) OnEncrypt(ctx context.Context, m *keyring.EncryptionMaterials) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// The work is done on a copy, so that m changes only when all went well.
	work := *m
	work.EncryptedDataKeys = slices.Clip(m.EncryptedDataKeys)
	request := pending{observer: &k.observer, request: WrapDataKey}
	err := k.wrapForRegions(request.begin(ctx), func() *keyring.EncryptionMaterials { return &work })
	if err != nil {
		err = fmt.Errorf("%s: %w", k.name.kind, err)
	}
	request.end(err)
	if err != nil {
		if m.DataKey == nil {
			clear(work.DataKey)
		}
		return err
	}
	m.DataKey, m.EncryptedDataKeys = work.DataKey, work.EncryptedDataKeys
	return nil
}

// OnEncryptEach is OnEncrypt with a data key of its own for each key that wraps one, so that
// who may use the key of one region learns nothing of those of the others. Package keyring
// calls it for the suites of items, where these are intermediate keys. A call of next returns
// the materials for one data key, all with a data key or all without. It is not for other use.
func (k *MultiRegion) OnEncryptEach(ctx context.Context, next func() *keyring.EncryptionMaterials) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m := next()
	made := false
	request := pending{observer: &k.observer, request: WrapDataKey}
	err := k.wrapForRegions(request.begin(ctx), func() *keyring.EncryptionMaterials {
		if len(m.EncryptedDataKeys) > 0 {
			made = true
			m = next()
		}
		if made && m.DataKey == nil {
			m.GenerateDataKey() // with the same permissions as for a message
		}
		return m
	})
	if err != nil {
		err = fmt.Errorf("%s: %w", k.name.kind, err)
	}
	request.end(err)
	return err
}

// wrapForRegions wraps the data key of the materials that next returns for each region.
func (k *MultiRegion) wrapForRegions(ctx context.Context, next func() *keyring.EncryptionMaterials) error {
	var failures reasons
	var covered []*region // that can unwrap
	cover := func(by *region) {
		for _, r := range k.regions {
			if r.id.arn.Related(by.id.arn) && !slices.Contains(covered, r) {
				covered = append(covered, r)
			}
		}
	}
	order := order(k.regions)
	asked := 0
	defer func() { release(order[asked:]) }()
	for i, c := range order {
		asked = i + 1
		switch {
		case slices.Contains(covered, c.region):
			release(order[i : i+1])
			continue
		case c.turn == lastResort && len(covered) > 0:
			// To wait for a region that is down would cost each message its timeout.
			// It is asked only if the other regions are not enough.
			why, skip := c.breaker.skip(len(covered) < k.minRegions)
			if skip {
				release(order[i : i+1])
				failures = append(failures, fmt.Errorf("%s is not asked, since it is down: %w", c.region.region, why))
				continue
			}
		}
		m := next()
		err := k.wrapIn(ctx, c, len(order)-i, m)
		if err == nil {
			cover(c.region)
			continue
		}
		if cause := ctx.Err(); cause != nil {
			return append(reasons{cause, err}, failures...)
		}
		// A region that refuses to make the data key is misconfigured. If another
		// made it instead, nobody would notice.
		if !goOn(err) && (m.DataKey == nil || k.minRegions == len(k.regions)) {
			return append(reasons{err}, failures...)
		}
		failures = append(failures, err)
	}
	var missing []string
	for _, r := range k.regions {
		if !slices.Contains(covered, r) {
			missing = append(missing, r.region)
		}
	}
	if len(covered) < k.minRegions {
		return fmt.Errorf("data key wrapped for %d regions of the %d that are required, not for %v: %w",
			len(covered), k.minRegions, missing, failures)
	}
	if len(missing) > 0 {
		k.observer.event(ctx, Event{Kind: Degraded, Missing: missing, Err: failures})
	}
	return nil
}

// wrapIn wraps the data key of m with one region's key, or has that make it.
func (k *MultiRegion) wrapIn(ctx context.Context, c candidate, left int, m *keyring.EncryptionMaterials) (err error) {
	calls := regionCalls{candidate: c, observer: &k.observer, ctx: ctx, limited: ctx, left: left}
	defer func() { err = calls.end(err) }()
	return calls.do(func(ctx context.Context) error { return c.onEncrypt(ctx, m) })
}

// OnDecrypt implements [keyring.Decrypter].
func (k *MultiRegion) OnDecrypt(ctx context.Context, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) error {
	if m.DataKey != nil {
		return fmt.Errorf("%s: %w: the materials already have a data key", k.name.kind, keyring.ErrInvalidArgument)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	var candidates []*region
	for _, r := range k.regions {
		if slices.ContainsFunc(keys, r.canUnwrap) {
			candidates = append(candidates, r)
		}
	}
	request := pending{observer: &k.observer, request: UnwrapDataKey}
	if len(candidates) > 0 {
		ctx = request.begin(ctx)
	}
	err := k.unwrapAmong(ctx, candidates, m, keys)
	request.end(err)
	return err
}

// unwrapAmong unwraps a data key in one of these regions, and sets it as that of m.
func (k *MultiRegion) unwrapAmong(ctx context.Context, candidates []*region, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) error {
	dataKey, failed := k.race(ctx, order(candidates), m, keys)
	if err := ctx.Err(); err != nil {
		clear(dataKey)
		return fmt.Errorf("%s: %w", k.name.kind, append(reasons{err}, failed...))
	}
	if dataKey == nil {
		return k.name.noMatch(keys, failed)
	}
	m.DataKey = dataKey
	return nil
}

func (r *region) canUnwrap(edk keyring.EncryptedDataKey) bool {
	named, err := kmscall.ParseKeyARN(string(edk.ProviderInfo))
	return err == nil && edk.ProviderID == ProviderID && r.id.arn.Related(named)
}

// unwrapIn tries the data keys that one region's key can unwrap. The error that
// decides whether another region is asked comes first.
func (k *MultiRegion) unwrapIn(ctx, limited context.Context, c candidate, left int,
	m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) (dataKey []byte, err error) {
	calls := regionCalls{candidate: c, observer: &k.observer, ctx: ctx, limited: limited, left: left}
	defer func() { err = calls.end(err) }()
	r := c.region
	var failed reasons
	made := 0
	for _, edk := range keys {
		if !r.canUnwrap(edk) {
			continue
		}
		if made++; made > k.maxCalls {
			failed = append(failed, fmt.Errorf("more encrypted data keys in %s than MaxCalls, which is %d", r.region, k.maxCalls))
			break
		}
		err := calls.do(func(ctx context.Context) (err error) {
			dataKey, err = r.decrypting.unwrap(ctx, m, r.id.text, r.id.text, edk.Ciphertext)
			return err
		})
		if err == nil {
			return dataKey, nil
		}
		if goOn(err) || errors.Is(err, context.Canceled) {
			return nil, append(reasons{err}, failed...) // the region, not the key
		}
		failed = append(failed, err)
	}
	return nil, failed
}

// race asks regions in order. It asks the next one when goOn says so of an error, or when
// HedgeAfter has passed. It returns the first data key that arrives, or all errors, first
// the one that ended the search. All its goroutines have ended when it returns.
func (k *MultiRegion) race(ctx context.Context, order []candidate, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) ([]byte, []error) {
	type outcome struct {
		place   int // in order
		dataKey []byte
		err     error
	}
	limited, cancel := context.WithCancel(ctx)
	outcomes := make(chan outcome, len(order))
	var running sync.WaitGroup
	defer func() {
		// Calls that have not ended are cancelled and waited for, and data keys that they
		// bring are cleared.
		cancel()
		running.Wait()
		close(outcomes)
		for o := range outcomes {
			clear(o.dataKey)
		}
	}()

	asked, pending := 0, 0
	defer func() { release(order[asked:]) }()
	var hedge <-chan time.Time
	askNext := func() {
		if asked == len(order) {
			return
		}
		c, place, left := order[asked], asked, len(order)-asked
		asked++
		pending++
		running.Go(func() {
			o := outcome{place: place}
			o.dataKey, o.err = k.unwrapIn(ctx, limited, c, left, m, keys)
			outcomes <- o
		})
		if k.hedgeAfter > 0 {
			hedge = time.After(k.hedgeAfter)
		}
	}
	var failed []error
	refused := false
	for askNext(); pending > 0; {
		select {
		case <-hedge:
			askNext()
		case o := <-outcomes:
			pending--
			switch {
			case o.err == nil:
				for _, c := range order[:o.place] {
					c.beaten.Store(true)
				}
				return o.dataKey, nil
			case goOn(o.err):
				failed = append(failed, o.err)
			default:
				// No further region is asked, since its answer would hide this error. One
				// that was asked before may still answer.
				failed = slices.Insert(failed, 0, o.err)
				refused, hedge = true, nil
			}
			if !refused {
				askNext()
			}
		}
	}
	return nil, failed
}
