package cache

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/faketime"
	"github.com/go-sealring/sealring/keyring"
)

// forged returns another message of the same wrapped key: a second one, which no
// keyring opens, stands before it. Its header does not authenticate.
func forged(t testing.TB, msg []byte, n int) []byte {
	const stored = 1 + 2 + 32 // version, suite and message ID stand before the context
	keys := stored + 2 + int(binary.BigEndian.Uint16(msg[stored:]))
	require.EqualValues(t, 1, binary.BigEndian.Uint16(msg[keys:]))
	junk := fmt.Sprintf("%06d", n)
	b := append([]byte{}, msg[:keys]...)
	b = append(b, 0, 2)
	for _, part := range []string{"nobody", junk, junk} {
		b = binary.BigEndian.AppendUint16(b, uint16(len(part)))
		b = append(b, part...)
	}
	return append(b, msg[keys+2:]...)
}

// TestForgedHeadersDisplaceNothing has somebody who holds one message of a service
// send 2,500 that its wrapped key opens and that are refused.
func TestForgedHeadersDisplaceNothing(t *testing.T) {
	for name, times := range map[string]int{"once": 1, "ten times in a row": 10} {
		t.Run(name, func(t *testing.T) {
			m := newManager(t)
			c := newTestCache(t, m, Limits{MaxEntries: 1000}, nil)
			victim := c.Partition("victim")
			hot := func() {
				for i := range 200 {
					encrypt(t, victim, request(fmt.Sprint(i)))
				}
			}
			for range 4 {
				hot()
			}

			client, err := envelope.NewFromManager(c.Partition("attacker"), nil)
			require.NoError(t, err)
			msg, err := client.Encrypt(t.Context(), []byte("plaintext"), request("attacker").Context)
			require.NoError(t, err)
			before := m.loads.Load()
			for i := range 2500 {
				for range times {
					_, err := client.Decrypt(t.Context(), forged(t, msg, i), nil)
					require.ErrorIs(t, err, envelope.ErrAuthentication)
				}
			}
			require.EqualValues(t, 2500, m.loads.Load()-before, "the wrapped keys were not opened")

			before = m.loads.Load()
			hot()
			assert.Zero(t, m.loads.Load()-before, "hot keys were evicted")
		})
	}
}

// ask has the cache asked for tenants, and returns which part of the requests were
// hits.
func ask(t testing.TB, c *Cache, n int, tenant func(i int) int) float64 {
	before := c.Stats().Hits
	for i := range n {
		encrypt(t, c, request(fmt.Sprint(tenant(i))))
	}
	return float64(c.Stats().Hits-before) / float64(n)
}

// inTurn asks for n tenants one after another, and again.
func inTurn(n int) func(i int) int { return func(i int) int { return i % n } }

// shuffled asks for each of n tenants before it asks for one again, in an order
// that differs each time.
func shuffled(random *rand.Rand, n int) func(i int) int {
	var order []int
	return func(i int) int {
		if i%n == 0 {
			order = random.Perm(n)
		}
		return order[i%n]
	}
}

// roomFor returns limits that hold about n of request's entries, by count and by
// memory.
func roomFor(t testing.TB, n int) map[string]Limits {
	c := newTestCache(t, newManager(t), Limits{}, nil)
	ask(t, c, n, inTurn(n))
	return map[string]Limits{"entries": {MaxEntries: n}, "memory": {MaxMemory: c.Stats().Bytes}}
}

// TestMoreTenantsThanRoom has a cache of 1,000 entries asked for more tenants.
func TestMoreTenantsThanRoom(t *testing.T) {
	if testing.Short() {
		t.Skip("has many requests, one after another")
	}
	random := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(random, 1.01, 1, 1999)
	for name, test := range map[string]struct {
		tenants int
		tenant  func(i int) int
		least   float64 // part of the requests that are hits
	}{
		"in turn":         {2000, inTurn(2000), 0.44},
		"3,000 in turn":   {3000, inTurn(3000), 0.29},
		"4,000 in turn":   {4000, inTurn(4000), 0.22},
		"10,000 in turn":  {10_000, inTurn(10_000), 0.08},
		"shuffled rounds": {2000, shuffled(random, 2000), 0.42},
		"random":          {2000, func(int) int { return random.IntN(2000) }, 0.45},
		"zipf":            {2000, func(int) int { return int(zipf.Uint64()) }, 0.85},
	} {
		for by, limits := range roomFor(t, 1000) {
			t.Run(name+", by "+by, func(t *testing.T) {
				c := newTestCache(t, newManager(t), limits, nil)
				ask(t, c, test.tenants, test.tenant)
				got := ask(t, c, max(12_000, 2*test.tenants), test.tenant)
				t.Logf("%.3f hits", got)
				assert.GreaterOrEqual(t, got, test.least)
				checkBooks(t, c, 1000)
			})
		}
	}
}

