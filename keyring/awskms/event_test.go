package awskms_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

// who is the key of a value in the context of a caller.
type who struct{}

// journal writes down what an Observer hears, as text.
type journal struct {
	t     *testing.T
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(ctx context.Context, line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if name, ok := ctx.Value(who{}).(string); ok {
		line = name + ": " + line
	}
	j.lines = append(j.lines, line)
}

// take returns the lines, and forgets them.
func (j *journal) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := j.lines
	j.lines = nil
	return lines
}

// observer returns an Observer that gives each request a context of its own.
func (j *journal) observer() awskms.Observer {
	return awskms.Observer{
		OnEvent: func(ctx context.Context, e awskms.Event) {
			line := e.Kind.String()
			for _, s := range []string{e.Operation, e.Region, e.Code} {
				if s != "" {
					line += " " + s
				}
			}
			if e.Kind == awskms.Call {
				assert.Positive(j.t, e.Duration)
				assert.Equal(j.t, e.Code != "", e.Err != nil)
			}
			j.add(ctx, line)
		},
		OnRequest: func(ctx context.Context, r awskms.Request) (context.Context, func(error)) {
			j.add(ctx, r.String())
			return context.WithValue(ctx, who{}, "request"), func(err error) {
				if err != nil {
					j.add(ctx, "failed")
				} else {
					j.add(ctx, "done")
				}
			}
		},
	}
}

// TestObserver checks what is told of calls and requests, by each kind of keyring.
func TestObserver(t *testing.T) {
	s := newServer(t)
	key, other := s.CreateKey(east, kmstest.SymmetricDefault), s.CreateKey(east, kmstest.SymmetricDefault)
	rsaKey := s.CreateKey(east, kmstest.RSA2048)
	ours, theirs := s.CreateKey(east, kmstest.ECCP256), s.CreateKey(east, kmstest.ECCP256)
	j := &journal{t: t}
	client := newClient(s, east)
	ctx := context.WithValue(t.Context(), who{}, "caller")
	for name, c := range map[string]struct {
		new          func(o awskms.Observer) (keyring.Keyring, error)
		made         []string // by the constructor
		wrap, unwrap []string
		denied       []string
	}{
		"one key": {
			new: func(o awskms.Observer) (keyring.Keyring, error) {
				return awskms.New(awskms.Config{Client: client, KeyID: key, Observer: o})
			},
			wrap:   []string{"caller: wrap_data_key", "request: call GenerateDataKey us-east-1", "caller: done"},
			unwrap: []string{"caller: unwrap_data_key", "request: call Decrypt us-east-1", "caller: done"},
			denied: []string{"caller: unwrap_data_key", "request: call Decrypt us-east-1 AccessDeniedException", "caller: failed"},
		},
		"regions": {
			new: func(o awskms.Observer) (keyring.Keyring, error) {
				return awskms.NewMultiRegion(awskms.MultiRegionConfig{Regions: []awskms.RegionKey{{Client: client, KeyARN: key}}, AttemptTimeout: time.Minute, Observer: o})
			},
			wrap:   []string{"caller: wrap_data_key", "request: call GenerateDataKey us-east-1", "caller: done"},
			unwrap: []string{"caller: unwrap_data_key", "request: call Decrypt us-east-1", "caller: done"},
			denied: []string{"caller: unwrap_data_key", "request: call Decrypt us-east-1 AccessDeniedException", "caller: failed"},
		},
		"RSA": {
			new: func(o awskms.Observer) (keyring.Keyring, error) {
				return awskms.NewRSA(awskms.RSAConfig{Client: client, KeyARN: rsaKey, PublicKey: rsaPublicKey(t, s, rsaKey), Observer: o})
			},
			unwrap: []string{"caller: unwrap_data_key", "request: call Decrypt us-east-1", "caller: done"},
			denied: []string{"caller: unwrap_data_key", "request: call Decrypt us-east-1 AccessDeniedException", "caller: failed"},
		},
		"ECDH": {
			new: func(o awskms.Observer) (keyring.Keyring, error) {
				return awskms.NewECDH(ctx, awskms.ECDHConfig{Client: client, KeyID: ours, Peer: ecdhPublicKey(t, s, theirs), Observer: o})
			},
			made:   []string{"caller: call GetPublicKey us-east-1"},
			wrap:   []string{"caller: wrap_data_key", "request: call DeriveSharedSecret us-east-1", "caller: done"},
			unwrap: []string{"caller: unwrap_data_key", "request: call DeriveSharedSecret us-east-1", "caller: done"},
			denied: []string{"caller: unwrap_data_key", "request: call DeriveSharedSecret us-east-1 AccessDeniedException", "caller: failed"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := c.new(j.observer())
			require.NoError(t, err)
			assert.Equal(t, c.made, j.take())

			m := &keyring.EncryptionMaterials{Suite: suite, Context: testContext}
			require.NoError(t, k.OnEncrypt(ctx, m))
			assert.Equal(t, c.wrap, j.take())

			require.NoError(t, k.OnDecrypt(ctx, &keyring.DecryptionMaterials{Suite: suite, Context: testContext}, m.EncryptedDataKeys))
			assert.Equal(t, c.unwrap, j.take())

			allow := s.Deny("", "")
			require.Error(t, k.OnDecrypt(ctx, &keyring.DecryptionMaterials{Suite: suite, Context: testContext}, m.EncryptedDataKeys))
			allow()
			assert.Equal(t, c.denied, j.take())

			// What another key has wrapped takes no call, and is no request.
			foreign, err := awskms.New(awskms.Config{Client: client, KeyID: other})
			require.NoError(t, err)
			m = &keyring.EncryptionMaterials{Suite: suite, Context: testContext}
			require.NoError(t, foreign.OnEncrypt(ctx, m))
			require.ErrorIs(t, k.OnDecrypt(ctx, &keyring.DecryptionMaterials{Suite: suite, Context: testContext}, m.EncryptedDataKeys), keyring.ErrNoMatchingKey)
			assert.Empty(t, j.take())
		})
	}
}

