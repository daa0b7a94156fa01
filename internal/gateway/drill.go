package gateway

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/embedded"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/retrieval"
)

// DrillFormat is the first thing that the report of a drill says, and the domain
// under which its statement is signed.
const DrillFormat = "assent-restore-drill/v1"

// ErrDrillShared: a drill works on directories.
var ErrDrillShared = errors.New("gateway: restore-drill works on a data directory and a vault directory; of a Postgres put the backup into databases of its own, with a copy of the vault's, and replay there")

// A DrillStatement is what a drill found, for one tenant. It holds counters and
// times, nothing of a person. A reader of it finds in README what each one is.
type DrillStatement struct {
	Log            string           `json:"log"`
	At             string           `json:"at"`
	LedgerBefore   consent.Position `json:"ledger_before"` // of the backup
	Journal        consent.Position `json:"journal"`       // of the vault
	ReadyBefore    bool             `json:"ready_before"`  // the tenant was served before the replay
	Replayed       uint64           `json:"replayed"`
	Lost           uint64           `json:"lost"`
	LedgerAfter    consent.Position `json:"ledger_after"` // of the replay, before anything else was entered
	ReadyAfter     bool             `json:"ready_after"`
	Erased         uint64           `json:"erased"`          // people who are suppressed, and not held
	RowsInBackup   uint64           `json:"rows_in_backup"`  // documents of theirs that the backup brought back
	KeysInBackup   uint64           `json:"keys_in_backup"`  // of these, those whose key the vault still has
	Passages       uint64           `json:"passages"`        // of theirs, asked for by name
	Permitted      uint64           `json:"permitted"`       // of these, those that were not refused
	Searches       uint64           `json:"searches"`        // over every collection, for every purpose
	Hits           uint64           `json:"hits"`            // of everybody
	HitsOfErased   uint64           `json:"hits_of_erased"`  //
	RowsAfter      uint64           `json:"rows_after"`      // documents of theirs, when the reconciler had run
	KeysAfter      uint64           `json:"keys_after"`      // keys of theirs, and of their documents
	IndexAfter     uint64           `json:"index_after"`     // documents of theirs in the index, below every permit
	CanarySearches uint64           `json:"canary_searches"` //
	CanarySongs    uint64           `json:"canary_songs"`    //
	Passed         bool             `json:"passed"`
	NotCovered     []string         `json:"not_covered"`
}

var drillNotCovered = []string{
	"erasures that are held or wait for approval: they are suppressed, and nothing of them is deleted",
	"files of training manifests in the backup: they are not copied; their keys are the vault's",
	"backups of the vault, and what lies below the files",
	"that the backup can be read from where it is kept: what was drilled is the copy that was given",
}

// holds reports whether everything is as it must be after a restore.
func (s *DrillStatement) holds() bool {
	behind := s.LedgerBefore < s.Journal
	return s.ReadyBefore == !behind && s.ReadyAfter && s.LedgerAfter >= s.Journal && s.Permitted == 0 && s.HitsOfErased == 0 &&
		s.RowsAfter == 0 && s.KeysAfter == 0 && s.IndexAfter == 0 && s.CanarySongs == 0
}

// A DrillReport is a tenant's statement, signed, in its one form.
type DrillReport struct {
	Tenant    consent.TenantID
	Statement DrillStatement
	File      []byte
}

// Drill shows on copies what a restore does: cfg.DataDir is a backup, or the data
// as it is, cfg.VaultDir the vault as it is; a gateway may run on them, and
// neither is written to. work is a directory that must not exist; the copies are
// made in it, and overwritten and removed at the end. It holds every key meanwhile.
//
// The copy's gateway signs no checkpoint and tells nobody: a second one over the
// same log would be a fork. It signs the reports alone, under a domain of their own.
func Drill(ctx context.Context, cfg Config, work string) (reports []DrillReport, err error) {
	cfg.defaults()
	if cfg.PostgresURL != "" || cfg.VaultURL != "" || cfg.Weaviate != nil {
		return nil, ErrDrillShared
	}
	if err := os.Mkdir(work, 0o700); err != nil {
		return nil, fmt.Errorf("gateway: make the directory of a drill: %w", err)
	}
	defer func() { err = errors.Join(err, wipe(work)) }()
	if err := rehearse(ctx, cfg.DataDir, cfg.VaultDir, work); err != nil {
		return nil, err
	}
	d := &drill{cfg: cfg, work: work, found: map[consent.TenantID]*finding{}}
	d.cfg.DataDir, d.cfg.VaultDir, d.cfg.quiet, d.cfg.ErasuresByHand = work+"/data", work+"/vault", true, true
	d.cfg.TransparencyLog.Dir, d.cfg.TransparencyLog.Webhook, d.cfg.Telemetry, d.cfg.AdminKey = "", "", nil, rehearsalKey
	for _, part := range []func(context.Context) error{d.before, d.replay, d.backup, d.after} {
		if err := part(ctx); err != nil {
			return nil, err
		}
	}
	return d.reports, nil
}

