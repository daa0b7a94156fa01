package gateway

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/credential"
	"github.com/assent-gateway/assent/internal/erasecheck"
	"github.com/assent-gateway/assent/internal/events"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/internal/translog"
	"github.com/assent-gateway/assent/internal/vault"
	"github.com/assent-gateway/assent/retrieval"
	"github.com/assent-gateway/assent/training"
)

// A database is what a gateway needs of the database of its data: the file of
// internal/sqlite, or a Postgres that other gateways use too.
type database interface {
	consent.Store
	translog.Store
	retrieval.Catalogue
	retrieval.Outside
	retrieval.Condemning
	training.Manifests
	training.Lineage
	training.Contents
	credential.Store
	erasure.Store
	events.Store
	erasecheck.Rows

	// VaultID is the id of the vault this data belongs to; nil for none yet.
	// SetVaultID stores one; of several gateways that store their first at
	// once, one does.
	VaultID(ctx context.Context) ([]byte, error)
	SetVaultID(ctx context.Context, id []byte) error
	// VaultGeneration is the highest generation of the vault that a gateway
	// started with.
	VaultGeneration(ctx context.Context) (uint64, error)
	SetVaultGeneration(ctx context.Context, generation uint64) error
	// AdvanceCorpus moves a corpus head forward to a position, never back.
	AdvanceCorpus(ctx context.Context, t consent.TenantID, to retrieval.CorpusPosition) error
	Close() error
}

// A keeper is what a gateway needs of its vault: the directory of
// internal/vault, or the database of internal/pgvault that gateways share.
type keeper interface {
	Consent() consent.Vault
	Records() retrieval.Records
	Log() translog.Vault
	Manifests() training.Vault
	CatalogueKeys(t consent.TenantID) (retrieval.Keys, bool)
	ErasureKeys(t consent.TenantID) (erasure.Keys, bool)
	System() seal.Key

	// For erasures and their verification: keys of its own, the probe material,
	// the keys that are left, and how far one is destroyed.
	NewKey() (seal.Ref, error)
	Key(ref seal.Ref, parent *seal.Key) (seal.Key, error)
	Destroy(refs ...seal.Ref) error
	PutProbe(id string, box []byte) error
	Probe(id string) ([]byte, error)
	DropProbe(id string) error
	Probes() ([]string, error)
	Remaining(tenant string, f func(seal.Key) error) error
	KeyDestroyed(ctx context.Context, ref seal.Ref) (vault.Level, error)

	ID() [16]byte
	Dir() string // where admin.key is
	AddTenant(ctx context.Context, id string) error
	Tenants(ctx context.Context) ([]string, error)
	Head(ctx context.Context, t consent.TenantID) (consent.Position, error)
	Holds(ctx context.Context, ref seal.Ref) (bool, error)
	// Lacking are those of some keys that are not there.
	Lacking(ctx context.Context, refs []seal.Ref) ([]seal.Ref, error)

	// Generation, and what else says whether it is older than the data.
	Generation(ctx context.Context) (uint64, error)
	Advance(ctx context.Context, seen uint64) (uint64, error)
	WasRestored() bool
	Accepted() bool
	Started(ctx context.Context) (uint64, error)
	NextEra(ctx context.Context) (uint64, error)
	Settled(ctx context.Context) error

	// Events are what ledgers are to be told of, and Entered takes one off the
	// list. LogKeys are the public keys that a tenant's log has and had, oldest
	// first, and how many of them are retired.
	// BeginReplay puts a replay on that list.
	Events(ctx context.Context) ([]vault.Event, error)
	Entered(ctx context.Context, id, tenant string) error
	BeginReplay(ctx context.Context, gaps map[string]vault.Gap) error
	Backups() []vault.Backup
	LogKeys(ctx context.Context, t consent.TenantID) (keys [][32]byte, retired int, err error)

	// AdminKey returns the operator's key, made of fresh where there is none.
	AdminKey(ctx context.Context, fresh string) (key string, made bool, err error)
	// Sweep wipes keys that no row names. named is asked when it is known which
	// keys may be wiped: what is made later is left alone.
	Sweep(ctx context.Context, named func() (func(seal.Ref) bool, error)) (wiped int, err error)
	Slots(ctx context.Context) (int, error)
	Close() error
}

// dirVault is a vault that is one gateway's: it opens at a start, and nobody
// else makes keys.
type dirVault struct{ *vault.Vault }

func (v dirVault) AddTenant(_ context.Context, id string) error { return v.Vault.AddTenant(id) }

func (v dirVault) Tenants(context.Context) ([]string, error) { return v.Vault.Tenants(), nil }

func (v dirVault) Head(_ context.Context, t consent.TenantID) (consent.Position, error) {
	return consent.Position(v.Vault.Head(string(t))), nil
}

func (v dirVault) Holds(_ context.Context, ref seal.Ref) (bool, error) { return v.Vault.Holds(ref) }

func (v dirVault) Lacking(_ context.Context, refs []seal.Ref) (lacking []seal.Ref, err error) {
	for _, ref := range refs {
		held, err := v.Vault.Holds(ref)
		if err != nil {
			return nil, err
		}
		if !held {
			lacking = append(lacking, ref)
		}
	}
	return lacking, nil
}

func (v dirVault) Generation(context.Context) (uint64, error) { return v.Vault.Generation(), nil }

func (v dirVault) Advance(_ context.Context, seen uint64) (uint64, error) {
	return v.Vault.Advance(seen)
}

func (v dirVault) KeyDestroyed(_ context.Context, ref seal.Ref) (vault.Level, error) {
	return v.Vault.KeyDestroyed(ref)
}

func (v dirVault) WasRestored() bool {
	_, restored := v.Vault.Restored()
	return restored
}

func (v dirVault) Started(context.Context) (uint64, error) { return v.Vault.Started(), nil }

func (v dirVault) NextEra(context.Context) (uint64, error) { return v.Vault.NextEra() }

func (v dirVault) Events(context.Context) ([]vault.Event, error) { return v.Vault.Events() }

func (v dirVault) Entered(_ context.Context, id, tenant string) error {
	return v.Vault.Entered(id, tenant)
}

func (v dirVault) BeginReplay(_ context.Context, gaps map[string]vault.Gap) error {
	return v.Vault.BeginReplay(gaps)
}

func (v dirVault) LogKeys(_ context.Context, t consent.TenantID) (keys [][32]byte, retired int, err error) {
	k, ok := v.Tenant(string(t))
	if !ok {
		return nil, 0, vault.ErrNoTenant
	}
	return k.LogKeys(), len(k.Retired), nil
}

func (v dirVault) Settled(context.Context) error { return v.Vault.Settled() }

func (v dirVault) AdminKey(_ context.Context, fresh string) (key string, made bool, err error) {
	if key, err = v.Vault.AdminKey(); !errors.Is(err, os.ErrNotExist) {
		return key, false, err
	}
	return fresh, true, v.Vault.SetAdminKey(fresh)
}

func (v dirVault) Sweep(_ context.Context, named func() (func(seal.Ref) bool, error)) (int, error) {
	is, err := named()
	if err != nil {
		return 0, err
	}
	return v.Vault.Sweep(is)
}

func (v dirVault) Slots(context.Context) (int, error) {
	used, _ := v.Vault.Slots()
	return used, nil
}

func adminKeyFile(v keeper) string { return filepath.Join(v.Dir(), "admin.key") }
