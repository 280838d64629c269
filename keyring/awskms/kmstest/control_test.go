package kmstest_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/internal/faketime"
	"github.com/go-sealring/sealring/internal/leaktest"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

func dataKey(ctx context.Context, c *kms.Client, arn string) error {
	_, err := c.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: &arn, KeySpec: types.DataKeySpecAes256})
	return err
}

func TestDeny(t *testing.T) {
	s := kmstest.Start(t)
	c := newClient(t, s, east)
	a, b := s.CreateKey(east, kmstest.SymmetricDefault), s.CreateKey(east, kmstest.SymmetricDefault)
	id := a[strings.Index(a, "key/")+4:]
	sealed, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &a, Plaintext: []byte("x")})
	require.NoError(t, err)
	for _, key := range []string{a, id, ""} {
		for _, action := range []string{"kms:Decrypt", "Decrypt", "", "kms:*"} {
			allow := s.Deny(action, key)
			for _, with := range []*string{nil, &id} {
				_, err = c.Decrypt(t.Context(), &kms.DecryptInput{KeyId: with, CiphertextBlob: sealed.CiphertextBlob})
				e := requireCode(t, err, "AccessDeniedException")
				assert.Equal(t, "User: arn:aws:iam::111122223333:user/kmstest is not authorized to perform: kms:Decrypt on resource: "+a+
					" because no identity-based policy allows the kms:Decrypt action", e.ErrorMessage())
			}
			if key != "" {
				assert.NoError(t, dataKey(t.Context(), c, b), "another key")
			}
			if action == "Decrypt" {
				assert.NoError(t, dataKey(t.Context(), c, a), "another action")
			}
			allow()
			allow()
			_, err = c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob})
			require.NoError(t, err)
		}
	}
	s.Deny("CreateKey", "")
	s.Deny("ListAliases", "")
	_, err = c.CreateKey(t.Context(), &kms.CreateKeyInput{})
	assert.Contains(t, requireCode(t, err, "AccessDeniedException").ErrorMessage(), "on resource: *")
	_, err = c.ListAliases(t.Context(), &kms.ListAliasesInput{})
	requireCode(t, err, "AccessDeniedException")
	s.CreateKey(east, kmstest.SymmetricDefault) // the test itself is not denied
}

func TestThrottle(t *testing.T) {
	s := kmstest.Start(t, kmstest.Config{Regions: []string{east, west}})
	ce, cw := newClient(t, s, east), newClient(t, s, west)
	arn := s.CreateMultiRegionKey(east, kmstest.SymmetricDefault)
	replica := s.Replicate(arn, west)

	s.Throttle(kmstest.Match{Region: east, Operation: "GenerateDataKey"}, 2)
	_, err := ce.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: &arn})
	require.NoError(t, err)
	require.NoError(t, dataKey(t.Context(), cw, replica))
	for range 2 {
		e := requireCode(t, dataKey(t.Context(), ce, arn), "ThrottlingException")
		assert.Equal(t, "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.", e.ErrorMessage())
	}
	require.NoError(t, dataKey(t.Context(), ce, arn))

	lift := s.Throttle(kmstest.Match{}, 0)
	for range 3 {
		requireCode(t, dataKey(t.Context(), ce, arn), "ThrottlingException")
		requireCode(t, dataKey(t.Context(), cw, replica), "ThrottlingException")
	}
	lift()
	require.NoError(t, dataKey(t.Context(), ce, arn))

	lift = s.Throttle(kmstest.Match{Key: replica}, -1)
	requireCode(t, dataKey(t.Context(), cw, replica), "ThrottlingException")
	require.NoError(t, dataKey(t.Context(), ce, arn))
	lift()
	s.Throttle(kmstest.Match{Key: replica[strings.Index(replica, "mrk-"):]}, 1)
	requireCode(t, dataKey(t.Context(), ce, arn), "ThrottlingException")
	require.NoError(t, dataKey(t.Context(), cw, replica))
}