// TestObserverOfRegions fails over from one region to another.
func TestObserverOfRegions(t *testing.T) {
	s := newServer(t)
	j := &journal{t: t}
	k := newMultiRegion(t, s, replicas(s)[:2], func(c *awskms.MultiRegionConfig) { c.AttemptTimeout, c.Observer = time.Minute, j.observer() })
	m := wrapNew(t, k)
	j.take()
	s.Throttle(kmstest.Match{Region: east}, 1)
	unwraps(t, k, m)
	assert.Equal(t, []string{
		"unwrap_data_key", "request: call Decrypt us-east-1 ThrottlingException", "request: region failed us-east-1",
		"request: call Decrypt us-west-2", "done",
	}, j.take())
}

// TestObserverOfDiscovery uses the key that a message names.
func TestObserverOfDiscovery(t *testing.T) {
	s := newServer(t)
	j := &journal{t: t}
	k, err := awskms.New(awskms.Config{Client: newClient(s, east), KeyID: s.CreateKey(east, kmstest.SymmetricDefault)})
	require.NoError(t, err)
	d, err := awskms.NewDiscovery(awskms.DiscoveryConfig{Client: newClient(s, east), AnyAccount: true, Observer: j.observer()})
	require.NoError(t, err)
	unwraps(t, d, wrapNew(t, k))
	assert.Equal(t, []string{"unwrap_data_key", "request: call Decrypt us-east-1", "done"}, j.take())
}

// TestCallsThatAreNotMade holds that nothing is told of a call which the client did not send.
func TestCallsThatAreNotMade(t *testing.T) {
	s := newServer(t)
	key := s.CreateKey(east, kmstest.SymmetricDefault)
	j := &journal{t: t}
	k, err := awskms.New(awskms.Config{Client: &countingClient{Client: newClient(s, west)}, KeyID: key, Observer: j.observer()})
	require.NoError(t, err)
	require.Error(t, k.OnEncrypt(t.Context(), &keyring.EncryptionMaterials{Suite: suite}))
	assert.Equal(t, []string{"wrap_data_key", "failed"}, j.take())

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, k.OnEncrypt(ctx, &keyring.EncryptionMaterials{Suite: suite}), context.Canceled)
	assert.Empty(t, j.take())
}

// panicking is a client whose calls do not return.
type panicking struct{ awskms.Client }

func (panicking) GenerateDataKey(context.Context, *kms.GenerateDataKeyInput, ...func(*kms.Options)) (*kms.GenerateDataKeyOutput, error) {
	panic("generate")
}

func (panicking) Encrypt(context.Context, *kms.EncryptInput, ...func(*kms.Options)) (*kms.EncryptOutput, error) {
	panic("encrypt")
}

func (panicking) Decrypt(context.Context, *kms.DecryptInput, ...func(*kms.Options)) (*kms.DecryptOutput, error) {
	panic("decrypt")
}

