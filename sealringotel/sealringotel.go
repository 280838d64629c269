// Package sealringotel reports what sealring does to OpenTelemetry: as metrics, and as
// spans of requests that asked a key service.
//
//	otel, err := sealringotel.New(sealringotel.Config{})
//	if err != nil {
//		log.Fatal(err)
//	}
//	kr, err := awskms.New(awskms.Config{Client: kmsClient, KeyID: keyARN, Observer: otel.KMS("orders")})
//	if err != nil {
//		log.Fatal(err)
//	}
//	cached, err := cache.New(kr, cache.Limits{MaxAge: 5 * time.Minute, OnEvent: otel.Cache("orders")})
//	if err != nil {
//		log.Fatal(err)
//	}
//	defer cached.Close()
//	if _, err := otel.WatchCache("orders", cached); err != nil {
//		log.Fatal(err)
//	}
//	client, err := envelope.NewFromManager(cached, &envelope.Options{OnEvent: otel.Envelope})
//	if err != nil {
//		log.Fatal(err)
//	}
//
// Each part can be left out. Nothing that it reports has plaintext, keys, pairs of an
// encryption context, names of keys, or the text of an error: of an error it has the kind,
// as [envelope.ErrorKind] gives it, or the code of KMS.
//
// # Metrics
//
//	sealring.operation.duration    s      histogram  sealring.operation, sealring.error
//	sealring.operation.bytes       By     counter    sealring.operation
//	sealring.cache.requests               counter    sealring.cache, sealring.result
//	sealring.cache.capacity_misses        counter    sealring.cache, sealring.cause
//	sealring.cache.evictions              counter    sealring.cache, sealring.cause
//	sealring.cache.oldest_key.age  s      gauge      sealring.cache
//	sealring.cache.keys                   gauge      sealring.cache
//	sealring.cache.memory          By     gauge      sealring.cache
//	sealring.kms.call.duration     s      histogram  sealring.keyring, sealring.operation,
//	                                                 sealring.region, sealring.code
//	sealring.kms.region.up                gauge      sealring.keyring, sealring.region
//	sealring.kms.region.failures          counter    sealring.keyring, sealring.region
//	sealring.kms.keys_not_covered         counter    sealring.keyring, sealring.region
//
// sealring.error is there only after a failure. sealring.result is hit, miss, waited, stale
// or bypass, as [cache.EventKind] explains them. sealring.code is OK, a code of KMS, or the
// kind of an error without one. Capacity misses are among the requests too: a larger cache
// would have saved them. Keys not covered are new data keys that a region cannot unwrap.
//
// Counters whose attributes are known beforehand begin with zero, so that the first count is
// seen as an increase.
//
// # Spans
//
// A span is made where KMS is asked for something, under the span of the caller: so a
// message whose data key is cached has none. A caller without a span gets none, and neither
// does a refresh in the background. It is called sealring. and the request's name, such as
// sealring.unwrap_data_key. What happens to regions meanwhile are its events. The calls
// themselves are spans of the AWS SDK, if that is given a TracerProvider, and are beneath
// it.
package sealringotel

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring/awskms"
)

const scope = "github.com/go-sealring/sealring/sealringotel"

const (
	operationKey = attribute.Key("sealring.operation")
	errorKey     = attribute.Key("sealring.error")
	cacheKey     = attribute.Key("sealring.cache")
	resultKey    = attribute.Key("sealring.result")
	causeKey     = attribute.Key("sealring.cause")
	keyringKey   = attribute.Key("sealring.keyring")
	regionKey    = attribute.Key("sealring.region")
	codeKey      = attribute.Key("sealring.code")
)

// Config says where metrics and spans go.
type Config struct {
	// MeterProvider is nil for the global one.
	MeterProvider metric.MeterProvider

	// TracerProvider is nil for the global one.
	TracerProvider trace.TracerProvider
}

// An Observer reports to OpenTelemetry. One serves a whole program. It is safe for concurrent
// use.
type Observer struct {
	meter  metric.Meter
	tracer trace.Tracer

	duration   metric.Float64Histogram
	bytes      metric.Int64Counter
	requests   metric.Int64Counter
	capacity   metric.Int64Counter
	evictions  metric.Int64Counter
	oldest     metric.Float64ObservableGauge
	keys       metric.Int64ObservableGauge
	memory     metric.Int64ObservableGauge
	calls      metric.Float64Histogram
	regionUp   metric.Int64Gauge
	failures   metric.Int64Counter
	notCovered metric.Int64Counter

	operations [envelope.OpUnwrapKey + 1]metric.MeasurementOption // of those that succeed
}

