// Package testledger makes real ledgers for tests of what asks one: SQLite and a
// vault in a temporary directory, one tenant, the built-in policy.
package testledger

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/credential"
	"github.com/assent-gateway/assent/internal/sqlite"
	"github.com/assent-gateway/assent/internal/vault"
)

// Tenant is the ledger's only one.
const Tenant consent.TenantID = "tenant"

// New returns an open ledger and the database it is in, which is also a
// catalogue. now is the database's clock; nil is the real one.
func New(t testing.TB, now func() time.Time) (*consent.Ledger, *sqlite.DB) {
	t.Helper()
	ctx, dir := context.Background(), t.TempDir()
	v, err := vault.Create(filepath.Join(dir, "vault"), vault.Options{})
	must(t, err)
	t.Cleanup(func() { v.Close() })
	db, err := sqlite.Open(ctx, filepath.Join(dir, "db"), sqlite.Options{Now: now})
	must(t, err)
	t.Cleanup(func() { db.Close() })
	must(t, v.AddTenant(string(Tenant)))
	at, err := db.Now(ctx)
	must(t, err)
	must(t, db.AddTenant(ctx, credential.TenantRow{ID: Tenant, CreatedAt: at}, nil, nil))
	l := consent.NewLedger(db, v.Consent(), consent.Options{})
	must(t, l.Open(ctx, Tenant))
	_, err = l.EnterPolicy(ctx, Tenant, nil)
	must(t, err)
	return l, db
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
