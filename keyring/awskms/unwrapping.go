package awskms

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-sealring/sealring/keyring"
)

// A match says whether a keyring may unwrap a data key that the header says was
// wrapped by the named key: under which key ID to ask, and with which ARN KMS
// must answer.
type match func(named arn) (send, want string, ok bool)

// unwrapping is what the keyrings with symmetric keys do to decrypt; they differ
// in the match.
type unwrapping struct {
	decrypting
	name     keyringName
	maxCalls int
	match    match
}

// newUnwrapping returns all of it but the match, for keys in a region, which is
// empty if it is not known.
func newUnwrapping(client DecryptClient, name keyringName, region string, grantTokens []string, maxCalls int) (unwrapping, error) {
	maxCalls, err := checkMaxCalls(maxCalls)
	return unwrapping{
		decrypting: decrypting{
			client:      client,
			region:      region,
			grantTokens: slices.Clone(grantTokens),
			options:     callOptions(region),
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
	key  string // its key or region, which is left out where a reason names it

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
	return tryKeys(ctx, u.name, u.maxCalls, m, keys, func(edk keyring.EncryptedDataKey) (attempt, error) {
		if edk.ProviderID != ProviderID {
			return nil, nil
		}
		named, err := parseKeyARN(string(edk.ProviderInfo))
		if err != nil {
			return nil, err
		}
		send, want, ok := u.match(named)
		if !ok {
			return nil, nil
		}
		return func() ([]byte, error) {
			return u.unwrap(ctx, m, send, want, edk.Ciphertext)
		}, nil
	})
}

// An attempt unwraps one encrypted data key, with a call to KMS.
type attempt func() ([]byte, error)

// tryKeys makes the attempts that there are for the encrypted data keys, in order
// and until one succeeds, and sets the data key of m. It makes at most maxCalls of
// them, and collects why they fail. With neither attempt nor error a key is
// another keyring's.
func tryKeys(ctx context.Context, name keyringName, maxCalls int, m *keyring.DecryptionMaterials, keys []keyring.EncryptedDataKey,
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
			if dataKey, err = try(); err == nil {
				m.DataKey = dataKey
				return nil
			}
			if cause := ctx.Err(); cause != nil {
				return fmt.Errorf("%s: %w", name.kind, reasons{cause, err})
			}
		}
		failed = append(failed, fmt.Errorf("encrypted data key %d: %w", i+1, err))
		// The next call would meet the same outage, unless it is one of this key alone.
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

// checkMaxCalls returns the most calls for what a config says.
func checkMaxCalls(n int) (int, error) {
	if n < 0 {
		return 0, invalid("MaxCalls is %d", n)
	}
	if n == 0 {
		return defaultMaxCalls, nil
	}
	return n, nil
}

// ofOneKey says whether an outage may be one of the key that was asked, since KMS
// answered for it.
func ofOneKey(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.status != 0 && e.Code != "" && !e.throttled()
}
