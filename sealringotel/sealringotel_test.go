package sealringotel_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
	"github.com/go-sealring/sealring/sealringotel"
)

const (
	east = "us-east-1"
	west = "us-west-2"
)

// secret is in the encryption context, and must be nowhere else.
const secret = "the-patient's-name"

var ec = keyring.EncryptionContext{"patient": secret}

// client is a KMS client that notes the span which each call is under.
type client struct {
	*kms.Client
	mu    sync.Mutex
	spans []trace.SpanID
}

func (c *client) note(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spans = append(c.spans, trace.SpanContextFromContext(ctx).SpanID())
}

func (c *client) GenerateDataKey(ctx context.Context, in *kms.GenerateDataKeyInput, o ...func(*kms.Options)) (*kms.GenerateDataKeyOutput, error) {
	c.note(ctx)
	return c.Client.GenerateDataKey(ctx, in, o...)
}

func (c *client) Decrypt(ctx context.Context, in *kms.DecryptInput, o ...func(*kms.Options)) (*kms.DecryptOutput, error) {
	c.note(ctx)
	return c.Client.Decrypt(ctx, in, o...)
}

// A world is a client over a cache over two regions, all of it watched.
type world struct {
	t       *testing.T
	server  *kmstest.Server
	clients []*client
	cache   *cache.Cache
	client  *envelope.Client
	reader  *sdkmetric.ManualReader
	spans   *tracetest.SpanRecorder
	tracer  trace.Tracer
}

func newWorld(t *testing.T, limits cache.Limits) *world {
	w := &world{t: t, server: kmstest.Start(t, kmstest.Config{Regions: []string{east, west}}),
		reader: sdkmetric.NewManualReader(), spans: tracetest.NewSpanRecorder()}
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(w.spans))
	w.tracer = tracers.Tracer("test")
	o, err := sealringotel.New(sealringotel.Config{
		MeterProvider:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(w.reader)),
		TracerProvider: tracers,
	})
	require.NoError(t, err)

	key := w.server.CreateMultiRegionKey(east, kmstest.SymmetricDefault)
	regions := awskms.MultiRegionConfig{AttemptTimeout: time.Minute, Cooldown: time.Nanosecond, Observer: o.KMS("orders", east, west)}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	for region, arn := range map[string]string{east: key, west: w.server.Replicate(key, west)} {
		c := &client{Client: kms.New(kms.Options{
			Region: region, BaseEndpoint: aws.String(w.server.URL(region)), HTTPClient: &http.Client{Transport: transport},
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
			}),
		})}
		w.clients = append(w.clients, c)
		regions.Regions = append(regions.Regions, awskms.RegionKey{Client: c, KeyARN: arn})
	}
	slices.SortFunc(regions.Regions, func(a, b awskms.RegionKey) int { return strings.Compare(a.KeyARN, b.KeyARN) }) // east first
	kr, err := awskms.NewMultiRegion(regions)
	require.NoError(t, err)
	limits.MaxAge, limits.NoRefresh, limits.OnEvent = time.Hour, true, o.Cache("orders")
	w.cache, err = cache.New(kr, limits)
	require.NoError(t, err)
	t.Cleanup(func() { w.cache.Close() })
	_, err = o.WatchCache("orders", w.cache)
	require.NoError(t, err)
	w.client, err = envelope.NewFromManager(w.cache, &envelope.Options{OnEvent: o.Envelope})
	require.NoError(t, err)
	return w
}

// encrypt encrypts 100 bytes, under a span of the caller.
func (w *world) encrypt(ec keyring.EncryptionContext) ([]byte, trace.SpanID) {
	ctx, span := w.tracer.Start(w.t.Context(), "caller")
	defer span.End()
	msg, err := w.client.Encrypt(ctx, make([]byte, 100), ec)
	require.NoError(w.t, err)
	return msg, span.SpanContext().SpanID()
}

// metrics returns counts, values and counts of histograms, by "name{attributes}".
func (w *world) metrics() map[string]float64 {
	var all metricdata.ResourceMetrics
	require.NoError(w.t, w.reader.Collect(w.t.Context(), &all))
	got := map[string]float64{}
	name := func(m metricdata.Metrics, set attribute.Set) string {
		var pairs []string
		for _, kv := range set.ToSlice() {
			key := strings.TrimPrefix(string(kv.Key), "sealring.")
			assert.NotEqual(w.t, string(kv.Key), key, "attributes are named sealring.")
			pairs = append(pairs, key+"="+kv.Value.Emit())
		}
		assert.True(w.t, strings.HasPrefix(m.Name, "sealring."), m.Name)
		return strings.TrimPrefix(m.Name, "sealring.") + "{" + strings.Join(pairs, ",") + "}"
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					got[name(m, p.Attributes)] = float64(p.Value)
				}
			case metricdata.Gauge[int64]:
				for _, p := range data.DataPoints {
					got[name(m, p.Attributes)] = float64(p.Value)
				}
			case metricdata.Gauge[float64]:
				for _, p := range data.DataPoints {
					got[name(m, p.Attributes)] = p.Value
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					got[name(m, p.Attributes)] = float64(p.Count)
				}
			default:
				w.t.Errorf("%s is a %T", m.Name, data)
			}
		}
	}
	return got
}

