package pgvault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/postgres"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/internal/vault"
)

// Lease is how long a key is kept that no row names.
const Lease = 2 * consent.KeyLease

// patience bounds each call of a port that has no context.
const patience = 15 * time.Second

// adminFile is where the command line looks for the operator's key.
const adminFile = "admin.key"

var (
	// ErrNoEpoch: the directory lacks the epoch key of the vault in the database.
	ErrNoEpoch = errors.New("pgvault: this gateway lacks the vault's epoch key: copy the epoch file from ASSENT_VAULT of a gateway that runs into ASSENT_VAULT of this one, readable by its user alone; it is never made anew")
	// ErrForeignEpoch: the epoch key is that of another vault.
	ErrForeignEpoch = errors.New("pgvault: the epoch key in ASSENT_VAULT belongs to another vault than the one in ASSENT_VAULT_URL")
	// ErrEmpty: there is no vault in the database, although there must be one.
	ErrEmpty = errors.New("pgvault: the database in ASSENT_VAULT_URL holds no vault")
	// ErrDamaged: what rests in the database is not what this vault put there.
	ErrDamaged = errors.New("pgvault: the vault's database was altered or is damaged")
)

// Options of Open.
type Options struct {
	Database postgres.Options
	Epoch    vault.Options // who keeps the epoch key
	// MustExist refuses to begin a vault (ErrEmpty): there is data that has one.
	MustExist bool
	// Fault is called before and after the durable steps of slots and journal:
	// "slots.write" and "slots.synced", "journal.write" and "journal.synced". An
	// error fails the call; at the second of each it has happened.
	Fault func(op string) error
}

// A Vault is an open vault. Its methods are safe for concurrent use. It prints
// nothing.
type Vault struct {
	db    *postgres.Vault
	dir   string
	epoch *vault.Epoch
	row   postgres.VaultRow // as it was at Open
	sys   func() seal.Key
	fault func(op string) error

	mu      sync.RWMutex
	tenants map[string]func() vault.TenantKeys
	slots   slotCache
	leaves  leafCache
}

// Open opens the vault in a database with the epoch key in dir; where there is
// none yet, it begins one. Of several gateways that begin one at once, one does:
// the others lack its epoch key.
//
// A crash in between leaves an epoch key of a vault that was not begun, with
// which the next start begins it.
func Open(ctx context.Context, url, dir string, o Options) (v *Vault, err error) {
	db, err := postgres.OpenVault(ctx, url, o.Database)
	if err != nil {
		return nil, fmt.Errorf("open the vault's database: %w", err)
	}
	v = &Vault{db: db, dir: filepath.Clean(dir), fault: o.Fault, tenants: map[string]func() vault.TenantKeys{}}
	if v.fault == nil {
		v.fault = func(string) error { return nil }
	}
	if err := v.open(ctx, o); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return v, nil
}

func (v *Vault) open(ctx context.Context, o Options) error {
	row, begun, err := v.db.Row(ctx)
	if err != nil {
		return err
	}
	if !begun && o.MustExist {
		return ErrEmpty
	}
	made := false
	v.epoch, err = vault.OpenEpoch(v.dir, o.Epoch)
	switch {
	case errors.Is(err, vault.ErrNotExist) && begun:
		return fmt.Errorf("%w (%s)", ErrNoEpoch, vault.EpochFile(row.Epoch))
	case errors.Is(err, vault.ErrNotExist):
		made = true
		v.epoch, err = vault.CreateEpoch(v.dir, o.Epoch)
	}
	if err != nil {
		return err
	}
	if !begun {
		if row, err = v.begin(ctx); err != nil {
			return err
		}
	}
	switch {
	case row.ID != v.epoch.ID() && made: // another gateway began one meanwhile
		return errors.Join(fmt.Errorf("%w (%s)", ErrNoEpoch, vault.EpochFile(row.Epoch)), v.epoch.RemoveEpoch(v.dir))
	case row.ID != v.epoch.ID():
		return ErrForeignEpoch
	case row.Epoch != v.epoch.Number():
		return fmt.Errorf("%w (%s)", ErrNoEpoch, vault.EpochFile(row.Epoch))
	}
	system, err := v.epoch.Open("system", row.System)
	if err != nil || len(system) != len(seal.Key{}) {
		return ErrDamaged
	}
	v.sys, v.row = seal.Hold(seal.Key(system)), row
	return nil
}

func (v *Vault) begin(ctx context.Context) (postgres.VaultRow, error) {
	system := seal.NewKey()
	err := v.db.Begin(ctx, postgres.VaultRow{
		ID: v.epoch.ID(), Epoch: v.epoch.Number(), System: v.epoch.Seal("system", system[:]),
	})
	if err != nil {
		return postgres.VaultRow{}, err
	}
	row, found, err := v.db.Row(ctx)
	if err == nil && !found {
		err = ErrEmpty
	}
	return row, err
}

// Close closes the connections.
func (v *Vault) Close() error { return v.db.Close() }

