package gateway_test

import (
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
)

// With vectors in Weaviate: what is kept is kept there, too, what was is gone,
// and a withdrawal takes the objects; others' documents that name her are found
// without an index of terms.
func TestJointDocumentsAndWithdrawalInWeaviate(t *testing.T) {
	var clock ahead
	g := openGateway(t, gateway.Config{Weaviate: onWeaviate(t), ErasuresByHand: true, Now: clock.Now, Log: debugLog(), Policy: atOnce(t)})
	jointStart(t, g)
	say(t, g, consent.Granted, []string{"eve"}, rag, emb)
	store(t, g, "kept", retrieval.Document{ID: "letter", Owners: persons(t, "eve"), Text: "Dear Ada, the server is fine."})
	objects := func() int {
		t.Helper()
		n, err := g.ObjectsInWeaviate(t.Context(), "kept")
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := objects(); n != 9 {
		t.Fatalf("%d objects before, want 9", n)
	}
	finish := func(id string) erasure.Erasure {
		t.Helper()
		if _, err := g.Erasure.Carry(t.Context(), gateway.DefaultTenant, id); err != nil {
			t.Fatal(err)
		}
		clock.by.Add(int64(61 * time.Second)) // what was on its way has arrived
		e := ended(t, g, id)
		for _, p := range e.Probes {
			if p.Found != 0 || !p.Control {
				t.Errorf("probe %q found %d of %d, control %v", p.Name, p.Found, p.Asked, p.Control)
			}
		}
		return e
	}
	e := finish(erase(t, g, "ada").ID)
	if e.State != erasure.Completed || e.Gathered.Kept != 3 || e.Gathered.Suspected != 1 {
		t.Fatalf("%v, %+v", e.State, e.Gathered)
	}
	if r := stated(t, g, e.ID).Statement; r.RedactedDocuments != 3 || r.RemovedDocuments != 3 {
		t.Errorf("the receipt: %+v", r)
	}
	if n := objects(); n != 5 {
		t.Errorf("%d objects, want bob's four and the letter's", n)
	}
	if err := g.Erasure.Review(t.Context(), gateway.DefaultTenant, e.ID, waiting(t, g, e.ID)["letter"].N, erasure.ActRemove, "test"); err != nil {
		t.Fatal(err)
	}
	rows, err := g.Erasure.List(t.Context(), gateway.DefaultTenant, erasure.Page{OpenOnly: true, Limit: 9})
	if err != nil || len(rows) != 1 {
		t.Fatalf("%d open erasures, %v", len(rows), err)
	}
	finish(rows[0].ID)
	wantWithoutAda(t, g)

	say(t, g, consent.Revoked, []string{"bob"}, emb)
	g.Erasure.Sweep(t.Context(), gateway.DefaultTenant)
	if rows, err = g.Erasure.List(t.Context(), gateway.DefaultTenant, erasure.Page{OpenOnly: true, Limit: 9}); err != nil || len(rows) != 1 {
		t.Fatalf("%d open erasures after the withdrawal, %v", len(rows), err)
	}
	if e = finish(rows[0].ID); e.State != erasure.Completed || e.Gathered.Kept != 3 || objects() != 0 || g.LiveDocuments(t) != 3 {
		t.Errorf("%v, %+v, %d objects, %d documents", e.State, e.Gathered, objects(), g.LiveDocuments(t))
	}
}