// TestNewTenantsAreAdopted has all tenants leave, who were asked for often, and
// others come.
func TestNewTenantsAreAdopted(t *testing.T) {
	for name, test := range map[string]struct{ tenants, rounds int }{
		"who fit into probation": {90, 1},
		"who take half the room": {500, 7},
		"who take all of it":     {950, 6},
	} {
		for by, limits := range roomFor(t, 1000) {
			t.Run(name+", by "+by, func(t *testing.T) {
				c := newTestCache(t, newManager(t), limits, nil)
				ask(t, c, 30*950, inTurn(950))
				others := func(i int) int { return 10_000 + i%test.tenants }
				ask(t, c, test.rounds*test.tenants, others)
				assert.GreaterOrEqual(t, ask(t, c, test.tenants, others), 0.95)
			})
		}
	}
}

// TestHotKeysAmongOthers has a few keys used from time to time while others flow by
// that are asked for once, or as often as anybody likes and then never again.
func TestHotKeysAmongOthers(t *testing.T) {
	for by, limits := range roomFor(t, 100) {
		for _, times := range []int{1, 2, 10} {
			t.Run(fmt.Sprintf("%d times, by %s", times, by), func(t *testing.T) {
				m := newManager(t)
				c := newTestCache(t, m, limits, nil)
				hot := func() int64 {
					before := m.loads.Load()
					for range 2 {
						for i := range 20 {
							encrypt(t, c, request(fmt.Sprint("hot", i)))
						}
					}
					return m.loads.Load() - before
				}
				ask(t, c, 1000, inTurn(1000)) // full of others before
				for range 5 {
					hot() // takes its place
				}
				for i := range 4000 {
					for range times {
						encrypt(t, c, request(fmt.Sprint("other", i)))
					}
					if i%100 == 99 {
						require.Zero(t, hot(), "others displaced hot keys")
					}
				}
				checkBooks(t, c, 100)
			})
		}
	}
}

// TestSmallestCaches holds that what was just loaded is there.
func TestSmallestCaches(t *testing.T) {
	for _, limits := range []Limits{{MaxEntries: 1}, {MaxEntries: 2}, {MaxEntries: 3}, {MaxMemory: leastMemory}} {
		m := newManager(t)
		c := newTestCache(t, m, limits, nil)
		for i := range 50 {
			encrypt(t, c, request("hot"))
			encrypt(t, c, request(fmt.Sprint(i)))
			before := m.loads.Load()
			encrypt(t, c, request(fmt.Sprint(i)))
			assert.Equal(t, before, m.loads.Load(), "%+v", limits)
			checkBooks(t, c, 100)
		}
	}
}

// TestLongEntriesDisplaceNothing has forged messages be long: room for them is made
// once, and not at each one's coming.
func TestLongEntriesDisplaceNothing(t *testing.T) {
	m := newManager(t)
	c := newTestCache(t, m, Limits{MaxMemory: 400_000}, nil)
	hot := func(n int) {
		for i := range n {
			encrypt(t, c, request(fmt.Sprint("hot", i)))
		}
	}
	for range 3 {
		hot(80)
	}
	for i := range 1000 {
		req := request(fmt.Sprint("long", i))
		if i%2 == 0 {
			req.Context["long"] = strings.Repeat("x", 50_000) // more than a tenth of the memory
		}
		encrypt(t, c, req)
	}
	before := m.loads.Load()
	hot(80)
	assert.Zero(t, m.loads.Load()-before)
	checkBooks(t, c, 1000)

	// What is longer than half of the memory is served, and not kept.
	req := request("longest")
	for i := range 3 {
		req.Context[fmt.Sprint("long", i)] = strings.Repeat("x", 13_000)
	}
	c = newTestCache(t, m, Limits{MaxMemory: 2 * 65_000}, nil)
	hot(10)
	encrypt(t, c, req)
	assert.Equal(t, 10, c.Stats().Entries)
}

