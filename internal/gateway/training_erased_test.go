package gateway_test

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
	"github.com/assent-gateway/assent/training"
)

// twoPeople is a gateway with a document each of ada and bob, who permit
// training. step is called behind every durable step.
func twoPeople(t *testing.T, step func(string)) *gateway.Gateway {
	t.Helper()
	g := openGateway(t, gateway.Config{ErasuresByHand: true, Step: step})
	makeCollection(t, g, "a", retrieval.Spec{})
	say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb, trn)
	put(t, g, caller, "a", retrieval.Document{ID: "ada's", Owners: people(t, "ada"), Text: "by ada"}, retrieval.Document{ID: "bob's", Owners: people(t, "bob"), Text: "by bob"})
	return g
}

func linkable() training.Spec {
	s := spec("a")
	s.Linkable, s.Formats = true, []string{"jsonl"}
	return s
}

// Who was erased and comes back permits what is new, and not the rows that a
// manifest held of them before: it stays revoked.
func TestWhoReturnsAfterErasureRevivesNoManifest(t *testing.T) {
	g := twoPeople(t, nil)
	m := manifest(t, g, linkable())
	if _, _, err := g.Training.Bind(t.Context(), trainer, m.ID, training.Run{ID: "r"}); err != nil {
		t.Fatal(err)
	}
	used := func(when string) {
		t.Helper()
		uses, err := g.Training.Uses(t.Context(), trainer, subject(t, "ada"))
		if err != nil || len(uses) != 1 || uses[0].Permitted || uses[0].Assessment != training.AssessmentRequired || len(uses[0].Runs) != 1 {
			t.Errorf("lineage %s: %+v %v", when, uses, err)
		}
	}
	e := erase(t, g, "ada")
	used("while the erasure is open")
	wantPurged(t, ended(t, g, e.ID))
	used("of who was erased")
	say(t, g, consent.Granted, []string{"ada"}, rag, emb, trn)
	c, err := g.Training.Check(t.Context(), trainer, m.ID)
	if err != nil || c.Status != training.Revoked || len(c.Drop) != 1 || c.Reasons["erased"] != 1 {
		t.Errorf("check: %+v %v", c, err)
	}
	used("of who came back")
	if r := stated(t, g, e.ID).Statement.Lineage; r == nil || r.Manifests != 1 || r.Runs != 1 {
		t.Errorf("the receipt's lineage: %+v", r)
	}
	runs, err := g.Training.Runs(t.Context(), trainer, m.ID)
	if err != nil || len(runs) != 1 || runs[0].Assessment != training.AssessmentRequired {
		t.Errorf("runs: %+v %v", runs, err)
	}
	// What is new may be used.
	put(t, g, caller, "a", retrieval.Document{ID: "ada's new", Owners: people(t, "ada")})
	next := manifest(t, g, linkable())
	if got := documents(rowsOf(t, g, next)); !slices.Equal(got, []string{"ada's new", "bob's"}) {
		t.Errorf("the next holds %q", got)
	}
}

// Somebody is erased and comes back between two looks of a build: what it had
// opened before is not theirs any more.
func TestErasedAndReturnedDuringABuild(t *testing.T) {
	for _, at := range []string{"scanned", "merged", "part", "settled"} {
		t.Run(at, func(t *testing.T) {
			var g *gateway.Gateway
			armed := false
			g = twoPeople(t, func(step string) {
				if armed && step == at {
					armed = false
					wantPurged(t, ended(t, g, erase(t, g, "ada").ID))
					say(t, g, consent.Granted, []string{"ada"}, rag, emb, trn)
				}
			})
			armed = true
			m := manifest(t, g, linkable())
			if got := g.ManifestRows(t.Context(), m.ID); len(got) != 1 || got[0].ID != "bob's" || armed {
				t.Errorf("it holds %v", got)
			}
		})
	}
}

// Somebody is erased between a manifest's entry and the record of whom it
// holds, so that the erasure does not find it: the build does.
func TestErasedBehindTheEntryOfAManifest(t *testing.T) {
	var g *gateway.Gateway
	armed := false
	g = twoPeople(t, func(step string) {
		if armed && step == "entered" {
			armed = false
			wantPurged(t, ended(t, g, erase(t, g, "ada").ID))
		}
	})
	armed = true
	m := manifest(t, g, linkable())
	if got := g.ManifestRows(t.Context(), m.ID); len(got) != 1 || got[0].ID != "bob's" || armed {
		t.Errorf("it holds %v", got)
	}
	if c, err := g.Training.Check(t.Context(), trainer, m.ID); err != nil || c.Status != training.Valid {
		t.Errorf("check: %+v %v", c, err)
	}
}

