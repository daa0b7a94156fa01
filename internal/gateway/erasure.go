package gateway

import (
	"context"
	"slices"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/embedded"
	"github.com/assent-gateway/assent/internal/erasecheck"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/internal/translog"
	"github.com/assent-gateway/assent/internal/vault"
	"github.com/assent-gateway/assent/retrieval"
)

// wireErasure registers what an erasure reaches: everything that is embedded.
func (g *Gateway) wireErasure() {
	var checker erasure.Checker = &erasecheck.Checker{
		Rows: g.db, People: g.db, Ledger: g.Ledger, Corpus: g.Retrieval, Index: indexProbe{g.index}, Vault: probeVault{g.vault},
		DataDir: g.cfg.DataDir, VaultDir: g.cfg.VaultDir,
	}
	if g.cfg.WrapChecker != nil {
		checker = g.cfg.WrapChecker(checker)
	}
	g.Erasure = erasure.NewService(erasure.Deps{
		Ledger: g.Ledger, Store: g.db, Corpus: namedCorpus{g}, Checker: checker, Vault: g.vault, Tree: receiptLog{g.Tree},
		Targets: erasecheck.Targets(), Steps: g.cascade(), Keys: g.erasureKeys, Log: g.cfg.Log, Step: g.cfg.Step, MassLimit: g.cfg.MassLimit,
	})
}

// cascade is the graph of what is deleted, for the embedded default.
func (g *Gateway) cascade() []erasure.Step {
	return []erasure.Step{
		{Name: "documents", Targets: []string{erasecheck.Catalogue, erasecheck.Index, erasecheck.RecordKeys}, Run: g.eraseDocuments},
		{Name: "person_key", After: []string{"documents"}, Targets: []string{erasecheck.Person}, Run: g.erasePersonKey},
		{Name: "person_row", After: []string{"person_key"}, Targets: []string{erasecheck.Person, erasecheck.Catalogue}, Run: g.erasePersonRow},
		// Last: it takes from the files what the others deleted.
		{Name: "files", After: []string{"documents", "person_row"}, Targets: []string{erasecheck.Catalogue, erasecheck.Person}, Run: g.purgeFiles},
	}
}

func (g *Gateway) eraseDocuments(ctx context.Context, o erasure.Order) (map[string]uint64, bool, error) {
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

// erasureKeys derives a tenant's keys for erasures.
func (g *Gateway) erasureKeys(t consent.TenantID) (erasure.Keys, bool) {
	k, ok := g.vault.Tenant(string(t))
	if !ok {
		return erasure.Keys{}, false
	}
	return erasure.Keys{
		Name:    seal.Derive(k.Suppression, "assent erasure names"),
		Payload: seal.Derive(k.Payload, "assent erasure jobs"),
		Archive: seal.Derive(k.Payload, "assent erasure archive"),
		Claim:   seal.Derive(k.Suppression, "assent erasure claims"),
	}, true
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

func (c namedCorpus) Expired(ctx context.Context, t consent.TenantID, now consent.Time) (bool, error) {
	head, err := c.g.Ledger.Head(ctx, t)
	if err != nil {
		return false, err
	}
	rows, err := c.g.db.Condemned(ctx, t, retrieval.Which{Before: head.Position + 1, ExpiredAt: now}, 1)
	return len(rows) > 0, err
}

func (c namedCorpus) Orphans(ctx context.Context, t consent.TenantID, num consent.SubjectNum, before consent.Position) (bool, error) {
	rows, err := c.g.db.Condemned(ctx, t, retrieval.Which{Before: before, Subject: num}, 1)
	return len(rows) > 0, err
}

// indexProbe is the embedded index as verification asks it.
type indexProbe struct{ x *embedded.Index }

func (p indexProbe) ProbeIndex(ctx context.Context, c retrieval.CollectionID, docs []retrieval.DocNum, vectors [][]float32, codes [][]int8, terms []uint64) erasecheck.Seen {
	t := p.x.Probe(ctx, c, embedded.Wanted{Docs: docs, Vectors: vectors, Codes: codes, Terms: terms})
	return erasecheck.Seen{Documents: t.Documents, Nearest: t.Nearest, Terms: t.Terms, Residue: t.Residue, Looked: t.Looked}
}

// probeVault is the vault as verification asks it.
type probeVault struct{ *vault.Vault }

func (v probeVault) Key(ref seal.Ref) (seal.Key, error) { return v.Vault.Key(ref, nil) }

func (v probeVault) Destroyed(ref seal.Ref) (erasure.Level, error) {
	l, err := v.Vault.KeyDestroyed(ref)
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
	if err := erasecheck.Tidy(g.cfg.DataDir, g.cfg.VaultDir); err != nil {
		return err
	}
	ids, err := g.vault.Probes()
	if err != nil || len(ids) == 0 {
		return err
	}
	tenants, err := g.db.Tenants(ctx)
	if err != nil {
		return err
	}
	var open []string
	for _, t := range tenants {
		p := erasure.Page{OpenOnly: true, Limit: 1000}
		for {
			rows, err := g.db.Erasures(ctx, t.ID, p)
			if err != nil {
				return err
			}
			for _, r := range rows {
				open = append(open, r.ID)
			}
			if len(rows) < p.Limit {
				break
			}
			p.After = erasure.Cursor{Created: rows[len(rows)-1].Created, ID: rows[len(rows)-1].ID}
		}
	}
	for _, id := range ids {
		if !slices.Contains(open, id) {
			if err := g.vault.DropProbe(id); err != nil {
				return err
			}
		}
	}
	return nil
}