// TestCapacityIsTold checks what Stats and events say of a cache that is too small.
func TestCapacityIsTold(t *testing.T) {
	for by, limits := range roomFor(t, 100) {
		t.Run(by, func(t *testing.T) {
			faketime.Test(t, func(t *testing.T) {
				why := map[string]Cause{"entries": Capacity, "memory": Memory}[by]
				clock := newClock()
				var misses, evictions []Cause
				limits.MaxAge = time.Minute
				limits.OnEvent = func(_ context.Context, e Event) {
					switch e.Kind {
					case Miss:
						misses = append(misses, e.Cause)
					case Evict:
						evictions = append(evictions, e.Cause)
					}
				}
				c := newTestCache(t, newManager(t), limits, clock.Now)
				ask(t, c, 100, inTurn(100))
				assert.Equal(t, make([]Cause, 100), misses, "first misses have no cause")
				assert.Empty(t, evictions)

				ask(t, c, 150, inTurn(150))
				stats := c.Stats()
				assert.Equal(t, uint64(len(evictions)), stats.Evicted[why])
				assert.InDelta(t, 50, stats.Evicted[why], 2)
				assert.Zero(t, stats.CapacityMisses)

				misses = nil
				ask(t, c, 150, inTurn(150))
				stats = c.Stats()
				assert.Positive(t, stats.CapacityMisses)
				assert.Len(t, misses, int(stats.CapacityMisses), "all of these had been here")
				for _, cause := range slices.Concat(misses, evictions) {
					assert.Equal(t, why, cause)
				}

				// What would have expired is no fault of the cache's size, nor what
				// was purged.
				clock.Move(time.Minute)
				misses = nil
				ask(t, c, 150, inTurn(150))
				assert.Equal(t, make([]Cause, 150), misses)
				c.Purge()
				misses = nil
				ask(t, c, 150, inTurn(150))
				assert.Equal(t, make([]Cause, 150), misses)
			})
		})
	}
}

// TestReplacedEntriesKeepTheirPlace replaces each entry by a refresh.
func TestReplacedEntriesKeepTheirPlace(t *testing.T) {
	c := newTestCache(t, newManager(t), Limits{MaxEntries: 100}, nil)
	ask(t, c, 1000, inTurn(120))
	type place struct {
		id         identity
		main, used bool
		frequency  uint8
	}
	places := func() (all []place) {
		for _, l := range []*list{&c.admission.probation, &c.admission.main} {
			for e := l.oldest; e != nil; e = e.newer {
				all = append(all, place{e.id, e.list == &c.admission.main, e.used.Load(), e.frequency})
			}
		}
		return all
	}
	before := places()
	require.Len(t, before, 100)
	for _, p := range before {
		require.True(t, c.replace(c.find(p.id)))
	}
	assert.Equal(t, before, places())
	assert.EqualValues(t, 100, c.Stats().Evicted[Replaced])
	checkBooks(t, c, 100)
}

// checkBooks checks what holds of a cache whenever nothing is going on, given the
// most entries that it ever had.
func checkBooks(t testing.TB, c *Cache, most int) {
	t.Helper()
	a := &c.admission
	for what, wrong := range map[string]bool{
		"more entries than the limit":        c.limits.MaxEntries > 0 && a.len() > c.limits.MaxEntries,
		"more bytes than the limit":          a.size() > c.limits.MaxMemory,
		"main has more than its share":       c.limits.MaxEntries > 0 && a.main.len > c.limits.MaxEntries-a.probationEntries(),
		"room for entries that are not kept": a.longest > c.limits.MaxMemory/2,
		"a history that is too long":         a.history.len() > max(2*leastPeriod, 4*most),
		"evictions that were not told":       len(c.gone) > 0,
	} {
		require.False(t, wrong, what)
	}
	held := map[identity]bool{}
	for _, l := range []*list{&a.probation, &a.main} {
		var size int64
		n := 0
		var last *entry
		for e := l.oldest; e != nil; e = e.newer {
			hash := c.hash(e.id)
			_, recent := a.history.recent[hash]
			_, before := a.history.before[hash]
			switch {
			case e.list != l:
				t.Fatal("an entry is in another list than it says")
			case e.older != last:
				t.Fatal("a list reads differently from its other end")
			case c.find(e.id) != e:
				t.Fatal("an entry is in a list, and not in its shard")
			case e.frequency > maxFrequency:
				t.Fatal("a frequency is past the most")
			case e.size != e.measure():
				t.Fatal("an entry is longer than the books say")
			case e.encrypt != nil && e.encrypt.DataKey == nil || e.decrypt != nil && e.decrypt.DataKey == nil:
				t.Fatal("an entry's data key was cleared")
			case recent || before:
				t.Fatal("the history remembers an entry that is here")
			}
			held[e.id] = true
			size += e.size
			last = e
			n++
		}
		require.True(t, last == l.newest)
		require.Equal(t, n, l.len)
		require.Equal(t, size, l.size)
	}
	require.Len(t, held, a.len(), "an identity has two entries")
	inShards := 0
	for i := range c.shards {
		inShards += len(c.shards[i].entries)
	}
	require.Equal(t, a.len(), inShards)
	stats := c.Stats()
	require.Equal(t, a.len(), stats.Entries)
	require.Equal(t, a.size(), stats.Bytes)
}