// New returns an Observer. It fails if the MeterProvider does not make an instrument.
func New(c Config) (*Observer, error) {
	if c.MeterProvider == nil {
		c.MeterProvider = otel.GetMeterProvider()
	}
	if c.TracerProvider == nil {
		c.TracerProvider = otel.GetTracerProvider()
	}
	o := &Observer{meter: c.MeterProvider.Meter(scope), tracer: c.TracerProvider.Tracer(scope)}
	var failed []error
	counter := func(to *metric.Int64Counter, name, unit, description string) {
		var err error
		*to, err = o.meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
		failed = append(failed, err)
	}
	histogram := func(to *metric.Float64Histogram, name, description string, bounds ...float64) {
		var err error
		*to, err = o.meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description), metric.WithExplicitBucketBoundaries(bounds...))
		failed = append(failed, err)
	}
	gauge := func(to *metric.Int64ObservableGauge, name, unit, description string) {
		var err error
		*to, err = o.meter.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(description))
		failed = append(failed, err)
	}
	histogram(&o.duration, "sealring.operation.duration", "How long operations of clients took.",
		1e-5, 1e-4, 1e-3, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60)
	counter(&o.bytes, "sealring.operation.bytes", "By", "Plaintext that was encrypted or decrypted.")
	counter(&o.requests, "sealring.cache.requests", "{request}", "Requests for data keys, by how the cache answered.")
	counter(&o.capacity, "sealring.cache.capacity_misses", "{request}", "Requests that a larger cache would have answered.")
	counter(&o.evictions, "sealring.cache.evictions", "{key}", "Data keys that left the cache.")
	gauge(&o.keys, "sealring.cache.keys", "{key}", "Data keys in the cache.")
	gauge(&o.memory, "sealring.cache.memory", "By", "Memory that the data keys in the cache take, by an estimate.")
	histogram(&o.calls, "sealring.kms.call.duration", "How long calls to KMS took.",
		.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10)
	counter(&o.failures, "sealring.kms.region.failures", "{failure}", "Failures that count against a region.")
	counter(&o.notCovered, "sealring.kms.keys_not_covered", "{key}", "New data keys that a region cannot unwrap.")
	var err error
	o.oldest, err = o.meter.Float64ObservableGauge("sealring.cache.oldest_key.age", metric.WithUnit("s"), metric.WithDescription("Age of the oldest data key in the cache."))
	failed = append(failed, err)
	o.regionUp, err = o.meter.Int64Gauge("sealring.kms.region.up", metric.WithDescription("1 for a region that is asked in its turn, 0 for one that is asked last since it failed."))
	failed = append(failed, err)
	if err := errors.Join(failed...); err != nil {
		return nil, fmt.Errorf("sealringotel: %w", err)
	}
	for op := range o.operations {
		o.operations[op] = with(operationKey.String(envelope.Operation(op).String()))
	}
	for op := envelope.OpEncrypt; op <= envelope.OpReadAt; op++ {
		if op != envelope.OpOpen { // which has no plaintext
			o.bytes.Add(context.Background(), 0, o.operations[op])
		}
	}
	return o, nil
}

// with returns an option for a measurement with these attributes.
func with(attributes ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(attributes...))
}

// Envelope reports an operation of a client: make it the OnEvent of [envelope.Options].
func (o *Observer) Envelope(ctx context.Context, e envelope.Event) {
	if e.Err != nil {
		o.duration.Record(ctx, e.Duration.Seconds(), with(operationKey.String(e.Operation.String()), errorKey.String(envelope.ErrorKind(e.Err))))
		return
	}
	var attributes metric.MeasurementOption
	if op := int(e.Operation); op < len(o.operations) {
		attributes = o.operations[op]
	} else { // of a later release of package envelope
		attributes = with(operationKey.String(e.Operation.String()))
	}
	o.duration.Record(ctx, e.Duration.Seconds(), attributes)
	if e.Bytes > 0 {
		o.bytes.Add(ctx, e.Bytes, attributes)
	}
}

// Cache returns a function that reports what a cache does: make it the OnEvent of
// [cache.Limits]. The name tells caches apart, and becomes an attribute: so it must be one of
// few.
func (o *Observer) Cache(name string) func(context.Context, cache.Event) {
	cacheName := cacheKey.String(name)
	results := map[cache.EventKind]metric.MeasurementOption{}
	for kind, result := range map[cache.EventKind]string{
		cache.Hit: "hit", cache.StaleUse: "stale", cache.Waited: "waited", cache.Miss: "miss", cache.Bypass: "bypass",
	} {
		results[kind] = with(cacheName, resultKey.String(result))
		o.requests.Add(context.Background(), 0, results[kind])
	}
	because := func(cause cache.Cause) metric.MeasurementOption {
		return with(cacheName, causeKey.String(cause.String()))
	}
	for cause := cache.Expired; cause <= cache.Replaced; cause++ {
		o.evictions.Add(context.Background(), 0, because(cause))
	}
	o.capacity.Add(context.Background(), 0, because(cache.Capacity))
	o.capacity.Add(context.Background(), 0, because(cache.Memory))
	return func(ctx context.Context, e cache.Event) {
		result, isRequest := results[e.Kind]
		switch {
		case e.Kind == cache.Evict:
			o.evictions.Add(ctx, 1, because(e.Cause))
		case isRequest:
			o.requests.Add(ctx, 1, result)
			if e.Cause != 0 {
				o.capacity.Add(ctx, 1, because(e.Cause))
			}
		}
	}
}