func TestLatency(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		s := kmstest.Start(t, kmstest.Config{Regions: []string{east, west}, NoNetwork: true})
		ce, cw := newClient(t, s, east), newClient(t, s, west)
		a, b := s.CreateKey(east, kmstest.SymmetricDefault), s.CreateKey(west, kmstest.SymmetricDefault)
		s.Latency(east, 50*time.Millisecond)
		start := time.Now()
		require.NoError(t, dataKey(t.Context(), ce, a))
		assert.Equal(t, 50*time.Millisecond, time.Since(start))

		s.Latency(east, time.Hour)
		start = time.Now()
		require.NoError(t, dataKey(t.Context(), cw, b))
		assert.Zero(t, time.Since(start))
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, dataKey(ctx, ce, a), context.DeadlineExceeded)
		assert.Equal(t, 20*time.Millisecond, time.Since(start))
		s.Latency(east, 0)
		require.NoError(t, dataKey(t.Context(), ce, a))
		assert.Equal(t, 20*time.Millisecond, time.Since(start))
	})
}

// comes waits until n calls have come to east.
func comes(t *testing.T, s *kmstest.Server, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return s.Calls(kmstest.Match{Region: east}) == n }, time.Minute, time.Millisecond)
}

func TestOutages(t *testing.T) {
	s := kmstest.Start(t, kmstest.Config{Regions: []string{east, west}})
	ce, cw := newClient(t, s, east), newClient(t, s, west)
	a, b := s.CreateKey(east, kmstest.SymmetricDefault), s.CreateKey(west, kmstest.SymmetricDefault)
	url := s.URL(east)
	require.NoError(t, dataKey(t.Context(), ce, a)) // a connection is open

	for range 3 {
		s.Outage(east, kmstest.Refuse)
		// The client's open connection is gone, which it may find out as it
		// writes: a new one is refused.
		require.Error(t, dataKey(t.Context(), ce, a))
		requireRefused(t, dataKey(t.Context(), newClient(t, s, east), a))
		require.NoError(t, dataKey(t.Context(), cw, b))
		s.Restore(east)
		require.NoError(t, dataKey(t.Context(), ce, a))
	}
	assert.Equal(t, url, s.URL(east))

	for o, want := range map[kmstest.Outage]struct {
		code   string
		status int
	}{
		kmstest.InternalError:     {"KMSInternalException", http.StatusInternalServerError},
		kmstest.DependencyTimeout: {"DependencyTimeoutException", http.StatusServiceUnavailable},
	} {
		t.Run(o.String(), func(t *testing.T) {
			s.Outage(east, o)
			defer s.Restore(east)
			err := dataKey(t.Context(), ce, a)
			requireCode(t, err, want.code)
			var resp *smithyhttp.ResponseError
			require.True(t, errors.As(err, &resp))
			assert.Equal(t, want.status, resp.HTTPStatusCode())
			require.NoError(t, dataKey(t.Context(), cw, b))
		})
	}
	require.NoError(t, dataKey(t.Context(), ce, a))

	t.Run("Hang until the client goes", func(t *testing.T) {
		s.ResetCalls()
		s.Outage(east, kmstest.Hang)
		defer s.Restore(east)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan error)
		go func() { ended <- dataKey(ctx, ce, a) }()
		comes(t, s, 1)
		require.NoError(t, dataKey(t.Context(), cw, b))
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
	})
	// Each end of an outage for calls that hang in it.
	for name, tc := range map[string]struct {
		end  func()
		want func(*testing.T, error)
	}{
		"Restore":       {func() { s.Restore(east) }, func(t *testing.T, err error) { assert.NoError(t, err) }},
		"InternalError": {func() { s.Outage(east, kmstest.InternalError) }, func(t *testing.T, err error) { requireCode(t, err, "KMSInternalException") }},
		"Refuse":        {func() { s.Outage(east, kmstest.Refuse) }, func(t *testing.T, err error) { assert.Error(t, err) }},
	} {
		t.Run("Hang until "+name, func(t *testing.T) {
			s.ResetCalls()
			s.Outage(east, kmstest.Hang)
			defer s.Restore(east)
			errs := make(chan error, 4)
			for range cap(errs) {
				go func() { errs <- dataKey(t.Context(), ce, a) }()
			}
			comes(t, s, cap(errs))
			for _, c := range s.Log(kmstest.Match{Region: east}) {
				assert.Zero(t, c.Status)
			}
			tc.end()
			for range cap(errs) {
				tc.want(t, <-errs)
			}
		})
	}
	require.NoError(t, dataKey(t.Context(), ce, a))
	assert.Panics(t, func() { s.Outage(east, 0) })
	assert.Equal(t, "Outage(9)", kmstest.Outage(9).String())
}