// TestBooks has random things happen to caches of all sizes.
func TestBooks(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		wrapped := func(m *manager, n int) keyring.DecryptionRequest {
			return toDecrypt(encrypt(t, m, request(fmt.Sprint(n))))
		}
		pool := newManager(t)
		var stored []keyring.DecryptionRequest
		for i := range 100 {
			stored = append(stored, wrapped(pool, i))
		}
		seeds := uint64(60)
		if testing.Short() {
			seeds = 10
		}
		for seed := range seeds {
			random := rand.New(rand.NewPCG(seed, 3))
			limits := Limits{
				MaxAge: time.Minute, NoRefresh: true, MaxMessages: []int64{0, 20}[random.IntN(2)],
				MaxEntries: []int{0, 1, 2, 3, 10, 100}[random.IntN(6)],
				MaxMemory:  []int64{leastMemory, 100_000, 300_000, 0}[random.IntN(4)],
			}
			m, clock := newManager(t), newClock()
			c := newTestCache(t, m, limits, clock.Now)
			partitions := []keyring.MaterialsManager{c, c.Partition("a"), c.Partition("b")}
			most := 0
			for range 1000 {
				p := partitions[random.IntN(len(partitions))]
				switch op := random.IntN(1000); {
				case op < 500:
					req := request(fmt.Sprint(random.IntN(1 + random.IntN(150))))
					if random.IntN(4) == 0 {
						req.Context["long"] = strings.Repeat("x", random.IntN(1+random.IntN(10_000)))
					}
					encrypt(t, p, req)
				case op < 900:
					decrypt(t, p, stored[random.IntN(len(stored))])
				case op < 960: // a refresh, which brings longer keys or shorter ones
					info := make([]byte, random.IntN(1+random.IntN(5000)))
					m.encrypt = func(e *keyring.EncryptionMaterials) {
						e.EncryptedDataKeys = append(e.EncryptedDataKeys, keyring.EncryptedDataKey{ProviderID: "other", ProviderInfo: info})
					}
					if e := c.admission.main.oldest; e != nil && random.IntN(2) == 0 {
						c.replace(e)
					} else if e := c.admission.probation.oldest; e != nil {
						c.replace(e)
					}
					m.encrypt = nil
				case op < 980:
					clock.Move(time.Duration(random.IntN(20)) * time.Second)
				case op < 985:
					c.expire()
				case op < 990:
					c.PurgePartition([]string{"", "a", "b"}[random.IntN(3)])
				case op < 992:
					c.PurgeKey("kek")
				case op < 994:
					c.Purge()
				default: // a failure of the manager
					err := outage(random.IntN(2) == 0)
					m.set(func(context.Context) error { return err })
					_, _ = p.EncryptionMaterials(t.Context(), request(fmt.Sprint(random.IntN(50))))
					m.set(nil)
				}
				most = max(most, c.admission.len())
				checkBooks(t, c, most)
			}
			require.Equal(t, c.admission.len(), m.kept(), "data keys that are not in the cache were not cleared")
			require.NoError(t, c.Close())
			checkBooks(t, c, most)
			require.Zero(t, c.admission.len())
			require.Zero(t, c.admission.history.len())
			require.Zero(t, m.kept())
		}
	})
}

// TestStaleUseIsUse has data keys that are used past their age, in an outage of their
// own key service, stay while others come and go.
func TestStaleUseIsUse(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		m, clock := newManager(t), newClock()
		c := newTestCache(t, m, Limits{MaxAge: time.Minute, StaleFor: time.Hour, MaxEntries: 20, NoRefresh: true}, clock.Now)
		hot := func() {
			for i := range 5 {
				encrypt(t, c, request(fmt.Sprint("hot", i)))
			}
		}
		for range 3 {
			hot()
		}
		clock.Move(2 * time.Minute)
		for range 200 {
			clock.Move(time.Second)
			m.set(func(context.Context) error { return outage(true) })
			hot()
			synctest.Wait()
			m.set(nil)
			for i := range 40 {
				encrypt(t, c, request(fmt.Sprint("other", i)))
			}
		}
	})
}

// TestWorkingSetChanges has keys that were used for long give way to others, which fit,
// within a few rounds.
func TestWorkingSetChanges(t *testing.T) {
	for _, n := range []int{2, 3, 10, 100, 1000} {
		m := newManager(t)
		c := newTestCache(t, m, Limits{MaxEntries: n}, nil)
		for range 5 {
			for i := range n {
				encrypt(t, c, request(fmt.Sprint("before", i)))
			}
		}
		before := m.loads.Load()
		for range 20 {
			loads := m.loads.Load()
			for i := range n {
				encrypt(t, c, request(fmt.Sprint("now", i)))
			}
			if m.loads.Load() == loads {
				break
			}
		}
		assert.LessOrEqual(t, m.loads.Load()-before, int64(max(5*n, 100)), "MaxEntries %d", n)
	}
}
