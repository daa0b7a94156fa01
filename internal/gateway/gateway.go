// Package gateway puts the parts together: one data directory and one vault
// become a gateway that can be served. It is the only place that knows every
// adapter; commands and end-to-end tests start here.
//
// # Start
//
// The vault is opened or made first, then the data directory, which is bound
// to that vault by its id. A vault that is older than the data is refused (see
// checkVault): its journal could not tell whether the data is the newest. Every
// tenant's ledger is read and compared with the vault's journal; then heads are
// read into the index. What a crash left behind is settled on the way: entries
// that the journal lacks are appended, documents whose key is gone are dropped,
// key slots that no row names are wiped. A ledger that is behind its journal, or
// differs from it, stays closed (503, and readyz says why), and then nothing is
// wiped: the copy that was put back may not be the newest.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/credential"
	"github.com/assent-gateway/assent/internal/embedded"
	"github.com/assent-gateway/assent/internal/httpapi"
	"github.com/assent-gateway/assent/internal/localembed"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/internal/sqlite"
	"github.com/assent-gateway/assent/internal/translog"
	"github.com/assent-gateway/assent/internal/vault"
	"github.com/assent-gateway/assent/retrieval"
)

// DefaultTenant is the tenant of the bootstrap key.
const DefaultTenant consent.TenantID = "default"

// Errors of Open.
var (
	// ErrNoVault: there is data but not its vault, without which nothing in it
	// can be read and no refusal be known.
	ErrNoVault = errors.New("gateway: the data directory has data, but its vault is missing: put the vault back where ASSENT_VAULT points; without it the data cannot be opened")
	// ErrForeignVault: data and vault do not belong together.
	ErrForeignVault = errors.New("gateway: the vault is not the one this data directory was made with")
	// ErrVaultInside: a copy of the data would carry its keys.
	ErrVaultInside = errors.New("gateway: the vault lies inside the data directory, so that every copy of the data would carry its keys; override by name with ASSENT_ALLOW_VAULT_INSIDE=1")
	// ErrInUse: another process serves this data directory.
	ErrInUse = errors.New("gateway: another process uses this data directory")
)

// Config says what to open. DataDir is required.
type Config struct {
	DataDir  string
	VaultDir string // "": DataDir + ".vault"
	// AllowVaultInside overrides ErrVaultInside.
	AllowVaultInside bool
	AdminKey         string          // the bootstrap key; "": kept in the vault, made on first start
	Policy           *consent.Policy // nil: the built-in one
	TransparencyLog  LogConfig
	Log              *slog.Logger

	// For tests: the database's clock, and what is called before and after
	// durable steps (see sqlite.Options, vault.Options, consent.Options).
	Now        func() time.Time
	DBFault    func(op string) error
	VaultFault func(op string) error
	Step       func(string)
	// Embedders stands in for the local embedder.
	Embedders retrieval.Embedders
	// WrapIndex puts something between the service and the index.
	WrapIndex func(retrieval.Index) retrieval.Index
	// WrapChecker puts something between erasures and their verification.
	WrapChecker func(erasure.Checker) erasure.Checker
	// MassLimit is erasure.Deps.MassLimit.
	MassLimit int
	// ErasuresByHand leaves erasures to whoever calls Erasure.Carry.
	ErasuresByHand bool
}

// A Gateway is everything opened, ready to be served.
type Gateway struct {
	Ledger      *consent.Ledger
	Retrieval   *retrieval.Service
	Credentials *credential.Service
	Tree        *translog.Log
	Erasure     *erasure.Service
	// AdminKey is the bootstrap key. AdminKeyMade is set when this start made it.
	AdminKey     string
	AdminKeyMade bool
	AdminKeyFile string

	cfg   Config
	vault *vault.Vault
	db    *sqlite.DB
	index *embedded.Index
	lock  *os.File

	lost atomic.Bool // the database lacks a tenant whose journal the vault has

	stopLog     func() // nil before it runs
	stopErasure func() // nil before it runs

	closed atomic.Bool
}

// Open opens, or on first use makes, a gateway.
func Open(ctx context.Context, cfg Config) (g *Gateway, err error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.VaultDir == "" {
		cfg.VaultDir = filepath.Clean(cfg.DataDir) + ".vault"
	}
	g = &Gateway{cfg: cfg}
	defer func() {
		if err != nil {
			g.Close()
		}
	}()
	if err := g.openFiles(ctx); err != nil {
		return g, err
	}
	if err := g.checkVault(ctx); err != nil {
		return g, err
	}
	if err := g.openAdminKey(); err != nil {
		return g, err
	}
	if err := g.wire(); err != nil {
		return g, err
	}
	if err := g.openTenants(ctx); err != nil {
		return g, err
	}
	g.runLog()
	g.runErasures()
	return g, nil
}

