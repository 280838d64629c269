package kmstest_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/internal/faketime"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

// inBubble runs a test in simulated time on a server without a network.
func inBubble(t *testing.T, test func(*testing.T, *kmstest.Server)) {
	faketime.Test(t, func(t *testing.T) {
		test(t, kmstest.Start(t, kmstest.Config{Regions: []string{east, west}, NoNetwork: true}))
	})
}

// TestNoNetworkOutages has each outage be what it is on a network, and leave the other
// region alone.
func TestNoNetworkOutages(t *testing.T) {
	inBubble(t, func(t *testing.T, s *kmstest.Server) {
		ce, cw := newClient(t, s, east), newClient(t, s, west)
		a, b := s.CreateKey(east, kmstest.SymmetricDefault), s.CreateKey(west, kmstest.SymmetricDefault)
		start := time.Now()
		for range 2 {
			require.NoError(t, dataKey(t.Context(), ce, a))
			s.Outage(east, kmstest.InternalError)
			requireCode(t, dataKey(t.Context(), ce, a), "KMSInternalException")
			s.Outage(east, kmstest.DependencyTimeout)
			requireCode(t, dataKey(t.Context(), ce, a), "DependencyTimeoutException")
			s.Outage(east, kmstest.Refuse)
			err := dataKey(t.Context(), ce, a)
			requireRefused(t, err)
			require.ErrorIs(t, err, syscall.ECONNREFUSED)
			require.NoError(t, dataKey(t.Context(), cw, b))
			s.Restore(east)
		}
		assert.Zero(t, time.Since(start))

		s.Outage(east, kmstest.Hang)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		require.ErrorIs(t, dataKey(ctx, ce, a), context.DeadlineExceeded)
		require.ErrorIs(t, dataKey(ctx, cw, b), context.DeadlineExceeded, "its context had ended before")
		assert.Equal(t, time.Hour, time.Since(start))
	})
}

// TestNoNetworkCalls has calls be under way when something happens.
func TestNoNetworkCalls(t *testing.T) {
	fails := func(want error) func(*testing.T, error) {
		return func(t *testing.T, err error) { assert.ErrorIs(t, err, want) }
	}
	for name, c := range map[string]struct {
		do   func(s *kmstest.Server, cancel func())
		want func(*testing.T, error)
	}{
		"the caller goes":   {func(_ *kmstest.Server, cancel func()) { cancel() }, fails(context.Canceled)},
		"the region goes":   {func(s *kmstest.Server, _ func()) { s.Outage(east, kmstest.Refuse) }, fails(syscall.ECONNRESET)},
		"the server closes": {func(s *kmstest.Server, _ func()) { s.Close() }, fails(syscall.ECONNRESET)},
		"another outage": {func(s *kmstest.Server, _ func()) { s.Outage(east, kmstest.InternalError) },
			func(t *testing.T, err error) { requireCode(t, err, "KMSInternalException") }},
		"the region is back": {func(s *kmstest.Server, _ func()) { s.Restore(east) },
			func(t *testing.T, err error) { assert.NoError(t, err) }},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *kmstest.Server) {
				client, key := newClient(t, s, east), s.CreateKey(east, kmstest.SymmetricDefault)
				s.Outage(east, kmstest.Hang)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				errs := make(chan error)
				for range 3 {
					go func() { errs <- dataKey(ctx, client, key) }()
				}
				synctest.Wait()
				assert.Equal(t, 3, s.Calls(kmstest.Match{Region: east}))
				c.do(s, cancel)
				for range 3 {
					c.want(t, <-errs)
				}
			})
		})
	}
}

// TestNoNetworkClient holds what the client is without an SDK.
func TestNoNetworkClient(t *testing.T) {
	inBubble(t, func(t *testing.T, s *kmstest.Server) {
		client := s.Client()
		resp, err := client.Do(newRequest(t, s, "ListAliases", "{}"))
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, "200 OK", resp.Status)
		assert.Equal(t, "application/x-amz-json-1.1", resp.Header.Get("Content-Type"))
		assert.EqualValues(t, len(body), resp.ContentLength)
		assert.JSONEq(t, `{"Aliases":[],"Truncated":false}`, string(body))

		// No path is that of the URL, and no body is an empty one.
		req, err := http.NewRequest(http.MethodPost, s.URL(east), nil)
		require.NoError(t, err)
		req.Header = newRequest(t, s, "ListAliases", "").Header
		resp, err = client.Do(req)
		require.NoError(t, err)
		assert.Equal(t, http.StatusOK, resp.StatusCode)

		var unknown *net.DNSError
		_, err = client.Get("https://kms.us-east-1.amazonaws.com")
		require.ErrorAs(t, err, &unknown)
		assert.True(t, unknown.IsNotFound)

		// A region that is opened later, and one that is closed.
		resp, err = client.Post(s.URL("eu-west-1"), "", strings.NewReader("{}"))
		require.NoError(t, err)
		assert.Equal(t, http.StatusBadRequest, resp.StatusCode)
		s.Close()
		s.Restore(east) // stays closed
		_, err = client.Do(newRequest(t, s, "ListAliases", "{}"))
		requireRefused(t, err)
	})
}
