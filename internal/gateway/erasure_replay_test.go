package gateway_test

import (
	"path/filepath"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/verify"
	"github.com/assent-gateway/assent/retrieval"
)

// P6 over a restore: data from before erasures is put back. Nothing is served
// before the journal is replayed; afterwards every entry about an erasure stands
// where it stood, and what each did holds:
//
//	ada   erased, and completed
//	bob   erased, completed, and come back: the grant is lost, the person is asked again
//	cyd   erased, and nothing of it carried out
//	dan   erased by a further identifier, given after the copy
//	eve   has a further identifier, given after the copy, and is not erased
//	fay   erased, and it was cancelled
//	gus   erased, and held
//	hal   says nothing
//
// Of documents about nobody one source was erased, another is to be.
func TestTheErasedStayErasedAfterARestore(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	dir := filepath.Join(root, "data")
	cfg := gateway.Config{DataDir: dir, AdminKey: adminKey, ErasuresByHand: true}
	people := []string{"ada", "bob", "cyd", "dan", "eve", "fay", "gus", "hal"}
	ctx, id := t.Context(), gateway.DefaultTenant
	source := func(name string) retrieval.Submission {
		return retrieval.Submission{Document: retrieval.Document{ID: name, Source: name, Nobody: true, Text: "The server of the house called " + name}}
	}
	g := openGateway(t, cfg)
	say(t, g, consent.Granted, people, rag, emb)
	makeCollection(t, g, "c", retrieval.Spec{})
	ingest(t, g, "c", invented(people...))
	if _, err := g.Retrieval.Ingest(ctx, caller, "c", []retrieval.Submission{source("one"), source("two"), source("three")}, consent.Once{}); err != nil {
		t.Fatal(err)
	}
	if n := hits(t, g); n != 19 {
		t.Fatalf("%d hits before", n)
	}
	g.Close()
	copyDir(t, dir, filepath.Join(root, "old"))

	g = openGateway(t, cfg)
	var receipts [][]byte
	var trust verify.Trust
	for _, who := range []string{"ada", "bob"} {
		var file []byte
		file, _, trust = receiptOf(t, g, who)
		receipts = append(receipts, file)
	}
	say(t, g, consent.Granted, []string{"bob"}, rag, emb)
	ingest(t, g, "c", invented("bob"))
	erase(t, g, "cyd")
	for _, who := range []string{"dan", "eve"} {
		if _, err := g.Ledger.Identify(ctx, id, subject(t, who), subject(t, "email:"+who+"@example.org")); err != nil {
			t.Fatal(err)
		}
	}
	wantPurged(t, ended(t, g, erase(t, g, "email:dan@example.org").ID))
	if _, err := g.Erasure.Cancel(ctx, id, erase(t, g, "fay").ID); err != nil {
		t.Fatal(err)
	}
	heldOfGus := erase(t, g, "gus").ID
	if _, err := g.Erasure.Hold(ctx, id, heldOfGus, "court"); err != nil {
		t.Fatal(err)
	}
	remove := func(name string) string {
		t.Helper()
		e, err := g.Erasure.Request(ctx, id, erasure.Request{Scope: erasure.ScopeSource, Documents: erasure.Documents{Source: name}, By: "test"})
		if err != nil {
			t.Fatal(err)
		}
		return e.ID
	}
	wantPurged(t, ended(t, g, remove("one")))
	remove("two")
	entries := allEntries(t, g)
	g.Close()

	(&site{t: t, root: root, dir: dir}).putDataBack()
	g = openGateway(t, cfg)
	if err := g.Ready(ctx); consent.Why(err) != consent.Why(consent.ErrBehindJournal) {
		t.Errorf("ready before the replay: %v", err)
	}
	if code, _, _ := get(t, g.Handler(), adminKey, "/v1/consent/hal"); code != 503 {
		t.Errorf("before the replay: %d", code)
	}
	g.Close()
	if _, err := gateway.Replay(ctx, gateway.Config{DataDir: dir}); err != nil {
		t.Fatal(err)
	}

	g = openGateway(t, cfg)
	if err := g.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	lost := 0
	for i, row := range allEntries(t, g)[:len(entries)] {
		want := entries[i]
		switch {
		case row.Leaf != want.Leaf || row.Position != want.Position:
			t.Errorf("entry %d is another", want.Position)
		case row.Kind == consent.KindLost:
			if lost++; want.Kind != consent.KindConsent {
				t.Errorf("of an entry of kind %d only the leaf is left", want.Kind)
			}
		case row.Kind != want.Kind || string(row.Sealed) != string(want.Sealed):
			t.Errorf("entry %d is of kind %d, want %d", want.Position, row.Kind, want.Kind)
		}
	}
	if lost != 2 { // Bob's grants
		t.Errorf("%d entries lost, want 2", lost)
	}
	// Eve's, Fay's and Hal's, and the third source's.
	holds := func(when string) {
		t.Helper()
		if n := hits(t, g); n != 7 {
			t.Errorf("%s: %d hits, want 7", when, n)
		}
		for who, want := range map[string]consent.Reason{
			"ada": consent.ReasonSuppressed, "bob": consent.ReasonSuppressed, "cyd": consent.ReasonSuppressed, "dan": consent.ReasonSuppressed,
			"email:dan@example.org": consent.ReasonSuppressed, "eve": consent.ReasonGranted, "email:eve@example.org": consent.ReasonGranted,
			"fay": consent.ReasonGranted, "gus": consent.ReasonSuppressed, "hal": consent.ReasonGranted,
		} {
			a, err := g.Ledger.Decide(ctx, id, []consent.Subject{subject(t, who)}, consent.Question{Purpose: "rag_retrieval"})
			if err != nil || a.Decisions[0].Reason != want {
				t.Errorf("%s: %s: %v, %v, want %v", when, who, a.Decisions, err, want)
			}
		}
		for _, file := range receipts {
			if _, err := trust.Erasure(file); err != nil {
				t.Errorf("%s: a receipt from before: %v", when, err)
			}
		}
	}
	holds("after the replay")
	if got := ingest(t, g, "c", invented("ada", "dan")); got[retrieval.Refused] != 4 {
		t.Errorf("ingest for the erased: %v", got)
	}

	// What the old data brought back goes, without a job, and without the held.
	g.Erasure.Sweep(ctx, id)
	holds("after the sweep")
	if n := g.LiveDocuments(t); n != 9 { // those seven, and Gus's two
		t.Errorf("%d documents are left, want 9", n)
	}
	named, err := g.Ledger.Unscrubbed(ctx, id)
	mark, _ := g.Ledger.Find(ctx, id, subject(t, "gus"))
	gus, _ := g.Ledger.Behind(ctx, id, mark, heldOfGus)
	if err != nil || len(named) != 1 || gus.Num == 0 || named[gus.Num].IsZero() {
		t.Errorf("%d people are still named, %v; want Gus, whose erasure is held", len(named), err)
	}
	if n, err := g.Erasure.Reconcile(ctx, id); n != 0 || err != nil {
		t.Errorf("the reconciler found %d, %v", n, err)
	}

	// Who comes back is known, under a new key.
	say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb)
	if got := ingest(t, g, "c", invented("ada", "bob")); got[retrieval.Stored] != 4 {
		t.Errorf("ingest of those who came back: %v", got)
	}
	g.Close()
	g = openGateway(t, cfg)
	if n := hits(t, g); n != 11 {
		t.Errorf("%d hits after they came back, want 11", n)
	}
}

// allEntries are those of the default tenant.
func allEntries(t *testing.T, g *gateway.Gateway) (rows []consent.Row) {
	t.Helper()
	for p := consent.Position(1); ; p++ {
		row, ok := g.Entry(t, p)
		if !ok {
			return rows
		}
		rows = append(rows, row)
	}
}
