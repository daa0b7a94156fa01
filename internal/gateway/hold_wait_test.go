package gateway_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
)

// states are those of an erasure's targets, once each.
func states(e erasure.Erasure) (out map[string]bool) {
	out = map[string]bool{}
	for _, r := range e.Targets {
		out[r.State()] = true
	}
	return out
}

func carry(t *testing.T, g *gateway.Gateway, id string) erasure.Erasure {
	t.Helper()
	e, err := g.Erasure.Carry(t.Context(), gateway.DefaultTenant, id)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// An erasure that waits because another one holds what it is about says so, and can
// be taken back: nothing of it is deleted. One that has begun to delete cannot.
func TestAnErasureThatWaitsForAHoldSaysSoAndCanBeTakenBack(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open opener) {
		clock := newClock()
		cfg := gateway.Config{Now: clock.Now}
		g, then := atStep(t, open, cfg, "erasure.after.documents")
		ctx, id := t.Context(), gateway.DefaultTenant
		say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb)
		makeCollection(t, g, "c", retrieval.Spec{})
		store(t, g, "c", owned(t, "kept", "ada", "bob"), owned(t, "free", "ada"))
		held := eraseDocument(t, g, "c", "kept")
		if _, err := g.Erasure.Hold(ctx, id, held, "a court asked"); err != nil {
			t.Fatal(err)
		}
		ada, bob := erase(t, g, "ada").ID, erase(t, g, "bob").ID
		for _, one := range []string{ada, bob} {
			e := carry(t, g, one)
			if got := states(e); e.State != erasure.Running || len(got) != 1 || !got["waiting_for_hold"] || e.Attempts != 0 {
				t.Errorf("during the hold: %v, %v, %d attempts", e.State, got, e.Attempts)
			}
		}
		e, err := g.Erasure.Cancel(ctx, id, ada)
		if err != nil || e.State != erasure.Cancelled || states(e)["waiting_for_hold"] {
			t.Fatalf("taken back while it waits: %v, %v, %v", e.State, states(e), err)
		}
		if n := g.LiveDocuments(t); n != 2 {
			t.Errorf("%d documents", n)
		}
		if hits := find(t, g, "c", "server"); len(hits) != 1 || hits[0].DocumentID != "free" {
			t.Errorf("ada's own is found again: %+v", hits)
		}
		if _, err := g.Erasure.Release(ctx, id, held); err != nil {
			t.Fatal(err)
		}
		clock.move(1)
		if e := ended(t, g, held); e.State != erasure.Completed {
			t.Errorf("the held one: %v", e.State)
		}
		again := erase(t, g, "ada").ID // asked once more
		if again == ada {
			t.Error("an erasure that was taken back is open")
		}
		var late error
		f := func() { _, late = g.Erasure.Cancel(ctx, id, again) }
		then.Store(&f)
		if e := ended(t, g, again); e.State != erasure.Completed || e.Gathered.Documents != 1 || !errors.Is(late, erasure.ErrState) {
			t.Errorf("%v, %+v; taken back when it had deleted: %v", e.State, e.Gathered, late)
		}
	})
}

// A hold that lands in the middle of a step loses nothing of what the step deleted:
// what is counted is what is gone, whenever the hold came; and a long step stops.
func TestAHoldInTheMiddleOfAStepKeepsItsCount(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		step string
		left int // documents that stay while it is held
	}{{"erase.committed", 100}, {"erasure.after.documents", 0}} {
		t.Run(c.step, func(t *testing.T) {
			t.Parallel()
			g, then := atStep(t, openGateway, gateway.Config{}, c.step)
			ctx, tenant := t.Context(), gateway.DefaultTenant
			say(t, g, consent.Granted, []string{"ada"}, rag, emb)
			makeCollection(t, g, "c", retrieval.Spec{})
			const n = 1100 // of which a step takes 1000 at a time
			var docs []retrieval.Document
			for i := range n {
				docs = append(docs, owned(t, fmt.Sprint("d", i), "ada"))
			}
			store(t, g, "c", docs...)
			id := erase(t, g, "ada").ID
			f := func() {
				if _, err := g.Erasure.Hold(ctx, tenant, id, "a court asked"); err != nil {
					t.Error(err)
				}
			}
			then.Store(&f)
			e := carry(t, g, id)
			gone := func(e erasure.Erasure) uint64 {
				for _, r := range e.Targets {
					if r.Name == "catalogue" {
						return r.Deleted
					}
				}
				return 0
			}
			if live := g.LiveDocuments(t); e.State != erasure.Held || live != c.left || gone(e) != uint64(n-c.left) {
				t.Errorf("%v with %d left, %d counted", e.State, live, gone(e))
			}
			if _, err := g.Erasure.Cancel(ctx, tenant, id); !errors.Is(err, erasure.ErrState) {
				t.Errorf("taken back when something is deleted: %v", err)
			}
			if _, err := g.Erasure.Release(ctx, tenant, id); err != nil {
				t.Fatal(err)
			}
			e = ended(t, g, id)
			wantPurged(t, e)
			if gone(e) != n {
				t.Errorf("%d counted in the end", gone(e))
			}
			for _, r := range stated(t, g, id).Statement.Targets {
				if r.Name == "catalogue" && r.Deleted != n {
					t.Errorf("the receipt counts %d", r.Deleted)
				}
			}
		})
	}
}
