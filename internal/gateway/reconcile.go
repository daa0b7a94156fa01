package gateway

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/internal/vault"
	"github.com/assent-gateway/assent/retrieval"
)

// The reconciler walks, for as long as a gateway runs, over what its stores hold
// and compares it with catalogue and ledger. It deletes only what no row accounts
// for: entries of an index without a live row; rows whose key is gone for good;
// keys that no row names; heads and bodies of no document; files of no manifest;
// probe material of no open erasure; and, in an index outside, objects without a
// row and what is pending past its lease. What an erasure took away and what is
// back all the same is erasure.Service.Sweep's to find. Everything is counted, by
// kind, and reported.
//
// What others may be in the middle of is deleted at the second look only, when
// whatever was under way at the first has ended.
type reconciler struct {
	cancel context.CancelFunc
	done   sync.WaitGroup

	turn    sync.Mutex // one look at a time; guards the rest
	unnamed vault.Unnamed
	keyless map[seal.Ref]time.Time // named by a row, held by no slot, and since when
	orphans map[string]time.Time   // directories of no manifest
	mark    int64                  // up to which parts were looked at
	entries map[retrieval.CollectionID]retrieval.DocNum
	swept   time.Time // when keys of a shared vault were
}

// Paces of the reconciler. A look is at what is in memory, and at some of the
// rest; a walk is over everything.
const (
	lookEvery   = time.Minute
	walkEvery   = 10 * time.Minute
	sharedEvery = time.Hour // keys of a vault that others sweep as well
	partsAtOnce = 20_000
	refsAtOnce  = 1000

	// patience is longer than any write takes from its keys to its commit.
	patience = 2 * consent.KeyLease
)

// Found counts what a look took away, by kind.
type Found map[string]int

// The kinds.
const (
	foundIndex   = "index_entry"
	foundRow     = "row_without_key"
	foundKey     = "key_without_row"
	foundPart    = "part_without_row"
	foundFile    = "file_without_row"
	foundProbe   = "probe_without_erasure"
	foundOutside = "object_without_row"
)

// runReconciler looks until stopReconciler.
func (g *Gateway) runReconciler() {
	ctx, cancel := context.WithCancel(context.Background())
	g.reconciler.cancel = cancel
	g.reconciler.done.Go(func() {
		look, walk := time.NewTicker(lookEvery), time.NewTicker(walkEvery)
		defer look.Stop()
		defer walk.Stop()
		for {
			var err error
			select {
			case <-ctx.Done():
				return
			case <-look.C:
				_, err = g.look(ctx)
			case now := <-walk.C:
				_, err = g.walk(ctx, now)
			}
			if err != nil && ctx.Err() == nil {
				g.cfg.Log.Warn("the reconciler goes on later", "error", err)
			}
		}
	})
}

func (g *Gateway) stopReconciler() {
	if g.reconciler.cancel != nil {
		g.reconciler.cancel()
	}
	g.reconciler.done.Wait()
}

// look probes the canaries, compares an index in memory with the catalogue, and
// looks at the next parts.
func (g *Gateway) look(ctx context.Context) (Found, error) {
	r := &g.reconciler
	r.turn.Lock()
	defer r.turn.Unlock()
	found := Found{}
	tenants, whole, err := g.openHere(ctx)
	if err != nil {
		return found, err
	}
	for _, t := range tenants {
		if _, _, err := g.Retrieval.ProbeCanaries(ctx, t); err != nil {
			return found, err
		}
		if err := g.strays(ctx, t, found); err != nil {
			return found, err
		}
	}
	if !whole {
		return found, nil // nothing is wiped while a ledger is closed
	}
	n, mark, err := g.db.SweepParts(ctx, r.mark, partsAtOnce)
	if err == nil {
		r.mark = mark
	}
	return found, g.report(found, foundPart, n, err)
}

