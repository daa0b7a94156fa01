package gateway_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/credential"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/retrieval"
)

// A person's erasure is held, and meanwhile they come back and are to be erased
// again: two open erasures stand at one mark. Each takes away whom it is about,
// whichever goes on first, also after a start; and what is held stays until then.
func TestTwoErasuresAtOneMarkAreOfTwo(t *testing.T) {
	t.Parallel()
	for _, firstFirst := range []bool{true, false} {
		cfg := gateway.Config{DataDir: filepath.Join(t.TempDir(), "data"), AdminKey: adminKey, ErasuresByHand: true}
		ctx, id := t.Context(), gateway.DefaultTenant
		g := openGateway(t, cfg)
		say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb)
		makeCollection(t, g, "c", retrieval.Spec{})
		ingest(t, g, "c", invented("ada", "bob"))
		first := erase(t, g, "ada")
		if _, err := g.Erasure.Hold(ctx, id, first.ID, "a duty to retain"); err != nil {
			t.Fatal(err)
		}
		say(t, g, consent.Granted, []string{"ada"}, rag, emb)
		docs := invented("ada")
		for i := range docs {
			docs[i].ID += "-new"
		}
		if got := ingest(t, g, "c", docs); got[retrieval.Stored] != 2 {
			t.Fatalf("ingest after they came back: %v", got)
		}
		second := erase(t, g, "ada")
		if second.ID == first.ID {
			t.Fatal("who came back is not who is being erased")
		}
		if _, err := g.Erasure.Cancel(ctx, id, first.ID); !errors.Is(err, erasure.ErrState) {
			t.Errorf("taking back an erasure whose person has acted since: %v", err)
		}
		if n := hits(t, g); n != 2 {
			t.Errorf("%d hits, want Bob's 2", n)
		}
		g.Close()
		g = openGateway(t, cfg)
		release := func() {
			if _, err := g.Erasure.Release(ctx, id, first.ID); err != nil {
				t.Fatal(err)
			}
			wantPurged(t, ended(t, g, first.ID))
		}
		if firstFirst {
			release()
		}
		e := ended(t, g, second.ID)
		wantPurged(t, e)
		if e.Gathered.Documents != 2 {
			t.Errorf("the second erasure gathered %+v", e.Gathered)
		}
		if n, err := g.Erasure.Reconcile(ctx, id); n != 0 || err != nil {
			t.Errorf("the reconciler found %d, %v", n, err)
		}
		if !firstFirst {
			if n := g.KeySlots(); n < 5 { // of Bob, his documents, and of what is held
				t.Errorf("%d keys are left: what is held is gone", n)
			}
			release()
		}
		if e, err := g.Erasure.Get(ctx, id, first.ID); err != nil || e.Gathered.Documents != 2 {
			t.Errorf("the first erasure: %+v, %v", e.Gathered, err)
		}
		if n := hits(t, g); n != 2 {
			t.Errorf("%d hits, want Bob's 2", n)
		}
		if left := g.Leftovers(t); len(left) > 0 {
			t.Errorf("left over: %v", left)
		}
		g.Close()
	}
}

// Who is asked to find out what the ledger does not have yet, ends where it ends:
// what came back of the erased is erased up to the next position.
func TestSettlingEndsWithTheLedger(t *testing.T) {
	t.Parallel()
	g := openGateway(t, gateway.Config{ErasuresByHand: true})
	head, err := g.Ledger.Head(t.Context(), gateway.DefaultTenant)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // else it goes on for ever
	defer cancel()
	for _, more := range []consent.Position{1, 1000} {
		if err := g.Events.Settle(ctx, gateway.DefaultTenant, head.Position+more); err != nil {
			t.Errorf("%d beyond the head: %v", more, err)
		}
	}
}

