package pgvault

import (
	"context"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/translog"
	"github.com/assent-gateway/assent/internal/vault"
)

// Events are none: what happens to a vault in a database happens under the eyes
// of gateways that run, not to a directory while nothing does.
func (v *Vault) Events() ([]vault.Event, error) { return nil, nil }

// Entered has nothing to take off a list.
func (v *Vault) Entered(string, string) error { return nil }

// Backups are none that the vault knows of: those of its database are the
// operator's.
func (v *Vault) Backups() []vault.Backup { return nil }

// LogKeys are the public keys of a tenant's log, oldest first, and how many of
// them are retired.
func (v *Vault) LogKeys(ctx context.Context, t consent.TenantID) (keys [][32]byte, retired int, err error) {
	k, ok, err := v.tenant(ctx, string(t))
	if err == nil && !ok {
		err = vault.ErrNoTenant
	}
	if err != nil {
		return nil, 0, err
	}
	return k.LogKeys(), len(k.Retired), nil
}

// Started is the generation of the newest start of a gateway.
func (v *Vault) Started(ctx context.Context) (uint64, error) { return v.Generation(ctx) }

// NextEra begins a new block of corpus positions and returns its number: a
// generation, of which no other start is.
func (v *Vault) NextEra(ctx context.Context) (uint64, error) { return v.Advance(ctx, 0) }

func (p ledgerPort) ReadJournal(t consent.TenantID, pos consent.Position) (consent.JournalRecord, error) {
	ctx, cancel := calling()
	defer cancel()
	r, err := p.v.Read(ctx, t, pos)
	return consent.JournalRecord{
		Position: consent.Position(r.Position), Leaf: r.Leaf, Kind: consent.Kind(r.Kind), Payload: r.Payload,
	}, err
}

func (p logPort) LogKeys(t consent.TenantID) (translog.Keys, bool) {
	k, ok := p.v.keys(t)
	return k.ForLog(), ok
}
