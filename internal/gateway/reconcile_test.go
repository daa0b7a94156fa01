package gateway_test

import (
	"context"
	"database/sql"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
)

// What nothing accounts for is taken away, each kind once, and counted; of what
// others may be in the middle of, not before they have ended. What lives stays.
func TestReconcilerTakesAwayWhatNothingAccountsFor(t *testing.T) {
	t.Run("directory", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "data")
		g := openGateway(t, gateway.Config{DataDir: dir, ErasuresByHand: true})
		testReconciler(t, g, func(statement string) { // beside the gateway, as a fault of the disk would
			db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "assent.db")+"?_pragma=busy_timeout(5000)")
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, err := db.ExecContext(context.Background(), statement); err != nil {
				t.Fatal(err)
			}
		}, gateway.Found{"index_entry": 1, "part_without_row": 2}, gateway.Found{"row_without_key": 1, "key_without_row": 1, "file_without_row": 1})
	})
	t.Run("postgres", func(t *testing.T) {
		c := newCluster(t, server(t))
		g := c.open(gateway.Config{ErasuresByHand: true})
		// Keys of a shared vault are swept by their age there.
		testReconciler(t, g, func(statement string) {
			conn := connect(t, c.data)
			defer conn.Close(context.Background())
			if _, err := conn.Exec(context.Background(), statement); err != nil {
				t.Fatal(err)
			}
		}, gateway.Found{"index_entry": 1, "part_without_row": 2}, gateway.Found{"row_without_key": 1, "file_without_row": 1})
	})
}

func testReconciler(t *testing.T, g *gateway.Gateway, exec func(string), atOnce, later gateway.Found) {
	makeCollection(t, g, "c", retrieval.Spec{})
	say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb)
	put(t, g, caller, "c", retrieval.Document{ID: "a1", Owners: people(t, "ada")}, retrieval.Document{ID: "a2", Owners: people(t, "ada")},
		retrieval.Document{ID: "b1", Owners: people(t, "bob")}, retrieval.Document{ID: "b2", Owners: people(t, "bob")})
	now := time.Now()
	look := func(when string, want gateway.Found) {
		t.Helper()
		if found, err := g.Look(t.Context()); err != nil || !maps.Equal(found, want) {
			t.Errorf("a look %s: %v, %v; want %v", when, found, err, want)
		}
	}
	walk := func(when string, want gateway.Found) {
		t.Helper()
		if found, err := g.Walk(t.Context(), now); err != nil || !maps.Equal(found, want) {
			t.Errorf("a walk %s: %v, %v; want %v", when, found, err, want)
		}
	}
	nothing := gateway.Found{}
	look("at a whole gateway", nothing)
	walk("at a whole gateway", nothing)
	if err := g.PlantStrays(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	if err := g.DestroyRecordKey(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	exec("INSERT INTO heads (id, sealed) VALUES (7 << 40, NULL)")
	exec("INSERT INTO bodies (id, sealed) VALUES ((7 << 40) + 1, NULL)")
	look("at strays", atOnce)
	look("once more", nothing)
	walk("for the first time", gateway.Found{"probe_without_erasure": 1})
	now = now.Add(gateway.Patience - time.Second)
	walk("before others must have ended", nothing)
	now = now.Add(time.Second)
	walk("when they have", later)
	now = now.Add(gateway.Patience)
	walk("after that", nothing)
	look("after that", nothing)
	if n := len(find(t, g, "c", "server")); n != 3 {
		t.Errorf("%d documents are found, want the 3 that have their key", n)
	}
	if n := g.LiveDocuments(t); n != 3 {
		t.Errorf("%d rows, want 3", n)
	}
	if _, err := os.Stat(filepath.Dir(g.FilesOf("mlost"))); !os.IsNotExist(err) {
		t.Error("files without a manifest are there still")
	}
}

// While people write, erase and search, the reconciler finds nothing to take away.
func TestReconcilerLeavesWhatIsUnderWay(t *testing.T) {
	onBoth(t, func(t *testing.T, open opener) {
		g := open(t, gateway.Config{ErasuresByHand: true})
		makeCollection(t, g, "c", retrieval.Spec{})
		ctx, cancel := context.WithCancel(t.Context())
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			for ctx.Err() == nil {
				for _, f := range []func(context.Context) (gateway.Found, error){
					g.Look, func(ctx context.Context) (gateway.Found, error) { return g.Walk(ctx, time.Now()) },
				} {
					found, err := f(ctx)
					if ctx.Err() == nil && err != nil {
						t.Error(err)
					}
					if len(found) > 0 {
						t.Errorf("it took away %v", found)
					}
				}
			}
		}()
		for round := range 30 {
			who := []string{"ada", "bob", "eve"}[round%3]
			say(t, g, consent.Granted, []string{who}, rag, emb)
			put(t, g, caller, "c", retrieval.Document{ID: "x", Owners: people(t, "kim", who)[1:]}, retrieval.Document{ID: who, Owners: people(t, who)})
			if round%3 == 2 {
				if err := g.Cascade(t.Context(), erase(t, g, who).ID); err != nil {
					t.Fatal(err)
				}
			} else if err := g.Retrieval.Delete(t.Context(), caller, "c", "x"); err != nil {
				t.Fatal(err)
			}
		}
		cancel()
		<-stopped
		if g.Alarms() != nil {
			t.Error("an alarm")
		}
	})
}

// In Weaviate, too: an object without a row goes at the next walk, the canary and
// what lives stay, and neither is counted.
func TestReconcilerWalksOverWeaviate(t *testing.T) {
	g := openGateway(t, gateway.Config{Weaviate: onWeaviate(t), ErasuresByHand: true})
	makeCollection(t, g, "c", retrieval.Spec{})
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	put(t, g, caller, "c", retrieval.Document{ID: "a1", Owners: people(t, "ada")}, retrieval.Document{ID: "a2", Owners: people(t, "ada")})
	num, err := g.Ledger.Find(t.Context(), gateway.DefaultTenant, subject(t, "ada"))
	must(t, err)
	walk := func(when string, want gateway.Found) {
		t.Helper()
		if found, err := g.Walk(t.Context(), time.Now()); err != nil || !maps.Equal(found, want) {
			t.Errorf("%s: %v, %v; want %v", when, found, err, want)
		}
		if n, err := g.ObjectsInWeaviate(t.Context(), "c"); err != nil || n != 2 {
			t.Errorf("%s: %d objects, %v; want 2", when, n, err)
		}
		asked, sang, err := g.Retrieval.ProbeCanaries(t.Context(), gateway.DefaultTenant)
		if err != nil || asked == 0 || sang != 0 || g.Alarms() != nil {
			t.Errorf("%s: %d canaries sang in %d searches, %v", when, sang, asked, err)
		}
	}
	walk("at a whole gateway", gateway.Found{})
	must(t, g.StrayInWeaviate(t.Context(), "c", num))
	walk("at a stray", gateway.Found{"object_without_row": 1})
	walk("after that", gateway.Found{})
}
