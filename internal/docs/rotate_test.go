package docs

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/envelope/field"
	"github.com/go-sealring/sealring/keyring"
)

// clientOf is the code of docs/choosing-a-keyring.md.
func clientOf(newKey, oldKey keyring.Keyring) (*envelope.Client, error) {
	encrypter, err := envelope.NewEncrypter(newKey, nil)
	if err != nil {
		return nil, err
	}
	both, err := keyring.NewMultiDecrypter(newKey, oldKey)
	if err != nil {
		return nil, err
	}
	decrypter, err := envelope.NewDecrypter(both, nil)
	if err != nil {
		return nil, err
	}
	return &envelope.Client{Encrypter: encrypter, Decrypter: decrypter}, nil
}

// keyringOf is the keyring of the page.
func keyringOf(newKey, oldKey keyring.Keyring) (keyring.Keyring, error) {
	both, err := keyring.NewMultiDecrypter(newKey, oldKey)
	if err != nil {
		return nil, err
	}
	return struct {
		keyring.Encrypter
		keyring.Decrypter
	}{newKey, both}, nil
}

// resealed is what the page does with index keys.
func resealed(ctx context.Context, during keyring.MaterialsManager, kept []byte) ([]byte, error) {
	indexKeys, err := field.OpenIndexKeys(ctx, during, kept)
	if err != nil {
		return nil, err
	}
	return indexKeys.Seal(ctx, during) // to be stored in the place of kept
}

// A table with an index is read and found by under the new key alone, in the end.
func TestTableToAnotherKeyring(t *testing.T) {
	type patient struct {
		ID  string               `seal:",row"`
		SSN field.Sealed[string] `seal:"ssn"`
		Idx field.Index          `seal:"index=ssn"`
	}
	manager := func(kr keyring.Keyring) keyring.MaterialsManager {
		m, err := cache.New(kr, cache.Limits{MaxAge: time.Hour})
		require.NoError(t, err)
		t.Cleanup(func() { m.Close() })
		return m
	}
	table := func(m keyring.MaterialsManager, kept []byte) *field.Table[patient] {
		keys, err := field.OpenIndexKeys(t.Context(), m, kept)
		require.NoError(t, err)
		table, err := field.NewTable[patient](m, "patients", &field.Options{IndexKeys: keys})
		require.NoError(t, err)
		return table
	}
	oldKey, newKey := rawKey(t, "old"), rawKey(t, "new")
	before, after := manager(oldKey), manager(newKey)
	kept, err := field.NewIndexKeys().Seal(t.Context(), before)
	require.NoError(t, err)
	p := patient{ID: "p-17", SSN: field.New("078")}
	require.NoError(t, table(before, kept).Seal(t.Context(), &p))

	kr, err := keyringOf(newKey, oldKey)
	require.NoError(t, err)
	during := manager(kr)
	require.NoError(t, table(during, kept).Open(t.Context(), &p))
	require.NoError(t, table(during, kept).Seal(t.Context(), &p))
	_, err = field.OpenIndexKeys(t.Context(), after, kept)
	require.ErrorIs(t, err, envelope.ErrNoMatchingKey)
	kept, err = resealed(t.Context(), during, kept)
	require.NoError(t, err)

	require.NoError(t, table(after, kept).Open(t.Context(), &p))
	terms, err := table(after, kept).Terms("ssn", "078", nil)
	require.NoError(t, err)
	assert.Equal(t, [][]byte{p.Idx}, terms)
}

func rawKey(t *testing.T, name string) keyring.Keyring {
	kr, err := keyring.NewRawAES("app", name, bytes.Repeat([]byte(name[:1]), 32))
	require.NoError(t, err)
	return kr
}

func TestToAnotherKeyring(t *testing.T) {
	before, err := envelope.New(rawKey(t, "old"), nil)
	require.NoError(t, err)
	written, err := before.Encrypt(t.Context(), []byte("attack at dawn"), nil)
	require.NoError(t, err)

	during, err := clientOf(rawKey(t, "new"), rawKey(t, "old"))
	require.NoError(t, err)
	var anew bytes.Buffer
	require.NoError(t, during.Reencrypt(t.Context(), &anew, during.Decrypter, bytes.NewReader(written), nil))

	after, err := envelope.New(rawKey(t, "new"), nil)
	require.NoError(t, err)
	plaintext, err := after.Decrypt(t.Context(), anew.Bytes(), nil)
	require.NoError(t, err)
	assert.Equal(t, "attack at dawn", string(plaintext))
	_, err = after.Decrypt(t.Context(), written, nil)
	require.ErrorIs(t, err, envelope.ErrNoMatchingKey)
}
