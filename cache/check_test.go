package cache

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// TestCheckPassesTheCacheBy holds that what the cache has neither hides a failure from
// envelope's Check nor is touched by it, in a partition too and below other managers.
func TestCheckPassesTheCacheBy(t *testing.T) {
	ec := keyring.EncryptionContext{"tenant": "42"}
	for name, over := range map[string]func(*Cache) keyring.MaterialsManager{
		"cache":     func(c *Cache) keyring.MaterialsManager { return c },
		"partition": func(c *Cache) keyring.MaterialsManager { return c.Partition("a") },
		"below a manager": func(c *Cache) keyring.MaterialsManager {
			m, err := keyring.NewRequiredContextManager(c, "tenant")
			require.NoError(t, err)
			return m
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newManager(t)
			c, err := NewFromManager(m, Limits{MaxAge: time.Hour, MaxEntries: 2})
			require.NoError(t, err)
			defer c.Close()
			client, err := envelope.NewFromManager(over(c), nil)
			require.NoError(t, err)

			msg, err := client.Encrypt(t.Context(), []byte("a"), ec)
			require.NoError(t, err)
			_, err = client.Decrypt(t.Context(), msg, ec)
			require.NoError(t, err)
			before := c.Stats()
			require.Equal(t, 2, before.Entries)

			loads := m.loads.Load()
			require.NoError(t, client.Check(t.Context(), ec))
			assert.EqualValues(t, loads+2, m.loads.Load())
			denied := errors.New("denied")
			m.set(func(context.Context) error { return denied })
			require.ErrorIs(t, client.Check(t.Context(), ec), denied)

			after := c.Stats()
			assert.EqualValues(t, before.Bypasses+3, after.Bypasses)
			after.Bypasses, after.Oldest = before.Bypasses, before.Oldest
			assert.Equal(t, before, after)
			_, err = client.Decrypt(t.Context(), msg, ec)
			require.NoError(t, err, "what the cache holds is still served")
		})
	}
}