// has checks some of the metrics.
func (w *world) has(want map[string]float64) {
	w.t.Helper()
	got := w.metrics()
	for name, value := range want {
		assert.Contains(w.t, got, name)
		assert.Equal(w.t, value, got[name], name)
	}
	if w.t.Failed() {
		w.t.Log(got)
	}
}

func TestOperationsAndCache(t *testing.T) {
	w := newWorld(t, cache.Limits{})
	msg, _ := w.encrypt(ec)
	w.encrypt(ec)
	_, err := w.client.Decrypt(t.Context(), msg, keyring.EncryptionContext{"patient": "another"})
	require.ErrorIs(t, err, envelope.ErrContextMismatch)
	_, err = w.client.Decrypt(t.Context(), msg, ec)
	require.NoError(t, err)
	w.has(map[string]float64{
		"operation.duration{operation=encrypt}":                                                2,
		"operation.duration{operation=decrypt}":                                                1,
		"operation.duration{error=context_mismatch,operation=decrypt}":                         1,
		"operation.duration{operation=new_key}":                                                2,
		"operation.bytes{operation=encrypt}":                                                   200,
		"operation.bytes{operation=decrypt}":                                                   100,
		"cache.requests{cache=orders,result=hit}":                                              1,
		"cache.requests{cache=orders,result=miss}":                                             3,
		"cache.keys{cache=orders}":                                                             2,
		"kms.call.duration{code=OK,keyring=orders,operation=GenerateDataKey,region=us-east-1}": 1,
		"kms.call.duration{code=OK,keyring=orders,operation=Decrypt,region=us-east-1}":         1,
		"kms.region.up{keyring=orders,region=us-east-1}":                                       1,
		"kms.region.up{keyring=orders,region=us-west-2}":                                       1,
	})
	got := w.metrics()
	assert.Positive(t, got["cache.oldest_key.age{cache=orders}"])
	assert.Positive(t, got["cache.memory{cache=orders}"])
	assert.NotContains(t, fmt.Sprint(got), secret)

	w.cache.Purge()
	w.has(map[string]float64{"cache.evictions{cache=orders,cause=purged}": 2, "cache.keys{cache=orders}": 0})
}

func TestCacheTooSmall(t *testing.T) {
	w := newWorld(t, cache.Limits{MaxEntries: 1})
	for range 2 {
		for _, tenant := range []string{"1", "2"} {
			w.encrypt(keyring.EncryptionContext{"tenant": tenant})
		}
	}
	got := w.metrics()
	assert.Positive(t, got["cache.evictions{cache=orders,cause=capacity}"])
	assert.EqualValues(t, w.cache.Stats().CapacityMisses, got["cache.capacity_misses{cache=orders,cause=capacity}"])
	assert.Positive(t, got["cache.capacity_misses{cache=orders,cause=capacity}"])
}

func TestRegions(t *testing.T) {
	w := newWorld(t, cache.Limits{})
	w.server.Outage(east, kmstest.Refuse)
	w.encrypt(keyring.EncryptionContext{"tenant": "1"})
	w.encrypt(keyring.EncryptionContext{"tenant": "2"})
	w.has(map[string]float64{
		"kms.region.up{keyring=orders,region=us-east-1}":                                                0,
		"kms.region.up{keyring=orders,region=us-west-2}":                                                1,
		"kms.region.failures{keyring=orders,region=us-east-1}":                                          2,
		"kms.call.duration{code=unavailable,keyring=orders,operation=GenerateDataKey,region=us-east-1}": 2,
		"kms.call.duration{code=OK,keyring=orders,operation=GenerateDataKey,region=us-west-2}":          2,
	})
	w.server.Restore(east)
	w.encrypt(keyring.EncryptionContext{"tenant": "3"})
	w.has(map[string]float64{"kms.region.up{keyring=orders,region=us-east-1}": 1})
}