// rehearsalKey is the bootstrap key of a gateway that nobody can reach.
const rehearsalKey = "no-one-can-ask-this-gateway"

// A drill is one in progress.
type drill struct {
	cfg     Config
	work    string
	found   map[consent.TenantID]*finding
	reports []DrillReport
}

// A finding is what a drill knows of a tenant.
type finding struct {
	DrillStatement
	people []consent.Condemned
	keys   []seal.Ref
	rows   []retrieval.DocRow // of erased people, as the backup has them
}

// before starts a gateway on the data as it was put back.
func (d *drill) before(ctx context.Context) error {
	g, err := Open(ctx, d.cfg)
	if err != nil {
		return err
	}
	defer g.Close()
	tenants, err := g.vault.Tenants(ctx)
	if err != nil {
		return err
	}
	ready := g.Ready(ctx) == nil
	for _, name := range tenants {
		id := consent.TenantID(name)
		f := &finding{}
		d.found[id] = f
		if f.Journal, err = g.vault.Head(ctx, id); err != nil {
			return err
		}
		if head, err := g.db.Head(ctx, id); err == nil {
			f.LedgerBefore = min(head.Position, f.Journal) // what it lacked was appended at its start
		} else if !errors.Is(err, consent.ErrUnknownTenant) {
			return err
		}
		_, err := g.Ledger.Head(ctx, id)
		f.ReadyBefore = err == nil
		if ready && !f.ReadyBefore {
			return errors.New("gateway: the copy says that it is ready, and a ledger is closed")
		}
	}
	return g.Close()
}

// replay brings the copy up to the journal.
func (d *drill) replay(ctx context.Context) error {
	gaps, err := Replay(ctx, d.cfg)
	for id, gap := range gaps {
		f := d.found[id]
		if f == nil {
			return errors.New("gateway: a tenant was replayed that the vault did not name")
		}
		f.Replayed, f.Lost = uint64(gap.To-gap.From)+1, uint64(gap.Lost)
	}
	return err
}

// backup looks, with nothing started, at what the backup has of erased people.
func (d *drill) backup(ctx context.Context) error {
	g, err := openStopped(ctx, &d.cfg)
	if err != nil {
		return err
	}
	defer g.Close()
	g.Ledger = consent.NewLedger(g.db, g.vault.Consent(), consent.Options{Log: d.cfg.Log})
	for id, f := range d.found {
		if err := g.Ledger.Open(ctx, id); err != nil {
			return err
		}
		head, err := g.Ledger.Head(ctx, id)
		if err != nil {
			return err
		}
		f.LedgerAfter = head.Position
		if f.people, err = g.Ledger.Suppressions(ctx, id); err != nil {
			return err
		}
		unscrubbed, err := g.Ledger.Unscrubbed(ctx, id)
		if err != nil {
			return err
		}
		for _, key := range unscrubbed {
			f.keys = append(f.keys, key)
		}
		if f.rows, err = g.rowsOf(ctx, id, f.people); err != nil {
			return err
		}
		for _, who := range f.people {
			if who.Mark == who.Num && who.Before <= head.Position { // marks; who was behind one is listed beside it
				f.Erased++
			}
		}
		f.RowsInBackup = uint64(len(f.rows))
		for i := range f.rows {
			held, err := g.vault.Holds(ctx, f.rows[i].Key)
			if err != nil {
				return err
			}
			if held {
				f.KeysInBackup++
			}
		}
	}
	return g.Close()
}

// rowsOf are the live documents of people, each once, whenever they were decided.
func (g *Gateway) rowsOf(ctx context.Context, t consent.TenantID, people []consent.Condemned) (out []retrieval.DocRow, err error) {
	const page = 500
	met := map[retrieval.DocNum]bool{}
	for _, who := range people {
		w := retrieval.Which{Before: math.MaxInt64, Subject: who.Num}
		for {
			rows, err := g.db.Condemned(ctx, t, w, page)
			if err != nil {
				return nil, err
			}
			for _, r := range rows {
				w.Pass(&r)
				if !met[r.Num] {
					met[r.Num] = true
					out = append(out, r)
				}
			}
			if len(rows) < page {
				break
			}
		}
	}
	return out, nil
}

// after starts a gateway on the replayed copy, asks it for what is erased, lets
// the reconciler run, and looks what is left.
func (d *drill) after(ctx context.Context) error {
	g, err := Open(ctx, d.cfg)
	if err != nil {
		return err
	}
	defer g.Close()
	g.step("drill.started")
	ready := g.Ready(ctx) == nil
	for id, f := range d.found {
		if f.ReadyAfter = ready; !ready {
			continue
		}
		if err := g.askForErased(ctx, id, f); err != nil {
			return err
		}
		g.Erasure.Sweep(ctx, id)
	}
	g.step("drill.swept")
	for id, f := range d.found {
		if err := g.leftOfErased(ctx, id, f); err != nil {
			return err
		}
		if err := d.sign(ctx, g, id, f); err != nil {
			return err
		}
	}
	slices.SortFunc(d.reports, func(a, b DrillReport) int { return bytes.Compare([]byte(a.Tenant), []byte(b.Tenant)) })
	return g.Close()
}