func TestCallsAndLog(t *testing.T) {
	now := newClock()
	s := kmstest.Start(t, kmstest.Config{Regions: []string{east, west}, LogSize: 5, Clock: now.now})
	ce, cw := newClient(t, s, east), newClient(t, s, west)
	a, b := s.CreateKey(east, kmstest.SymmetricDefault), s.CreateKey(west, kmstest.SymmetricDefault)
	alias := "alias/app"
	s.Alias(alias, a)
	_, ok := s.LastCall(kmstest.Match{})
	assert.False(t, ok, "the test's own calls do not count")

	ec := map[string]string{"tenant": "42"}
	sealed, err := ce.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &alias, Plaintext: []byte("x"), EncryptionContext: ec, GrantTokens: []string{"one", "two"}},
		func(o *kms.Options) { o.AppID = "my-app" })
	require.NoError(t, err)
	last, ok := s.LastCall(kmstest.Match{})
	require.True(t, ok)
	assert.Equal(t, "Encrypt", last.Operation)
	assert.Equal(t, east, last.Region)
	assert.Equal(t, alias, last.KeyID)
	assert.Equal(t, a, last.Key)
	assert.Equal(t, ec, last.EncryptionContext)
	assert.Equal(t, []string{"one", "two"}, last.GrantTokens)
	assert.Contains(t, last.UserAgent, "app/my-app")
	assert.Equal(t, http.StatusOK, last.Status)
	assert.Empty(t, last.Error)
	assert.Equal(t, now.now(), last.Time)
	last.EncryptionContext["tenant"] = "changed"
	last, _ = s.LastCall(kmstest.Match{})
	assert.Equal(t, ec, last.EncryptionContext)

	_, err = ce.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob})
	e := requireCode(t, err, "InvalidCiphertextException")
	assert.Empty(t, e.ErrorMessage())
	last, _ = s.LastCall(kmstest.Match{Key: a})
	assert.Equal(t, "InvalidCiphertextException", last.Error)
	assert.Equal(t, http.StatusBadRequest, last.Status)
	assert.Empty(t, last.KeyID)
	var resp interface{ ServiceRequestID() string }
	require.True(t, errors.As(err, &resp))
	assert.Equal(t, last.RequestID, resp.ServiceRequestID())

	for range 3 {
		require.NoError(t, dataKey(t.Context(), cw, b))
	}
	requireCode(t, dataKey(t.Context(), cw, "alias/none"), "NotFoundException")
	for _, tc := range []struct {
		m    kmstest.Match
		want int
	}{
		{kmstest.Match{}, 6},
		{kmstest.Match{Region: east}, 2},
		{kmstest.Match{Region: west}, 4},
		{kmstest.Match{Operation: "GenerateDataKey"}, 4},
		{kmstest.Match{Operation: "GenerateDataKey", Key: b}, 3},
		{kmstest.Match{Key: a}, 2},
		{kmstest.Match{Key: b[strings.Index(b, "key/")+4:]}, 3},
		{kmstest.Match{Region: east, Key: b}, 0},
		{kmstest.Match{Operation: "ReEncrypt"}, 0},
	} {
		assert.Equal(t, tc.want, s.Calls(tc.m), "%+v", tc.m)
	}
	assert.Len(t, s.Log(kmstest.Match{}), 5, "the log is bounded")
	assert.Equal(t, "Decrypt", s.Log(kmstest.Match{})[0].Operation)
	s.ResetCalls()
	assert.Zero(t, s.Calls(kmstest.Match{}))
	assert.Empty(t, s.Log(kmstest.Match{}))
}

