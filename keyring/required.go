package keyring

import (
	"context"
	"fmt"
	"slices"
)

// A RequiredContextManager keeps chosen context pairs out of the message: they
// are authenticated, and whoever decrypts must give them again. Use it for what
// every reader knows anyway, such as the ID of the row that a field belongs to,
// or what should not stand beside the ciphertext.
//
// The specification calls it the required encryption context CMM.
type RequiredContextManager struct {
	manager MaterialsManager
	keys    []string
}

// NewRequiredContextManager returns a manager that treats the pairs of the
// given keys so, and leaves the rest to m.
func NewRequiredContextManager(m MaterialsManager, keys ...string) (*RequiredContextManager, error) {
	if m == nil {
		return nil, invalid("materials manager is nil")
	}
	if len(keys) == 0 {
		return nil, invalid("no required context key")
	}
	keys = slices.Clone(keys)
	slices.Sort(keys)
	if len(slices.Compact(slices.Clone(keys))) != len(keys) {
		return nil, invalid("a required context key is named twice")
	}
	probe := make(EncryptionContext, len(keys))
	for _, k := range keys {
		probe[k] = ""
	}
	if err := probe.Validate(); err != nil {
		return nil, err
	}
	return &RequiredContextManager{m, keys}, nil
}

// EncryptionMaterials fails with [ErrInvalidArgument] if the request's context
// lacks a required key.
func (r *RequiredContextManager) EncryptionMaterials(ctx context.Context, req EncryptionRequest) (*EncryptionMaterials, error) {
	for _, k := range r.keys {
		if _, ok := req.Context[k]; !ok {
			return nil, invalid("encryption context: key %q is required and missing", k)
		}
	}
	required := slices.Concat(req.RequiredKeys, r.keys)
	slices.Sort(required)
	req.RequiredKeys = slices.Compact(required)

	m, err := r.manager.EncryptionMaterials(ctx, req)
	if err != nil {
		return nil, err
	}
	// Only the client that asked knows the whole request, but it does not know
	// of these keys, so that they are checked here.
	if err := m.Check(req); err != nil {
		m.Clear()
		return nil, err
	}
	return m, nil
}

// DecryptionMaterials fails with [ErrContextMismatch] if the caller did not give
// a required key.
func (r *RequiredContextManager) DecryptionMaterials(ctx context.Context, req DecryptionRequest) (*DecryptionMaterials, error) {
	for _, k := range r.keys {
		if _, ok := req.Reproduced[k]; !ok {
			return nil, fmt.Errorf("%w: key %q is required and must be given", ErrContextMismatch, k)
		}
	}
	m, err := r.manager.DecryptionMaterials(ctx, req)
	if err != nil {
		return nil, err
	}
	if err := m.Check(req); err != nil {
		m.Clear()
		return nil, err
	}
	return m, nil
}
