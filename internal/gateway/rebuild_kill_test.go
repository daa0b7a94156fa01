package gateway_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/testweaviate"
	"github.com/assent-gateway/assent/internal/weaviate"
	"github.com/assent-gateway/assent/retrieval"
)

// until goes on with rebuilds until a collection's stands somewhere.
func until(t testing.TB, g *gateway.Gateway, clock *ahead, want retrieval.RebuildState) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		all, err := g.Retrieval.Rebuilds(t.Context(), gateway.DefaultTenant)
		must(t, err)
		if len(all) == 1 && all[0].State == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the rebuild stands at %+v, want %s", all, want)
		}
		if _, err := g.Retrieval.Rebuild(t.Context(), gateway.DefaultTenant); err != nil {
			t.Fatal(err)
		}
		clock.by.Add(int64(20 * time.Second))
	}
}

// kill -9 at each step of a rebuild, with an erasure that waits for it: whoever
// leads next goes on, one class is left that holds exactly what lives, and the
// erasure is purged.
func TestKillBetweenTheStepsOfARebuild(t *testing.T) {
	w := testweaviate.Start(t)
	t.Setenv("ASSENT_TEST_WEAVIATE", w.URL())
	t.Setenv("ASSENT_TEST_WEAVIATE_GRPC", w.GRPC())
	t.Setenv("ASSENT_TEST_WEAVIATE_DATA", w.Data())
	for _, kill := range []struct {
		step  string
		later bool // it is of the end of a rebuild, when a minute has passed
	}{{"rebuild.begun:1", false}, {"rebuild.page:2", false}, {"rebuild.filled:1", false}, {"rebuild.switched:1", false},
		{"rebuild.drained:1", true}, {"rebuild.dropped:1", true}, {"rebuild.ended:1", true}} {
		t.Run(kill.step, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			var clock ahead
			cfg := rebuilding(w, &clock)
			cfg.DataDir, cfg.AdminKey, cfg.RebuildsByHand = dir, adminKey, true
			g, err := gateway.Open(t.Context(), cfg)
			must(t, err)
			say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb)
			makeCollection(t, g, "c", retrieval.Spec{})
			const each = 150 // two pages of a filling
			for _, who := range []string{"ada", "bob"} {
				var docs []retrieval.Submission
				for n := range 2 * each {
					docs = append(docs, retrieval.Submission{Document: retrieval.Document{ID: fmt.Sprint(who, n), Owners: people(t, who), Text: fmt.Sprint("about the server of ", who, n)}})
				}
				_, err := g.Retrieval.Ingest(t.Context(), caller, "c", docs, consent.Once{})
				must(t, err)
			}
			e := erase(t, g, "ada")
			for targetOf(e, "index").State() != "waiting_for_rebuild" {
				if e, err = g.Erasure.Carry(t.Context(), gateway.DefaultTenant, e.ID); err != nil || e.State != erasure.Running {
					t.Fatal(e.State, err)
				}
				clock.by.Add(int64(10 * time.Second))
			}
			if kill.later {
				must(t, g.StartRebuild(t.Context(), gateway.DefaultTenant))
				until(t, g, &clock, retrieval.Draining)
			}
			must(t, g.Close())
			later := time.Duration(clock.by.Load())
			if kill.later {
				later += 2 * time.Minute
			}
			t.Setenv("ASSENT_TEST_LATER", later.String())
			c := startChild(t, dir, kill.step)
			if c.url != "" && !kill.later {
				if status, _, err := c.call("POST", "/v1/rebuilds", nil); err == nil && status != 200 {
					t.Fatalf("status %d", status)
				}
			}
			select {
			case <-c.dead:
			case <-time.After(time.Minute):
				t.Fatal("the step was never reached")
			}
			clock.by.Store(int64(later + time.Minute)) // past the lease of the killed
			g, err = gateway.Open(t.Context(), cfg)
			must(t, err)
			defer g.Close()
			whole := func(when string) {
				t.Helper()
				a, err := g.Retrieval.Search(t.Context(), caller, "c", retrieval.SearchRequest{Query: "about the server", K: 1000, Purpose: "rag_retrieval"})
				if err != nil || len(a.Hits) != 2*each || a.Privacy.Completeness == retrieval.Degraded {
					t.Errorf("%s: %d hits, %s, %v", when, len(a.Hits), a.Privacy.Completeness, err)
				}
			}
			whole("after the crash")
			until(t, g, &clock, retrieval.NotRebuilding)
			whole("after the rebuild")
			wantPurged(t, throughRebuildByHand(t, g, &clock, e.ID))
			if n, err := g.ObjectsInWeaviate(t.Context(), "c"); err != nil || n != 2*each {
				t.Errorf("%d objects, %v", n, err)
			}
			must(t, g.Retrieval.DropCollection(t.Context(), caller, "c"))
			if left := classesIn(t, w.URL()); len(left) != 0 {
				t.Errorf("%d classes are left", len(left))
			}
		})
	}
}