func (g *Gateway) openFiles(ctx context.Context) (err error) {
	if inside, err := within(g.cfg.VaultDir, g.cfg.DataDir); err != nil {
		return err
	} else if inside && !g.cfg.AllowVaultInside {
		return ErrVaultInside
	}
	path := filepath.Join(g.cfg.DataDir, "assent.db")
	_, statErr := os.Stat(path)
	fresh := errors.Is(statErr, os.ErrNotExist)
	g.vault, err = vault.Open(g.cfg.VaultDir, vault.Options{Fault: g.cfg.VaultFault})
	if errors.Is(err, vault.ErrNotExist) {
		if !fresh {
			return ErrNoVault
		}
		g.vault, err = vault.Create(g.cfg.VaultDir, vault.Options{Fault: g.cfg.VaultFault})
	}
	if errors.Is(err, vault.ErrLocked) {
		return fmt.Errorf("%w: another assent uses %s", err, g.cfg.VaultDir)
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(g.cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("gateway: make the data directory: %w", err)
	}
	if g.lock, err = lockDir(g.cfg.DataDir); err != nil {
		return err
	}
	g.db, err = sqlite.Open(ctx, path, sqlite.Options{Now: g.cfg.Now, Fault: g.cfg.DBFault})
	if err != nil {
		return err
	}
	return g.bindVault(ctx)
}

// bindVault makes data and vault belong together, or says that they do not.
func (g *Gateway) bindVault(ctx context.Context) error {
	id := g.vault.ID()
	bound, err := g.db.VaultID(ctx)
	switch {
	case err != nil:
		return err
	case len(bound) == 0:
		return g.db.SetVaultID(ctx, id[:])
	case string(bound) != string(id[:]):
		return ErrForeignVault
	}
	return nil
}

// within reports whether inner is outer or lies below it.
func within(inner, outer string) (bool, error) {
	a, err := resolved(inner)
	if err != nil {
		return false, err
	}
	b, err := resolved(outer)
	if err != nil {
		return false, err
	}
	rel, err := filepath.Rel(b, a)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)), nil
}

// resolved returns a path without symbolic links, as far as it exists.
func resolved(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	rest := ""
	for dir := path; ; dir = filepath.Dir(dir) {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			return filepath.Join(real, rest), nil
		}
		if dir == filepath.Dir(dir) {
			return path, nil
		}
		rest = filepath.Join(filepath.Base(dir), rest)
	}
}

func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("gateway: open the lock of the data directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, ErrInUse
	}
	return f, nil
}

func (g *Gateway) openAdminKey() (err error) {
	g.AdminKey = g.cfg.AdminKey
	if g.AdminKey != "" {
		return nil
	}
	g.AdminKeyFile = filepath.Join(g.vault.Dir(), "admin.key")
	if g.AdminKey, err = g.vault.AdminKey(); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	g.AdminKey, g.AdminKeyMade = credential.NewSecret(), true
	return g.vault.SetAdminKey(g.AdminKey)
}

func (g *Gateway) wire() error {
	if err := g.newLog(); err != nil {
		return err
	}
	g.Ledger = consent.NewLedger(g.db, g.vault.Consent(), consent.Options{Log: g.cfg.Log, Tree: g.Tree, Step: g.cfg.Step})
	g.index = embedded.New(nil, embedded.Options{})
	var embedders retrieval.Embedders = localembed.Embedders{}
	if g.cfg.Embedders != nil {
		embedders = g.cfg.Embedders
	}
	var index retrieval.Index = g.index
	if g.cfg.WrapIndex != nil {
		index = g.cfg.WrapIndex(index)
	}
	g.Retrieval = retrieval.NewService(retrieval.Deps{
		Ledger: g.Ledger, Catalogue: g.db, Index: index, Records: g.vault.Records(),
		Embedders: embedders, Keys: g.vault.CatalogueKeys, Log: g.cfg.Log, Step: g.cfg.Step,
		Condemning: g.db,
	})
	g.index.SetVectors(g.Retrieval)
	g.wireErasure()
	g.Credentials = credential.NewService(g.db, g.vault.System(), credential.WithBootstrap(DefaultTenant, g.AdminKey),
		credential.WithLedger(g.Ledger, func(ctx context.Context, id consent.TenantID) error {
			_, err := g.openTenant(ctx, id)
			return err
		}))
	return nil
}

func (g *Gateway) openTenants(ctx context.Context) error {
	if err := g.ensureTenant(ctx, DefaultTenant); err != nil {
		return err
	}
	tenants, err := g.db.Tenants(ctx)
	if err != nil {
		return err
	}
	whole := true
	for _, t := range tenants {
		ok, err := g.openTenant(ctx, t.ID)
		if err != nil {
			return err
		}
		whole = whole && ok
	}
	if lost := g.lostTenants(tenants); lost > 0 {
		g.cfg.Log.Error("the vault knows tenants that the database lacks: restored from a backup", "count", lost)
		g.lost.Store(true)
		whole = false
	}
	if !whole {
		return nil // nothing is wiped while a ledger is closed
	}
	if err := g.sweep(ctx); err != nil {
		return err
	}
	if err := g.tidyErasures(ctx); err != nil {
		return err
	}
	return g.vault.Settled() // keys that an older vault brought back are wiped
}