// TestSpans checks that there is a span where KMS was asked, under the caller's, with the
// calls under it, and none elsewhere.
func TestSpans(t *testing.T) {
	w := newWorld(t, cache.Limits{})
	ours := func() []sdktrace.ReadOnlySpan {
		return slices.DeleteFunc(w.spans.Ended(), func(s sdktrace.ReadOnlySpan) bool { return s.Name() == "caller" })
	}
	calls := func() []trace.SpanID { return slices.Concat(w.clients[0].spans, w.clients[1].spans) }

	_, caller := w.encrypt(ec)
	w.encrypt(ec) // a hit
	require.Len(t, ours(), 1)
	span := ours()[0]
	assert.Equal(t, "sealring.wrap_data_key", span.Name())
	assert.Equal(t, caller, span.Parent().SpanID())
	assert.Equal(t, codes.Unset, span.Status().Code)
	assert.Equal(t, []attribute.KeyValue{attribute.String("sealring.keyring", "orders")}, span.Attributes())
	assert.Equal(t, []trace.SpanID{span.SpanContext().SpanID()}, calls())

	// A caller without a span.
	_, err := w.client.Encrypt(t.Context(), nil, keyring.EncryptionContext{"tenant": "1"})
	require.NoError(t, err)
	require.Len(t, ours(), 1)

	w.server.Outage(east, kmstest.Refuse)
	w.server.Outage(west, kmstest.Refuse)
	ctx, root := w.tracer.Start(t.Context(), "caller")
	_, err = w.client.Encrypt(ctx, nil, keyring.EncryptionContext{"patient": secret, "tenant": "2"})
	require.ErrorIs(t, err, envelope.ErrUnavailable)
	root.End()
	require.Len(t, ours(), 2)
	span = ours()[1]
	assert.Equal(t, root.SpanContext().SpanID(), span.Parent().SpanID())
	assert.Equal(t, sdktrace.Status{Code: codes.Error, Description: "unavailable"}, span.Status())
	var events []string
	for _, e := range span.Events() {
		events = append(events, e.Name)
		assert.NotContains(t, fmt.Sprint(e.Attributes), secret)
	}
	assert.Equal(t, []string{"sealring.region_failed", "sealring.region_failed"}, events)
	assert.NotContains(t, fmt.Sprint(span.Attributes()), secret)
}

// TestKeysNotCovered has an event of a data key that two regions cannot unwrap.
func TestKeysNotCovered(t *testing.T) {
	o, w := alone(t)
	o.KMS("orders").OnEvent(t.Context(), awskms.Event{Kind: awskms.Degraded, Missing: []string{east, west}})
	w.has(map[string]float64{
		"kms.keys_not_covered{keyring=orders,region=us-east-1}": 1,
		"kms.keys_not_covered{keyring=orders,region=us-west-2}": 1,
	})
}

// TestAllOperations holds that each operation has its attributes.
func TestAllOperations(t *testing.T) {
	o, w := alone(t)
	for op := envelope.OpEncrypt; !strings.HasPrefix(op.String(), "Operation("); op++ {
		o.Envelope(t.Context(), envelope.Event{Operation: op})
		w.has(map[string]float64{"operation.duration{operation=" + op.String() + "}": 1})
	}
}

// TestCountersBeginWithZero holds that the bytes of an operation are counted from zero, as
// other counters whose attributes are known.
func TestCountersBeginWithZero(t *testing.T) {
	o, w := alone(t)
	o.Cache("orders")
	o.KMS("orders", east)
	w.has(map[string]float64{
		"operation.bytes{operation=encrypt}":                    0,
		"operation.bytes{operation=read_at}":                    0,
		"cache.requests{cache=orders,result=stale}":             0,
		"cache.evictions{cache=orders,cause=replaced}":          0,
		"cache.capacity_misses{cache=orders,cause=memory}":      0,
		"kms.region.failures{keyring=orders,region=us-east-1}":  0,
		"kms.keys_not_covered{keyring=orders,region=us-east-1}": 0,
	})
	assert.NotContains(t, w.metrics(), "operation.bytes{operation=new_key}", "which has no bytes")
}

// alone returns an Observer that watches nothing, and a world with its metrics and no more.
func alone(t *testing.T) (*sealringotel.Observer, *world) {
	w := &world{t: t, reader: sdkmetric.NewManualReader()}
	o, err := sealringotel.New(sealringotel.Config{MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(w.reader))})
	require.NoError(t, err)
	return o, w
}

// TestGlobals has New without a config, which uses the global providers: none are set here.
func TestGlobals(t *testing.T) {
	o, err := sealringotel.New(sealringotel.Config{})
	require.NoError(t, err)
	o.Envelope(t.Context(), envelope.Event{Operation: envelope.OpEncrypt})
}
