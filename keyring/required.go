package keyring

import (
	"context"
	"fmt"
	"slices"
)

// requiredContextManager is what NewRequiredContextManager returns.
type requiredContextManager struct {
	manager MaterialsManager
	keys    []string
}

// NewRequiredContextManager returns a manager that keeps chosen context pairs out of
// the message: they are authenticated, and whoever decrypts must give them again. Use
// it for what every reader knows anyway, such as the ID of the row that a field belongs
// to, or what should not stand beside the ciphertext. The rest is left to m.
//
// To encrypt with a context that lacks one of the keys is [ErrInvalidArgument]; to
// decrypt without giving one is [ErrContextMismatch].
//
// The specification calls it the required encryption context CMM.
func NewRequiredContextManager(m MaterialsManager, keys ...string) (MaterialsManager, error) {
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
	return &requiredContextManager{m, keys}, nil
}

// EncryptionMaterials implements [EncryptionManager].
func (r *requiredContextManager) EncryptionMaterials(ctx context.Context, req EncryptionRequest) (*EncryptionMaterials, error) {
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
	// The client checks the materials as well, but does not know that these keys are
	// required.
	if err := m.Check(req); err != nil {
		m.Clear()
		return nil, err
	}
	return m, nil
}

// DecryptionMaterials implements [DecryptionManager].
func (r *requiredContextManager) DecryptionMaterials(ctx context.Context, req DecryptionRequest) (*DecryptionMaterials, error) {
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
