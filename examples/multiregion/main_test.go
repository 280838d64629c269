package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

const east, west, south = "us-east-1", "us-west-2", "sa-east-1"

// direct is an HTTP client of a server in this process, to which there is no network.
type direct struct{ http.Handler }

func (d direct) Do(req *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	d.ServeHTTP(w, req)
	return w.Result(), req.Context().Err()
}

// TestEmbedded has the outage in simulated time.
func TestEmbedded(t *testing.T) {
	server, err := kmstest.New(kmstest.Config{Regions: []string{writer, reader, third}})
	require.NoError(t, err)
	defer server.Close()
	var out bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		require.NoError(t, onServer(t.Context(), &out, server, func(region string) *kms.Client {
			return embeddedClient(region, "http://kms.test", direct{server.Handler(region)})
		}))
	})
	for _, says := range []string{
		"event: region failed: eu-west-1: kms:Decrypt on arn:aws:kms:eu-west-1:",
		"timed out\n  event: region down: eu-west-1\n",
		"event: region up: eu-west-1\n",
	} {
		assert.Contains(t, out.String(), says)
	}
	for _, row := range []string{
		`step +latency +us-east-1 +eu-west-1 +ap-southeast-2\n`,
		`encrypt in us-east-1 +\S+ ms +1 +0 +0\n`,
		`decrypt in eu-west-1 +\S+ ms +0 +1 +0\n`,
		`eu-west-1 hangs: the first read +3075\.0 ms +1 +1 +0\n`,
		`5 more while it hangs, each +\S+ ms +5 +0 +0\n`,
		`eu-west-1 is back, cooldown not over +\S+ ms +1 +0 +0\n`,
		`eu-west-1 is back, cooldown over +\S+ ms +0 +1 +0\n`,
		`5 more, each +\S+ ms +0 +5 +0\n`,
	} {
		assert.Regexp(t, row, out.String())
	}
}

// useServer has AWS's default configuration lead to a server with three regions,
// and takes nothing from the machine that the test runs on. The configuration
// names one endpoint; a proxy behind it goes by the region in a request's
// signature.
func useServer(t *testing.T) *kmstest.Server {
	server := kmstest.Start(t, kmstest.Config{Regions: []string{east, west, south}})
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		for _, region := range server.Regions() {
			if strings.Contains(r.In.Header.Get("Authorization"), "/"+region+"/kms/") {
				u, _ := url.Parse(server.URL(region))
				r.SetURL(u)
			}
		}
	}})
	t.Cleanup(proxy.Close)
	none := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_KMS":                proxy.URL,
		"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "",
		"AWS_ACCESS_KEY_ID":                   "test",
		"AWS_SECRET_ACCESS_KEY":               "test",
		"AWS_SESSION_TOKEN":                   "",
		"AWS_PROFILE":                         "",
		"AWS_CONFIG_FILE":                     none,
		"AWS_SHARED_CREDENTIALS_FILE":         none,
	} {
		t.Setenv(name, value)
	}
	return server
}

func TestReplicas(t *testing.T) {
	server := useServer(t)
	primary := server.CreateMultiRegionKey(west, kmstest.SymmetricDefault)
	keys := strings.Join([]string{primary, server.Replicate(primary, east), server.Replicate(primary, south)}, ",")
	server.ResetCalls()

	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, []string{"-keys", keys}))
	assert.Regexp(t, `decrypt in us-east-1 +\S+ ms +0 +1 +0\n`, out.String())
	assert.Regexp(t, `decrypt in sa-east-1 +\S+ ms +0 +0 +1\n`, out.String())
	assert.NotContains(t, out.String(), "event")
	for _, region := range server.Regions() {
		assert.Equal(t, 1, server.Calls(kmstest.Match{Region: region}), region)
	}
}

func TestIndependentKeys(t *testing.T) {
	server := useServer(t)
	keys := server.CreateKey(east, kmstest.SymmetricDefault) + "," + server.CreateKey(south, kmstest.SymmetricDefault)
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, []string{"-keys", keys}))
	assert.Regexp(t, `encrypt in us-east-1 +\S+ ms +1 +1\n`, out.String())
	assert.Regexp(t, `decrypt in sa-east-1 +\S+ ms +0 +1\n`, out.String())
}

func TestRefused(t *testing.T) {
	server := useServer(t)
	primary := server.CreateMultiRegionKey(east, kmstest.SymmetricDefault)
	replica := server.Replicate(primary, west)
	server.Disable(replica)
	err := run(t.Context(), io.Discard, []string{"-keys", primary + "," + replica})
	var e *awskms.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, "DisabledException", e.Code)
	assert.Equal(t, west, e.Region)
}

// A read that another region had to answer is not what the program is to show.
func TestLocalRegionDown(t *testing.T) {
	server := useServer(t)
	primary := server.CreateMultiRegionKey(east, kmstest.SymmetricDefault)
	replica := server.Replicate(primary, west)
	server.Outage(west, kmstest.InternalError)
	var out bytes.Buffer
	err := run(t.Context(), &out, []string{"-keys", primary + "," + replica})
	require.ErrorContains(t, err, "decrypt in us-west-2: calls map[us-east-1:1 us-west-2:1]")
	assert.Contains(t, out.String(), "event: region failed: us-west-2")
}

func TestBadFlags(t *testing.T) {
	const key = "arn:aws:kms:us-east-1:111122223333:key/0123"
	for name, args := range map[string][]string{
		"unknown flag":    {"-fast"},
		"argument":        {"file"},
		"no value":        {"-keys"},
		"empty":           {"-keys", ""},
		"one key":         {"-keys", key},
		"no ARN":          {"-keys", key + ",0123"},
		"ARN of an alias": {"-keys", key + ",arn:aws:kms:us-west-2:111122223333:alias/orders"},
		"trailing comma":  {"-keys", key + ","},
		"one region":      {"-keys", key + ",arn:aws:kms:us-east-1:111122223333:key/4567"},
	} {
		var out bytes.Buffer
		require.ErrorContains(t, run(t.Context(), &out, args), "usage:", name)
		assert.Empty(t, out.String(), name)
	}
}

func TestHelp(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, []string{"-h"}))
	assert.Contains(t, out.String(), "usage:")
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, run(ctx, io.Discard, nil), context.Canceled)
}