func TestTamper(t *testing.T) {
	s := kmstest.Start(t)
	c := newClient(t, s, east)
	arn := s.CreateKey(east, kmstest.SymmetricDefault)
	s.Tamper(func(op string, answer map[string]any) {
		switch op {
		case "GenerateDataKey":
			answer["KeyId"] = "arn:aws:kms:us-east-1:111122223333:key/other"
			answer["Plaintext"] = answer["Plaintext"].([]byte)[:31]
		case "DescribeKey":
			answer["KeyMetadata"].(map[string]any)["KeyState"] = "Disabled"
		case "GetPublicKey":
			answer["PublicKey"] = make(chan int)
		case "Encrypt":
			delete(answer, "CiphertextBlob")
		}
	})
	out, err := c.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: &arn, KeySpec: types.DataKeySpecAes256})
	require.NoError(t, err)
	assert.True(t, strings.HasSuffix(*out.KeyId, "key/other"))
	assert.Len(t, out.Plaintext, 31)
	described, err := c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: &arn})
	require.NoError(t, err)
	assert.Equal(t, types.KeyStateDisabled, described.KeyMetadata.KeyState)
	sealed, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &arn, Plaintext: []byte("x")})
	require.NoError(t, err)
	assert.Nil(t, sealed.CiphertextBlob)
	ecc := s.CreateKey(east, kmstest.ECCP256)
	_, err = c.GetPublicKey(t.Context(), &kms.GetPublicKeyInput{KeyId: &ecc})
	requireCode(t, err, "KMSInternalException")

	s.Tamper(nil)
	out, err = c.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: &arn, KeySpec: types.DataKeySpecAes256})
	require.NoError(t, err)
	assert.Equal(t, arn, *out.KeyId)
}

func TestCloseReleasesEverything(t *testing.T) {
	s, err := kmstest.New(kmstest.Config{Regions: []string{east, west, "eu-west-1", "eu-west-2"}})
	require.NoError(t, err)
	s.Outage(east, kmstest.Hang)
	s.Latency(west, time.Hour)
	s.Outage("eu-west-1", kmstest.Refuse)
	var wg sync.WaitGroup
	for _, region := range []string{east, west} {
		arn := s.CreateKey(region, kmstest.SymmetricDefault)
		c := newClient(t, s, region)
		for range 5 {
			wg.Go(func() { assert.Error(t, dataKey(context.Background(), c, arn)) })
		}
	}
	// Too long a body, of which the server does not read the end, hangs too.
	wg.Go(func() {
		req, err := http.NewRequest(http.MethodPost, s.URL(east), strings.NewReader(strings.Repeat(" ", 3<<20)))
		assert.NoError(t, err)
		req.Header.Set("X-Amz-Target", "TrentService.Encrypt")
		resp, err := (&http.Transport{}).RoundTrip(req)
		if err == nil {
			resp.Body.Close()
		}
		assert.Error(t, err)
	})
	// A connection without a request.
	idle, err := net.Dial("tcp", strings.TrimPrefix(s.URL("eu-west-2"), "http://"))
	require.NoError(t, err)
	defer idle.Close()
	require.Eventually(t, func() bool { return s.Calls(kmstest.Match{}) == 11 }, time.Minute, time.Millisecond)

	urls := []string{s.URL(east), s.URL("eu-west-1")}
	var closes sync.WaitGroup
	for range 3 {
		closes.Go(s.Close)
	}
	closes.Wait()
	wg.Wait()
	leaktest.None(t, "net/http.(*Server)", "net/http.(*conn)", "net/http.(*connReader)")
	for _, url := range urls {
		_, err := (&http.Transport{}).RoundTrip(must(http.NewRequest(http.MethodPost, url, nil)))
		requireRefused(t, err)
	}
	s.Close()
	s.Restore(east) // stays closed
	_, err = (&http.Transport{}).RoundTrip(must(http.NewRequest(http.MethodPost, urls[0], nil)))
	requireRefused(t, err)
	assert.Panics(t, func() { s.URL("ap-south-1") })
}

