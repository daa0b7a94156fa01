package pgvault

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/postgres"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/internal/translog"
	"github.com/assent-gateway/assent/internal/vault"
	"github.com/assent-gateway/assent/retrieval"
)

// Consent returns the vault as the ledger's port.
func (v *Vault) Consent() consent.Vault { return ledgerPort{v} }

// Records returns the vault as the port of documents' record keys.
func (v *Vault) Records() retrieval.Records { return recordPort{v} }

// Log returns the vault as the transparency log's port.
func (v *Vault) Log() translog.Vault { return logPort{v} }

// CatalogueKeys returns a tenant's keys for the catalogue; false when unknown.
func (v *Vault) CatalogueKeys(t consent.TenantID) (retrieval.Keys, bool) {
	keys, ok := v.keys(t)
	if !ok {
		return retrieval.Keys{}, false
	}
	return keys.ForCatalogue(), true
}

// keys returns a tenant's keys; false when there are none, or they cannot be
// read now.
func (v *Vault) keys(t consent.TenantID) (vault.TenantKeys, bool) {
	ctx, cancel := calling()
	defer cancel()
	keys, ok, err := v.tenant(ctx, string(t))
	return keys, ok && err == nil
}

type ledgerPort struct{ v *Vault }

func (p ledgerPort) Keys(t consent.TenantID) (consent.Keys, bool) {
	keys, ok := p.v.keys(t)
	return keys.ForLedger(), ok
}

func (p ledgerPort) NewSubjectKeys(n int) ([]seal.Key, []seal.Ref, error) {
	keys, fresh := make([]seal.Key, n), make([]vault.NewKey, n)
	for i := range keys {
		keys[i] = seal.NewKey()
		fresh[i] = vault.NewKey{Key: keys[i]}
	}
	refs, err := p.v.Put(fresh)
	return keys, refs, err
}

func (p ledgerPort) SubjectKey(ref seal.Ref) (seal.Key, error) {
	k, err := p.v.Key(ref, nil)
	if gone(err) {
		return k, consent.ErrKeyGone
	}
	return k, err
}

func (p ledgerPort) Destroy(refs ...seal.Ref) error { return p.v.Destroy(refs...) }

// gone reports whether an error of Key is about the key. Every other error is
// the database's, and no reason to believe that anything was destroyed.
func gone(err error) bool {
	return errors.Is(err, vault.ErrKeyGone) || errors.Is(err, vault.ErrWrongParent)
}

// Head is the newest position in a tenant's journal.
func (v *Vault) Head(ctx context.Context, t consent.TenantID) (consent.Position, error) {
	return v.db.JournalHead(ctx, t)
}

func (p ledgerPort) JournalHead(t consent.TenantID) (consent.Position, error) {
	ctx, cancel := calling()
	defer cancel()
	return p.v.Head(ctx, t)
}

func (p ledgerPort) JournalLeaf(t consent.TenantID, pos consent.Position) ([32]byte, error) {
	return p.v.leaves.get(p.v.db, t, pos)
}

func (p ledgerPort) AppendJournal(t consent.TenantID, recs []consent.JournalRecord) error {
	ctx, cancel := calling()
	defer cancel()
	keys, ok, err := p.v.tenant(ctx, string(t))
	if err == nil && !ok {
		err = vault.ErrNoTenant
	}
	if err != nil {
		return err
	}
	rows := make([]postgres.JournalRow, len(recs))
	for i, r := range recs {
		rec := vault.Record{Tenant: string(t), Position: uint64(r.Position), Leaf: r.Leaf, Kind: byte(r.Kind), Payload: r.Payload}
		rows[i] = postgres.JournalRow{Position: r.Position, Leaf: r.Leaf, Kind: byte(r.Kind)}
		if rows[i].Payload, err = rec.SealPayload(keys.Journal); err != nil {
			return err
		}
	}
	if err := p.v.fault("journal.write"); err != nil {
		return err
	}
	if err := p.v.db.AppendJournal(ctx, t, rows); err != nil {
		return err
	}
	return p.v.fault("journal.synced")
}

