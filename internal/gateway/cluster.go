package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/pgvault"
	"github.com/assent-gateway/assent/internal/postgres"
	"github.com/assent-gateway/assent/internal/vault"
)

// Errors of Open for gateways on a Postgres.
var (
	// ErrNoSharedVault: there is data in Postgres, but no vault in the other
	// database, without which nothing of it can be read.
	ErrNoSharedVault = errors.New("gateway: ASSENT_POSTGRES_URL has data, but ASSENT_VAULT_URL holds no vault: name the database that its vault is in; without it the data cannot be opened")
	// ErrSharedDatabase: a copy of the data would carry its keys and its journal.
	ErrSharedDatabase = errors.New("gateway: ASSENT_VAULT_URL and ASSENT_POSTGRES_URL name the same database: the vault needs one of its own, best on another server, and backups of its own")
)

// Unreplicated is the limit of a Postgres without synchronous replication.
const Unreplicated = "does not replicate synchronously: after a failover, what was acknowledged last may be missing, revocations too; set synchronous_standby_names"

// openCluster opens Postgres and the vault in another one. Nothing is made in
// either before both were found to be fit.
func (g *Gateway) openCluster(ctx context.Context, missing making) error {
	options := postgres.Options{AllowParameterLogging: g.cfg.AllowParameterLogging, Now: g.cfg.Now, Fault: g.cfg.DBFault}
	db, err := postgres.Open(ctx, g.cfg.PostgresURL, options)
	if err != nil {
		return named("ASSENT_POSTGRES_URL", err)
	}
	g.db, g.feed = db, db
	bound, err := db.VaultID(ctx)
	if err != nil {
		return err
	}
	if len(bound) == 0 && missing == mustExist {
		return ErrNoData
	}
	if g.cfg.VaultURL == "" {
		return g.openAlone(ctx, bound)
	}
	if shared, err := db.Shares(ctx, g.cfg.VaultURL); err != nil {
		return named("ASSENT_VAULT_URL", err)
	} else if shared {
		return ErrSharedDatabase
	}
	options.Now, options.Fault = nil, nil
	v, err := pgvault.Open(ctx, g.cfg.VaultURL, g.cfg.VaultDir, pgvault.Options{
		Database: options, MustExist: len(bound) > 0, Fault: g.cfg.VaultFault,
		Epoch: vault.Options{KMS: g.cfg.KMS, KMSKey: g.cfg.KMSKey},
	})
	switch {
	case errors.Is(err, pgvault.ErrEmpty):
		return ErrNoSharedVault
	case errors.Is(err, vault.ErrOwnKeys):
		return fmt.Errorf("%w: that of a single gateway; name another directory with ASSENT_VAULT", err)
	case err != nil:
		return named("ASSENT_VAULT_URL", err)
	}
	g.vault = v
	g.limitOf(db)
	if !v.Database().SynchronousReplication() {
		g.Limits = append(g.Limits, "ASSENT_VAULT_URL "+Unreplicated)
		g.cfg.Log.Warn("the vault's Postgres does not replicate synchronously: a failover may undo what was acknowledged")
	}
	return g.bindVault(ctx)
}

// named says which setting an error is about, and how to override it.
func named(setting string, err error) error {
	if errors.Is(err, postgres.ErrLogsParameters) {
		return fmt.Errorf("gateway: %s: %w; set log_parameter_max_length and log_parameter_max_length_on_error to 0, or override by name with ASSENT_ALLOW_PARAMETER_LOGGING=1", setting, err)
	}
	return fmt.Errorf("gateway: %s: %w", setting, err)
}

// openAlone opens the vault of the one gateway that a Postgres has: a directory,
// whose lock keeps every other gateway out. Data that gateways share has another
// vault, to which it is bound.
func (g *Gateway) openAlone(ctx context.Context, bound []byte) error {
	if err := g.openDirVault(len(bound) == 0); err != nil {
		return err
	}
	g.limitOf(g.db.(*postgres.DB))
	return g.bindVault(ctx)
}

func (g *Gateway) limitOf(db *postgres.DB) {
	if !db.SynchronousReplication() {
		g.Limits = append(g.Limits, "ASSENT_POSTGRES_URL "+Unreplicated)
		g.cfg.Log.Warn("Postgres does not replicate synchronously: a failover may undo what was acknowledged")
	}
}

// opened are the tenants that this gateway has open, or is opening.
type opened struct {
	mu   sync.Mutex
	once map[consent.TenantID]*opening
}

type opening struct {
	done chan struct{}
	err  error
}

// mark says that a tenant is open.
func (o *opened) mark(id consent.TenantID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.once == nil {
		o.once = map[consent.TenantID]*opening{}
	}
	if o.once[id] == nil {
		o.once[id] = &opening{done: closedChan()}
	}
}

func closedChan() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// Enter returns when a tenant is open here: one that another gateway made is
// opened when it is first asked for. Whoever comes meanwhile waits. A tenant
// whose ledger is closed is there, and says so to those who ask it; one that
// could not be read is tried again.
func (g *Gateway) Enter(ctx context.Context, id consent.TenantID) error {
	g.open.mu.Lock()
	o := g.open.once[id]
	mine := o == nil
	if mine {
		if g.open.once == nil {
			g.open.once = map[consent.TenantID]*opening{}
		}
		o = &opening{done: make(chan struct{})}
		g.open.once[id] = o
	}
	g.open.mu.Unlock()
	if mine {
		_, o.err = g.openTenant(context.WithoutCancel(ctx), id)
		if o.err != nil {
			g.open.mu.Lock()
			delete(g.open.once, id)
			g.open.mu.Unlock()
		}
		close(o.done)
	}
	select {
	case <-o.done:
		return o.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// listen brings tenants up to date when another gateway says that something
// changed. That only makes the next call faster, which reads the head itself.
func (g *Gateway) listen() {
	db, ok := g.db.(*postgres.DB)
	if !ok || g.cfg.Deaf {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	changed := make(chan consent.TenantID, 64)
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = db.Listen(ctx, func(t consent.TenantID, _ consent.Position) {
			select {
			case changed <- t:
			default: // there is enough to do
			}
		})
	})
	wg.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case t := <-changed:
				if err := g.Enter(ctx, t); err == nil {
					_ = g.Retrieval.Refresh(ctx, t) // the next call says what is wrong
				}
			}
		}
	})
	g.stopListening = func() {
		cancel()
		wg.Wait()
	}
}
