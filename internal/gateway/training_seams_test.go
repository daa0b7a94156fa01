package gateway_test

import (
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
	"github.com/assent-gateway/assent/training"
)

// wantChecked is what check says of a manifest, and whether its files are there.
func wantChecked(t *testing.T, g *gateway.Gateway, when string, m training.Manifest, status training.Status, drop int, there bool) {
	t.Helper()
	c, err := g.Training.Check(t.Context(), trainer, m.ID)
	if err != nil || c.Status != status || len(c.Drop) != drop {
		t.Errorf("%s: %v, %d rows to drop, %v; want %v and %d", when, c.Status, len(c.Drop), err, status, drop)
	}
	if _, err := os.Lstat(g.FilesOf(m.ID)); (err == nil) != there {
		t.Errorf("%s: files on disk: %v, want them %v", when, err, there)
	}
}

// A manifest that was built again without who had withdrawn holds nothing of
// them: when their documents end, its files stay.
func TestErasureOfWhatAManifestWithheldLeavesItsFiles(t *testing.T) {
	onBoth(t, func(t *testing.T, open opener) {
		g := open(t, gateway.Config{ErasuresByHand: true})
		say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb, trn)
		makeCollection(t, g, "a", retrieval.Spec{})
		put(t, g, caller, "a", retrieval.Document{ID: "ada's", Owners: people(t, "ada")}, retrieval.Document{ID: "bob's", Owners: people(t, "bob")})
		first := manifest(t, g, spec("a"))
		say(t, g, consent.Revoked, []string{"ada"}, trn)
		again := spec("a")
		again.AtPosition, again.AtCorpus, again.AtCorpusHead = first.LedgerPos, first.CorpusPos, false
		without := manifest(t, g, again)
		if without.Withheld != 1 {
			t.Fatalf("%d withheld", without.Withheld)
		}
		e, err := g.Erasure.Request(t.Context(), gateway.DefaultTenant, erasure.Request{
			Scope: erasure.ScopeDocument, Documents: erasure.Documents{Collection: "a", Document: "ada's"}, By: "test"})
		must(t, err)
		wantCompleted(t, ended(t, g, e.ID))
		wantChecked(t, g, "with the document", first, training.Revoked, 1, false)
		wantChecked(t, g, "without it", without, training.Valid, 0, true)
	})
}

func wantCompleted(t *testing.T, e erasure.Erasure) {
	t.Helper()
	if e.State != erasure.Completed {
		t.Errorf("%v: %+v", e.State, e)
	}
}

// What a diff says of rows whose document was erased is what check says.
func TestDiffSaysThatADocumentWasErased(t *testing.T) {
	g := twoPeople(t, nil)
	first := manifest(t, g, spec("a"))
	e, err := g.Erasure.Request(t.Context(), gateway.DefaultTenant, erasure.Request{
		Scope: erasure.ScopeDocument, Documents: erasure.Documents{Collection: "a", Document: "ada's"}, By: "test"})
	must(t, err)
	wantCompleted(t, ended(t, g, e.ID))
	c, err := g.Training.Check(t.Context(), trainer, first.ID)
	must(t, err)
	second := manifest(t, g, spec("a"))
	var got []training.Change
	must(t, g.Training.Diff(t.Context(), trainer, first.ID, second.ID, func(ch training.Change) error {
		got = append(got, ch)
		return nil
	}))
	if len(got) != 1 || len(c.Drop) != 1 || got[0] != (training.Change{Op: "removed", Row: c.Drop[0], Reason: "erased"}) {
		t.Errorf("%+v, to drop %v", got, c.Drop)
	}
}

// From the acknowledgement of a document's erasure on, no file of a manifest
// that holds it is served, carried out, held or not; what is cancelled ends that.
func TestDocumentsToBeErasedLeaveInNoFile(t *testing.T) {
	onBoth(t, func(t *testing.T, open opener) {
		g := open(t, gateway.Config{ErasuresByHand: true})
		say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb, trn)
		for _, c := range []string{"a", "b"} {
			makeCollection(t, g, c, retrieval.Spec{})
			put(t, g, caller, c, retrieval.Document{ID: "ada's", Owners: people(t, "ada")}, retrieval.Document{ID: "bob's", Owners: people(t, "bob")})
		}
		m, other := manifest(t, g, spec("a")), manifest(t, g, spec("b"))
		serves := func(when string, m training.Manifest, want error) {
			t.Helper()
			f, _, err := g.Training.OpenFile(t.Context(), trainer, m.ID, m.Files[0].Name)
			if !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", when, err, want)
			}
			if err == nil {
				must(t, f.Close())
			}
		}
		serves("before", m, nil)
		serves("before, another", other, nil)
		asked := func() string {
			t.Helper()
			e, err := g.Erasure.Request(t.Context(), gateway.DefaultTenant, erasure.Request{
				Scope: erasure.ScopeDocument, Documents: erasure.Documents{Collection: "a", Document: "ada's"}, By: "test"})
			must(t, err)
			return e.ID
		}
		id := asked()
		serves("acknowledged", m, training.ErrErased)
		wantChecked(t, g, "acknowledged", m, training.Revoked, 1, true)
		serves("acknowledged, another", other, nil)
		_, err := g.Erasure.Cancel(t.Context(), gateway.DefaultTenant, id)
		must(t, err)
		serves("cancelled", m, nil)
		wantChecked(t, g, "cancelled", m, training.Valid, 0, true)
		wantCompleted(t, ended(t, g, asked()))
		wantChecked(t, g, "carried out", m, training.Revoked, 1, false)
		wantChecked(t, g, "carried out, another", other, training.Valid, 0, true)
	})
}