// WatchCache reports the size of a cache and the age of its oldest data key, each time that
// metrics are collected, until the result is unregistered. The cache may be a [cache.Cache]
// or the keyring of package branchkey. The name is that of [Observer.Cache].
func (o *Observer) WatchCache(name string, c interface{ Stats() cache.Stats }) (metric.Registration, error) {
	attributes := with(cacheKey.String(name))
	r, err := o.meter.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		s := c.Stats()
		to.ObserveFloat64(o.oldest, s.Oldest.Seconds(), attributes)
		to.ObserveInt64(o.keys, int64(s.Entries), attributes)
		to.ObserveInt64(o.memory, s.Bytes, attributes)
		return nil
	}, o.oldest, o.keys, o.memory)
	if err != nil {
		return nil, fmt.Errorf("sealringotel: %w", err)
	}
	return r, nil
}

// KMS returns an observer for a keyring, or for a key store of branch keys. The name tells
// keyrings apart, and becomes an attribute: so it must be one of few. The regions are those
// of an [awskms.MultiRegion], which is reported as up until it is known to be down; other
// keyrings know nothing of regions. A region that is down and not needed is not asked, and so
// not known to be up again.
func (o *Observer) KMS(name string, regions ...string) awskms.Observer {
	k := &kmsObserver{o, keyringKey.String(name)}
	for _, region := range regions {
		o.regionUp.Record(context.Background(), 1, k.in(region))
		o.failures.Add(context.Background(), 0, k.in(region))
		o.notCovered.Add(context.Background(), 0, k.in(region))
	}
	return awskms.Observer{OnEvent: k.event, OnRequest: k.request}
}

// A kmsObserver reports what one keyring does.
type kmsObserver struct {
	*Observer
	name attribute.KeyValue
}

// in returns an option for a measurement about a region.
func (k *kmsObserver) in(region string) metric.MeasurementOption {
	return with(k.name, regionKey.String(region))
}

func (k *kmsObserver) event(ctx context.Context, e awskms.Event) {
	// The span is that of the request, or none.
	span := trace.SpanFromContext(ctx)
	note := func(name, region string) {
		attributes := []attribute.KeyValue{regionKey.String(region)}
		if e.Err != nil {
			attributes = append(attributes, errorKey.String(envelope.ErrorKind(e.Err)))
		}
		span.AddEvent(name, trace.WithAttributes(attributes...))
	}
	switch e.Kind {
	case awskms.Call:
		k.calls.Record(ctx, e.Duration.Seconds(), with(k.name, operationKey.String(e.Operation), regionKey.String(e.Region), codeKey.String(codeOf(e))))
	case awskms.RegionFailed:
		k.failures.Add(ctx, 1, k.in(e.Region))
		note("sealring.region_failed", e.Region)
	case awskms.RegionDown:
		k.regionUp.Record(ctx, 0, k.in(e.Region))
		note("sealring.region_down", e.Region)
	case awskms.RegionUp:
		k.regionUp.Record(ctx, 1, k.in(e.Region))
		note("sealring.region_up", e.Region)
	case awskms.Degraded:
		for _, region := range e.Missing {
			k.notCovered.Add(ctx, 1, k.in(region))
			note("sealring.key_not_covered", region)
		}
	}
}

// codeOf returns the code of a call, or what stands in its place.
func codeOf(e awskms.Event) string {
	switch {
	case e.Err == nil:
		return "OK"
	case e.Code != "":
		return e.Code
	default:
		return envelope.ErrorKind(e.Err)
	}
}

// request makes a span for a request whose caller has one.
func (k *kmsObserver) request(ctx context.Context, r awskms.Request) (context.Context, func(error)) {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ctx, nil
	}
	ctx, span := k.tracer.Start(ctx, "sealring."+r.String(), trace.WithAttributes(k.name))
	return ctx, func(err error) {
		if kind := envelope.ErrorKind(err); kind != "" {
			span.SetAttributes(errorKey.String(kind))
			span.SetStatus(codes.Error, kind)
		}
		span.End()
	}
}
