package awskms

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-sealring/sealring/internal/kmscall"
	"github.com/go-sealring/sealring/keyring"
)

// A match says whether a keyring may unwrap a data key which, as the header says, was
// wrapped by the key named. If so, send is the key ID to ask KMS for, and want is the ARN
// that KMS must answer with.
type match func(named kmscall.ARN) (send, want string, ok bool)

// unwrapping is the decrypting half of the keyrings with symmetric keys. They differ in
// the match.
type unwrapping struct {
	decrypting
	name     keyringName
	maxCalls int
	match    match
}

// newUnwrapping returns an unwrapping for keys in a region, which is empty if it is not
// known. The caller sets the match.
func newUnwrapping(client DecryptClient, name keyringName, region string, grantTokens []string, maxCalls int, o Observer) (unwrapping, error) {
	maxCalls, err := checkMaxCalls(maxCalls)
	return unwrapping{
		decrypting: decrypting{
			client:      client,
			region:      region,
			grantTokens: slices.Clone(grantTokens),
			options:     kmscall.Options(region),
			observer:    o,
		},
		name:     name,
		maxCalls: maxCalls,
	}, err
}

// String names the keyring.
func (u *unwrapping) String() string { return u.name.String() }

// A keyringName names a keyring in errors.
type keyringName struct {
	kind string
	key  string // its key or region; left out of an error whose reasons name it

	// remedy is what to do when a message names none of the keyring's keys.
	remedy string
}

func (n keyringName) String() string { return n.kind + " " + n.key }

// noMatch returns the error of the keyring for wrapped keys that it did not unwrap.
func (n keyringName) noMatch(keys []keyring.EncryptedDataKey, reasons []error) error {
	if len(reasons) > 0 {
		return keyring.NoMatch(n.kind, keys, reasons...)
	}
	err := keyring.NoMatch(n.String(), keys)
	err.Remedy = n.remedy
	return err
}

// OnDecrypt implements [keyring.Decrypter].
func (u *unwrapping) OnDecrypt(ctx context.Context, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey) error {
	return tryKeys(ctx, &u.observer, u.name, u.maxCalls, m, keys, func(edk keyring.EncryptedDataKey) (attempt, error) {
		if edk.ProviderID != ProviderID {
			return nil, nil
		}
		named, err := kmscall.ParseKeyARN(string(edk.ProviderInfo))
		if err != nil {
			return nil, err
		}
		send, want, ok := u.match(named)
		if !ok {
			return nil, nil
		}
		return func(ctx context.Context) ([]byte, error) {
			return u.unwrap(ctx, m, send, want, edk.Ciphertext)
		}, nil
	})
}

// An attempt unwraps one encrypted data key, with a call to KMS.
type attempt func(context.Context) ([]byte, error)

// tryKeys unwraps one of the encrypted data keys and sets it as that of m. For each of them
// it asks attemptFor, which returns an attempt, or an error for a key that cannot be tried,
// or neither for a key of another keyring. It makes the attempts in order until one
// succeeds, and at most maxCalls of them. If none does, it returns the reasons of all.
func tryKeys(ctx context.Context, o *Observer, name keyringName, maxCalls int, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey,
	attemptFor func(keyring.EncryptedDataKey) (attempt, error)) error {
	request := pending{observer: o, request: UnwrapDataKey}
	err := tryKeysIn(ctx, &request, name, maxCalls, m, keys, attemptFor)
	request.end(err)
	return err
}

// tryKeysIn does what tryKeys says, in a request that begins with the first attempt.
func tryKeysIn(ctx context.Context, request *pending, name keyringName, maxCalls int, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey,
	attemptFor func(keyring.EncryptedDataKey) (attempt, error)) error {
	if m.DataKey != nil {
		return fmt.Errorf("%s: %w: the materials already have a data key", name, keyring.ErrInvalidArgument)
	}
	var failed []error
	var down []string // keys that cannot be asked just now
	calls := 0
	for i, edk := range keys {
		if err := ctx.Err(); err != nil {
			return err
		}
		try, err := attemptFor(edk)
		if err == nil && try == nil {
			continue
		}
		if err == nil && slices.Contains(down, edk.KeyName()) {
			continue
		}
		if err == nil {
			if calls++; calls > maxCalls {
				continue // said once, below
			}
			var dataKey []byte
			if dataKey, err = try(request.begin(ctx)); err == nil {
				m.DataKey = dataKey
				return nil
			}
			if cause := ctx.Err(); cause != nil {
				return fmt.Errorf("%s: %w", name.kind, reasons{cause, err})
			}
		}
		failed = append(failed, fmt.Errorf("encrypted data key %d: %w", i+1, err))
		// After an outage nothing more is asked: it would only cost the same time again.
		// After one that may be of this key alone, other keys are.
		if goOn(err) {
			if !ofOneKey(err) {
				return name.noMatch(keys, failed)
			}
			down = append(down, edk.KeyName())
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if calls > maxCalls {
		// First, since the text of many reasons is cut short.
		failed = slices.Insert(failed, 0, fmt.Errorf("%d of %d encrypted data keys were not tried: MaxCalls is %d", calls-maxCalls, calls, maxCalls))
	}
	return name.noMatch(keys, failed)
}

// checkMaxCalls returns the MaxCalls that a config means: the default for zero.
func checkMaxCalls(n int) (int, error) {
	if n < 0 {
		return 0, invalid("MaxCalls is %d", n)
	}
	if n == 0 {
		return defaultMaxCalls, nil
	}
	return n, nil
}

// ofOneKey says whether an outage may be one of the key that was asked, and not of the
// region: KMS answered, with a code other than throttling.
func ofOneKey(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.status != 0 && e.Code != "" && !e.throttled()
}