// requireRefused wants that no connection came about, and that it took no timeout to
// find out. The number of that error is not the same on all systems.
func requireRefused(t *testing.T, err error) {
	t.Helper()
	var failed *net.OpError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, "dial", failed.Op)
	require.False(t, failed.Timeout())
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Everything at once, for the race detector.
func TestConcurrentUse(t *testing.T) {
	s := kmstest.Start(t, kmstest.Config{Regions: []string{east, west}, LogSize: 10})
	primary := s.CreateMultiRegionKey(east, kmstest.SymmetricDefault)
	s.Replicate(primary, west)
	stop := make(chan struct{})
	var clients, controls sync.WaitGroup
	for _, region := range []string{east, west} {
		id := primary[strings.Index(primary, "mrk-"):]
		for range 3 {
			c := newClient(t, s, region)
			clients.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					out, err := c.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: &id, KeySpec: types.DataKeySpecAes256, EncryptionContext: map[string]string{"a": "b"}})
					if err == nil {
						_, _ = c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: out.CiphertextBlob, EncryptionContext: map[string]string{"a": "b"}})
					}
					_, _ = c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: &id})
					_, _ = c.ListAliases(t.Context(), &kms.ListAliasesInput{})
				}
			})
		}
	}
	for i := range 8 {
		controls.Go(func() {
			for j := range 15 {
				switch i {
				case 0:
					s.Deny("", "")()
				case 1:
					s.Throttle(kmstest.Match{}, 1)
				case 2:
					s.Outage(west, kmstest.Outage(1+j%4))
					s.Restore(west)
				case 3:
					s.Latency(east, time.Duration(j%2)*time.Millisecond)
				case 4:
					s.Log(kmstest.Match{})
					s.Calls(kmstest.Match{Key: primary})
					s.ResetCalls()
				case 5:
					s.Tamper(func(_ string, a map[string]any) { a["Extra"] = true })
					s.SetClock(nil)
				case 6:
					s.Alias(fmt.Sprintf("a%d", j), primary)
					s.Rotate(primary)
				case 7:
					s.Disable(primary)
					s.Enable(primary)
					s.URL("eu-west-1")
					s.Regions()
				}
			}
		})
	}
	controls.Wait()
	close(stop)
	clients.Wait()
}

func TestConfig(t *testing.T) {
	for name, c := range map[string]kmstest.Config{
		"account":   {Account: "12"},
		"partition": {Partition: "AWS:"},
		"region":    {Regions: []string{"US"}},
		"log":       {LogSize: -1},
		"address":   {Listen: map[string]string{east: "256.0.0.1:0"}},
		"network":   {Listen: map[string]string{east: "127.0.0.1:0"}, NoNetwork: true},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := kmstest.New(c)
			assert.Error(t, err)
		})
	}
	s := kmstest.Start(t, kmstest.Config{Regions: []string{west}, Principal: "arn:aws:sts::111122223333:assumed-role/app/1"})
	assert.Equal(t, []string{west}, s.Regions())
	s.URL(east)
	assert.Equal(t, []string{east, west}, s.Regions())
	s.Deny("", "")
	_, err := newClient(t, s, east).CreateKey(t.Context(), &kms.CreateKeyInput{})
	assert.Contains(t, requireCode(t, err, "AccessDeniedException").ErrorMessage(), "User: arn:aws:sts::111122223333:assumed-role/app/1 is")

	_, err = kmstest.New(kmstest.Config{Listen: map[string]string{"us-east-1": strings.TrimPrefix(s.URL(west), "http://")}})
	assert.Error(t, err, "the port is taken")

	var failed failingTB
	assert.Nil(t, kmstest.Start(&failed, kmstest.Config{Account: "1"}))
	assert.True(t, failed.fatal)
}

type failingTB struct{ fatal bool }

func (*failingTB) Helper()                 {}
func (*failingTB) Cleanup(func())          {}
func (f *failingTB) Fatalf(string, ...any) { f.fatal = true }

func TestHelpersPanic(t *testing.T) {
	s := kmstest.Start(t)
	arn := s.CreateKey(east, kmstest.SymmetricDefault)
	for name, f := range map[string]func(){
		"spec":    func() { s.CreateKey(east, "RSA_1") },
		"region":  func() { s.URL("") },
		"key":     func() { s.Rotate("alias/x") },
		"alias":   func() { s.Alias("?", arn) },
		"days":    func() { s.ScheduleDeletion(arn, 1) },
		"replica": func() { s.Replicate(arn, west) },
	} {
		t.Run(name, func(t *testing.T) { assert.Panics(t, f) })
	}
}

func TestSDKRetries(t *testing.T) {
	s := kmstest.Start(t)
	c := newClient(t, s, east)
	arn := s.CreateKey(east, kmstest.SymmetricDefault)
	s.Throttle(kmstest.Match{}, 1)
	_, err := c.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: &arn, NumberOfBytes: aws.Int32(8)}, func(o *kms.Options) {
		o.Retryer = retry.NewStandard()
	})
	require.NoError(t, err)
	assert.Equal(t, 2, s.Calls(kmstest.Match{Operation: "GenerateDataKey"}))
}
