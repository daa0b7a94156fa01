package gateway

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/credential"
	"github.com/assent-gateway/assent/internal/postgres"
	"github.com/assent-gateway/assent/internal/vault"
	"github.com/assent-gateway/assent/retrieval"
)

// eraBits is how many corpus positions an era has. Positions stay exact in a
// float64 for two million eras.
const eraBits = 32

// Replay brings data that was put back from a backup up to its vault: what the
// journal has of the ledgers' tails is appended at the original positions. The
// gateway is stopped; of several on a Postgres, one that runs all the same is
// closed until it is started anew. It returns, by tenant, what was missing; nothing is
// changed when nothing was.
//
// The order of durable steps, and what a crash after each leaves. Until all is
// done the ledgers are behind and closed, and another Replay goes on:
//
//	the vault's list of events names the replay   nothing is replayed yet
//	tenants that the data lacks are made          they are empty, and behind
//	corpus heads go to a new era                  an era that is not used
//	a Postgres has the number of this replay      gateways that run are closed
//	batches of entries, per tenant                less is missing
//
// The next start finds the ledgers whole, enters the restore in each, revokes
// the keys of which a ledger says that they are revoked, drops the documents
// whose keys were destroyed, and wipes keys that no row names: those of
// documents that are lost. From then on newer data that is found after all
// cannot be read in full any more.
func Replay(ctx context.Context, cfg Config) (map[consent.TenantID]consent.Gap, error) {
	g, err := openStopped(ctx, &cfg)
	if err != nil {
		return nil, err
	}
	defer g.Close()
	if g.vault.WasRestored() {
		return nil, errRestoredVault
	}
	g.Ledger = consent.NewLedger(g.db, g.vault.Consent(), consent.Options{Log: cfg.Log, Step: cfg.Step})
	gaps, err := g.gaps(ctx)
	if err != nil || len(gaps) == 0 {
		return nil, err
	}
	record := map[string]vault.Gap{}
	for id, gap := range gaps {
		record[string(id)] = vault.Gap{From: uint64(gap.From), To: uint64(gap.To), Lost: gap.Lost, Unknown: gap.Unknown}
	}
	if err := g.vault.BeginReplay(ctx, record); err != nil {
		return nil, err
	}
	g.step("replay.begun")
	for id := range gaps {
		if err := g.addTenant(ctx, id); err != nil {
			return nil, err
		}
	}
	if err := g.fence(ctx); err != nil {
		return nil, err
	}
	g.step("replay.advanced")
	for id := range gaps {
		if err := g.Ledger.Replay(ctx, id); err != nil {
			return nil, err
		}
	}
	return gaps, errors.Join(g.Close())
}

var errRestoredVault = errors.New("gateway: the vault was itself restored from a backup and does not know what came after it: it cannot replay the data; start the gateway first, and do what it says")

func (g *Gateway) step(name string) {
	if g.cfg.Step != nil {
		g.cfg.Step(name)
	}
}

// openStopped opens the files or databases of a gateway that is not running, and
// serves nothing.
func openStopped(ctx context.Context, cfg *Config) (*Gateway, error) {
	cfg.defaults()
	g := &Gateway{cfg: *cfg}
	open := g.openFiles
	if cfg.PostgresURL != "" {
		open = g.openCluster
	}
	if err := open(ctx, mustExist); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

// fence begins a new era of corpus positions. Gateways on a Postgres, which
// nothing keeps from running, notice by the number of the replay that they know
// other data than there is now, before the first entry comes back.
func (g *Gateway) fence(ctx context.Context) error {
	if err := advanceCorpus(ctx, g.vault, g.db); err != nil {
		return err
	}
	db, shared := g.db.(*postgres.DB)
	if !shared {
		return nil
	}
	number, err := g.vault.NextEra(ctx)
	if err != nil {
		return err
	}
	return db.SetReplayed(ctx, number)
}

// gaps are those of all tenants that the vault knows.
func (g *Gateway) gaps(ctx context.Context) (map[consent.TenantID]consent.Gap, error) {
	rows, err := g.db.Tenants(ctx)
	if err != nil {
		return nil, err
	}
	there := map[string]bool{}
	for _, t := range rows {
		there[string(t.ID)] = true
	}
	gaps := map[consent.TenantID]consent.Gap{}
	names, err := g.vault.Tenants(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		id := consent.TenantID(name)
		var gap consent.Gap
		if there[name] {
			gap, err = g.Ledger.Gap(ctx, id)
		} else {
			gap, err = g.Ledger.WholeGap(id)
		}
		if err != nil {
			return nil, err
		}
		if gap.To > 0 {
			gaps[id] = gap
		}
	}
	return gaps, nil
}

// addTenant makes the row of a tenant that the data lacks. Its name is lost, and
// so are its keys: of both the journal has none that could be read.
func (g *Gateway) addTenant(ctx context.Context, id consent.TenantID) error {
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

// advanceCorpus begins a new era of corpus positions for every tenant, so that
// none that was given out before is given out for something else.
func advanceCorpus(ctx context.Context, v keeper, db database) error {
	era, err := v.NextEra(ctx)
	if err != nil {
		return err
	}
	tenants, err := db.Tenants(ctx)
	for _, t := range tenants {
		if err = db.AdvanceCorpus(ctx, t.ID, retrieval.CorpusPosition(era<<eraBits)); err != nil {
			break
		}
	}
	return err
}

func (c *Config) dbPath() string { return filepath.Join(c.DataDir, "assent.db") }
