package gateway_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
)

// hoarder is an index that says "removed" and keeps everything.
type hoarder struct{ retrieval.Index }

func (h hoarder) Apply(ctx context.Context, c retrieval.CollectionID, ch retrieval.Change) error {
	if len(ch.Remove) > 0 && len(ch.Add) == 0 {
		return nil
	}
	return h.Index.Apply(ctx, c, ch)
}

// A store that says "deleted" and keeps the data never yields absent: the
// erasure stays open, and says what is left.
func TestAStoreThatKeepsItNeverYieldsAbsent(t *testing.T) {
	t.Parallel()
	g := openGateway(t, gateway.Config{ErasuresByHand: true, WrapIndex: func(x retrieval.Index) retrieval.Index { return hoarder{x} }})
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	makeCollection(t, g, "c", retrieval.Spec{})
	ingest(t, g, "c", invented("ada"))
	id := erase(t, g, "ada").ID
	e, err := g.Erasure.Carry(t.Context(), gateway.DefaultTenant, id)
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(e.Targets, func(r erasure.TargetReport) bool { return r.Name == "index" })
	if e.State != erasure.Running || e.Level != erasure.Unreachable || e.Targets[at].Remaining == 0 {
		t.Errorf("state %v, level %v, %+v", e.State, e.Level, e.Targets[at])
	}
	if _, err := g.Erasure.Receipt(t.Context(), gateway.DefaultTenant, id); !errors.Is(err, erasure.ErrNoReceipt) {
		t.Errorf("receipt: %v", err)
	}
}

// lazy is a verification that does not look, in one of several ways.
type lazy struct {
	erasure.Checker
	how string
}

func (l lazy) Check(ctx context.Context, o erasure.Order) ([]erasure.Finding, []erasure.Probe, error) {
	findings, probes, err := l.Checker.Check(ctx, o)
	switch l.how {
	case "no findings":
		findings = nil
	case "one target less":
		findings = findings[1:]
	case "no probes":
		probes = nil
	case "a control that was not found":
		probes[len(probes)-1].Control = false
	}
	return findings, probes, err
}

// A verification that is skipped, in whole or in part, or that cannot show
// that it finds anything, is noticed: no level, no receipt.
func TestASkippedVerificationIsNoticed(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"no findings", "one target less", "no probes", "a control that was not found"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			g := openGateway(t, gateway.Config{ErasuresByHand: true, WrapChecker: func(c erasure.Checker) erasure.Checker { return lazy{c, how} }})
			id := erase(t, g, "ada").ID
			e, err := g.Erasure.Carry(t.Context(), gateway.DefaultTenant, id)
			if err != nil || e.State != erasure.Verifying || e.Attempts != 1 {
				t.Errorf("state %v after %d attempts, %v", e.State, e.Attempts, err)
			}
			if _, err := g.Erasure.Receipt(t.Context(), gateway.DefaultTenant, id); !errors.Is(err, erasure.ErrNoReceipt) {
				t.Errorf("receipt: %v", err)
			}
		})
	}
}

// A copy of the data from before an erasure, put back: not ready, nothing of
// the person is returned.
func TestACopyFromBeforeAnErasureReturnsNothing(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	dir := filepath.Join(root, "data")
	cfg := gateway.Config{DataDir: dir, AdminKey: adminKey, ErasuresByHand: true}
	g := openGateway(t, cfg)
	say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb)
	makeCollection(t, g, "c", retrieval.Spec{})
	ingest(t, g, "c", invented("ada", "bob"))
	g.Close()
	copyDir(t, dir, filepath.Join(root, "copy"))
	g = openGateway(t, cfg)
	wantPurged(t, ended(t, g, erase(t, g, "ada").ID))
	g.Close()
	cfg.DataDir, cfg.VaultDir = filepath.Join(root, "copy"), dir+".vault"
	g = openGateway(t, cfg)
	if err := g.Ready(t.Context()); consent.Why(err) != consent.Why(consent.ErrBehindJournal) {
		t.Errorf("ready: %v", err)
	}
	if a, err := g.Retrieval.Search(t.Context(), caller, "c", retrieval.SearchRequest{Query: "server", K: 10, Purpose: "rag_retrieval"}); err == nil || len(a.Hits) > 0 {
		t.Errorf("%d hits, %v", len(a.Hits), err)
	}
}

// Documents past their retention are erased by themselves, with a receipt.
func TestRetentionEndsInAnErasure(t *testing.T) {
	t.Parallel()
	clock := newClock()
	g := openGateway(t, gateway.Config{ErasuresByHand: true, Now: clock.Now})
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	makeCollection(t, g, "c", retrieval.Spec{})
	doc := func(id string, until int) retrieval.Submission {
		d := retrieval.Document{ID: id, Owners: []consent.Subject{subject(t, "ada")}, Text: "The server of " + id}
		if until > 0 {
			d.RetainUntil = clock.Now().AddDate(0, 0, until)
		}
		return retrieval.Submission{Document: d}
	}
	if _, err := g.Retrieval.Ingest(t.Context(), caller, "c", []retrieval.Submission{doc("short", 1), doc("long", 9), doc("ever", 0)}, consent.Once{}); err != nil {
		t.Fatal(err)
	}
	clock.move(2)
	g.Erasure.Sweep(t.Context(), gateway.DefaultTenant)
	rows, err := g.Erasure.List(t.Context(), gateway.DefaultTenant, erasure.Page{Limit: 9})
	if err != nil || len(rows) != 1 || rows[0].Scope != erasure.ScopeRetention {
		t.Fatalf("%+v, %v", rows, err)
	}
	e := ended(t, g, rows[0].ID)
	wantPurged(t, e)
	if e.Gathered.Documents != 1 || g.LiveDocuments(t) != 2 {
		t.Errorf("erased %+v, %d left", e.Gathered, g.LiveDocuments(t))
	}
	g.Erasure.Sweep(t.Context(), gateway.DefaultTenant)
	if rows, err = g.Erasure.List(t.Context(), gateway.DefaultTenant, erasure.Page{Limit: 9}); err != nil || len(rows) != 1 {
		t.Errorf("a second sweep: %d erasures, %v", len(rows), err)
	}
}

// days is a clock that moves in days.
type days struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *days { return &days{now: time.Now()} }

// Now reads the clock.
func (d *days) Now() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now
}

func (d *days) move(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now = d.now.AddDate(0, 0, n)
}
