package main

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope/field"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/branchkey"
)

// An Account is a row. Its ID is in the encryption context, so that each row has a context
// and data keys of its own: with branch keys that costs no call to KMS.
type Account struct {
	ID     string               `seal:",row,context=row"`
	Tenant string               `seal:",context=tenant"`
	IBAN   field.Sealed[string] `seal:"iban"`
	Email  field.Sealed[string] `seal:"email"`
	Notes  field.Sealed[string] `seal:"notes"`
}

const schema = `
CREATE TABLE accounts (
	id     TEXT PRIMARY KEY,
	tenant TEXT NOT NULL,
	iban   BLOB,
	email  BLOB,
	notes  BLOB
);
CREATE INDEX accounts_by_tenant ON accounts (tenant, id);
`

const columns = "id, tenant, iban, email, notes"

// A Service keeps the accounts of many tenants, each under the tenant's branch key.
type Service struct {
	db       *sql.DB
	accounts *field.Table[Account]
	keys     *branchkey.Keyring
	cache    *cache.Cache // nil if there is none
}

// NewService returns a service on a database that has the schema, which holds no keys yet.
// With cached it keeps data keys too: then those of a row that has several sealed fields
// are wrapped and unwrapped once.
func NewService(db *sql.DB, store *branchkey.KeyStore, cached bool) (*Service, error) {
	keys, err := branchkey.New(branchkey.Config{
		KeyStore: store,
		Supplier: byTenant,
		Limits:   cache.Limits{MaxAge: time.Hour},
	})
	if err != nil {
		return nil, err
	}
	s := &Service{db: db, keys: keys}
	if err := s.start(cached); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Service) start(cached bool) (err error) {
	var m keyring.MaterialsManager
	if cached {
		if s.cache, err = cache.New(s.keys, cache.Limits{MaxAge: 5 * time.Minute}); err != nil {
			return err
		}
		m = s.cache
	} else if m, err = keyring.NewManager(s.keys); err != nil {
		return err
	}
	s.accounts, err = field.NewTable[Account](m, "accounts", nil)
	return err
}

// byTenant says which branch key a context belongs to: the tenant's, which has its name.
func byTenant(ec keyring.EncryptionContext) (string, error) {
	tenant := ec["tenant"]
	if tenant == "" {
		return "", errors.New("the encryption context has no tenant")
	}
	return tenant, nil
}

// Close drops all keys.
func (s *Service) Close() {
	if s.cache != nil {
		s.cache.Close()
	}
	s.keys.Close()
}

// Forget drops a tenant's keys. Without it they would be used until they reach MaxAge: to
// write under the version from before KeyStore.Version, and, in a service that keeps data
// keys, to read what was read before KeyStore.Destroy. Each process must do so.
func (s *Service) Forget(tenant string) {
	s.keys.Purge(tenant)
	if s.cache != nil {
		s.cache.PurgeKey(tenant) // the data keys that the tenant's branch key wraps
	}
}

// Add stores new accounts.
func (s *Service) Add(ctx context.Context, accounts ...*Account) error {
	if err := s.accounts.Seal(ctx, accounts...); err != nil {
		return err
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	insert, err := tx.PrepareContext(ctx, "INSERT INTO accounts ("+columns+") VALUES ($1, $2, $3, $4, $5)")
	if err != nil {
		return err
	}
	defer insert.Close()
	for _, a := range accounts {
		if _, err := insert.ExecContext(ctx, a.ID, a.Tenant, a.IBAN, a.Email, a.Notes); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// Account returns one account.
func (s *Service) Account(ctx context.Context, tenant, id string) (*Account, error) {
	found, err := s.find(ctx, "WHERE tenant = $1 AND id = $2", tenant, id)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, sql.ErrNoRows
	}
	return found[0], nil
}

// OfTenant returns the accounts of a tenant, by ID.
func (s *Service) OfTenant(ctx context.Context, tenant string) ([]*Account, error) {
	return s.find(ctx, "WHERE tenant = $1 ORDER BY id", tenant)
}

// All returns all accounts, by ID.
func (s *Service) All(ctx context.Context) ([]*Account, error) {
	return s.find(ctx, "ORDER BY id")
}

// find returns the accounts of a query. If some cannot be opened it returns all, and the
// error, a field.Errors, says which: the others are good.
func (s *Service) find(ctx context.Context, where string, args ...any) ([]*Account, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT "+columns+" FROM accounts "+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []*Account
	for rows.Next() {
		var a Account
		if err := rows.Scan(&a.ID, &a.Tenant, &a.IBAN, &a.Email, &a.Notes); err != nil {
			return nil, err
		}
		found = append(found, &a)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return found, s.accounts.Open(ctx, found...)
}
