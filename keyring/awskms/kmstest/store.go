package kmstest

import (
	"sync"
	"time"
)

// A store holds the keys and aliases of all regions.
type store struct {
	mu      sync.Mutex
	regions map[string]*vault
}

// A vault holds those of one region.
type vault struct {
	keys    map[string]*key   // by key ID
	aliases map[string]*alias // by name, with its "alias/"
}

// Bounds on what clients can make the server keep.
const (
	maxKeys    = 10000 // of a region
	maxAliases = 50    // of a key, as in the service
)

// vault returns a region's keys, after dropping those whose time is over.
// The caller holds st.mu.
func (st *store) vault(region string, now time.Time) *vault {
	st.expire(now)
	v := st.regions[region]
	if v == nil {
		v = &vault{keys: map[string]*key{}, aliases: map[string]*alias{}}
		st.regions[region] = v
	}
	return v
}

// expire deletes the keys whose waiting period has ended. A primary that waits
// for its replicas begins its own period when the last of them goes, which may
// end before now as well: hence the loop.
func (st *store) expire(now time.Time) {
	for again := true; again; {
		again = false
		for region, v := range st.regions {
			for id, k := range v.keys {
				if k.state != statePendingDeletion || now.Before(k.deletion) {
					continue
				}
				delete(v.keys, id)
				delete(k.members, region)
				for name, a := range v.aliases {
					if a.target == k {
						delete(v.aliases, name)
					}
				}
				k.beginPrimaryDeletion(k.deletion)
				again = true
			}
		}
	}
}

// beginPrimaryDeletion starts the waiting period of a primary that was scheduled
// for deletion, if its last replica went at the given time.
func (f *family) beginPrimaryDeletion(at time.Time) {
	p := f.members[f.primary]
	if p == nil || p.state != statePendingReplicaDeletion || len(f.members) > 1 {
		return
	}
	p.state = statePendingDeletion
	p.deletion = at.AddDate(0, 0, int(p.window))
}
