package gateway_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/events"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/testweaviate"
	"github.com/assent-gateway/assent/retrieval"
)

// What is kept of joint documents, and what is kept without vectors, is lacking
// in no generation: erasures that wait for a rebuild end, purged, and a gateway
// that opens again has nothing to put back.
func TestARebuildOfWhatIsKept(t *testing.T) {
	w := testweaviate.Start(t)
	var clock ahead
	cfg := rebuilding(w, &clock)
	cfg.DataDir, cfg.Policy = filepath.Join(t.TempDir(), "data"), atOnce(t)
	g, err := gateway.Open(t.Context(), cfg)
	must(t, err)
	jointStart(t, g)
	say(t, g, consent.Granted, []string{"eve"}, rag, emb)
	store(t, g, "kept", owned(t, "eves", "eve"))
	e := throughRebuild(t, g, &clock, erase(t, g, "ada").ID)
	wantPurged(t, e)
	if e.Gathered.Kept != 3 {
		t.Errorf("%d documents are kept, want 3", e.Gathered.Kept)
	}
	objects := func(want int) {
		t.Helper()
		if n, err := g.ObjectsInWeaviate(t.Context(), "kept"); err != nil || n != want {
			t.Errorf("%d objects, want %d, %v", n, want, err)
		}
	}
	objects(5) // bob's four and eve's

	say(t, g, consent.Revoked, []string{"bob"}, emb)
	g.Erasure.Sweep(t.Context(), gateway.DefaultTenant)
	rows, err := g.Erasure.List(t.Context(), gateway.DefaultTenant, erasure.Page{OpenOnly: true, Limit: 9})
	if err != nil || len(rows) != 1 {
		t.Fatalf("%d open erasures after the withdrawal, %v", len(rows), err)
	}
	e = throughRebuild(t, g, &clock, rows[0].ID)
	wantPurged(t, e)
	if e.Gathered.Kept != 3 || g.LiveDocuments(t) != 4 {
		t.Errorf("%+v, %d documents", e.Gathered, g.LiveDocuments(t))
	}
	objects(1)
	must(t, g.Close())
	g = openGateway(t, cfg)
	objects(1)
	if ids := searchIDs(t, g, caller, "kept", retrieval.SearchRequest{}); len(ids) != 1 {
		t.Errorf("found %v", ids)
	}
}

// What is written anew without a person, and was placed when a rebuild began, is
// in the generation that serves when it commits.
func TestWhatIsKeptWhileARebuildOvertakesIt(t *testing.T) {
	var clock ahead
	var g *gateway.Gateway
	armed := false
	cfg := gateway.Config{Weaviate: onWeaviate(t), RebuildsByHand: true, ErasuresByHand: true, Now: clock.Now, Log: debugLog(), Step: func(at string) {
		if at == "outside.placed" && armed {
			armed = false
			must(t, g.StartRebuild(t.Context(), gateway.DefaultTenant))
			until(t, g, &clock, retrieval.Draining)
		}
	}}
	g = openGateway(t, cfg)
	say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb)
	_, err := g.Ledger.Identify(t.Context(), gateway.DefaultTenant, subject(t, "ada"), subject(t, "email:ada@example.org"))
	must(t, err)
	makeCollection(t, g, "kept", retrieval.Spec{OnErasure: retrieval.Redact})
	makeCollection(t, g, "gone", retrieval.Spec{}) // nothing of it is outside
	store(t, g, "kept", jointDocs(t)...)
	e := erase(t, g, "ada")
	armed = true
	_, err = g.Erasure.Carry(t.Context(), gateway.DefaultTenant, e.ID)
	must(t, err)
	if armed {
		t.Fatal("no rebuild began")
	}
	wantWithoutAda(t, g)
	until(t, g, &clock, retrieval.NotRebuilding)
	clock.by.Add(int64(2 * time.Minute)) // what was on its way has arrived
	if e = ended(t, g, e.ID); e.State != erasure.Completed || e.Gathered.Kept != 3 {
		t.Errorf("%v, %+v", e.State, e.Gathered)
	}
	wantWithoutAda(t, g)
	if n, err := g.ObjectsInWeaviate(t.Context(), "kept"); err != nil || n != 4 {
		t.Errorf("%d objects, %v", n, err)
	}
}

// A rebuild is waited for and purges whether or not a processor is silent, and
// what a processor says meanwhile is taken: neither holds the other up.
func TestARebuildAndAProcessorAreWaitedForTogether(t *testing.T) {
	w := testweaviate.Start(t)
	var clock ahead
	cfg := rebuilding(w, &clock)
	cfg.ProcessorsWithin = 20 * 24 * time.Hour
	g := openGateway(t, cfg)
	r := newReceiver(t, func(*delivered) (int, string) { return 200, "" })
	r.register(g, "crm", nil, events.Erasure)
	names := []string{"ada", "bob", "eve"}
	say(t, g, consent.Granted, names, rag, emb)
	makeCollection(t, g, "c", retrieval.Spec{})
	ingest(t, g, "c", invented(names...))
	told := func(id string) erasure.Answer {
		t.Helper()
		var a erasure.Answer
		r.until(func(took []delivered) bool {
			for _, d := range took {
				if d.Data.ID == id && d.Type == events.TypeSuppressed {
					a = erasure.Answer{Event: sum(d.body), Says: erasure.Acknowledged}
				}
			}
			return a.Says != 0
		})
		return a
	}
	carry := func(id string, enough func(erasure.Erasure) bool) erasure.Erasure {
		t.Helper()
		for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
			e, err := g.Erasure.Carry(t.Context(), gateway.DefaultTenant, id)
			must(t, err)
			if enough(e) {
				return e
			}
			if time.Now().After(deadline) {
				t.Fatalf("still %v: %+v", e.State, e)
			}
			by := 5 * time.Second
			if targetOf(e, "index").State() == "waiting_for_rebuild" && idle(t, g) {
				by = 24 * time.Hour
			}
			clock.by.Add(int64(by))
		}
	}
	waits := func(e erasure.Erasure) bool { return targetOf(e, "index").State() == "waiting_for_rebuild" }

	silent := erase(t, g, "ada")
	answer := told(silent.ID)
	e := carry(silent.ID, func(e erasure.Erasure) bool { return e.State == erasure.Verifying && e.Level == erasure.Purged })
	if s := e.Processors[0].State; s != erasure.Silent || targetOf(e, "index").State() != "verified" {
		t.Errorf("the processor %v, the index %+v", s, targetOf(e, "index"))
	}
	must(t, g.Erasure.Answer(t.Context(), gateway.DefaultTenant, silent.ID, "crm", answer))
	e, err := g.Erasure.Carry(t.Context(), gateway.DefaultTenant, silent.ID)
	must(t, err)
	wantPurged(t, e)

	quick := erase(t, g, "bob")
	answer = told(quick.ID)
	carry(quick.ID, waits)
	must(t, g.Erasure.Answer(t.Context(), gateway.DefaultTenant, quick.ID, "crm", answer))
	if e, err = g.Erasure.Get(t.Context(), gateway.DefaultTenant, quick.ID); err != nil || !waits(e) || e.Processors[0].State != erasure.Acknowledged {
		t.Errorf("answered while it waits: %v %+v, %v", e.State, e.Processors, err)
	}
	wantPurged(t, throughRebuild(t, g, &clock, quick.ID))
}
