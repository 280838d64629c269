package branchkey

import (
	"hash"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/go-sealring/sealring/keyring"
)

// macs are HMACs under the keys that were derived from one beacon key, to be used again. An
// HMAC cannot be overwritten. Once they are dropped nothing refers to them.
type macs struct {
	mu      sync.Mutex
	idle    map[string][]hash.Hash // by the beacon's name
	most    int                    // for one name
	dropped bool
}

// maxBeacons is for how many names HMACs are kept. More than any table has.
const maxBeacons = 256

// kept returns macs. It is a function for the same reason as a secret.
type kept func() *macs

func newMACs() kept {
	m := &macs{idle: map[string][]hash.Hash{}, most: runtime.GOMAXPROCS(0)}
	return func() *macs { return m }
}

// take returns an HMAC that nothing was written to, or nil if there is none.
func (m *macs) take(name string) hash.Hash {
	m.mu.Lock()
	defer m.mu.Unlock()
	idle := m.idle[name]
	if len(idle) == 0 {
		return nil
	}
	last := len(idle) - 1
	mac := idle[last]
	idle[last] = nil
	m.idle[name] = idle[:last]
	return mac
}

// put gives an HMAC back.
func (m *macs) put(name string, mac hash.Hash) {
	m.mu.Lock()
	defer m.mu.Unlock()
	idle, known := m.idle[name]
	if m.dropped || len(idle) >= m.most || !known && len(m.idle) >= maxBeacons {
		return
	}
	m.idle[name] = append(idle, mac)
}

func (m *macs) drop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.idle, m.dropped = nil, true
}

// loadedPair is the pair of the materials' context that tells one load of a beacon key from
// all others.
const loadedPair = "loaded"

// loads has macs for each beacon key that was loaded, until the cache drops that.
type loads struct {
	number atomic.Uint64
	kept   sync.Map // of kept, by number
}

// begin adds a beacon key that was loaded, and returns what its materials have as loadedPair.
func (l *loads) begin() string {
	number := strconv.FormatUint(l.number.Add(1), 10)
	l.kept.Store(number, newMACs())
	return number
}

// of returns the macs of materials. If those were dropped since, it returns others, which are
// the caller's own.
func (l *loads) of(m *keyring.DecryptionMaterials) (_ kept, own bool) {
	if k, ok := l.kept.Load(m.Context[loadedPair]); ok {
		return k.(kept), false
	}
	return newMACs(), true
}

func (l *loads) end(m *keyring.DecryptionMaterials) {
	if k, ok := l.kept.LoadAndDelete(m.Context[loadedPair]); ok {
		k.(kept)().drop()
	}
}
