package credential

import (
	"context"
	"errors"

	"github.com/assent-gateway/assent/consent"
)

// Errors of the store.
var (
	// ErrNotFound: no such tenant or key.
	ErrNotFound = errors.New("credential: not found")
	// ErrExists: the tenant or key is there already.
	ErrExists = errors.New("credential: exists already")
)

// A TenantRow is a tenant as stored.
type TenantRow struct {
	ID        consent.TenantID
	Sealed    []byte // its name, sealed under the vault's system key
	CreatedAt consent.Time
}

// A KeyRow is an API key as stored: never the key itself.
type KeyRow struct {
	ID        string
	Tenant    consent.TenantID
	Hash      [32]byte // MAC of the key's secret under the vault's system key
	Sealed    []byte   // Grant as JSON, sealed under the vault's system key
	CreatedAt consent.Time
	ExpiresAt consent.Time // 0: never
	RevokedAt consent.Time // 0: not revoked
}

// Store keeps tenants and hashed API keys. Implementations: internal/sqlite,
// internal/postgres. Methods are durable on return and safe for concurrent use.
type Store interface {
	Tenants(ctx context.Context) ([]TenantRow, error)
	// AddTenant makes a tenant with empty ledger and corpus heads; ErrExists.
	// consent.ErrRemembered as in consent.Store.Append.
	AddTenant(ctx context.Context, t TenantRow, first []KeyRow, remember []consent.Remembered) error
	// AddKey adds a key; ErrExists on an id or hash that is there,
	// ErrNotFound when the tenant is not.
	AddKey(ctx context.Context, k KeyRow, remember []consent.Remembered) error
	// Keys returns a tenant's keys, oldest first, revoked ones too.
	Keys(ctx context.Context, t consent.TenantID) ([]KeyRow, error)
	// KeyByHash returns the key with this hash, revoked or expired as it may be.
	KeyByHash(ctx context.Context, hash [32]byte) (KeyRow, error)
	// RevokeKey marks a key revoked at the database's clock; ErrNotFound.
	// Revoking twice keeps the first time.
	RevokeKey(ctx context.Context, t consent.TenantID, id string) error
	// Now is the database's clock.
	Now(ctx context.Context) (consent.Time, error)
}

// Ledger takes the events of keys; consent.Ledger is one.
type Ledger interface {
	// Notes calls f with every note of a kind, oldest first.
	Notes(ctx context.Context, t consent.TenantID, kind consent.Kind, f func(consent.Position, []byte) error) error

	// Enter records a note in a tenant's ledger, durably.
	Enter(ctx context.Context, t consent.TenantID, n consent.Note) (consent.Position, error)
}