// TestCallsThatPanic holds that a call whose client panicked is not told of as one that KMS
// answered.
func TestCallsThatPanic(t *testing.T) {
	s := newServer(t)
	key := s.CreateKey(east, kmstest.SymmetricDefault)
	good, err := awskms.New(awskms.Config{Client: newClient(s, east), KeyID: key})
	require.NoError(t, err)
	wrapped := &keyring.EncryptionMaterials{Suite: suite, Context: testContext}
	require.NoError(t, good.OnEncrypt(t.Context(), wrapped))

	j := &journal{t: t}
	k, err := awskms.New(awskms.Config{Client: panicking{}, KeyID: key, Observer: j.observer()})
	require.NoError(t, err)
	for says, call := range map[string]func(){
		"generate": func() { _ = k.OnEncrypt(t.Context(), &keyring.EncryptionMaterials{Suite: suite}) },
		"encrypt": func() {
			_ = k.OnEncrypt(t.Context(), &keyring.EncryptionMaterials{Suite: suite, DataKey: wrapped.DataKey})
		},
		"decrypt": func() {
			_ = k.OnDecrypt(t.Context(), &keyring.DecryptionMaterials{Suite: suite, Context: testContext}, wrapped.EncryptedDataKeys)
		},
	} {
		assert.PanicsWithValue(t, says, call)
		assert.Len(t, j.take(), 1, "%s: more is told than that the request began", says)
	}
}

func TestEventNames(t *testing.T) {
	for kind, want := range map[awskms.EventKind]string{
		awskms.RegionFailed: "region failed", awskms.RegionDown: "region down", awskms.RegionUp: "region up",
		awskms.Degraded: "degraded", awskms.Call: "call", 99: "EventKind(99)",
	} {
		assert.Equal(t, want, kind.String())
	}
	for r, want := range map[awskms.Request]string{
		awskms.WrapDataKey: "wrap_data_key", awskms.UnwrapDataKey: "unwrap_data_key",
		awskms.ReadBranchKey: "read_branch_key", awskms.WriteBranchKey: "write_branch_key", 99: "Request(99)",
	} {
		assert.Equal(t, want, r.String())
	}
}

// decorator hides all of a client but its calls, and names a region.
type decorator struct {
	awskms.Client
	awskms.KeyAgreementClient
	awskms.DescribeClient
	region string
}

func (d decorator) Region() string { return d.region }

func (d decorator) DescribeKey(context.Context, *kms.DescribeKeyInput, ...func(*kms.Options)) (*kms.DescribeKeyOutput, error) {
	return nil, errors.New("asked")
}

// TestDecoratorsNameTheirRegion has each constructor find that a client which wraps another
// asks the wrong region, before anything is asked.
func TestDecoratorsNameTheirRegion(t *testing.T) {
	s := newServer(t)
	key, rsaKey, ecKey := s.CreateKey(east, kmstest.SymmetricDefault), s.CreateKey(east, kmstest.RSA2048), s.CreateKey(east, kmstest.ECCP256)
	for name, makes := range map[string]func(decorator) error{
		"New": func(c decorator) error { _, err := awskms.New(awskms.Config{Client: c, KeyID: key}); return err },
		"New, by ID": func(c decorator) error {
			_, err := awskms.New(awskms.Config{Client: c, KeyID: keyID(key), DecryptKeys: []string{key}})
			return err
		},
		"NewEncrypter": func(c decorator) error {
			_, err := awskms.NewEncrypter(awskms.Config{Client: c, KeyID: key})
			return err
		},
		"NewMultiRegion": func(c decorator) error {
			_, err := awskms.NewMultiRegion(awskms.MultiRegionConfig{Regions: []awskms.RegionKey{{Client: c, KeyARN: key}}})
			return err
		},
		"NewDiscovery": func(c decorator) error {
			_, err := awskms.NewDiscovery(awskms.DiscoveryConfig{Client: c, Region: east, AnyAccount: true})
			return err
		},
		"NewRSA": func(c decorator) error {
			_, err := awskms.NewRSA(awskms.RSAConfig{Client: c, KeyARN: rsaKey, PublicKey: rsaPublicKey(t, s, rsaKey)})
			return err
		},
		"NewECDHDecrypter": func(c decorator) error {
			_, err := awskms.NewECDHDecrypter(t.Context(), awskms.ECDHConfig{Client: c, KeyID: ecKey, PublicKey: ecdhPublicKey(t, s, ecKey)})
			return err
		},
		"ResolveKey": func(c decorator) error { _, err := awskms.ResolveKey(t.Context(), c, key); return err },
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorIs(t, makes(decorator{region: west}), keyring.ErrInvalidArgument)
			if name != "ResolveKey" { // which asks at once
				require.NoError(t, makes(decorator{region: "fips-us-east-1"}))
			}
		})
	}
}
