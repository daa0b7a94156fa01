package gateway

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/embedded"
	"github.com/assent-gateway/assent/internal/erasecheck"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/internal/translog"
	"github.com/assent-gateway/assent/internal/vault"
	"github.com/assent-gateway/assent/internal/weaviate"
	"github.com/assent-gateway/assent/retrieval"
	"github.com/assent-gateway/assent/training"
)

// erasureLease is for how long one of several gateways carries an erasure out
// without saying that it still does.
const erasureLease = time.Minute

// wireErasure registers what an erasure reaches.
func (g *Gateway) wireErasure() {
	setup := g.setup()
	var checker erasure.Checker = &erasecheck.Checker{
		Setup: setup, Rows: g.db, People: g.db, Ledger: g.Ledger, Corpus: g.Retrieval, Probe: g.indexProbe(), Vault: probeVault{g.vault}, Copies: copies{g},
	}
	if g.index != nil {
		checker.(*erasecheck.Checker).Outside = outsideIndex{g.index.index, g.Retrieval}
	}
	if g.cfg.WrapChecker != nil {
		checker = g.cfg.WrapChecker(checker)
	}
	d := erasure.Deps{
		Ledger: g.Ledger, Store: g.db, Corpus: namedCorpus{g}, Checker: checker, Vault: g.vault, Tree: receiptLog{g.Tree}, Reviewer: reviewer{g},
		Targets: setup.Targets(), Steps: g.cascade(), Keys: g.vault.ErasureKeys, Log: g.cfg.Log, Step: g.cfg.Step, MassLimit: g.cfg.MassLimit,
		Recipients: recipients{g}, AnswerWithin: g.cfg.ProcessorsWithin, Late: g.cfg.Telemetry.Late,
	}
	if g.cfg.PostgresURL != "" {
		d.Lease = erasureLease
	}
	g.Erasure = erasure.NewService(d)
}

// setup is where this gateway keeps what it has.
func (g *Gateway) setup() erasecheck.Setup {
	s := erasecheck.Setup{DataDir: g.cfg.DataDir, VaultDir: g.cfg.VaultDir}
	if g.cfg.PostgresURL != "" {
		s.DataDir, s.Index = "", erasecheck.InMemories
	}
	if g.cfg.VaultURL != "" {
		s.VaultDir = ""
	}
	if g.index != nil {
		s.Index = erasecheck.Outside
		s.Rebuilds, s.IndexDirs = g.cfg.WeaviateRebuild > 0, g.cfg.WeaviateData
	}
	return s
}

// cascade is the graph of what is deleted.
func (g *Gateway) cascade() []erasure.Step {
	// Which documents, while their rows say so: manifests are looked at when no
	// build can read them any more.
	resolve := erasure.Step{Name: "resolve", Targets: []string{erasecheck.Manifests}, Spares: true, Run: g.resolveDocuments}
	documents := erasure.Step{Name: "documents", After: []string{"resolve", "joint"}, Targets: []string{erasecheck.Catalogue, erasecheck.Index, erasecheck.RecordKeys}, Run: g.eraseDocuments}
	last := []string{"documents", "person_row", "manifests"}
	steps := []erasure.Step{
		resolve,
		g.jointStep(),
		documents,
		g.mentionStep(),
		{Name: "manifests", After: []string{"documents"}, Targets: []string{erasecheck.Manifests}, Run: g.eraseManifests},
		{Name: "person_key", After: []string{"documents", "mentions"}, Targets: []string{erasecheck.Person}, Run: g.erasePersonKey},
		{Name: "person_row", After: []string{"person_key"}, Targets: []string{erasecheck.Person, erasecheck.Catalogue}, Says: true, Run: g.erasePersonRow},
	}
	if g.index != nil {
		steps = append(steps, erasure.Step{Name: "arrivals", After: []string{"documents"}, Targets: []string{erasecheck.Index}, Run: g.sweepArrivals})
		last = append(last, "arrivals")
	}
	// Near the end: it takes from the files what the others deleted.
	steps = append(steps, erasure.Step{Name: "files", After: last, Targets: []string{erasecheck.Catalogue, erasecheck.Person}, Run: g.purgeFiles})
	if g.index != nil && g.cfg.WeaviateRebuild > 0 { // it may wait for a day
		steps = append(steps, erasure.Step{Name: "rebuild", After: []string{"files"}, Targets: []string{erasecheck.Index}, Run: g.awaitRebuild})
	}
	return steps
}

