package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
	"github.com/go-sealring/sealring/sealringotel"
)

const (
	near = "us-east-1"
	far  = "eu-west-1"
)

// Much shorter than a service would have them, so that the story is short too.
const (
	maxAge   = time.Second
	cooldown = 100 * time.Millisecond
)

// The cache has room for two data keys of each of a few tenants, and not of many.
const (
	fewTenants  = 10
	maxEntries  = 3 * fewTenants
	manyTenants = 20 * fewTenants
)

// A service keeps a record for each tenant, encrypted.
type service struct {
	kms     *kmstest.Server
	client  *envelope.Client
	cache   *cache.Cache
	metrics http.Handler

	tenants atomic.Int64 // how many there are now
	mu      sync.Mutex
	records map[int64][]byte // by tenant, encrypted
	failed  atomic.Int64     // requests
}

// newService returns a service whose first tenants have records, all of it watched.
func newService(ctx context.Context) (_ *service, err error) {
	registry := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry), otelprometheus.WithoutScopeInfo(), otelprometheus.WithoutTargetInfo())
	if err != nil {
		return nil, err
	}
	otel, err := sealringotel.New(sealringotel.Config{MeterProvider: metric.NewMeterProvider(metric.WithReader(exporter))})
	if err != nil {
		return nil, err
	}

	s := &service{metrics: promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), records: map[int64][]byte{}}
	if s.kms, err = kmstest.New(kmstest.Config{Regions: []string{near, far}}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	regions := awskms.MultiRegionConfig{MinRegions: 1, AttemptTimeout: time.Minute, Cooldown: cooldown, Observer: otel.KMS("records", near, far)}
	for _, region := range []string{near, far} { // the nearest first
		regions.Regions = append(regions.Regions, awskms.RegionKey{
			Client: kmsClient(s.kms, region), KeyARN: s.kms.CreateKey(region, kmstest.SymmetricDefault),
		})
	}
	kr, err := awskms.NewMultiRegion(regions)
	if err != nil {
		return nil, err
	}
	s.cache, err = cache.New(kr, cache.Limits{
		MaxAge: maxAge, StaleFor: time.Hour, MaxEntries: maxEntries, LoadTimeout: time.Minute, OnEvent: otel.Cache("records"),
	})
	if err != nil {
		return nil, err
	}
	if _, err := otel.WatchCache("records", s.cache); err != nil {
		return nil, err
	}
	s.client, err = envelope.NewFromManager(s.cache, &envelope.Options{OnEvent: otel.Envelope})
	if err != nil {
		return nil, err
	}
	s.tenants.Store(fewTenants)
	for tenant := range int64(fewTenants) {
		if err := errors.Join(s.write(ctx, tenant), s.read(ctx, tenant)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// kmsClient returns the SDK's client for a region of the embedded KMS.
func kmsClient(s *kmstest.Server, region string) *kms.Client {
	return kms.New(kms.Options{
		Region: region, BaseEndpoint: aws.String(s.URL(region)),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	})
}

func (s *service) close() {
	if s.cache != nil {
		s.cache.Close()
	}
	s.kms.Close()
}

func contextOf(tenant int64) keyring.EncryptionContext {
	return keyring.EncryptionContext{"tenant": fmt.Sprint(tenant), "table": "records"}
}

// write encrypts a record. The first one of a tenant is kept, and those after it are not:
// so what is read was written before the outage.
func (s *service) write(ctx context.Context, tenant int64) error {
	msg, err := s.client.Encrypt(ctx, []byte("a record of 64 bytes, as most columns are: not long, and secret."), contextOf(tenant))
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.records[tenant] == nil {
		s.records[tenant] = msg
	}
	return nil
}

// read decrypts the record of a tenant.
func (s *service) read(ctx context.Context, tenant int64) error {
	s.mu.Lock()
	msg := s.records[tenant]
	s.mu.Unlock()
	if msg == nil {
		return nil
	}
	_, err := s.client.Decrypt(ctx, msg, contextOf(tenant))
	return err
}

// load has a few callers read and write, until stop is called.
func (s *service) load(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			pace := time.NewTicker(2 * time.Millisecond)
			defer pace.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-pace.C:
				}
				tenant := rand.Int64N(s.tenants.Load())
				if err := errors.Join(s.write(ctx, tenant), s.read(ctx, tenant)); err != nil && ctx.Err() == nil {
					s.failed.Add(1)
				}
			}
		})
	}
	return func() {
		cancel()
		callers.Wait()
	}
}