// Documents whose erasure is acknowledged are in no manifest that is built
// later, whether they are deleted yet or not.
func TestDocumentsToBeErasedAreInNoManifest(t *testing.T) {
	g := twoPeople(t, nil)
	before := manifest(t, g, linkable())
	if _, err := g.Erasure.Request(t.Context(), gateway.DefaultTenant, erasure.Request{
		Scope: erasure.ScopeDocument, Documents: erasure.Documents{Collection: "a", Document: "ada's"}, By: "test"}); err != nil {
		t.Fatal(err)
	}
	if got := documents(rowsOf(t, g, manifest(t, g, linkable()))); !slices.Equal(got, []string{"bob's"}) {
		t.Errorf("it holds %q", got)
	}
	again := linkable()
	again.AtPosition, again.AtCorpus, again.AtCorpusHead = before.LedgerPos, before.CorpusPos, false
	if m := manifest(t, g, again); m.Digest != before.Digest || m.Withheld != 1 {
		t.Errorf("at the old position: %d withheld", m.Withheld)
	}
}

// What a diff tells stands in the order of the tokens: the order of documents
// would join two manifests by rank.
func TestDiffStandsInTheOrderOfTokens(t *testing.T) {
	g := openGateway(t, gateway.Config{Training: gateway.TrainingConfig{ShardRows: 7}})
	makeCollection(t, g, "a", retrieval.Spec{})
	makeCollection(t, g, "empty", retrieval.Spec{})
	say(t, g, consent.Granted, people30(), rag, emb, trn)
	ingest(t, g, "a", invented(people30()...))
	none, all := manifest(t, g, spec("empty")), manifest(t, g, spec("a"))
	for op, pair := range map[string][2]string{"added": {none.ID, all.ID}, "removed": {all.ID, none.ID}} {
		var rows []string
		if err := g.Training.Diff(t.Context(), trainer, pair[0], pair[1], func(c training.Change) error {
			if c.Op != op {
				t.Errorf("%s among %s", c.Op, op)
			}
			rows = append(rows, c.Row.String())
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if len(rows) != 60 || !slices.IsSorted(rows) {
			t.Errorf("%s: %d rows, in order: %v", op, len(rows), slices.IsSorted(rows))
		}
	}
}

// The policy stops knowing the purpose: nobody permits it, also not what is
// about nobody. It can still be told what differs.
func TestPurposeThatLeavesThePolicy(t *testing.T) {
	g := openGateway(t, gateway.Config{})
	makeCollection(t, g, "a", retrieval.Spec{})
	put(t, g, caller, "a", retrieval.Document{ID: "nobody's", Nobody: true})
	first := manifest(t, g, linkable())
	put(t, g, caller, "a", retrieval.Document{ID: "another", Nobody: true})
	second := manifest(t, g, linkable())
	policy, err := consent.ParsePolicy([]byte(`{"version": 1, "name": "without training",
		"purposes": {"rag_retrieval": {"title": "r"}, "embedding": {"title": "e"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Ledger.EnterPolicy(t.Context(), gateway.DefaultTenant, policy); err != nil {
		t.Fatal(err)
	}
	if c, err := g.Training.Check(t.Context(), trainer, first.ID); err != nil || c.Status != training.Stale || len(c.Drop) != 1 {
		t.Errorf("check: %+v %v", c, err)
	}
	if _, _, err := g.Training.OpenFile(t.Context(), trainer, first.ID, "manifest.json"); !errors.Is(err, training.ErrStale) {
		t.Errorf("a file: %v", err)
	}
	var ops []string
	if err := g.Training.Diff(t.Context(), trainer, first.ID, second.ID, func(c training.Change) error {
		ops = append(ops, c.Op)
		return nil
	}); err != nil || strings.Join(ops, " ") != "added" {
		t.Errorf("diff: %v %v", ops, err)
	}
}

// Lineage tells of the manifests that the key may know of, and no other.
func TestLineageIsOfTheKeysReach(t *testing.T) {
	g := twoPeople(t, nil)
	m := manifest(t, g, linkable())
	for want, who := range map[int]training.Caller{
		1: trainer,
		0: {Tenant: gateway.DefaultTenant, Collections: []string{"other"}, MayPurpose: func(string) bool { return true }},
	} {
		uses, err := g.Training.Uses(t.Context(), who, subject(t, "ada"))
		if err != nil || len(uses) != want || want == 1 && uses[0].Manifest != m.ID {
			t.Errorf("%d manifests, want %d, %v", len(uses), want, err)
		}
	}
}

// A receipt says how many manifests held the person, and how many runs are
// bound to them.
func TestReceiptCountsTheLineage(t *testing.T) {
	g := twoPeople(t, nil)
	for i := range 2 {
		m := manifest(t, g, linkable())
		for run := range 1 + i {
			if _, _, err := g.Training.Bind(t.Context(), trainer, m.ID, training.Run{ID: string(rune('a' + run))}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for who, want := range map[string]string{"ada": `"lineage": {
   "manifests": 2,
   "runs": 3
  }`, "nobody": `"lineage": {
   "manifests": 0,
   "runs": 0
  }`} {
		e := ended(t, g, erase(t, g, who).ID)
		wantPurged(t, e)
		receipt, err := g.Erasure.Receipt(t.Context(), gateway.DefaultTenant, e.ID)
		if err != nil || !strings.Contains(string(receipt), want) {
			t.Errorf("%s: %s %v", who, receipt, err)
		}
	}
}

// What a failed build keeps for Resume is of people, too: it goes with them,
// whether they were erased before it failed or later; then Resume begins anew.
func TestFailedBuildKeepsNobodyWhoIsErased(t *testing.T) {
	for _, early := range []bool{false, true} {
		var g *gateway.Gateway
		var full atomic.Bool
		step := func(s string) {
			if s == "merged" && full.Load() && early {
				wantPurged(t, ended(t, g, erase(t, g, "ada").ID))
			}
		}
		full.Store(false)
		merged := false
		g = openGateway(t, gateway.Config{ErasuresByHand: true, Step: func(s string) {
			merged = merged || s == "merged"
			step(s)
		}, Training: gateway.TrainingConfig{Workers: 1, FileFault: func(op string) error {
			if full.Load() && merged && op == "file.write" {
				return syscall.ENOSPC
			}
			return nil
		}}})
		makeCollection(t, g, "a", retrieval.Spec{})
		say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb, trn)
		put(t, g, caller, "a", retrieval.Document{ID: "ada's", Owners: people(t, "ada"), Text: "by ada"}, retrieval.Document{ID: "bob's", Owners: people(t, "bob"), Text: "by bob"})
		full.Store(true)
		m, err := g.Training.Create(t.Context(), trainer, training.NewID(), linkable(), nil)
		if err != nil {
			t.Fatal(err)
		}
		failed := func() bool {
			m, err = g.Training.Get(t.Context(), trainer, m.ID)
			return err == nil && m.State == training.Failed && (!early || m.FilesGone)
		}
		for deadline := time.Now().Add(time.Minute); !failed(); time.Sleep(time.Millisecond) {
			if err != nil || time.Now().After(deadline) {
				t.Fatal(m.State, err)
			}
		}
		if !early {
			if m.FilesGone {
				t.Error("nobody was erased, and nothing is kept")
			}
			wantPurged(t, ended(t, g, erase(t, g, "ada").ID))
			if m, err = g.Training.Get(t.Context(), trainer, m.ID); err != nil || !m.FilesGone {
				t.Errorf("what failed keeps an erased person: %v", err)
			}
		}
		full.Store(false)
		if _, err := g.Training.Resume(t.Context(), trainer, m.ID); err != nil {
			t.Fatal(err)
		}
		await(t, g, m.ID)
		if got := g.ManifestRows(t.Context(), m.ID); len(got) != 1 || got[0].ID != "bob's" {
			t.Errorf("it holds %v", got)
		}
	}
}

// Copies are counted once each, also where a key could not be destroyed at first.
func TestCopiesAreCountedWhereAKeyCouldNotBeDestroyed(t *testing.T) {
	for scope, r := range map[string]erasure.Request{
		"subject":  {Scope: erasure.ScopeSubject, Subject: subject(t, "ada"), By: "test"},
		"document": {Scope: erasure.ScopeDocument, Documents: erasure.Documents{Collection: "a", Document: "ada's"}, By: "test"},
	} {
		t.Run(scope, func(t *testing.T) {
			var destroys atomic.Int32 // the second of them fails
			g := openGateway(t, gateway.Config{ErasuresByHand: true, Step: func(step string) {
				if step == "erasure.before.manifests" && destroys.Load() == 0 {
					destroys.Store(1)
				}
			}, VaultFault: func(op string) error {
				if op == "slots.write" && destroys.Load() > 0 && destroys.Add(1) == 3 {
					return syscall.EIO
				}
				return nil
			}})
			makeCollection(t, g, "a", retrieval.Spec{})
			say(t, g, consent.Granted, []string{"ada"}, rag, emb, trn)
			put(t, g, caller, "a", retrieval.Document{ID: "ada's", Owners: people(t, "ada"), Text: "by ada"})
			for range 3 {
				manifest(t, g, linkable())
			}
			e, err := g.Erasure.Request(t.Context(), gateway.DefaultTenant, r)
			must(t, err)
			e = ended(t, g, e.ID)
			if e.State != erasure.Completed || destroys.Load() < 3 {
				t.Errorf("%v, %d destroyed", e.State, destroys.Load())
			}
			for _, target := range e.Targets {
				if target.Name == "manifests" && target.Deleted != 3 {
					t.Errorf("%d copies counted of 3", target.Deleted)
				}
			}
		})
	}
}
