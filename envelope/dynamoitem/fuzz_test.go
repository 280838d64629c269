package dynamoitem

import (
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring"
)

var update = flag.Bool("update", false, "write testdata/items.json anew")

const storedFile = "testdata/items.json"

// storedItems are items that this package wrote under a key of zeros, in each suite and
// version: the encrypted attributes, the head and the foot.
type storedItems []struct {
	Suite                     keyring.Suite
	Version                   int
	Secret, Other, Head, Foot []byte
}

func readStored(t testing.TB) (all storedItems) {
	b, err := os.ReadFile(storedFile)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &all))
	require.Len(t, all, 4)
	return all
}

func storedItem(head, foot, secret, other []byte) item {
	it := simpleItem()
	for name, b := range map[string][]byte{headAttribute: head, footAttribute: foot, "secret": secret, "other": other} {
		it[name] = &types.AttributeValueMemberB{Value: b}
	}
	return it
}

// TestStoredItems opens what an earlier version wrote.
func TestStoredItems(t *testing.T) {
	table := newTable(t, record(t), simple(0, SignOnly))
	if *update {
		var all storedItems
		for _, suite := range []keyring.Suite{hmacOnly, signed} {
			for i, key := range []Action{SignOnly, SignAndIncludeInContext} {
				out, err := newTable(t, record(t), simple(suite, key)).Encrypt(t.Context(), simpleItem())
				require.NoError(t, err)
				b := func(name string) []byte { return out[name].(*types.AttributeValueMemberB).Value }
				all = append(all, storedItems{{suite, i + 1, b("secret"), b("other"), b(headAttribute), b(footAttribute)}}...)
			}
		}
		b, err := json.MarshalIndent(all, "", "\t")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(storedFile, append(b, '\n'), 0o644))
	}
	for _, v := range readStored(t) {
		back, err := table.Decrypt(t.Context(), storedItem(v.Head, v.Foot, v.Secret, v.Other))
		require.NoError(t, err)
		assert.Equal(t, simpleItem(), back)
		assert.Equal(t, byte(v.Version), v.Head[0])
		assert.Equal(t, byte(v.Suite), v.Head[1])
	}
}

// FuzzDecrypt checks that what opens is an item that was written, and that what does not is
// refused before anything is opened.
func FuzzDecrypt(f *testing.F) {
	stored := readStored(f)
	for _, v := range stored {
		f.Add(v.Head, v.Foot, v.Secret, v.Other, "customer-17", "7", "open-text", "seen")
		f.Add(v.Head, v.Foot, v.Other, v.Secret, "customer-17", "7.0", "open-text", "unseen")
	}
	table := newTable(f, record(f), simple(0, SignOnly))
	opened := false
	table.onOpen = func(string) { opened = true }
	f.Fuzz(func(t *testing.T, head, foot, secret, other []byte, pk, sk, seen, name string) {
		it := storedItem(head, foot, secret, other)
		it["pk"], it["sk"] = str(pk), num(sk)
		delete(it, "seen")
		it[name] = str(seen)
		opened = false
		got, err := table.Decrypt(t.Context(), it)
		if err != nil {
			require.False(t, opened)
			return
		}
		want := simpleItem()
		want["sk"] = num(sk)
		require.Equal(t, serialized(t, object(simpleItem())), serialized(t, object(want)))
		require.Equal(t, want, got)
	})
}

// FuzzHead checks that what parses is written to the same bytes.
func FuzzHead(f *testing.F) {
	for _, v := range readStored(f) {
		f.Add(v.Head)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHead(b, maxDataKeys)
		if err != nil {
			return
		}
		require.Equal(t, b, append(appendHead(nil, &h), h.commitment...))
		stored, err := h.stored()
		if err != nil {
			return
		}
		req := keyring.DecryptionRequest{Stored: stored}
		_, keys, err := req.Parse()
		require.NoError(t, err)
		require.Len(t, keys, h.keyCount)
		again, err := appendDataKeys(nil, keys)
		require.NoError(t, err)
		require.Equal(t, h.keys, again)
	})
}