// eraseManifests deletes the copies of training manifests that hold the person.
// The rows that they held can still be told, so that whoever has a copy can
// drop them.
func (g *Gateway) eraseManifests(ctx context.Context, o erasure.Order) (map[string]uint64, bool, error) {
	if o.Subject == 0 {
		return g.eraseManifestsWith(ctx, o)
	}
	if err := g.Events.Settle(ctx, o.Tenant, o.Position); err != nil {
		return nil, false, err
	}
	rows, err := g.db.ManifestsOf(ctx, o.Tenant, o.Subject)
	if err != nil {
		return nil, false, err
	}
	gone := map[string]uint64{}
	for _, row := range rows {
		// Also where the row says that it is done: a crash may have left files.
		erased, err := g.Training.EraseCounted(ctx, o.Tenant, row.ID)
		if erased {
			gone[erasecheck.Manifests]++
		}
		if err != nil {
			return gone, false, err
		}
	}
	failed, err := g.Training.EraseFailed(ctx, o.Tenant, o.Subject)
	gone[erasecheck.Manifests] += failed
	return gone, false, err
}

// buildPatience is how long an erasure of documents waits for manifests that were
// being built when it was asked for.
const (
	buildPatience = time.Hour
	buildAgain    = consent.Time(2 * time.Second)
)

// heldAgain is how soon an erasure looks again whether documents are held.
const heldAgain = consent.Time(time.Minute)

// heldUp lets an erasure wait, before anything of it is deleted and before any more
// is, while another one holds any of its documents. What is past its retention is passed over instead.
func (g *Gateway) heldUp(ctx context.Context, o erasure.Order) error {
	if o.Removal.Expired {
		return nil
	}
	held, err := g.Retrieval.Held(ctx, o.Tenant, erasecheck.WhichOf(o))
	if err != nil || !held {
		return err
	}
	head, err := g.Ledger.Head(ctx, o.Tenant)
	if err != nil {
		return err
	}
	return &erasure.Waiting{Until: head.Now + heldAgain, For: "hold"}
}

// resolveDocuments notes the numbers of the documents that an erasure is about.
// Whose vectors alone go is in manifests as before: they hold none.
func (g *Gateway) resolveDocuments(ctx context.Context, o erasure.Order) (map[string]uint64, bool, error) {
	if err := g.heldUp(ctx, o); err != nil || o.Subject != 0 || o.Removal.Vectors {
		return nil, false, err
	}
	// Who hears of manifests that become stale hears of these, too, while it can
	// be told which they are.
	if err := g.Events.Settle(ctx, o.Tenant, o.Position); err != nil {
		return nil, false, err
	}
	// Versions are named as they are, also those that were replaced meanwhile.
	if len(o.Removal.Versions) > 0 {
		return nil, false, g.db.AddErased(ctx, o.Tenant, o.ID, o.Removal.Versions)
	}
	return nil, false, g.Retrieval.EachCondemned(ctx, o.Tenant, erasecheck.WhichOf(o), func(docs []retrieval.DocNum) error {
		return g.db.AddErased(ctx, o.Tenant, o.ID, numbers(docs))
	})
}

func numbers(docs []retrieval.DocNum) []int64 {
	out := make([]int64, len(docs))
	for i, num := range docs {
		out[i] = int64(num)
	}
	return out
}

// eraseManifestsWith deletes the copies of training manifests that hold rows of
// the documents of an erasure.
func (g *Gateway) eraseManifestsWith(ctx context.Context, o erasure.Order) (map[string]uint64, bool, error) {
	docs, err := g.db.Erased(ctx, o.Tenant, o.ID)
	if err != nil || len(docs) == 0 {
		return nil, false, err
	}
	head, err := g.Ledger.Head(ctx, o.Tenant)
	if err != nil {
		return nil, false, err
	}
	patience := training.Waits
	if head.Now-o.At > consent.Time(buildPatience) {
		patience = training.Ended
	}
	erased, building, err := g.Training.EraseDocuments(ctx, o.Tenant, docs, patience)
	deleted := map[string]uint64{erasecheck.Manifests: uint64(erased)}
	if err == nil && building {
		err = erasure.NotBefore(head.Now + buildAgain)
	}
	if err != nil {
		return deleted, false, err
	}
	return deleted, false, g.db.DropErased(ctx, o.Tenant, o.ID)
}

// copies are the copies of training manifests as verification asks for them.
type copies struct{ g *Gateway }

func (c copies) CopiesOf(ctx context.Context, t consent.TenantID, num consent.SubjectNum) ([]erasecheck.Copy, error) {
	rows, err := c.g.db.ManifestsOf(ctx, t, num)
	out := make([]erasecheck.Copy, len(rows))
	for i, row := range rows {
		out[i] = erasecheck.Copy{ID: row.ID, Key: row.Key}
	}
	return out, err
}

func (c copies) CopiesWith(ctx context.Context, t consent.TenantID, docs []retrieval.DocNum) ([]erasecheck.Copy, error) {
	nums := numbers(docs)
	slices.Sort(nums)
	rows, err := c.g.Training.HoldingDocuments(ctx, t, nums)
	out := make([]erasecheck.Copy, len(rows))
	for i, row := range rows {
		out[i] = erasecheck.Copy{ID: row.ID, Key: row.Key}
	}
	return out, err
}

