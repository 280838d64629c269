package branchkeytest

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/go-sealring/sealring/keyring/branchkey"
)

// A MemoryStore is a [branchkey.Store] in memory, for tests and examples.
type MemoryStore struct {
	mu    sync.Mutex
	items map[key]branchkey.Item
}

type key struct{ id, itemType string }

// NewMemoryStore returns an empty store.
func NewMemoryStore() *MemoryStore { return &MemoryStore{items: map[key]branchkey.Item{}} }

func clone(it branchkey.Item) branchkey.Item {
	it.Enc, it.Attributes = bytes.Clone(it.Enc), maps.Clone(it.Attributes)
	return it
}

// Get implements [branchkey.Store].
func (s *MemoryStore) Get(ctx context.Context, id, itemType string) (branchkey.Item, error) {
	if err := ctx.Err(); err != nil {
		return branchkey.Item{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	it, ok := s.items[key{id, itemType}]
	if !ok {
		return it, branchkey.ErrNotFound
	}
	return clone(it), nil
}

// List implements [branchkey.Store].
func (s *MemoryStore) List(ctx context.Context, id string) ([]branchkey.Item, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []branchkey.Item
	for k, it := range s.items {
		if k.id == id {
			all = append(all, clone(it))
		}
	}
	slices.SortFunc(all, func(a, b branchkey.Item) int { return strings.Compare(a.Type, b.Type) })
	return all, nil
}

// Put implements [branchkey.Store].
func (s *MemoryStore) Put(ctx context.Context, puts ...branchkey.Put) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range puts {
		old, ok := s.items[key{p.Item.ID, p.Item.Type}]
		if ok != (p.Replaces != nil) || ok && !bytes.Equal(old.Enc, p.Replaces) {
			return branchkey.ErrConflict
		}
	}
	for _, p := range puts {
		s.items[key{p.Item.ID, p.Item.Type}] = clone(p.Item)
	}
	return nil
}

// Delete implements [branchkey.Store].
func (s *MemoryStore) Delete(ctx context.Context, id string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.items)
	maps.DeleteFunc(s.items, func(k key, _ branchkey.Item) bool { return k.id == id })
	if len(s.items) == n {
		return branchkey.ErrNotFound
	}
	return nil
}
