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
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/internal/mototest"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

const from, to = "us-east-1", "eu-west-1"

// shown is what the program prints in every case.
var shown = []string{
	`items: an order takes \d+ bytes, and was (copied as it is|replicated) from us-east-1 to eu-west-1\n`,
	`items: a status that somebody without the key changed is refused: .* authentication failed: the item was altered\n`,
	`fields: an order takes \d+ bytes, and was (copied as it is|replicated) from us-east-1 to eu-west-1\n`,
	`fields: a status that somebody without the key changed is read: it is not sealed\n`,
	`calls to KMS in +us-east-1 +eu-west-1\n`,
	`items: 3 orders written in us-east-1 +3 +0\n`,
	`items: read in eu-west-1 +0 +3\n`,
	`items: the status of one changed there +0 +2\n`,
	`items: read again there +0 +3\n`,
	`fields: 3 orders written in us-east-1 +1 +0\n`,
	`fields: read in eu-west-1 +0 +1\n`,
	`fields: the status of one changed there +0 +0\n`,
	`fields: read again there +0 +0\n$`,
}

func assertShown(t *testing.T, out string) {
	for _, line := range shown {
		assert.Regexp(t, line, out)
	}
}

func clientIn(region, url string) *dynamodb.Client {
	cfg := emulated(url)
	cfg.Region = region
	return dynamodb.NewFromConfig(cfg)
}

func TestMoto(t *testing.T) {
	moto := mototest.Start(t)
	tables := func(t *testing.T) (names []string) {
		for _, region := range []string{from, to} {
			out, err := clientIn(region, moto).ListTables(t.Context(), &dynamodb.ListTablesInput{})
			require.NoError(t, err)
			names = append(names, out.TableNames...)
		}
		return names
	}

	t.Run("started by the program", func(t *testing.T) {
		var out bytes.Buffer
		require.NoError(t, run(t.Context(), &out, nil))
		assert.Contains(t, out.String(), "KMS: inside this process, a key with replicas in us-east-1 and eu-west-1\nDynamoDB: in moto, table orders in both\n")
		assertShown(t, out.String())
	})

	t.Run("running already", func(t *testing.T) {
		var out bytes.Buffer
		require.NoError(t, run(t.Context(), &out, []string{"-endpoint", moto, "-table", "purchases"}))
		assert.Contains(t, out.String(), "DynamoDB: at "+moto+", table purchases in both\n")
		assertShown(t, out.String())
		assert.Empty(t, tables(t))
	})

	t.Run("interrupted", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		require.ErrorIs(t, run(ctx, &interrupts{cancel: cancel, at: "items: an order"}, []string{"-endpoint", moto}), context.Canceled)
		assert.Empty(t, tables(t))
	})

	t.Run("there already", func(t *testing.T) {
		there := &region{name: to, db: clientIn(to, moto)}
		require.NoError(t, there.createTable(t.Context(), "orders"))
		defer deleteTable(t, there.db)
		err := run(t.Context(), io.Discard, []string{"-endpoint", moto})
		require.ErrorContains(t, err, "table orders is there already in eu-west-1, and is left as it is")
		assert.Equal(t, []string{"orders"}, tables(t), "and the one in us-east-1 is deleted")
	})

	t.Run("as on AWS", func(t *testing.T) {
		kms, key := useAWS(t, globally(t, moto))
		var dbs []*dynamodb.Client
		for _, name := range []string{from, to} {
			r := &region{name: name, db: clientIn(name, moto)}
			require.NoError(t, r.createTable(t.Context(), "orders"))
			defer deleteTable(t, r.db)
			dbs = append(dbs, r.db)
		}
		var out bytes.Buffer
		require.NoError(t, run(t.Context(), &out, []string{"-key", key, "-table", "orders"}))
		assert.Contains(t, out.String(), "KMS: on AWS, a key with replicas in us-east-1 and eu-west-1\nDynamoDB: on AWS, global, table orders in both\n")
		assertShown(t, out.String())
		assert.Equal(t, 4, kms.Calls(kmstest.Match{Region: from}))
		assert.Equal(t, 12, kms.Calls(kmstest.Match{Region: to}), "with those for the order that was altered")
		for _, db := range dbs {
			left, err := db.Scan(t.Context(), &dynamodb.ScanInput{TableName: aws.String("orders")})
			require.NoError(t, err)
			assert.Empty(t, left.Items)
		}
	})

	// What another region answered is read, and is not what the program is to show.
	t.Run("KMS of the reader's region is down", func(t *testing.T) {
		kms, key := useAWS(t, "")
		kms.Outage(to, kmstest.InternalError)
		err := run(t.Context(), io.Discard, []string{"-key", key, "-endpoint", moto})
		require.ErrorContains(t, err, "items: read in eu-west-1: KMS was asked ")
		assert.Empty(t, tables(t))
	})
}

func deleteTable(t *testing.T, db *dynamodb.Client) {
	_, err := db.DeleteTable(t.Context(), &dynamodb.DeleteTableInput{TableName: aws.String("orders")})
	assert.NoError(t, err)
}

// useAWS has AWS's default configuration lead to an embedded KMS and to a server of
// DynamoDB, and takes nothing from the machine that the test runs on. It returns the ARN
// of a multi-Region key. The configuration names one endpoint for KMS; a proxy behind it
// goes by the region in a request's signature.
func useAWS(t *testing.T, dynamodb string) (server *kmstest.Server, key string) {
	server = kmstest.Start(t, kmstest.Config{Regions: []string{from, to}})
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		u, _ := url.Parse(server.URL(regionOf(r.In)))
		r.SetURL(u)
	}})
	t.Cleanup(proxy.Close)
	none := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_KMS":                proxy.URL,
		"AWS_ENDPOINT_URL_DYNAMODB":           dynamodb,
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
	key = server.CreateMultiRegionKey(from, kmstest.SymmetricDefault)
	server.Replicate(key, to)
	return server, key
}

// regionOf returns the region in a request's signature.
func regionOf(r *http.Request) string {
	if strings.Contains(r.Header.Get("Authorization"), "/"+from+"/") {
		return from
	}
	return to
}

// globally returns a server that has moto's tables behave as a global one. What is written
// in one region is written in the other too, after the next query there, which does not
// see it yet.
func globally(t *testing.T, moto string) string {
	pending := map[string][]func(){}
	var mu sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		send := func(region string) *http.Response {
			request, err := http.NewRequest(r.Method, moto+r.URL.Path, bytes.NewReader(body))
			if err != nil {
				t.Error(err)
				return nil
			}
			request.Header = r.Header.Clone()
			request.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "/"+regionOf(r)+"/", "/"+region+"/", 1))
			answer, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Error(err)
				return nil
			}
			return answer
		}
		_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		answer := send(regionOf(r))
		if answer == nil {
			return
		}
		defer answer.Body.Close()
		for name, values := range answer.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.StatusCode)
		_, _ = io.Copy(w, answer.Body)

		switch operation {
		case "Query":
			for _, write := range pending[regionOf(r)] {
				write()
			}
			delete(pending, regionOf(r))
		case "PutItem", "UpdateItem", "DeleteItem":
			other := map[string]string{from: to, to: from}[regionOf(r)]
			pending[other] = append(pending[other], func() {
				if answer := send(other); answer != nil {
					answer.Body.Close()
				}
			})
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// interrupts is where the program writes to, and interrupts it at some text.
type interrupts struct {
	bytes.Buffer
	cancel context.CancelFunc
	at     string
}

func (i *interrupts) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(i.at)) {
		i.cancel()
	}
	return i.Buffer.Write(p)
}