func (c copies) Lying(id string) (bool, error) {
	_, err := os.Lstat(filepath.Join(c.g.manifests, id, "files"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// sweepArrivals waits until whatever was on its way into the index outside when
// the erasure was entered has arrived or never will, and takes it out.
func (g *Gateway) sweepArrivals(ctx context.Context, o erasure.Order) (map[string]uint64, bool, error) {
	head, err := g.Ledger.Head(ctx, o.Tenant)
	if err != nil {
		return nil, false, err
	}
	if by := retrieval.OutsideBy(o.At); head.Now <= by {
		return nil, false, erasure.NotBefore(by)
	}
	if filling, err := g.fillingNow(ctx, o.Tenant); err != nil || filling {
		if err == nil {
			err = erasure.NotBefore(head.Now + consent.Time(rebuildPace))
		}
		return nil, false, err
	}
	if _, err := g.Retrieval.Sweep(ctx, o.Tenant); err != nil {
		return nil, false, err
	}
	n, err := g.index.index.Reconcile(ctx, o.Tenant)
	return map[string]uint64{erasecheck.Index: uint64(n)}, false, err
}

// eraseDocuments looks before every batch whether somebody holds what is left: a hold
// may have come while others were deleted, or while an embedder was waited for.
func (g *Gateway) eraseDocuments(ctx context.Context, o erasure.Order) (map[string]uint64, bool, error) {
	if err := g.heldUp(ctx, o); err != nil {
		return nil, false, err
	}
	e, more, err := g.Retrieval.Erase(ctx, o.Tenant, erasecheck.WhichOf(o))
	return map[string]uint64{
		erasecheck.Catalogue: uint64(e.Documents), erasecheck.Index: uint64(e.Passages), erasecheck.RecordKeys: uint64(e.Keys),
	}, more, err
}

func (g *Gateway) erasePersonKey(_ context.Context, o erasure.Order) (map[string]uint64, bool, error) {
	if o.Key.IsZero() {
		return nil, false, nil
	}
	return nil, false, g.vault.Destroy(o.Key)
}

func (g *Gateway) erasePersonRow(ctx context.Context, o erasure.Order) (map[string]uint64, bool, error) {
	if o.Subject == 0 {
		return nil, false, nil
	}
	if err := g.Ledger.Scrub(ctx, o.Tenant, o.Subject, o.Key); err != nil {
		return nil, false, err
	}
	return map[string]uint64{erasecheck.Person: 1}, false, g.db.Unlink(ctx, o.Tenant, o.Subject, o.Position)
}

func (g *Gateway) purgeFiles(ctx context.Context, _ erasure.Order) (map[string]uint64, bool, error) {
	return nil, false, g.db.Purge(ctx)
}

// namedCorpus is the corpus as erasures know it.
type namedCorpus struct{ g *Gateway }

func (c namedCorpus) Resolve(ctx context.Context, t consent.TenantID, s erasure.Scope, d erasure.Documents) (consent.Removal, error) {
	switch {
	case s != erasure.ScopeSource && d.Collection == "":
		return consent.Removal{}, &erasure.InputError{Field: "collection", Reason: "is required"}
	case s == erasure.ScopeDocument && d.Document == "":
		return consent.Removal{}, &erasure.InputError{Field: "document_id", Reason: "is required"}
	case s == erasure.ScopeSource && d.Source == "":
		return consent.Removal{}, &erasure.InputError{Field: "source", Reason: "is required"}
	case s != erasure.ScopeDocument && d.Document != "":
		return consent.Removal{}, &erasure.InputError{Field: "document_id", Reason: "does not go with the scope"}
	case s != erasure.ScopeSource && d.Source != "":
		return consent.Removal{}, &erasure.InputError{Field: "source", Reason: "does not go with the scope"}
	}
	w, err := c.g.Retrieval.Named(ctx, t, d.Collection, d.Document, d.Source)
	return consent.Removal{Collection: int64(w.Collection), Lookup: w.Lookup, Source: w.Source}, err
}

func (c namedCorpus) Withdrawn(ctx context.Context, t consent.TenantID) ([]erasure.Withdrawal, error) {
	found, err := c.g.Retrieval.Withdrawn(ctx, t)
	out := make([]erasure.Withdrawal, len(found))
	for i, w := range found {
		out[i] = erasure.Withdrawal{Removal: w.Removal, Storage: w.Storage}
	}
	return out, err
}

func (c namedCorpus) Expired(ctx context.Context, t consent.TenantID, now consent.Time) (bool, error) {
	head, err := c.g.Ledger.Head(ctx, t)
	if err != nil {
		return false, err
	}
	rows, err := c.g.Retrieval.Selected(ctx, t, retrieval.Which{Before: head.Position + 1, ExpiredAt: now}, 1)
	return len(rows) > 0, err
}

func (c namedCorpus) Since(ctx context.Context, t consent.TenantID, r consent.Removal, at consent.Position) (bool, error) {
	const page = 1000
	w := erasecheck.WhichOf(erasure.Order{Position: math.MaxInt64, Removal: r})
	for {
		rows, err := c.g.Retrieval.Selected(ctx, t, w, page)
		if err != nil {
			return false, err
		}
		for i := range rows {
			if rows[i].DecidedAt >= at {
				return true, nil
			}
			w.Pass(&rows[i])
		}
		if len(rows) < page {
			return false, nil
		}
	}
}

func (c namedCorpus) Orphans(ctx context.Context, t consent.TenantID, num consent.SubjectNum, before consent.Position) (bool, error) {
	rows, err := c.g.db.Condemned(ctx, t, retrieval.Which{Before: before, Subject: num}, 1)
	return len(rows) > 0, err
}

// indexProbe is the index as verification asks it.
func (g *Gateway) indexProbe() erasecheck.IndexProbe {
	if g.index != nil {
		return outsideProbe{g.index.index}
	}
	return memoryProbe{g.local}
}

type memoryProbe struct{ x *embedded.Index }

func (p memoryProbe) ProbeIndex(ctx context.Context, c retrieval.CollectionID, w erasecheck.Wanted) (erasecheck.Seen, error) {
	t := p.x.Probe(ctx, c, embedded.Wanted{Docs: w.Docs, Vectors: w.Vectors, Codes: w.Codes, Terms: w.Terms})
	return erasecheck.Seen{Documents: t.Documents, Nearest: t.Nearest, Terms: t.Terms, Residue: t.Residue, Looked: t.Looked}, nil
}

type outsideProbe struct{ x *weaviate.Index }

func (p outsideProbe) ProbeIndex(ctx context.Context, c retrieval.CollectionID, w erasecheck.Wanted) (erasecheck.Seen, error) {
	t, err := p.x.Probe(ctx, c, weaviate.Wanted{Docs: w.Docs, Person: w.Person, Vectors: w.Vectors})
	return erasecheck.Seen{Documents: t.Documents, Nearest: t.Nearest, Residue: t.Strays, Looked: t.Looked}, err
}

// probeVault is the vault as verification asks it.
type probeVault struct{ keeper }

func (v probeVault) Key(ref seal.Ref) (seal.Key, error) { return v.keeper.Key(ref, nil) }

func (v probeVault) Destroyed(ref seal.Ref) (erasure.Level, error) {
	l, err := v.KeyDestroyed(context.Background(), ref)
	if err != nil {
		return erasure.Unreachable, err
	}
	return map[vault.Level]erasure.Level{vault.Held: erasure.Unreachable, vault.Absent: erasure.Absent, vault.Purged: erasure.Purged}[l], nil
}

// receiptLog is the transparency log as receipts need it.
type receiptLog struct{ l *translog.Log }

func (r receiptLog) Origin(t consent.TenantID) (string, error) { return r.l.Origin(t) }

func (r receiptLog) Sign(t consent.TenantID, domain string, msg []byte) ([]byte, error) {
	return r.l.Sign(t, domain, msg)
}

func (r receiptLog) Prove(ctx context.Context, t consent.TenantID, positions []consent.Position) ([]erasure.Proof, []byte, error) {
	proofs, err := r.l.Prove(ctx, t, positions)
	if err != nil {
		return nil, nil, err
	}
	out := make([]erasure.Proof, len(proofs))
	for i, p := range proofs {
		out[i] = erasure.Proof{Index: p.Index, Entry: p.Entry, Hashes: p.Hashes}
	}
	return out, proofs[0].Checkpoint, nil
}

// runErasures carries erasures out until stopErasure.
func (g *Gateway) runErasures() {
	if g.cfg.ErasuresByHand {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	g.stopErasure = func() {
		cancel()
		<-done
	}
	go func() {
		defer close(done)
		_ = g.Erasure.Run(ctx) // nil, when ctx ends
	}()
}

// tidyErasures removes what a crash left of verifications: controls, and probe
// material whose erasure is not open any more (its key is wiped already).
func (g *Gateway) tidyErasures(ctx context.Context) error {
	setup := g.setup()
	for _, dir := range []string{setup.DataDir, setup.VaultDir} {
		if dir == "" {
			continue
		}
		if err := erasecheck.Tidy(dir); err != nil {
			return err
		}
	}
	tenants, err := g.db.Tenants(ctx)
	if err != nil {
		return err
	}
	var all []consent.TenantID
	for _, t := range tenants {
		all = append(all, t.ID)
	}
	_, err = g.dropProbes(ctx, time.Time{}, all)
	return err
}