// askForErased asks as an application does that holds the scopes for everything.
func (g *Gateway) askForErased(ctx context.Context, t consent.TenantID, f *finding) error {
	purposes, _, err := g.Ledger.Purposes(ctx, t)
	if err != nil {
		return err
	}
	caller := retrieval.Caller{Tenant: t}
	var names []string
	for i := range f.rows {
		names = append(names, retrieval.PassageIDs(&f.rows[i])...)
	}
	f.Passages = uint64(len(names))
	theirs := map[string]bool{}
	for _, id := range names {
		theirs[id] = true
	}
	collections, err := g.Retrieval.Collections(ctx, caller)
	if err != nil {
		return err
	}
	for _, purpose := range purposes {
		for part := range slices.Chunk(names, 1000) {
			c, err := g.Retrieval.Check(ctx, caller, purpose, part, 0)
			if err != nil {
				return err
			}
			f.Permitted += uint64(len(c.Permitted))
		}
		for _, col := range collections {
			if err := g.searchForErased(ctx, caller, col, purpose, theirs, f); err != nil {
				return err
			}
		}
	}
	asked, sang, err := g.Retrieval.ProbeCanaries(ctx, t)
	f.CanarySearches, f.CanarySongs = uint64(asked), uint64(sang)
	return err
}

// searchForErased searches a collection in some directions, as far as a search goes.
func (g *Gateway) searchForErased(ctx context.Context, caller retrieval.Caller, col retrieval.Collection, purpose string, theirs map[string]bool, f *finding) error {
	const directions = 3
	for range directions {
		vector := make([]float32, col.Embedder.Dimensions)
		for i := range vector {
			vector[i] = float32(rand.NormFloat64())
		}
		if len(vector) == 0 {
			return nil // nothing was ever put in
		}
		a, err := g.Retrieval.Search(ctx, caller, col.Name, retrieval.SearchRequest{Vector: vector, K: retrieval.MaxK, Purpose: purpose, Mode: retrieval.ModeVector})
		if err != nil {
			return err
		}
		f.Searches++
		f.Hits += uint64(len(a.Hits))
		for _, h := range a.Hits {
			if theirs[h.PassageID] {
				f.HitsOfErased++
			}
		}
	}
	return nil
}

// leftOfErased counts what is there when the reconciler has run.
func (g *Gateway) leftOfErased(ctx context.Context, t consent.TenantID, f *finding) error {
	rows, err := g.rowsOf(ctx, t, f.people)
	if err != nil {
		return err
	}
	f.RowsAfter = uint64(len(rows))
	keys := f.keys
	wanted := map[retrieval.CollectionID][]retrieval.DocNum{}
	for _, r := range append(rows, f.rows...) {
		keys = append(keys, r.Key)
		wanted[r.Collection] = append(wanted[r.Collection], r.Num)
	}
	slices.SortFunc(keys, func(a, b seal.Ref) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	for _, key := range slices.Compact(keys) {
		held, err := g.vault.Holds(ctx, key)
		if err != nil {
			return err
		}
		if held && !key.IsZero() {
			f.KeysAfter++
		}
	}
	for c, nums := range wanted {
		f.IndexAfter += uint64(g.local.Probe(ctx, c, embedded.Wanted{Docs: nums}).Documents)
	}
	return nil
}

// sign puts a tenant's statement into its file.
func (d *drill) sign(ctx context.Context, g *Gateway, t consent.TenantID, f *finding) error {
	now, err := g.db.Now(ctx)
	if err != nil {
		return err
	}
	if f.Log, err = g.Tree.Origin(t); err != nil {
		return err
	}
	f.At, f.NotCovered, f.Passed = now.String(), drillNotCovered, f.holds()
	statement, err := compactJSON(f.DrillStatement)
	if err != nil {
		return err
	}
	sig, err := g.Tree.Sign(t, DrillFormat, statement)
	if err != nil {
		return err
	}
	raw, err := compactJSON(struct {
		Format    string          `json:"format"`
		Statement json.RawMessage `json:"statement"`
		Signature string          `json:"signature"`
	}{DrillFormat, statement, base64.StdEncoding.EncodeToString(sig)})
	if err != nil {
		return err
	}
	var file bytes.Buffer
	if err := json.Indent(&file, raw, "", " "); err != nil {
		return fmt.Errorf("gateway: encode the report of a drill: %w", err)
	}
	file.WriteByte('\n')
	d.reports = append(d.reports, DrillReport{Tenant: t, Statement: f.DrillStatement, File: file.Bytes()})
	return nil
}

// compactJSON is the one form in which a statement is signed.
func compactJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("gateway: encode the report of a drill: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
