package simulation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

// A fault is what is wrong with a region.
type fault int

const (
	up fault = iota
	slow
	dead // connections are refused
	hanging
	failing500
	failing503
	throttled
	html      // a proxy answers, in HTML
	forbidden // likewise, with 403 and no code
	wrongKey  // answers name another key
	cut       // answers end in the middle
	noCredentials
	faultCount
)

func (f fault) String() string {
	return [...]string{"up", "slow", "dead", "hanging", "failing 500", "failing 503", "throttled", "HTML", "forbidden by a proxy",
		"wrong key", "cut answers", "no credentials"}[f]
}

const (
	latency     = 20 * time.Millisecond
	slowLatency = 3 * time.Second
	hangTime    = 2 * time.Minute // until the connection is given up
)

// service is the embedded KMS, with what is wrong with its regions.
type service struct {
	kms     *kmstest.Server
	journal *journal

	mu     sync.Mutex
	faults map[string]fault
	calls  map[string]int // by region
}

func newService(k *kmstest.Server, j *journal) *service {
	return &service{kms: k, journal: j, faults: map[string]fault{}, calls: map[string]int{}}
}

func (s *service) set(region string, f fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[region] = f
	s.journal.fault(region, f)
}

func (s *service) fault(region string) fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults[region]
}

func (s *service) count(region string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[region]
}

// client returns an SDK client of a region with the SDK's default retries.
func (s *service) client(region string) *kms.Client {
	return kms.New(kms.Options{
		Region:       region,
		BaseEndpoint: aws.String("http://kms." + region + ".test"),
		HTTPClient:   &line{s, region, s.kms.Handler(region)},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			if s.fault(region) == noCredentials {
				return aws.Credentials{}, errors.New("the metadata service does not answer")
			}
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	})
}

// line is the connection to a region.
type line struct {
	service *service
	region  string
	handler http.Handler
}

// Do implements the SDK's HTTP client.
func (l *line) Do(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	l.service.mu.Lock()
	l.service.calls[l.region]++
	l.service.mu.Unlock()
	f := l.service.fault(l.region)
	wait := latency
	switch f {
	case slow:
		wait = slowLatency
	case hanging:
		wait = hangTime
	}
	if err := sleep(ctx, wait); err != nil {
		return nil, err
	}
	switch f {
	case dead:
		return nil, errors.New("connection refused")
	case hanging:
		return nil, errors.New("connection reset by peer")
	case failing500:
		return answer(req, http.StatusInternalServerError, `{"__type":"KMSInternalException"}`), nil
	case failing503:
		return answer(req, http.StatusServiceUnavailable, ""), nil
	case throttled:
		return answer(req, http.StatusBadRequest, `{"__type":"ThrottlingException","message":"Rate exceeded"}`), nil
	case html:
		return answer(req, http.StatusOK, "<html>please log in</html>"), nil
	case forbidden:
		return answer(req, http.StatusForbidden, "<html>no</html>"), nil
	}
	recorded := httptest.NewRecorder()
	l.handler.ServeHTTP(recorded, req)
	body := recorded.Body.Bytes()
	if recorded.Code == http.StatusOK {
		switch f {
		case wrongKey:
			other := "arn:aws:kms:" + l.region + ":111122223333:key/00000000-0000-0000-0000-000000000000"
			body = replaceKey(body, other)
		case cut:
			body = body[:len(body)/2]
		}
	} else if strings.Contains(string(body), "AccessDenied") {
		if i, ok := ctx.Value(invocationKey{}).(*invocation); ok {
			i.denied.Store(true)
		}
	}
	return answer(req, recorded.Code, string(body)), nil
}

// replaceKey has an answer name another key.
func replaceKey(body []byte, arn string) []byte {
	const field = `"KeyId":"`
	i := bytes.Index(body, []byte(field))
	if i < 0 {
		return body
	}
	i += len(field)
	end := i + bytes.IndexByte(body[i:], '"')
	return []byte(string(body[:i]) + arn + string(body[end:]))
}

func answer(req *http.Request, status int, body string) *http.Response {
	return &http.Response{
		Status: fmt.Sprint(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
		Header:        http.Header{"Content-Type": {"application/x-amz-json-1.1"}, "X-Amzn-Requestid": {"simulated"}},
		Body:          io.NopCloser(strings.NewReader(body)),
		ContentLength: int64(len(body)),
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
