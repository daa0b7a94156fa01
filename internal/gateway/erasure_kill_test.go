package gateway_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/verify"
	"github.com/assent-gateway/assent/retrieval"
)

// kill -9 at every step of an erasure: after the restart it ends, with one
// receipt that verifies, and nothing is left of the person.
func TestKillAtEveryStepOfAnErasure(t *testing.T) {
	t.Parallel()
	for _, crash := range []string{
		"erasure.suppressed:1", "erasure.key:1", "probe.write:1", "probe.renamed:1", "erasure.gathered:1",
		"erasure.before.documents:1", "erase.keys:1", "erase.committed:1", "erasure.after.documents:1",
		"erasure.before.person_key:1", "erasure.after.person_key:1", "erasure.before.person_row:1", "erasure.after.person_row:1",
		"erasure.before.files:1", "erasure.after.files:1", "erasure.verified:1", "erasure.entered:1", "erasure.forgotten:1", "log.signed:2", "erasure.receipt:1",
	} {
		t.Run(crash, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			g, err := gateway.Open(t.Context(), gateway.Config{DataDir: dir, AdminKey: adminKey})
			if err != nil {
				t.Fatal(err)
			}
			say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb)
			makeCollection(t, g, "c", retrieval.Spec{})
			ingest(t, g, "c", invented("ada", "bob"))
			if err := g.Close(); err != nil {
				t.Fatal(err)
			}
			c := startChild(t, dir, crash)
			if c.url != "" {
				// Nobody may have been answered: then the repeat asks again.
				_, _, _ = c.call("POST", "/v1/erasures", map[string]any{"scope": "subject", "subject": "ada"})
				select {
				case <-c.dead:
				case <-time.After(time.Minute):
					t.Fatal("the step was never reached")
				}
			}
			g = openGateway(t, gateway.Config{DataDir: dir, AdminKey: adminKey, ErasuresByHand: true})
			rows, err := g.Erasure.List(t.Context(), gateway.DefaultTenant, erasure.Page{Limit: 10})
			if err != nil || len(rows) != 1 {
				t.Fatalf("%d erasures, %v; want the one that was asked for", len(rows), err)
			}
			e := ended(t, g, rows[0].ID)
			wantPurged(t, e)
			if n := len(find(t, g, "c", "server")); n != 2 {
				t.Errorf("%d hits, want Bob's 2", n)
			}
			file, err := g.Erasure.Receipt(t.Context(), gateway.DefaultTenant, e.ID)
			if err != nil {
				t.Fatal(err)
			}
			vkey, err := g.Tree.Key(gateway.DefaultTenant)
			if err != nil {
				t.Fatal(err)
			}
			key, err := verify.ParseKey(vkey)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := (verify.Trust{Keys: []*verify.Key{key}}).Erasure(file); err != nil {
				t.Errorf("the receipt: %v", err)
			}
			completions := 0
			for p := consent.Position(1); ; p++ {
				entry, ok := g.Entry(t, p)
				if !ok {
					break
				}
				if entry.Kind == consent.KindErased {
					completions++
				}
			}
			if completions != 1 {
				t.Errorf("%d completions in the ledger", completions)
			}
			if left := g.Leftovers(t); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
			if used := g.KeySlots(); used != 3 { // Bob's, and his two documents'
				t.Errorf("%d keys are left, want 3", used)
			}
		})
	}
}

// Ingests race erasures of the same person: never is a passage left, whoever
// comes first.
func TestIngestRacesErasure(t *testing.T) {
	t.Parallel()
	g := openGateway(t, gateway.Config{ErasuresByHand: true})
	makeCollection(t, g, "c", retrieval.Spec{})
	rounds := 1000
	if testing.Short() {
		rounds = 50
	}
	var stored atomic.Int64
	for round := range rounds {
		who := fmt.Sprint("p", round%7)
		say(t, g, consent.Granted, []string{who}, rag, emb)
		var wg sync.WaitGroup
		for w := range 2 {
			wg.Go(func() {
				docs := []retrieval.Submission{{Document: retrieval.Document{
					ID: fmt.Sprint("d", round, "-", w), Owners: []consent.Subject{subject(t, who)}, Text: fmt.Sprint("The server of round ", round, " by ", w),
				}}}
				out, err := g.Retrieval.Ingest(t.Context(), caller, "c", docs, consent.Once{})
				if err != nil {
					t.Error(err)
					return
				}
				if out.Results[0].Status == retrieval.Stored {
					stored.Add(1)
				}
			})
		}
		var id string
		wg.Go(func() { id = erase(t, g, who).ID })
		wg.Wait()
		// The cascade's own steps, without reading every file a thousand times.
		if err := g.Cascade(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if n := len(find(t, g, "c", "server")); n != 0 {
			t.Fatalf("round %d: %d passages are found", round, n)
		}
		if n := g.LiveDocuments(t); n != 0 {
			t.Fatalf("round %d: %d documents are left", round, n)
		}
		if _, err := g.Erasure.Hold(t.Context(), gateway.DefaultTenant, id, "test"); err != nil {
			t.Fatal(err)
		}
		if err := g.EndErasure(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if n := stored.Load(); n == 0 || n == int64(2*rounds) {
		t.Logf("of %d ingests %d came first", 2*rounds, n)
	} else {
		t.Logf("of %d ingests %d came first", 2*rounds, n)
	}
}