// Database is where the vault's boxes rest.
func (v *Vault) Database() *postgres.Vault { return v.db }

// ID is the vault's random name, which data bound to it records.
func (v *Vault) ID() [16]byte { return v.epoch.ID() }

// Dir is the directory of the epoch key.
func (v *Vault) Dir() string { return v.dir }

// System returns the key for what lies outside every tenant.
func (v *Vault) System() seal.Key { return v.sys() }

// Format prints a placeholder.
func (v *Vault) Format(f fmt.State, _ rune) { io.WriteString(f, "pgvault.Vault") }

// LogValue keeps the vault out of slog.
func (v *Vault) LogValue() slog.Value { return slog.StringValue("pgvault.Vault") }

// Generation counts starts; see vault.Vault.Generation.
func (v *Vault) Generation(ctx context.Context) (uint64, error) {
	row, _, err := v.db.Row(ctx)
	return row.Generation, err
}

// Advance makes the generation one more than it was, and more than seen.
func (v *Vault) Advance(ctx context.Context, seen uint64) (uint64, error) {
	return v.db.Advance(ctx, seen)
}

// Accepted tells whether the operator takes the data for right where it is
// ahead of this vault.
func (v *Vault) Accepted() bool { return v.row.Accepted }

// WasRestored is false: what came after a backup of its database, a database
// does not know. The generation and the journal tell most of it.
func (v *Vault) WasRestored() bool { return false }

// Settled ends what Accepted began.
func (v *Vault) Settled(ctx context.Context) error {
	if !v.row.Accepted {
		return nil
	}
	return v.db.SetAccepted(ctx, false)
}

// Accept records what Accepted tells. Every tenant's ledger is to be told, first:
// a crash in between leaves an event of what was asked for.
func (v *Vault) Accept(ctx context.Context) error {
	row, _, err := v.db.Row(ctx)
	if err != nil || row.Accepted {
		return err
	}
	tenants, err := v.db.Tenants(ctx)
	if err == nil {
		err = v.tellAll(ctx, vault.Accepted, tenants)
	}
	if err != nil {
		return err
	}
	return v.db.SetAccepted(ctx, true)
}

// AdminKey returns the operator's key, the same at every gateway, and whether
// this call made it; fresh is what to make it of. It is in the directory, too,
// in clear and for its owner only, for the command line.
func (v *Vault) AdminKey(ctx context.Context, fresh string) (key string, made bool, err error) {
	row, _, err := v.db.Row(ctx)
	if err != nil {
		return "", false, err
	}
	if row.Admin == nil {
		if err := v.db.SetAdmin(ctx, v.epoch.Seal("admin", []byte(fresh))); err != nil {
			return "", false, err
		}
		if row, _, err = v.db.Row(ctx); err != nil {
			return "", false, err
		}
	}
	plain, err := v.epoch.Open("admin", row.Admin)
	if err != nil {
		return "", false, ErrDamaged
	}
	return string(plain), string(plain) == fresh, v.keepAdminKey(plain)
}

func (v *Vault) keepAdminKey(key []byte) error {
	path := filepath.Join(v.dir, adminFile)
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, key) {
		return nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("pgvault: read the bootstrap key's file: %w", err)
	}
	tmp, err := os.CreateTemp(v.dir, adminFile+".*.tmp") // 0600
	if err != nil {
		return fmt.Errorf("pgvault: write the bootstrap key's file: %w", err)
	}
	_, err = tmp.Write(key)
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("pgvault: write the bootstrap key's file: %w", err), os.Remove(tmp.Name()))
	}
	return nil
}

// AddTenant makes keys for a tenant that has none, durable on return.
func (v *Vault) AddTenant(ctx context.Context, id string) error {
	if len(id) == 0 || len(id) > 255 {
		return errors.New("pgvault: tenant id must have 1 to 255 bytes")
	}
	if _, ok, err := v.tenant(ctx, id); ok || err != nil {
		return err
	}
	return v.db.AddKeyring(ctx, id, v.epoch.SealTenant(id, vault.NewTenantKeys()))
}

// Tenants lists the tenants that have keys.
func (v *Vault) Tenants(ctx context.Context) ([]string, error) { return v.db.Tenants(ctx) }

// tenant returns a tenant's keys, which never change: those of one that another
// gateway made are read when they are first asked for.
func (v *Vault) tenant(ctx context.Context, id string) (vault.TenantKeys, bool, error) {
	v.mu.RLock()
	held := v.tenants[id]
	v.mu.RUnlock()
	if held != nil {
		return held(), true, nil
	}
	box, err := v.db.Keyring(ctx, id)
	if err != nil || box == nil {
		return vault.TenantKeys{}, false, err
	}
	keys, err := v.epoch.OpenTenant(id, box)
	if err != nil {
		return vault.TenantKeys{}, false, ErrDamaged
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.tenants[id] = func() vault.TenantKeys { return keys }
	return keys, true, nil
}