// When embedding ends the vectors go, and nothing is erased: a manifest has no
// vectors. It is stale while embedding is not permitted.
func TestStrippedVectorsLeaveManifests(t *testing.T) {
	g := openGateway(t, gateway.Config{ErasuresByHand: true, Policy: atOnce(t)})
	say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb, trn)
	makeCollection(t, g, "a", retrieval.Spec{})
	put(t, g, caller, "a", retrieval.Document{ID: "ada's", Owners: people(t, "ada")}, retrieval.Document{ID: "bob's", Owners: people(t, "bob")})
	m := manifest(t, g, spec("a"))
	say(t, g, consent.Revoked, []string{"ada"}, emb)
	for _, e := range sweep(t, g) {
		wantCompleted(t, e)
	}
	wantChecked(t, g, "stripped", m, training.Stale, 1, true)
	say(t, g, consent.Granted, []string{"ada"}, emb)
	wantChecked(t, g, "permitted again", m, training.Valid, 0, true)
}

// Documents that nobody permits any more end by themselves: a copy of a manifest
// that holds them goes, the erasure is done, and a copy without them stays.
func TestWithdrawnStorageEndsInManifests(t *testing.T) {
	onBoth(t, func(t *testing.T, open opener) {
		g := open(t, gateway.Config{ErasuresByHand: true, Policy: atOnce(t)})
		say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb, trn)
		makeCollection(t, g, "a", retrieval.Spec{})
		put(t, g, caller, "a", retrieval.Document{ID: "ada's", Owners: people(t, "ada")}, retrieval.Document{ID: "bob's", Owners: people(t, "bob")})
		m := manifest(t, g, spec("a"))
		say(t, g, consent.Revoked, []string{"ada"}, rag, emb, trn)
		again := spec("a")
		again.AtPosition, again.AtCorpus, again.AtCorpusHead = m.LedgerPos, m.CorpusPos, false
		without := manifest(t, g, again)
		if e := sweep(t, g); len(e) != 1 {
			t.Fatalf("%d erasures", len(e))
		} else {
			wantCompleted(t, e[0])
		}
		wantChecked(t, g, "with the document", m, training.Revoked, 1, false)
		wantChecked(t, g, "without it", without, training.Valid, 0, true)
	})
}

// A manifest that is erased while it is being built, as when an erasure does not
// wait any longer, is not ready afterwards; Resume begins anew.
func TestErasedWhileItIsBuilt(t *testing.T) {
	for _, at := range []string{"scanned", "merged", "settled", "entered", "signed"} {
		var g *gateway.Gateway
		id := training.NewID()
		var armed atomic.Bool // the log has steps of its own, at the same time
		g = twoPeople(t, func(step string) {
			if step == at && armed.CompareAndSwap(true, false) {
				must(t, g.Training.Erase(t.Context(), gateway.DefaultTenant, id))
			}
		})
		armed.Store(true)
		_, err := g.Training.Create(t.Context(), trainer, id, linkable(), nil)
		must(t, err)
		var m training.Manifest
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			if m, err = g.Training.Get(t.Context(), trainer, id); err != nil || time.Now().After(deadline) {
				t.Fatal(m.State, err)
			}
			if m.State == training.Ready || m.Problem != "" {
				break
			}
		}
		if m.State != training.Failed || m.Problem != "erased" || !m.FilesGone {
			t.Errorf("%s: %v, %q, files gone %v", at, m.State, m.Problem, m.FilesGone)
			continue
		}
		if _, err := g.Training.Resume(t.Context(), trainer, id); err != nil {
			t.Fatal(err)
		}
		await(t, g, id)
		if got := g.ManifestRows(t.Context(), id); len(got) != 2 {
			t.Errorf("%s: it holds %v", at, got)
		}
	}
}
