package events

import (
	"context"
	"errors"
	"time"

	"github.com/assent-gateway/assent/consent"
)

// ErrNotFound: there is no processor of that name.
var ErrNotFound = errors.New("events: not found")

// A Stale is a manifest and the entry that made it stale.
type Stale struct {
	Manifest string
	Position consent.Position
}

// A ProcessorRow is a registered processor as stored.
type ProcessorRow struct {
	Name    string
	Version uint64 // one more with every change
	Sealed  []byte
}

// Store keeps how far events were delivered, and to whom, beside the ledger.
// Implementations: internal/sqlite, internal/postgres; the suite is
// internal/storetest. Writes are durable when they return.
type Store interface {
	// Cursor returns how far a sink has come; false when it has none.
	Cursor(ctx context.Context, t consent.TenantID, sink string) (consent.Position, bool, error)
	// StartCursor makes a cursor at a position. One that is there stays.
	StartCursor(ctx context.Context, t consent.TenantID, sink string, at consent.Position) error
	// Advance moves a cursor that is at from, and remembers manifests that are
	// not yet stale, in one transaction; false, and nothing changed, when it is
	// elsewhere or not there.
	Advance(ctx context.Context, t consent.TenantID, sink string, from, to consent.Position, stale []Stale) (bool, error)
	// HoldCursor gives the lease of a cursor to a holder, or renews it, by the
	// database's clock, and returns where it is; false when another's has not
	// ended, or when there is no cursor. A lease of 0 gives it back.
	HoldCursor(ctx context.Context, t consent.TenantID, sink string, holder [16]byte, lease time.Duration) (consent.Position, bool, error)
	// DropCursor forgets a cursor; absent is fine.
	DropCursor(ctx context.Context, t consent.TenantID, sink string) error
	// StaleAt returns the manifests that became stale by an entry after a
	// position, up to another, by position and id.
	StaleAt(ctx context.Context, t consent.TenantID, after, upTo consent.Position) ([]Stale, error)

	// PutProcessor inserts or replaces what is sealed of a processor; made when
	// there was none. Processors returns them by name, DropProcessor removes
	// one; absent is fine.
	PutProcessor(ctx context.Context, t consent.TenantID, name string, sealed []byte) (made bool, err error)
	Processors(ctx context.Context, t consent.TenantID) ([]ProcessorRow, error)
	DropProcessor(ctx context.Context, t consent.TenantID, name string) error
}
