package pgvault

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/postgres"
	"github.com/assent-gateway/assent/internal/translog"
	"github.com/assent-gateway/assent/internal/vault"
)

// Events returns what ledgers are to be told of, oldest first.
func (v *Vault) Events(ctx context.Context) ([]vault.Event, error) {
	rows, err := v.db.Events(ctx)
	var out []vault.Event
	for _, r := range rows {
		i := slices.IndexFunc(out, func(e vault.Event) bool { return e.ID == r.ID })
		if i < 0 {
			i = len(out)
			out = append(out, vault.Event{ID: r.ID, Event: r.Event})
		}
		out[i].Tenants = append(out[i].Tenants, r.Tenant)
		if r.Event == vault.Replayed {
			if out[i].Gaps == nil {
				out[i].Gaps = map[string]vault.Gap{}
			}
			out[i].Gaps[r.Tenant] = vault.Gap{From: r.First, To: r.Last, Lost: r.Lost, Unknown: r.Unknown}
		}
	}
	return out, err
}

// Entered takes a tenant off an event's list: its ledger has been told, durably.
// Another gateway may have done the same.
func (v *Vault) Entered(ctx context.Context, id, tenant string) error {
	return v.db.Told(ctx, id, tenant)
}

// BeginReplay puts on record that ledgers are about to be replayed, as
// vault.Vault.BeginReplay does.
func (v *Vault) BeginReplay(ctx context.Context, gaps map[string]vault.Gap) error {
	return v.db.Tell(ctx, func(there []postgres.EventRow) []postgres.EventRow {
		rest, out := maps.Clone(gaps), []postgres.EventRow(nil)
		for _, r := range there {
			g, ok := rest[r.Tenant]
			if !ok || r.Event != vault.Replayed {
				continue
			}
			g = vault.Gap{From: r.First, To: r.Last, Lost: r.Lost, Unknown: r.Unknown}.With(g)
			out = append(out, eventOf(r.ID, r.Tenant, r.Event, g))
			delete(rest, r.Tenant)
		}
		id := rand.Text()
		for _, t := range slices.Sorted(maps.Keys(rest)) {
			out = append(out, eventOf(id, t, vault.Replayed, rest[t]))
		}
		return out
	})
}

// tellAll puts an event on the list of tenants whose ledgers are not to be told
// of such a one already.
func (v *Vault) tellAll(ctx context.Context, event string, tenants []string) error {
	id := rand.Text()
	return v.db.Tell(ctx, func(there []postgres.EventRow) []postgres.EventRow {
		var out []postgres.EventRow
		for _, t := range tenants {
			if !slices.ContainsFunc(there, func(r postgres.EventRow) bool { return r.Tenant == t && r.Event == event }) {
				out = append(out, eventOf(id, t, event, vault.Gap{}))
			}
		}
		return out
	})
}

func eventOf(id, tenant, event string, g vault.Gap) postgres.EventRow {
	return postgres.EventRow{ID: id, Tenant: tenant, Event: event, First: g.From, Last: g.To, Lost: g.Lost, Unknown: g.Unknown}
}

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