// throughRebuildByHand is throughRebuild where rebuilds do not go on by themselves.
func throughRebuildByHand(t testing.TB, g *gateway.Gateway, clock *ahead, id string) erasure.Erasure {
	t.Helper()
	for range 100 {
		e, err := g.Erasure.Carry(t.Context(), gateway.DefaultTenant, id)
		must(t, err)
		if e.State != erasure.Running && e.State != erasure.Verifying {
			return e
		}
		by := time.Minute
		if idle(t, g) {
			by = 24 * time.Hour
		}
		clock.by.Add(int64(by))
		_, err = g.Retrieval.Rebuild(t.Context(), gateway.DefaultTenant)
		must(t, err)
	}
	t.Fatal("the erasure does not end")
	return erasure.Erasure{}
}

// An ingest that had placed its documents when a rebuild began, and commits when
// that is filled and serves, is in it all the same.
func TestAnIngestThatARebuildOvertakesIsInIt(t *testing.T) {
	var clock ahead
	var g *gateway.Gateway
	armed := false
	cfg := gateway.Config{Weaviate: onWeaviate(t), RebuildsByHand: true, Now: clock.Now, Step: func(at string) {
		if at == "outside.placed" && armed {
			armed = false
			must(t, g.StartRebuild(t.Context(), gateway.DefaultTenant))
			until(t, g, &clock, retrieval.Draining)
		}
	}}
	g = openGateway(t, cfg)
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	makeCollection(t, g, "c", retrieval.Spec{})
	put(t, g, caller, "c", retrieval.Document{ID: "first", Owners: people(t, "ada"), Text: "about the server"})
	armed = true
	put(t, g, caller, "c", retrieval.Document{ID: "second", Owners: people(t, "ada"), Text: "about the server, too"})
	if armed {
		t.Fatal("no rebuild began")
	}
	if ids := searchIDs(t, g, caller, "c", retrieval.SearchRequest{}); !slices.Equal(ids, []string{"first", "second"}) {
		t.Errorf("found %v", ids)
	}
	until(t, g, &clock, retrieval.NotRebuilding)
	clock.by.Add(int64(2 * time.Minute))
	if _, err := g.Retrieval.Sweep(t.Context(), gateway.DefaultTenant); err != nil {
		t.Fatal(err)
	}
	if n, err := g.ObjectsInWeaviate(t.Context(), "c"); err != nil || n != 2 {
		t.Errorf("%d objects, %v", n, err)
	}
}

// What is deleted, replaced and stored while a generation is filled is so in it.
func TestWhatChangesWhileAGenerationIsFilled(t *testing.T) {
	var clock ahead
	var g *gateway.Gateway
	armed := false
	cfg := gateway.Config{Weaviate: onWeaviate(t), RebuildsByHand: true, Now: clock.Now}
	change := func() {
		must(t, g.Retrieval.Delete(t.Context(), caller, "c", "gone"))
		put(t, g, caller, "c", retrieval.Document{ID: "changed", Owners: people(t, "ada"), Text: "the new text"})
		put(t, g, caller, "c", retrieval.Document{ID: "new", Owners: people(t, "ada"), Text: "a third text"})
	}
	cfg.Step = func(at string) {
		if at == "rebuild.page" && armed { // read, and not yet put in
			armed = false
			change()
		}
	}
	g = openGateway(t, cfg)
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	makeCollection(t, g, "c", retrieval.Spec{})
	for _, id := range []string{"gone", "changed", "stays"} {
		put(t, g, caller, "c", retrieval.Document{ID: id, Owners: people(t, "ada"), Text: "the old text of " + id})
	}
	armed = true
	must(t, g.StartRebuild(t.Context(), gateway.DefaultTenant))
	until(t, g, &clock, retrieval.NotRebuilding)
	ids := searchIDs(t, g, caller, "c", retrieval.SearchRequest{})
	slices.Sort(ids)
	if !slices.Equal(ids, []string{"changed", "new", "stays"}) {
		t.Errorf("found %v", ids)
	}
	if n, err := g.ObjectsInWeaviate(t.Context(), "c"); err != nil || n != 3 {
		t.Errorf("%d objects, %v", n, err)
	}
	if n, err := g.Reconcile(t.Context(), gateway.DefaultTenant); err != nil || n != 0 {
		t.Errorf("the reconciler found %d, %v", n, err)
	}
}

