package gateway_test

import (
	"errors"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
)

// What is held nobody deletes: not its retention's end, not a client, not an
// ingest in its place, not the erasure of a person or of the collection, which
// wait; and when it is released all of it goes.
func TestAHoldStopsEveryDeletion(t *testing.T) {
	t.Parallel()
	clock := newClock()
	g := openGateway(t, gateway.Config{ErasuresByHand: true, Now: clock.Now})
	ctx, id := t.Context(), gateway.DefaultTenant
	say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb)
	makeCollection(t, g, "c", retrieval.Spec{})
	kept, free := owned(t, "kept", "ada", "bob"), owned(t, "free", "bob")
	kept.RetainUntil = clock.Now().Add(24 * time.Hour)
	free.RetainUntil = kept.RetainUntil
	store(t, g, "c", kept, free, owned(t, "other", "bob"))
	ask := func(r erasure.Request) string {
		t.Helper()
		r.By = "test"
		e, err := g.Erasure.Request(ctx, id, r)
		if err != nil {
			t.Fatal(err)
		}
		return e.ID
	}
	held := ask(erasure.Request{Scope: erasure.ScopeDocument, Documents: erasure.Documents{Collection: "c", Document: "kept"}})
	if _, err := g.Erasure.Hold(ctx, id, held, "a court asked"); err != nil {
		t.Fatal(err)
	}
	want := func(what string, documents int) {
		t.Helper()
		if n := g.LiveDocuments(t); n != documents {
			t.Fatalf("%s: %d documents, want %d", what, n, documents)
		}
	}
	clock.move(2)
	if e := sweep(t, g); len(e) != 2 || e[1].Scope != erasure.ScopeRetention || e[1].Gathered.Documents != 1 {
		t.Fatalf("past its retention: %+v", e)
	}
	want("past its retention", 2)
	if e := sweep(t, g); len(e) != 2 {
		t.Errorf("%d erasures after another sweep", len(e))
	}
	if err := g.Retrieval.Delete(ctx, caller, "c", "kept"); err != nil {
		t.Fatal(err)
	}
	want("deleted by a client", 2)
	again := owned(t, "kept", "ada", "bob")
	again.Text = "Another text."
	in, err := g.Retrieval.Ingest(ctx, caller, "c", []retrieval.Submission{{Document: again}}, consent.Once{})
	if err != nil || in.Results[0].Status != retrieval.Refused {
		t.Errorf("ingested in its place: %+v, %v", in, err)
	}
	if err := g.Retrieval.DropCollection(ctx, caller, "c"); !errors.Is(err, retrieval.ErrConflict) {
		t.Errorf("its collection dropped: %v", err)
	}
	want("its collection dropped", 2)
	ada := erase(t, g, "ada").ID
	all := ask(erasure.Request{Scope: erasure.ScopeCollection, Documents: erasure.Documents{Collection: "c"}})
	for _, one := range []string{ada, all, held} {
		if e, err := g.Erasure.Carry(ctx, id, one); err != nil || e.State != erasure.Running && e.State != erasure.Held {
			t.Errorf("during the hold: %v, %v", e.State, err)
		}
	}
	want("a person's and the collection's erasure", 2)
	g.Erasure.Sweep(ctx, id)
	want("a sweep", 2)
	if _, err := g.Erasure.Release(ctx, id, held); err != nil {
		t.Fatal(err)
	}
	clock.move(1)
	for _, one := range []string{held, ada, all} {
		if e := ended(t, g, one); e.State != erasure.Completed {
			t.Errorf("after the release: %v", e.State)
		}
	}
	want("after the release", 0)
}

// What belongs to a person whose erasure is held is held, whoever else it belongs to.
func TestAHeldPersonsDocumentsAreHeld(t *testing.T) {
	t.Parallel()
	clock := newClock()
	g := openGateway(t, gateway.Config{ErasuresByHand: true, Now: clock.Now})
	ctx, id := t.Context(), gateway.DefaultTenant
	say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb)
	makeCollection(t, g, "c", retrieval.Spec{})
	joint := owned(t, "joint", "ada", "bob")
	joint.RetainUntil = clock.Now().Add(24 * time.Hour)
	store(t, g, "c", joint)
	held := erase(t, g, "ada").ID
	if _, err := g.Erasure.Hold(ctx, id, held, "a court asked"); err != nil {
		t.Fatal(err)
	}
	clock.move(2)
	if e := sweep(t, g); len(e) != 1 || g.LiveDocuments(t) != 1 {
		t.Errorf("past its retention: %d erasures, %d documents", len(e), g.LiveDocuments(t))
	}
	bob := erase(t, g, "bob").ID
	if e, err := g.Erasure.Carry(ctx, id, bob); err != nil || e.State != erasure.Running || g.LiveDocuments(t) != 1 {
		t.Errorf("the other's erasure: %v, %v, %d documents", e.State, err, g.LiveDocuments(t))
	}
	// Taken back, the erasure holds nothing: what waited goes on.
	if _, err := g.Erasure.Cancel(ctx, id, held); err != nil {
		t.Fatal(err)
	}
	clock.move(1)
	wantPurged(t, ended(t, g, bob))
	if n := g.LiveDocuments(t); n != 0 {
		t.Errorf("%d documents are left", n)
	}
}
