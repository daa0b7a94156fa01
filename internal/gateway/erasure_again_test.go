package gateway_test

import (
	"sync/atomic"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
)

// twice has a person's erasure held, lets them come back and be erased a second
// time, and returns the two.
func twice(t *testing.T, g *gateway.Gateway) (held, second string) {
	t.Helper()
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	makeCollection(t, g, "c", retrieval.Spec{})
	ingest(t, g, "c", invented("ada"))
	held = erase(t, g, "ada").ID
	if _, err := g.Erasure.Hold(t.Context(), gateway.DefaultTenant, held, "a duty to retain"); err != nil {
		t.Fatal(err)
	}
	if again := erase(t, g, "ada"); again.ID != held || again.State != erasure.Held {
		t.Fatalf("asked again while it is held: %s in %v, want %s", again.ID, again.State, held)
	}
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	if second = erase(t, g, "ada").ID; second == held {
		t.Fatal("who came back is not who is being erased")
	}
	return held, second
}

// Asking again for the same while it is open: the same id (API.md). The person's
// first erasure is held, they came back and were erased, and a third request is
// about nobody but whom the first is: also after a start, and on Postgres.
func TestAThirdRequestDuringAHoldIsTheFirst(t *testing.T) {
	onBoth(t, func(t *testing.T, open opener) {
		g := open(t, gateway.Config{ErasuresByHand: true})
		held, second := twice(t, g)
		if again := erase(t, g, "ada"); again.ID != second {
			t.Errorf("the third request, with two open: %s, want the newer %s", again.ID, second)
		}
		if e := ended(t, g, second); e.State != erasure.Completed {
			t.Fatalf("the second: %v", e.State)
		}
		if again := erase(t, g, "ada"); again.ID != held || again.State != erasure.Held {
			t.Errorf("the third request: %s in %v, want %s, held", again.ID, again.State, held)
		}
		if _, err := g.Erasure.Release(t.Context(), gateway.DefaultTenant, held); err != nil {
			t.Fatal(err)
		}
		if again := erase(t, g, "ada"); again.ID != held {
			t.Errorf("a request after the release: %s, want %s", again.ID, held)
		}
		if e := ended(t, g, held); e.State != erasure.Completed || e.Gathered.Documents != 2 {
			t.Errorf("the first: %v, %+v", e.State, e.Gathered)
		}
		if again := erase(t, g, "ada"); again.ID == held || again.ID == second {
			t.Error("asked again when nothing is open: an erasure that has ended")
		}
		all, err := g.Erasure.List(t.Context(), gateway.DefaultTenant, erasure.Page{Limit: 9})
		if err != nil || len(all) != 3 {
			t.Errorf("%d erasures, %v", len(all), err)
		}
	})
}

// The person's second erasure is asked for and ends, at another gateway, between
// the look of a third request and its entry: the request looks again, and meets
// the first, which is held.
func TestAThirdRequestThatIsOvertakenLooksAgain(t *testing.T) {
	c := newCluster(t, server(t))
	var overtake atomic.Pointer[func()]
	a := c.open(gateway.Config{ErasuresByHand: true, Step: func(name string) {
		if f := overtake.Load(); f != nil && name == "slots.synced" && overtake.CompareAndSwap(f, nil) {
			(*f)()
		}
	}})
	b := c.open(gateway.Config{ErasuresByHand: true})
	held, second := twice(t, a)
	ended(t, a, second)
	say(t, a, consent.Granted, []string{"ada"}, rag, emb) // back once more
	last := ""
	f := func() {
		last = erase(t, b, "ada").ID
		ended(t, b, last)
	}
	overtake.Store(&f)
	if got := erase(t, a, "ada").ID; got != held || last == "" || last == held {
		t.Errorf("%s, want the held %s (the second was %s, the overtaking one %s)", got, held, second, last)
	}
}
