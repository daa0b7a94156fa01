package gateway_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
)

// atStep opens a gateway that calls what is stored once, at a step of an erasure.
func atStep(t *testing.T, open opener, cfg gateway.Config, step string) (*gateway.Gateway, *atomic.Pointer[func()]) {
	t.Helper()
	var then atomic.Pointer[func()]
	cfg.ErasuresByHand = true
	cfg.Step = func(name string) {
		if f := then.Load(); f != nil && name == step && then.CompareAndSwap(f, nil) {
			(*f)()
		}
	}
	return open(t, cfg), &then
}

func eraseDocument(t testing.TB, g *gateway.Gateway, collection, document string) string {
	t.Helper()
	e, err := g.Erasure.Request(context.Background(), gateway.DefaultTenant, erasure.Request{
		Scope: erasure.ScopeDocument, Documents: erasure.Documents{Collection: collection, Document: document}, By: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return e.ID
}

// A document's id is used again between the step that deletes it and verification,
// with the same content: by somebody else after its owner's erasure, and by the same
// pipeline after its own. What is new is no trace of what is gone: the erasure ends.
func TestAnIDThatIsUsedAgainIsNoTrace(t *testing.T) {
	for _, again := range []string{"bob", "ada"} {
		t.Run("by "+again, func(t *testing.T) {
			onBoth(t, func(t *testing.T, open opener) {
				g, then := atStep(t, open, gateway.Config{}, "erasure.after.documents")
				say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb)
				makeCollection(t, g, "c", retrieval.Spec{})
				store(t, g, "c", owned(t, "one", "ada"), owned(t, "two", "bob"))
				var id string
				if again == "bob" {
					id = erase(t, g, "ada").ID
				} else {
					id = eraseDocument(t, g, "c", "one")
				}
				f := func() { store(t, g, "c", owned(t, "one", again)) }
				then.Store(&f)
				e := ended(t, g, id)
				if e.State != erasure.Completed || e.Gathered.Documents != 1 || e.Attempts != 0 || then.Load() != nil {
					t.Errorf("%v after %d attempts, %+v", e.State, e.Attempts, e)
				}
				if n := len(find(t, g, "c", "server")); n != 2 {
					t.Errorf("%d hits, want both", n)
				}
				if e, err := g.Erasure.Verify(t.Context(), gateway.DefaultTenant, id); err != nil {
					t.Errorf("verified again: %v, %v", e.Level, err)
				}
			})
		})
	}
}

// While one id is used again, of another the old row comes back as a broken store
// would bring it: that is found, and taken away in the next round; the new one stays.
func TestAnOldVersionThatComesBackIsFoundBesideANewOne(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	g, then := atStep(t, openGateway, gateway.Config{DataDir: dir}, "erasure.after.files")
	say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb)
	makeCollection(t, g, "c", retrieval.Spec{})
	store(t, g, "c", owned(t, "one", "ada"), owned(t, "two", "ada"))
	db, err := sql.Open("sqlite", filepath.Join(dir, "assent.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // its temporary tables are one connection's
	do := func(query string) {
		t.Helper()
		if _, err := db.Exec(query); err != nil {
			t.Fatal(err)
		}
	}
	do(`PRAGMA temp_store = memory`)
	do(`CREATE TEMP TABLE was AS SELECT * FROM documents ORDER BY id DESC LIMIT 1`)
	do(`CREATE TEMP TABLE links AS SELECT * FROM document_subjects WHERE doc IN (SELECT id FROM was)`)
	id := erase(t, g, "ada").ID
	f := func() {
		store(t, g, "c", owned(t, "one", "bob"))
		do(`INSERT OR REPLACE INTO documents SELECT * FROM was`)
		do(`INSERT OR REPLACE INTO document_subjects SELECT * FROM links`)
	}
	then.Store(&f)
	e, err := g.Erasure.Carry(t.Context(), gateway.DefaultTenant, id)
	if err != nil || then.Load() != nil {
		t.Fatal(err, then.Load() != nil)
	}
	at := slices.IndexFunc(e.Targets, func(r erasure.TargetReport) bool { return r.Name == "catalogue" })
	if e.State != erasure.Running || e.Targets[at].Remaining == 0 {
		t.Fatalf("an old version is back: %v, %+v", e.State, e.Targets[at])
	}
	found := false
	for _, p := range e.Probes {
		found = found || p.Name == "files: records" && p.Found > 0
	}
	if !found {
		t.Errorf("its record was not found in the files: %+v", e.Probes)
	}
	wantPurged(t, ended(t, g, id))
	if hits := find(t, g, "c", "server"); len(hits) != 1 || hits[0].DocumentID != "one" {
		t.Errorf("afterwards: %+v", hits)
	}
}