// The key of a link is named by an entry alone. A gateway that has not heard of the
// entry yet, of a tenant that it has not heard of either, leaves it.
func TestAGatewayThatLagsNamesTheKeysOfLinks(t *testing.T) {
	c := newCluster(t, server(t))
	cfg := gateway.Config{ErasuresByHand: true, Deaf: true}
	a, b := c.open(cfg), c.open(cfg)
	ctx := t.Context()
	erase(t, a, "ada")
	name, err := credential.ParseName("another")
	must(t, err)
	id, _, err := a.CreateTenant(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Erasure.Request(ctx, id, erasure.Request{Scope: erasure.ScopeSubject, Subject: subject(t, "bob"), By: "test"}); err != nil {
		t.Fatal(err)
	}
	n := 0
	a.Ledger.LinkKeys(func(ref seal.Ref) {
		if n++; ref.IsZero() {
			t.Error("a link has no key")
		}
		if named, err := b.Names(ctx, ref); err != nil || !named {
			t.Errorf("the other gateway takes the key for nobody's: %v", err)
		}
	})
	if n != 2 {
		t.Errorf("%d links", n)
	}
}

// What an ingest knows of people when it begins may be another's when it commits:
// somebody whom nobody knew was erased, or their identifier given to somebody else.
// The documents are refused, or theirs.
func TestAnIngestOfSomebodyWhoBecomesSomebodyElse(t *testing.T) {
	t.Parallel()
	for _, c := range []string{"erased", "identified"} {
		var then atomic.Pointer[func()]
		g := openGateway(t, gateway.Config{ErasuresByHand: true, Step: func(name string) {
			if f := then.Load(); f != nil && name == "slots.synced" && then.CompareAndSwap(f, nil) {
				(*f)()
			}
		}})
		makeCollection(t, g, "c", retrieval.Spec{Jurisdiction: "US-CA"})
		ingest(t, g, "c", invented("ada", "cy"))
		if n := hits(t, g); n != 4 {
			t.Fatalf("%d hits of people who may be silent", n)
		}
		want, stored := 4, retrieval.Refused
		f := func() { erase(t, g, "bob") }
		if c == "identified" {
			want, stored = 2, retrieval.Stored
			f = func() {
				if _, err := g.Ledger.Identify(t.Context(), gateway.DefaultTenant, subject(t, "ada"), subject(t, "bob")); err != nil {
					t.Error(err)
				}
			}
		}
		then.Store(&f)
		if got := ingest(t, g, "c", invented("bob")); got[stored] != 2 || then.Load() != nil {
			t.Errorf("%s: %v", c, got)
		}
		if c == "identified" {
			erase(t, g, "ada")
		}
		if n := hits(t, g); n != want {
			t.Errorf("%s: %d hits, want %d", c, n, want)
		}
		if n := g.LiveDocuments(t); c == "erased" && n != want {
			t.Errorf("%s: %d documents, want %d", c, n, want)
		}
	}
}

// The second of two erasures at one mark is taken back after a start: who came back
// is there again, the first stays what it is, cannot be taken back, and is carried out.
func TestTheSecondOfTwoErasuresIsTakenBack(t *testing.T) {
	t.Parallel()
	cfg := gateway.Config{DataDir: filepath.Join(t.TempDir(), "data"), AdminKey: adminKey, ErasuresByHand: true}
	ctx, id := t.Context(), gateway.DefaultTenant
	g := openGateway(t, cfg)
	say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb)
	makeCollection(t, g, "c", retrieval.Spec{})
	ingest(t, g, "c", invented("ada", "bob"))
	first := erase(t, g, "ada")
	if _, err := g.Erasure.Hold(ctx, id, first.ID, "a duty to retain"); err != nil {
		t.Fatal(err)
	}
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	docs := invented("ada")
	for i := range docs {
		docs[i].ID += "-new"
	}
	ingest(t, g, "c", docs)
	second := erase(t, g, "ada")
	g.Close()
	g = openGateway(t, cfg)
	if _, err := g.Erasure.Cancel(ctx, id, second.ID); err != nil {
		t.Fatal(err)
	}
	if n := hits(t, g); n != 4 {
		t.Errorf("%d hits after the second was taken back, want Bob's and the new 2", n)
	}
	if _, err := g.Erasure.Cancel(ctx, id, first.ID); !errors.Is(err, erasure.ErrState) {
		t.Errorf("taking the first back, too: %v", err)
	}
	for range 2 {
		if n := hits(t, g); n != 4 {
			t.Errorf("%d hits, want 4", n)
		}
		g.Close()
		g = openGateway(t, cfg)
	}
	if _, err := g.Erasure.Release(ctx, id, first.ID); err != nil {
		t.Fatal(err)
	}
	wantPurged(t, ended(t, g, first.ID))
	if n := hits(t, g); n != 4 || g.LiveDocuments(t) != 4 {
		t.Errorf("%d hits of %d documents, want 4", n, g.LiveDocuments(t))
	}
	if left := g.Leftovers(t); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}