// MendJournal has nothing to mend: the database says what is durable.
func (p ledgerPort) MendJournal() error { return nil }

// Read returns a tenant's journal record at a position, its payload opened;
// vault.ErrNotExist.
func (v *Vault) Read(ctx context.Context, t consent.TenantID, pos consent.Position) (vault.Record, error) {
	if pos == 0 {
		return vault.Record{}, vault.ErrNotExist
	}
	rows, err := v.db.JournalRows(ctx, t, pos-1, 1)
	if err != nil {
		return vault.Record{}, err
	}
	if len(rows) != 1 || rows[0].Position != pos {
		return vault.Record{}, vault.ErrNotExist
	}
	keys, ok, err := v.tenant(ctx, string(t))
	if err == nil && !ok {
		err = vault.ErrNoTenant
	}
	if err != nil {
		return vault.Record{}, err
	}
	rec := vault.Record{Tenant: string(t), Position: uint64(pos), Leaf: rows[0].Leaf, Kind: rows[0].Kind}
	if rec.OpenPayload(keys.Journal, rows[0].Payload) != nil {
		return vault.Record{}, ErrDamaged
	}
	return rec, nil
}

// leafCache reads leaves ahead: a start asks for all of them, in order. What
// the journal has at a position never changes.
type leafCache struct {
	mu     sync.Mutex
	tenant consent.TenantID
	after  consent.Position
	leaves [][32]byte
}

const leafPage = 4096

func (c *leafCache) get(db *postgres.Vault, t consent.TenantID, pos consent.Position) ([32]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if leaf, ok := c.at(t, pos); ok {
		return leaf, nil
	}
	if pos == 0 {
		return [32]byte{}, errNoEntry
	}
	ctx, cancel := calling()
	defer cancel()
	leaves, err := db.JournalLeaves(ctx, t, pos-1, leafPage)
	if err != nil {
		return [32]byte{}, err
	}
	c.tenant, c.after, c.leaves = t, pos-1, leaves
	if leaf, ok := c.at(t, pos); ok {
		return leaf, nil
	}
	return [32]byte{}, errNoEntry
}

var errNoEntry = fmt.Errorf("pgvault: no such entry in the journal: %w", vault.ErrNotExist)

func (c *leafCache) at(t consent.TenantID, pos consent.Position) (leaf [32]byte, ok bool) {
	if t != c.tenant || pos <= c.after || pos > c.after+consent.Position(len(c.leaves)) {
		return leaf, false
	}
	return c.leaves[pos-c.after-1], true
}

type recordPort struct{ v *Vault }

func (p recordPort) Put(keys []retrieval.RecordKey) ([]seal.Ref, error) {
	fresh := make([]vault.NewKey, len(keys))
	for i, k := range keys {
		fresh[i] = vault.NewKey{Key: k.Key, Parent: k.Parent}
	}
	return p.v.Put(fresh)
}

func (p recordPort) Open(ref seal.Ref, parent *seal.Key) (seal.Key, error) {
	k, err := p.v.Key(ref, parent)
	if gone(err) {
		return k, retrieval.ErrKeyGone
	}
	return k, err
}

func (p recordPort) Warm(ctx context.Context, refs []seal.Ref) error { return p.v.Warm(ctx, refs) }

func (p recordPort) Destroy(refs ...seal.Ref) error { return p.v.Destroy(refs...) }

type logPort struct{ v *Vault }

func (p logPort) JournalHead(t consent.TenantID) (consent.Position, error) {
	return ledgerPort(p).JournalHead(t)
}

func (p logPort) Checkpoint(t consent.TenantID) ([]byte, error) {
	ctx, cancel := calling()
	defer cancel()
	return p.v.db.Checkpoint(ctx, t)
}

func (p logPort) SetCheckpoint(t consent.TenantID, old, checkpoint []byte) error {
	ctx, cancel := calling()
	defer cancel()
	return p.v.db.SetCheckpoint(ctx, t, old, checkpoint)
}
