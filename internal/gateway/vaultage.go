package gateway

import (
	"context"
	"errors"
	"fmt"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// ErrOldVault: an older copy of the vault was put back.
var ErrOldVault = errors.New("gateway: the vault is older than the data: entries or keys that the data has are missing in it. Put the newest vault back. If it is lost, compare the ledger with the newest checkpoint that left this machine, then say so with: assent vault accept")

// checkVault refuses a vault that is older than the data, unless the operator
// has accepted it. Otherwise the ledger would complete the journal from whatever
// data is there, and a tail that is missing in both would be missed by nobody;
// documents whose key came after the old copy would count as erased.
//
// A vault that says that it was restored is older when the journal lacks any
// entry, or the vault any key that a row names. One that does not say so, such
// as a copy of the directory, is older when
//
//   - the data has seen a later generation of it: a gateway ran since; or
//   - the journal lacks more than a crash can leave: between a commit and its
//     journal record there is at most one batch, whose entries have one time.
//
// What it cannot see: a vault and data put back together from the same old day,
// and a copy of a vault from within the present run, when at most one batch came
// after it. Against the first there is only what left the machine.
func (g *Gateway) checkVault(ctx context.Context) error {
	seen, err := g.db.VaultGeneration(ctx) // before the vault's, which is never behind it
	if err != nil {
		return err
	}
	why, err := g.vaultIsOld(ctx, seen)
	if err != nil {
		return err
	}
	if why != nil {
		if !g.vault.Accepted() {
			return fmt.Errorf("%w (%w)", ErrOldVault, why)
		}
		g.cfg.Log.Warn("started on a vault that is older than the data, as the operator accepted")
	} else if g.vault.WasRestored() {
		g.cfg.Log.Warn("the vault was restored from a backup: what came after it, this machine cannot know")
	}
	started, err := g.vault.Started(ctx)
	if err != nil {
		return err
	}
	if seen < started {
		// A copy from before the newest start, whose ledgers may lack nothing (or
		// a crash between the two lines below): changes of documents are lost,
		// and their positions must not be given to others.
		if err := advanceCorpus(ctx, g.vault, g.db); err != nil {
			return err
		}
	}
	// The vault first: a crash in between leaves it ahead, which is harmless.
	generation, err := g.vault.Advance(ctx, seen)
	if err != nil {
		return err
	}
	return g.db.SetVaultGeneration(ctx, generation)
}

// How checkVault knew.
var (
	errLaterGeneration = errors.New("the data was used with a later generation of it")
	errJournalLacks    = errors.New("its journal lacks entries of the ledger")
	errKeysLacking     = errors.New("rows name keys that it lacks")
)

// vaultIsOld says why, or nil.
func (g *Gateway) vaultIsOld(ctx context.Context, seen uint64) (why, err error) {
	restored := g.vault.WasRestored()
	generation, err := g.vault.Generation(ctx)
	if err != nil {
		return nil, err
	}
	if seen > generation && !restored {
		return errLaterGeneration, nil
	}
	tenants, err := g.db.Tenants(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range tenants {
		batches, err := g.missingBatches(ctx, t.ID)
		switch {
		case err != nil:
			return nil, err
		case batches > g.inFlight(), batches == 1 && restored:
			return errJournalLacks, nil
		}
	}
	if !restored {
		return nil, nil
	}
	missing := 0
	err = g.db.KeyRefs(ctx, func(ref seal.Ref) error {
		held, err := g.vault.Holds(ctx, ref)
		if err == nil && !held {
			missing++
		}
		return err
	})
	if err == nil && missing > 0 {
		why = errKeysLacking
	}
	return why, err
}

// maxGateways bounds how many gateways may have died between a commit and its
// journal record since the last that mended the journal.
const maxGateways = 16

// inFlight is how many batches may be between commit and journal: one for every
// gateway.
func (g *Gateway) inFlight() int {
	if g.cfg.PostgresURL != "" {
		return maxGateways
	}
	return 1
}

// missingBatches counts the times at which entries were recorded that the
// journal lacks, up to one more than may be in flight. What is committed while
// it looks does not count, nor what starts enter by themselves: a backup is told
// of by the first start after it, so that every backup lacks it.
func (g *Gateway) missingBatches(ctx context.Context, t consent.TenantID) (int, error) {
	enough := errors.New("enough")
	head, err := g.db.Head(ctx, t)
	if err != nil {
		return 0, err
	}
	journal, err := g.vault.Head(ctx, t)
	if err != nil {
		return 0, err
	}
	times := map[consent.Time]bool{}
	err = g.db.Rows(ctx, t, journal, func(row consent.Row) error {
		if row.Position > head.Position {
			return enough
		}
		if row.Kind == consent.KindVault || row.Kind == consent.KindRestore {
			return nil
		}
		if times[row.RecordedAt] = true; len(times) > g.inFlight() {
			return enough
		}
		return nil
	})
	if errors.Is(err, enough) {
		err = nil
	}
	return len(times), err
}
