package kmstest_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

const (
	east = "us-east-1"
	west = "us-west-2"
)

// newClient returns a client of a region that does not retry.
func newClient(t testing.TB, s *kmstest.Server, region string) *kms.Client {
	return kms.New(kms.Options{
		Region:       region,
		BaseEndpoint: aws.String(s.URL(region)),
		HTTPClient:   s.Client(),
		Retryer:      aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"}, nil
		}),
	})
}

// requireCode requires an error of the service with the given code.
func requireCode(t *testing.T, err error, code string) smithy.APIError {
	t.Helper()
	require.Error(t, err)
	var e smithy.APIError
	require.True(t, errors.As(err, &e), "%v", err)
	require.Equal(t, code, e.ErrorCode(), "%v", err)
	return e
}

// A clock that the test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

const day = 24 * time.Hour