// walk goes over everything.
func (g *Gateway) walk(ctx context.Context, now time.Time) (Found, error) {
	r := &g.reconciler
	r.turn.Lock()
	defer r.turn.Unlock()
	found := Found{}
	tenants, whole, err := g.openHere(ctx)
	if err != nil || !whole {
		return found, err
	}
	if g.index != nil {
		for _, t := range tenants {
			n, err := g.index.index.Reconcile(ctx, t)
			if err := g.report(found, foundOutside, n, err); err != nil {
				return found, err
			}
		}
	}
	for _, part := range []struct {
		kind string
		f    func(context.Context, time.Time, []consent.TenantID) (int, error)
	}{{foundRow, g.retireKeyless}, {foundKey, g.wipeUnnamed}, {foundFile, g.removeOrphans}, {foundProbe, g.dropProbes}} {
		n, err := part.f(ctx, now, tenants)
		if err := g.report(found, part.kind, n, err); err != nil {
			return found, err
		}
	}
	return found, nil
}

func (g *Gateway) report(found Found, kind string, n int, err error) error {
	if n > 0 {
		found[kind] += n
		g.cfg.Log.Warn("the reconciler took away what nothing accounts for", "kind", kind, "count", n)
		g.cfg.Telemetry.Reconciled(kind, n)
	}
	return err
}

// openHere are the tenants that this gateway serves. whole is false while any
// ledger is closed: the data may not be the newest then.
func (g *Gateway) openHere(ctx context.Context) (open []consent.TenantID, whole bool, err error) {
	rows, err := g.db.Tenants(ctx)
	if err != nil {
		return nil, false, err
	}
	whole = !g.lost.Load()
	for _, row := range rows {
		if err := g.Enter(ctx, row.ID); err != nil {
			whole = false
			continue
		}
		if _, err := g.Ledger.Head(ctx, row.ID); err != nil {
			whole = false
			continue
		}
		open = append(open, row.ID)
	}
	return open, whole, nil
}

// window is the next part of what an index holds of a collection.
func (r *reconciler) window(c retrieval.CollectionID, nums []retrieval.DocNum) []retrieval.DocNum {
	slices.Sort(nums)
	from, _ := slices.BinarySearch(nums, r.entries[c]+1)
	to := min(from+partsAtOnce, len(nums))
	if r.entries == nil {
		r.entries = map[retrieval.CollectionID]retrieval.DocNum{}
	}
	if delete(r.entries, c); to < len(nums) {
		r.entries[c] = nums[to-1]
	}
	return nums[from:to]
}

// strays takes out of an index in memory what has no live row.
func (g *Gateway) strays(ctx context.Context, t consent.TenantID, found Found) error {
	if g.local == nil {
		return nil
	}
	collections, err := g.Retrieval.CollectionIDs(ctx, t)
	if err != nil {
		return err
	}
	for _, c := range collections {
		held := func() []retrieval.DocNum { return g.local.Numbers(c) }
		n, err := g.Retrieval.Strays(ctx, t, c, g.reconciler.window(c, held()), held)
		if err := g.report(found, foundIndex, n, err); err != nil {
			return err
		}
	}
	return nil
}

// retireKeyless ends documents whose key is gone, and was at the walk before: an
// erasure destroys keys a moment before the rows.
func (g *Gateway) retireKeyless(ctx context.Context, now time.Time, tenants []consent.TenantID) (retired int, err error) {
	r := &g.reconciler
	var batch []seal.Ref
	since, gone := map[seal.Ref]time.Time{}, map[seal.Ref]bool{}
	check := func() error {
		lacking, err := g.vault.Lacking(ctx, batch)
		for _, ref := range lacking {
			first, met := r.keyless[ref]
			if !met {
				first = now
			}
			since[ref] = first
			if now.Sub(first) >= patience {
				gone[ref] = true
			}
		}
		batch = batch[:0]
		return err
	}
	err = g.db.KeyRefs(ctx, func(ref seal.Ref) error {
		if batch = append(batch, ref); len(batch) < refsAtOnce {
			return nil
		}
		return check()
	})
	if err == nil {
		err = check()
	}
	if err != nil {
		return 0, err
	}
	if r.keyless = since; len(gone) == 0 {
		return 0, nil
	}
	for _, t := range tenants {
		var nums []retrieval.DocNum
		err := g.db.Live(ctx, t, func(row retrieval.DocRow, _ []retrieval.PartRow) error {
			if gone[row.Key] {
				nums = append(nums, row.Num)
			}
			return nil
		})
		if err != nil {
			return retired, err
		}
		for part := range slices.Chunk(nums, refsAtOnce) {
			n, err := g.Retrieval.RetireKeyless(ctx, t, part)
			if retired += n; err != nil {
				return retired, err
			}
		}
	}
	return retired, nil
}