// Without the files of its servers, Weaviate is rebuilt and no more than absent,
// and the receipt says why.
func TestARebuildWhoseFilesCannotBeReadIsAnException(t *testing.T) {
	for name, data := range map[string]func(t *testing.T) []string{
		"not told":        func(*testing.T) []string { return nil },
		"another's":       func(t *testing.T) []string { return []string{t.TempDir()} },
		"of more servers": func(t *testing.T) []string { return []string{t.TempDir(), t.TempDir()} },
	} {
		t.Run(name, func(t *testing.T) {
			var clock ahead
			g := openGateway(t, gateway.Config{Weaviate: onWeaviate(t), WeaviateRebuild: 24 * time.Hour, WeaviateData: data(t),
				ErasuresByHand: true, RebuildsByHand: true, Now: clock.Now})
			say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb)
			makeCollection(t, g, "c", retrieval.Spec{})
			ingest(t, g, "c", invented("ada", "bob"))
			e := throughRebuildByHand(t, g, &clock, erase(t, g, "ada").ID)
			r := targetOf(e, "index")
			if e.State != erasure.CompletedWithExceptions || r.Level != erasure.Absent || r.Goal != erasure.Purged || r.Exception == "" || r.State() != "exception" {
				t.Errorf("%v: %+v", e.State, r)
			}
			t.Log(r.Exception)
			wantReceipt(t, g, e.ID)
		})
	}
}

// A class of the tenant that no collection has is dropped by the reconciler,
// and nobody else's.
func TestOrphanClassesAreDropped(t *testing.T) {
	w := testweaviate.Start(t)
	dir := filepath.Join(t.TempDir(), "data")
	open := func() *gateway.Gateway {
		return openGateway(t, gateway.Config{DataDir: dir, Weaviate: &weaviate.Options{URL: w.URL(), GRPC: w.GRPC()}})
	}
	g := open()
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	for _, c := range []string{"a", "b"} {
		makeCollection(t, g, c, retrieval.Spec{})
		put(t, g, caller, c, retrieval.Document{ID: "d", Owners: people(t, "ada"), Text: "about the server"})
	}
	before := classesIn(t, w.URL())
	again := g.RecreateInWeaviate(t, "b")
	must(t, g.Retrieval.DropCollection(t.Context(), caller, "b"))
	again() // by a gateway that had not heard of it
	foreign := openGateway(t, gateway.Config{Weaviate: &weaviate.Options{URL: w.URL(), GRPC: w.GRPC()}})
	say(t, foreign, consent.Granted, []string{"ada"}, rag, emb)
	makeCollection(t, foreign, "a", retrieval.Spec{})
	put(t, foreign, caller, "a", retrieval.Document{ID: "d", Owners: people(t, "ada"), Text: "about the server"})
	if n := len(classesIn(t, w.URL())); len(before) != 2 || n != 3 {
		t.Fatalf("%d classes, then %d", len(before), n)
	}
	if _, err := g.Reconcile(t.Context(), gateway.DefaultTenant); err != nil {
		t.Fatal(err)
	}
	if n := len(classesIn(t, w.URL())); n != 2 {
		t.Errorf("%d classes are left", n)
	}
	if ids := searchIDs(t, g, caller, "a", retrieval.SearchRequest{}); len(ids) != 1 {
		t.Errorf("found %v", ids)
	}
	if ids := searchIDs(t, foreign, caller, "a", retrieval.SearchRequest{}); len(ids) != 1 {
		t.Errorf("the other deployment found %v", ids)
	}
}

