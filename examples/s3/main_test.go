package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/examples/s3/plain"
	"github.com/go-sealring/sealring/examples/s3/sealed"
	"github.com/go-sealring/sealring/keyring"
)

func TestOutput(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, []string{"-size", "20000000"}))
	for _, says := range []string{
		"up    20 MB: encrypted ",
		"down  20 MB: encrypted ",
		"range of 1 MiB: 3 GETs with open, 1 for the next\n",
		"1000 ranges of 64 KiB: 1000 GETs; data keys unwrapped for all this: 1\n",
		"served over HTTP: 206 Partial Content, bytes 10000000-19999999/20000000, 10000000 bytes, 3 GETs\n",
		"without a key: 20000000 bytes of image/tiff; ",
		`wrapped by "aws-kms"/"arn:aws:kms:us-east-1:111122223333:key/`,
	} {
		assert.Contains(t, out.String(), says)
	}
}

// The store that encrypts has few lines that the other has not.
func TestGlue(t *testing.T) {
	code := func(file string) map[string]int {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		lines := map[string]int{}
		for line := range strings.Lines(string(b)) {
			line = strings.TrimSpace(line)
			if len(line) > 1 && !strings.HasPrefix(line, "//") && !strings.HasPrefix(line, "package ") {
				lines[line]++
			}
		}
		return lines
	}
	without, with := code("plain/store.go"), code("sealed/store.go")
	beyond, total := 0, 0
	for line, n := range with {
		beyond += max(0, n-without[line])
		total += n
	}
	for _, n := range without {
		total -= n
	}
	t.Logf("%d lines are others than without encryption; %d more in all", beyond, total)
	assert.LessOrEqual(t, total, 15)
	assert.LessOrEqual(t, beyond, 20, "with imports, and those that take the place of others")
}

// Both stores do the same.
func TestStores(t *testing.T) {
	backend := s3mem.New()
	require.NoError(t, backend.CreateBucket("scans"))
	server := httptest.NewServer(gofakes3.New(backend).Server())
	defer server.Close()
	client := s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(server.URL), UsePathStyle: true,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "any", SecretAccessKey: "any"}, nil
		}),
	})
	kr, err := keyring.NewRawAES("test", "key", make([]byte, 32))
	require.NoError(t, err)
	encrypted, err := sealed.New(client, "scans", kr)
	require.NoError(t, err)
	asItIs, err := plain.New(client, "scans")
	require.NoError(t, err)
	content := bytes.Repeat([]byte("0123456789"), 10_000)
	for name, s := range map[string]interface {
		http.Handler
		Upload(context.Context, string, io.Reader) error
		Download(context.Context, string, io.Writer) error
	}{"plain": asItIs, "sealed": encrypted} {
		require.NoError(t, s.Upload(t.Context(), name, bytes.NewReader(content)), name)
		var got bytes.Buffer
		require.NoError(t, s.Download(t.Context(), name, &got), name)
		assert.True(t, bytes.Equal(content, got.Bytes()), name)
		for wanted, status := range map[string]int{"": http.StatusOK, "bytes=12345-12354": http.StatusPartialContent} {
			r := httptest.NewRequest(http.MethodGet, "/"+name, nil)
			want := content
			if wanted != "" {
				r.Header.Set("Range", wanted)
				want = content[12345:12355]
			}
			answer := httptest.NewRecorder()
			s.ServeHTTP(answer, r)
			assert.Equal(t, status, answer.Code, name)
			assert.Equal(t, "image/tiff", answer.Header().Get("Content-Type"), name)
			assert.True(t, bytes.Equal(want, answer.Body.Bytes()), name)
		}
		answer := httptest.NewRecorder()
		s.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/none", nil))
		assert.Equal(t, http.StatusBadGateway, answer.Code, name)
	}
	part := make([]byte, 10)
	require.NoError(t, asItIs.Range(t.Context(), "plain", part, 12345))
	assert.Equal(t, string(content[12345:12355]), string(part))
}

func TestFlags(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"unknown flag": {[]string{"-s3"}, "-s3"},
		"argument":     {[]string{"x"}, `unexpected argument "x"`},
		"small":        {[]string{"-size", "1000"}, "-size must be 4194304 or more"},
		"no key":       {[]string{"-bucket", "b"}, "need each other"},
		"no bucket":    {[]string{"-key", "raw-aes:?namespace=a&name=b&file=/key"}, "need each other"},
		"no URI":       {[]string{"-bucket", "b", "-key", "x"}, "-key"},
	} {
		var out bytes.Buffer
		err := run(t.Context(), &out, c.args)
		require.ErrorContains(t, err, "usage:", name)
		before, _, _ := strings.Cut(err.Error(), "usage:")
		assert.Contains(t, before, c.says, name)
		assert.Empty(t, out.String(), name)
	}
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, []string{"-h"}))
	assert.Contains(t, out.String(), "usage:")
}

// What was stored is deleted when the run is cancelled, and a server that does not answer
// does not keep the program.
func TestCleanIsLimited(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	deletes := 0
	d := demo{out: io.Discard, bucket: "scans", size: 4 << 20}
	kr, err := keyring.NewRawAES("test", "key", make([]byte, 32))
	require.NoError(t, err)
	d.keyring = counted{Keyring: kr, calls: new(calls)}
	d.client = s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: aws.String("http://none.invalid"), UsePathStyle: true, Retryer: aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "any", SecretAccessKey: "any"}, nil
		}),
		HTTPClient: doer(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodDelete {
				deletes++
				require.NoError(t, r.Context().Err())
				_, limited := r.Context().Deadline()
				assert.True(t, limited)
			}
			cancel()
			return nil, errors.New("no answer")
		}),
	})
	require.Error(t, d.run(ctx))
	assert.Equal(t, 2, deletes)
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, run(ctx, io.Discard, nil), context.Canceled)
}
