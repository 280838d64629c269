package keyring

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// multiEncrypter is the encrypting half of [NewMulti].
type multiEncrypter struct {
	generator Encrypter
	children  []Encrypter
}

// multiDecrypter is the decrypting half of [NewMulti].
type multiDecrypter struct{ keyrings []Decrypter }

// multi wraps each data key with several keyrings, so that any one of them can
// unwrap it.
type multi struct {
	Encrypter
	Decrypter
}

// NewMulti returns a keyring that has the generator make the data key and the
// children wrap it too. All must succeed: a message that some of them cannot
// read is never written. Decrypting tries the generator, then the children in
// order, and when all fail reports each one's reasons.
//
// Whoever can use any of the keyrings can read the messages. Under the suites of items each
// keyring has a symmetric signing key of its own, so that who reads by one cannot sign for
// who reads by another. That is lost inside an [Encrypter] of your own that calls a
// multi-keyring: to whoever asks, it is one keyring. Source:
// framework/multi-keyring.md of the AWS Encryption SDK specification.
func NewMulti(generator Keyring, children ...Keyring) (Keyring, error) {
	if generator == nil {
		return nil, invalid("multi-keyring: the generator is nil")
	}
	encrypters := make([]Encrypter, len(children))
	decrypters := []Decrypter{generator}
	for i, c := range children {
		if c == nil {
			return nil, invalid("multi-keyring: child %d is nil", i+1)
		}
		encrypters[i], decrypters = c, append(decrypters, c)
	}
	e, err := NewMultiEncrypter(generator, encrypters...)
	if err != nil {
		return nil, err
	}
	d, err := NewMultiDecrypter(decrypters...)
	if err != nil {
		return nil, err
	}
	return &multi{e, d}, nil
}

// NewMultiEncrypter returns the encrypting half of [NewMulti], for keyrings
// that cannot all decrypt. The generator may be nil if the materials come with a
// data key, as they do for the child of another multi-keyring.
func NewMultiEncrypter(generator Encrypter, children ...Encrypter) (Encrypter, error) {
	if generator == nil && len(children) == 0 {
		return nil, invalid("multi-keyring: no keyring")
	}
	for i, c := range children {
		if c == nil {
			return nil, invalid("multi-keyring: child %d is nil", i+1)
		}
	}
	return &multiEncrypter{generator, append([]Encrypter(nil), children...)}, nil
}

// NewMultiDecrypter returns a keyring that tries each of the given ones in
// order.
func NewMultiDecrypter(keyrings ...Decrypter) (Decrypter, error) {
	if len(keyrings) == 0 {
		return nil, invalid("multi-keyring: no keyring")
	}
	for i, k := range keyrings {
		if k == nil {
			return nil, invalid("multi-keyring: keyring %d is nil", i+1)
		}
	}
	return &multiDecrypter{append([]Decrypter(nil), keyrings...)}, nil
}

// OnEncrypt implements [Encrypter]. It fails if there is a generator and m
// already has a data key.
func (k *multiEncrypter) OnEncrypt(ctx context.Context, m *EncryptionMaterials) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	switch {
	case k.generator != nil && m.DataKey != nil:
		return fmt.Errorf("multi-keyring: %w", invalid("there is a generator, but the materials already have a data key"))
	case k.generator == nil && m.DataKey == nil:
		return fmt.Errorf("multi-keyring: %w", invalid("there is no generator, and the materials have no data key"))
	}
	// The children work on a copy, so that m changes only when all went well.
	// Its key slice is at capacity and cannot grow into m's.
	work := *m
	work.EncryptedDataKeys = m.EncryptedDataKeys[:len(m.EncryptedDataKeys):len(m.EncryptedDataKeys)]
	err := k.wrapAll(ctx, &work)
	if err != nil {
		if m.DataKey == nil {
			clear(work.DataKey)
		}
		return fmt.Errorf("multi-keyring: %w", err)
	}
	m.DataKey, m.EncryptedDataKeys = work.DataKey, work.EncryptedDataKeys
	return nil
}

func (k *multiEncrypter) wrapAll(ctx context.Context, m *EncryptionMaterials) error {
	if k.generator != nil {
		if err := k.generator.OnEncrypt(ctx, m); err != nil {
			return err
		}
		if m.DataKey == nil {
			return badMaterials("the generator made no data key")
		}
	}
	for _, c := range k.children {
		if err := c.OnEncrypt(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// leaves returns the keyrings that an encrypter consists of, the generator first: itself,
// if it is no multi-keyring.
func leaves(k Encrypter) []Encrypter {
	switch k := k.(type) {
	case *multi:
		return leaves(k.Encrypter)
	case *multiEncrypter:
		var all []Encrypter
		if k.generator != nil {
			all = leaves(k.generator)
		}
		for _, c := range k.children {
			all = append(all, leaves(c)...)
		}
		return all
	}
	return []Encrypter{k}
}

// OnDecrypt implements [Decrypter].
func (k *multiDecrypter) OnDecrypt(ctx context.Context, m *DecryptionMaterials, keys []EncryptedDataKey) error {
	if m.DataKey != nil {
		return fmt.Errorf("multi-keyring: %w", invalid("the materials already have a data key"))
	}
	failed := &NoMatchError{Keyring: "multi-keyring"}
	for _, child := range k.keyrings {
		if err := ctx.Err(); err != nil {
			return err
		}
		work := *m
		err := child.OnDecrypt(ctx, &work, keys)
		if err == nil && work.DataKey == nil {
			err = badMaterials("%T reported success without a data key", child)
		}
		if err == nil {
			m.DataKey = work.DataKey
			return nil
		}
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), err)
		}
		failed.Reasons = append(failed.Reasons, err)
	}
	nameOnce(failed.Reasons)
	return failed
}

// nameOnce keeps the names of the keys that wrapped the message in one of the reasons. If
// some keyring has tried a key, it keeps them in none: the reason of that keyring names
// the key.
func nameOnce(reasons []error) {
	named := slices.ContainsFunc(reasons, func(err error) bool {
		noMatch, ok := err.(*NoMatchError)
		return !ok || len(noMatch.Reasons) > 0
	})
	for i, err := range reasons {
		if noMatch, ok := err.(*NoMatchError); ok && named && len(noMatch.Reasons) == 0 {
			without := *noMatch
			without.WrappedBy = nil
			reasons[i] = &without
		}
		named = true
	}
}