// Whatever the schedule says, a rebuild starts by itself when half of the time of
// the erasure that waits for it is over; those that came before it share it, one
// that came after it began does not.
func TestARebuildStartsInTimeAndIsShared(t *testing.T) {
	var clock ahead
	g := openGateway(t, gateway.Config{Weaviate: onWeaviate(t), WeaviateRebuild: 10_000 * time.Hour, ErasuresByHand: true, RebuildsByHand: true, Now: clock.Now})
	names := []string{"ada", "bob", "eve", "kim"}
	say(t, g, consent.Granted, names, rag, emb)
	makeCollection(t, g, "c", retrieval.Spec{})
	ingest(t, g, "c", invented(names...))
	waits := func(who string) erasure.Erasure {
		e := erase(t, g, who)
		for targetOf(e, "index").State() != "waiting_for_rebuild" {
			var err error
			if e, err = g.Erasure.Carry(t.Context(), gateway.DefaultTenant, e.ID); err != nil || e.State != erasure.Running {
				t.Fatal(e.State, err)
			}
			clock.by.Add(int64(10 * time.Second))
		}
		return e
	}
	first, second := waits("ada"), waits("bob")
	for idle(t, g) {
		clock.by.Add(int64(6 * time.Hour))
		var err error
		if first, err = g.Erasure.Carry(t.Context(), gateway.DefaultTenant, first.ID); err != nil || first.State != erasure.Running {
			t.Fatal(first.State, err)
		}
	}
	total := first.Deadline - first.Created
	if left := first.Deadline - first.Now; left > total/2 || left < total/2-consent.Time(12*time.Hour) {
		t.Errorf("begun with %v of %v left", time.Duration(left), time.Duration(total))
	}
	until(t, g, &clock, retrieval.Draining)
	late := waits("eve")
	until(t, g, &clock, retrieval.NotRebuilding)
	for i, e := range []erasure.Erasure{first, second, late} {
		e, err := g.Erasure.Carry(t.Context(), gateway.DefaultTenant, e.ID)
		must(t, err)
		if ended := e.State == erasure.CompletedWithExceptions; ended != (i < 2) { // the files cannot be read here
			t.Errorf("erasure %d: %v", i, e.State)
		}
	}
}

// The gateway that leads a rebuild is killed in the middle of it. Within its lease
// no other goes on; then one does, and every gateway finds everything throughout.
func TestARebuildOfAKilledGatewayIsGoneOnWithByAnother(t *testing.T) {
	o := onWeaviate(t)
	t.Setenv("ASSENT_TEST_WEAVIATE", o.URL)
	t.Setenv("ASSENT_TEST_WEAVIATE_GRPC", o.GRPC)
	c := newCluster(t, server(t))
	var clock ahead
	cfg := gateway.Config{RebuildsByHand: true, Deaf: true, Now: clock.Now}
	idleApplier := *o
	idleApplier.Idle = true // the killed one has the lease, and not by chance
	cfg.Weaviate = &idleApplier
	stays, watches := c.open(cfg), c.open(cfg)
	say(t, stays, consent.Granted, []string{"ada"}, rag, emb)
	makeCollection(t, stays, "c", retrieval.Spec{})
	const n = 300 // more than a page of a filling
	var docs []retrieval.Submission
	for i := range n {
		docs = append(docs, retrieval.Submission{Document: retrieval.Document{ID: fmt.Sprint(i), Owners: people(t, "ada"), Text: fmt.Sprint("about the server ", i)}})
	}
	_, err := stays.Retrieval.Ingest(t.Context(), caller, "c", docs, consent.Once{})
	must(t, err)
	whole := func(when string) {
		t.Helper()
		for i, g := range []*gateway.Gateway{stays, watches} {
			a, err := g.Retrieval.Search(t.Context(), caller, "c", retrieval.SearchRequest{Query: "about the server", K: 1000, Purpose: "rag_retrieval"})
			if err != nil || len(a.Hits) != n || a.Privacy.Completeness == retrieval.Degraded {
				t.Errorf("%s, gateway %d: %d hits, %s, %v", when, i, len(a.Hits), a.Privacy.Completeness, err)
			}
		}
	}
	dies := c.child(t, "rebuild.page:2")
	if status, _, err := dies.call("POST", "/v1/rebuilds", nil); err == nil && status != 200 {
		t.Fatalf("status %d", status)
	}
	select {
	case <-dies.dead:
	case <-time.After(time.Minute):
		t.Fatal("the step was never reached")
	}
	whole("after the crash")
	stands := func() retrieval.RebuildState {
		t.Helper()
		all, err := stays.Retrieval.Rebuilds(t.Context(), gateway.DefaultTenant)
		must(t, err)
		return all[0].State
	}
	if busy, err := stays.Retrieval.Rebuild(t.Context(), gateway.DefaultTenant); err != nil || !busy || stands() != retrieval.Filling {
		t.Errorf("within the lease of the killed: %v, %v, %v", busy, stands(), err)
	}
	clock.by.Store(int64(time.Minute))
	until(t, stays, &clock, retrieval.Draining)
	whole("after the switch")
	until(t, stays, &clock, retrieval.NotRebuilding)
	whole("after the rebuild")
	if n2, err := watches.ObjectsInWeaviate(t.Context(), "c"); err != nil || n2 != n {
		t.Errorf("%d objects, %v", n2, err)
	}
}