// openTenant reports false when the tenant's ledger is closed: then it is
// there, and answers 503.
func (g *Gateway) openTenant(ctx context.Context, id consent.TenantID) (bool, error) {
	if err := g.Ledger.Open(ctx, id); err != nil {
		if !errors.Is(err, consent.ErrUnavailable) {
			return false, err
		}
		g.cfg.Log.Error("ledger closed", "why", consent.Why(err))
		return false, nil
	}
	if err := g.enterTenant(ctx, id); err != nil {
		return false, err
	}
	if _, err := g.Ledger.EnterPolicy(ctx, id, g.cfg.Policy); err != nil {
		return false, err
	}
	if g.cfg.Policy != nil {
		_, digest, err := g.Ledger.Purposes(ctx, id)
		if err != nil {
			return false, err
		}
		if digest != g.cfg.Policy.Digest() {
			g.cfg.Log.Warn("the policy file is of a lower version than the policy in force, and was ignored")
		}
	}
	loaded, err := g.Retrieval.Load(ctx, id)
	if err != nil {
		return false, err
	}
	g.Erasure.Serve(id)
	g.cfg.Log.Info("tenant open", "collections", loaded.Collections, "documents", loaded.Documents,
		"passages", loaded.Passages, "dropped", loaded.Dropped, "damaged", loaded.Damaged)
	return true, nil
}

// lostTenants counts tenants with a journal that the database does not know.
func (g *Gateway) lostTenants(known []credential.TenantRow) int {
	there := map[string]bool{}
	for _, t := range known {
		there[string(t.ID)] = true
	}
	lost := 0
	for _, id := range g.vault.Tenants() {
		if !there[id] && g.vault.Head(id) > 0 {
			lost++
		}
	}
	return lost
}

func (g *Gateway) sweep(ctx context.Context) error {
	named := map[seal.Ref]bool{}
	err := g.db.KeyRefs(ctx, func(ref seal.Ref) error {
		named[ref] = true
		return nil
	})
	if err != nil {
		return err
	}
	wiped, err := g.vault.Sweep(func(ref seal.Ref) bool { return named[ref] })
	if err == nil && wiped > 0 {
		g.cfg.Log.Info("key slots that no row names were wiped", "count", wiped)
	}
	return err
}

// ensureTenant makes a tenant's keys and row where they are missing.
func (g *Gateway) ensureTenant(ctx context.Context, id consent.TenantID) error {
	if err := g.vault.AddTenant(string(id)); err != nil {
		return err
	}
	now, err := g.db.Now(ctx)
	if err != nil {
		return err
	}
	err = g.db.AddTenant(ctx, credential.TenantRow{ID: id, CreatedAt: now}, nil, nil)
	if errors.Is(err, credential.ErrExists) {
		return nil
	}
	return err
}

// Ready reports whether the gateway may serve, and why not.
func (g *Gateway) Ready(ctx context.Context) error {
	if g.lost.Load() {
		return consent.ErrBehindJournal // a tenant's whole ledger is
	}
	return g.Ledger.Ready(ctx)
}

// KeySlots is how many keys the vault holds: of people and of documents.
func (g *Gateway) KeySlots() int {
	used, _ := g.vault.Slots()
	return used
}

// Close closes everything, at any stage of Open; closing again does nothing.
func (g *Gateway) Close() error {
	if g.closed.Swap(true) {
		return nil
	}
	var errs []error
	if g.stopErasure != nil {
		g.stopErasure() // what it did not finish, the next start goes on with
	}
	if g.stopLog != nil {
		g.stopLog() // what it did not sign for, the next start does
	}
	if g.db != nil {
		errs = append(errs, g.db.Close())
	}
	if g.vault != nil {
		errs = append(errs, g.vault.Close())
	}
	if g.lock != nil {
		errs = append(errs, g.lock.Close())
	}
	return errors.Join(errs...)
}

// Handler returns the gateway's HTTP interface.
func (g *Gateway) Handler() http.Handler {
	return httpapi.New(httpapi.Deps{
		Ledger: g.Ledger, Retrieval: g.Retrieval, Credentials: g.Credentials, Erasure: g.Erasure,
		Tenants: g, Tree: g.Tree, PublicLog: g.cfg.TransparencyLog.Public, Ready: g.Ready, Log: g.cfg.Log,
		Outages: []error{sqlite.ErrClosed, sqlite.ErrBusy, sqlite.ErrFull, sqlite.ErrCorrupt, sqlite.ErrOther},
	})
}

// Sentinels are errors of the adapters whose texts are constants, for a log
// that writes no others.
func Sentinels() []error {
	return []error{
		sqlite.ErrClosed, sqlite.ErrBusy, sqlite.ErrFull, sqlite.ErrCorrupt, sqlite.ErrSchema,
		vault.ErrBroken, vault.ErrGap, vault.ErrDamaged,
		retrieval.ErrConflict, retrieval.ErrEmbedder,
	}
}
