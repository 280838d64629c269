package branchkey_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/internal/faulttest"
	"github.com/go-sealring/sealring/internal/leaktest"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/branchkey"
)

var errFault = faulttest.Err

// A faulty fails at one call of a store or of KMS, and works before and after it.
type faulty struct {
	store branchkey.Store
	kms   branchkey.Client
	left  int // calls before
	hit   bool
	fails func() error
	after bool // it fails when the work has been done
}

func (f *faulty) call(work func() error) error {
	f.left--
	if f.left != -1 {
		return work()
	}
	f.hit = true
	if f.after {
		if err := work(); err != nil {
			return err
		}
	}
	return f.fails()
}

func (f *faulty) Get(ctx context.Context, id, itemType string) (it branchkey.Item, err error) {
	err = f.call(func() error { it, err = f.store.Get(ctx, id, itemType); return err })
	return it, err
}

func (f *faulty) List(ctx context.Context, id string) (items []branchkey.Item, err error) {
	err = f.call(func() error { items, err = f.store.List(ctx, id); return err })
	return items, err
}

func (f *faulty) Put(ctx context.Context, puts ...branchkey.Put) error {
	return f.call(func() error { return f.store.Put(ctx, puts...) })
}

func (f *faulty) Delete(ctx context.Context, id string) error {
	return f.call(func() error { return f.store.Delete(ctx, id) })
}

func (f *faulty) GenerateDataKeyWithoutPlaintext(ctx context.Context, in *kms.GenerateDataKeyWithoutPlaintextInput, opts ...func(*kms.Options)) (out *kms.GenerateDataKeyWithoutPlaintextOutput, err error) {
	err = f.call(func() error { out, err = f.kms.GenerateDataKeyWithoutPlaintext(ctx, in, opts...); return err })
	return out, err
}

func (f *faulty) ReEncrypt(ctx context.Context, in *kms.ReEncryptInput, opts ...func(*kms.Options)) (out *kms.ReEncryptOutput, err error) {
	err = f.call(func() error { out, err = f.kms.ReEncrypt(ctx, in, opts...); return err })
	return out, err
}

func (f *faulty) Decrypt(ctx context.Context, in *kms.DecryptInput, opts ...func(*kms.Options)) (out *kms.DecryptOutput, err error) {
	err = f.call(func() error { out, err = f.kms.Decrypt(ctx, in, opts...); return err })
	return out, err
}

// TestFaults has each call of the table and of KMS fail, before its work is done or behind it,
// in everything that makes one. What fails has a kind, and what comes after it works: a
// branch key is there in all its parts or not at all.
func TestFaults(t *testing.T) {
	leaktest.AtEnd(t, "sealring/keyring/branchkey.(*", "sealring/cache.(*Cache)")
	w := newWorld(t)
	w.create(t, "a")
	wrapped := wrapNew(t, w.keyring(t, nil), tenant)
	n := 0
	for name, do := range map[string]func(ctx context.Context, keys *branchkey.KeyStore, id string) error{
		"Create": func(ctx context.Context, keys *branchkey.KeyStore, id string) error {
			_, err := keys.Create(ctx, id, tenant)
			return err
		},
		"Version": func(ctx context.Context, keys *branchkey.KeyStore, _ string) error {
			_, err := keys.Version(ctx, "a")
			return err
		},
		"Active": func(ctx context.Context, keys *branchkey.KeyStore, _ string) error {
			_, err := keys.Active(ctx, "a")
			return err
		},
		"Beacon": func(ctx context.Context, keys *branchkey.KeyStore, _ string) error {
			_, err := keys.Beacon(ctx, "a")
			return err
		},
		"List": func(ctx context.Context, keys *branchkey.KeyStore, _ string) error {
			_, err := keys.List(ctx, "a")
			return err
		},
		"Destroy": func(ctx context.Context, keys *branchkey.KeyStore, id string) error {
			w.create(t, id)
			return keys.Destroy(ctx, id, id)
		},
		"wrap and unwrap": func(ctx context.Context, keys *branchkey.KeyStore, _ string) error {
			kr, err := branchkey.New(branchkey.Config{KeyStore: keys, ID: "a", Limits: limits})
			if err != nil {
				return err
			}
			defer kr.Close()
			m := &keyring.EncryptionMaterials{Suite: suite, Context: tenant}
			if err := kr.OnEncrypt(ctx, m); err != nil {
				require.Empty(t, m.EncryptedDataKeys)
				return err
			}
			for _, m := range []*keyring.EncryptionMaterials{m, wrapped} {
				got, err := unwrapUnder(ctx, kr, m)
				if err != nil {
					require.Nil(t, got)
					return err
				}
				require.Equal(t, m.DataKey, got)
			}
			return nil
		},
	} {
		for kind, fails := range map[string]func(cancel func()) error{
			"error":    func(func()) error { return errFault },
			"end":      func(func()) error { return io.EOF },
			"deadline": func(func()) error { return context.DeadlineExceeded },
			"cancel": func(cancel func()) error {
				cancel()
				return context.Canceled
			},
			"denied":    func(func()) error { return refusal{} },
			"conflict":  func(func()) error { return branchkey.ErrConflict },
			"not found": func(func()) error { return branchkey.ErrNotFound },
		} {
			for calls := range 8 {
				n++
				where := fmt.Sprintf("%s at call %d of %s", kind, calls, name)
				id := fmt.Sprint("new", n)
				ctx, cancel := context.WithCancel(t.Context())
				f := &faulty{store: w.store.Store, kms: newClient(w.kms, east), left: calls, after: n%2 == 0,
					fails: func() error { return fails(cancel) }}
				keys := w.keyStore(t, func(c *branchkey.KeyStoreConfig) { c.Store, c.Client = f, f })
				err := do(ctx, keys, id)
				// A version that is not found is read again: it may have been made just then.
				if kind != "not found" || err != nil {
					require.Equal(t, f.hit, err != nil, "%s: %v", where, err)
				}
				if err != nil {
					var item *branchkey.Error
					var call *awskms.Error
					require.True(t, errors.As(err, &item) || errors.As(err, &call) || errors.Is(err, keyring.ErrUnavailable) || errors.Is(err, context.Canceled), "%s: %v", where, err)
					if kind == "cancel" {
						require.ErrorIs(t, err, context.Canceled, where)
					}
				}
				f.left = -1
				if name == "Create" || name == "Destroy" { // there, or not
					items, errList := w.store.List(t.Context(), id)
					require.NoError(t, errList)
					if len(items) == 0 {
						w.create(t, id)
					}
					_, errActive := keys.Active(t.Context(), id)
					require.NoError(t, errActive, where)
					_, errBeacon := keys.Beacon(t.Context(), id)
					require.NoError(t, errBeacon, where)
				}
				unwraps(t, w.keyring(t, nil), wrapped)
				cancel()
			}
		}
	}
}