// wipeUnnamed wipes keys that no row names.
func (g *Gateway) wipeUnnamed(ctx context.Context, now time.Time, _ []consent.TenantID) (int, error) {
	r := &g.reconciler
	named := func() (func(seal.Ref) bool, error) { return g.namedKeys(ctx) }
	if own, ok := g.vault.(dirVault); ok {
		return own.SweepRunning(&r.unnamed, now, patience, named)
	}
	if now.Sub(r.swept) < sharedEvery {
		return 0, nil
	}
	r.swept = now
	return g.vault.Sweep(ctx, named)
}

// removeOrphans removes files that no manifest's row names, and those of
// manifests whose key is destroyed.
func (g *Gateway) removeOrphans(ctx context.Context, now time.Time, tenants []consent.TenantID) (removed int, err error) {
	r := &g.reconciler
	entries, err := os.ReadDir(g.manifests)
	if err != nil {
		return 0, retrieval.ErrIndex // a constant; which directory is in the configuration
	}
	since := map[string]time.Time{}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		id := e.Name()
		named, sealed, err := g.manifestOf(ctx, tenants, id)
		if err != nil {
			return removed, err
		}
		what := id
		switch {
		case named && sealed:
			continue
		case named: // its key is gone: only its files, if any
			what = filepath.Join(id, "files")
			if _, err := os.Lstat(filepath.Join(g.manifests, what)); err != nil {
				continue
			}
		}
		first, met := r.orphans[what]
		if !met {
			first = now
		}
		if since[what] = first; now.Sub(first) < patience {
			continue
		}
		if err := g.Training.Files.Remove(filepath.ToSlash(what)); err != nil {
			return removed, err
		}
		removed++
		delete(since, what)
	}
	r.orphans = since
	return removed, nil
}

// manifestOf reports whether a tenant has a manifest of an id, and whether its
// files have a key.
func (g *Gateway) manifestOf(ctx context.Context, tenants []consent.TenantID, id string) (named, sealed bool, err error) {
	for _, t := range tenants {
		row, found, err := g.db.Manifest(ctx, t, id)
		if err != nil {
			return false, false, err
		}
		if found {
			return true, !row.Key.IsZero(), nil
		}
	}
	return false, false, nil
}

// dropProbes removes probe material whose erasure is not open any more: the key
// is wiped already.
func (g *Gateway) dropProbes(ctx context.Context, _ time.Time, tenants []consent.TenantID) (dropped int, err error) {
	ids, err := g.vault.Probes()
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	open := map[string]bool{}
	for _, t := range tenants {
		p := erasure.Page{OpenOnly: true, Limit: 1000}
		for {
			rows, err := g.db.Erasures(ctx, t, p)
			if err != nil {
				return 0, err
			}
			for _, r := range rows {
				open[r.ID] = true
			}
			if len(rows) < p.Limit {
				break
			}
			p.After = erasure.Cursor{Created: rows[len(rows)-1].Created, ID: rows[len(rows)-1].ID}
		}
	}
	for _, id := range ids {
		if open[id] {
			continue
		}
		if err := g.vault.DropProbe(id); err != nil {
			return dropped, err
		}
		dropped++
	}
	return dropped, nil
}
