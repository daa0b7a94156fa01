package gateway_test

import (
	"errors"
	"io/fs"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
	"github.com/assent-gateway/assent/training"
)

// Documents are erased, by name, by source, by collection and because their time
// is over: the copies of training manifests that hold them go with their key, check
// says revoked and which rows to drop, of these documents alone. Manifests without
// them stay, and their owner may go on.
func TestErasureOfDocumentsReachesManifests(t *testing.T) {
	onBoth(t, func(t *testing.T, open opener) {
		var clock ahead
		g := open(t, gateway.Config{ErasuresByHand: true, Now: clock.Now})
		say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb, trn)
		until := time.Now().Add(24 * time.Hour)
		for _, c := range []string{"one", "two", "three"} {
			makeCollection(t, g, c, retrieval.Spec{})
			put(t, g, caller, c,
				retrieval.Document{ID: "a", Owners: people(t, "ada"), Source: "mailbox"}, retrieval.Document{ID: "b", Owners: people(t, "bob")},
				retrieval.Document{ID: "c", Owners: people(t, "bob"), Source: "archive"})
		}
		makeCollection(t, g, "brief", retrieval.Spec{})
		put(t, g, caller, "brief", retrieval.Document{ID: "r", Owners: people(t, "ada"), RetainUntil: until}, retrieval.Document{ID: "s", Owners: people(t, "bob")})
		one, two, both := manifest(t, g, spec("one")), manifest(t, g, spec("two")), manifest(t, g, spec("one", "two"))
		three, brief := manifest(t, g, spec("three")), manifest(t, g, spec("brief"))
		want := func(when string, m training.Manifest, status training.Status, drop int) {
			t.Helper()
			got, err := g.Training.Check(t.Context(), trainer, m.ID)
			if err != nil || got.Status != status || len(got.Drop) != drop {
				t.Errorf("%s: %v, %d rows to drop, %v; want %v and %d", when, got.Status, len(got.Drop), err, status, drop)
			}
			_, lies := os.Lstat(g.FilesOf(m.ID))
			if there := lies == nil; there != (status == training.Valid) || lies != nil && !errors.Is(lies, fs.ErrNotExist) {
				t.Errorf("%s: files on disk: %v", when, lies)
			}
			f, _, err := g.Training.OpenFile(t.Context(), trainer, m.ID, m.Files[0].Name)
			if status == training.Valid {
				must(t, err)
				must(t, f.Close())
			} else if !errors.Is(err, training.ErrErased) {
				t.Errorf("%s: its files: %v", when, err)
			}
		}
		gone := func(r erasure.Request, copies uint64) {
			t.Helper()
			r.By = "test"
			e, err := g.Erasure.Request(t.Context(), gateway.DefaultTenant, r)
			must(t, err)
			e = ended(t, g, e.ID)
			if e.State != erasure.Completed {
				t.Fatalf("%v: %+v", e.State, e)
			}
			for _, target := range e.Targets {
				if target.Name == "manifests" && (target.Deleted != copies || target.State() != "verified") {
					t.Errorf("%s: %+v, want %d copies deleted", r.Scope, target, copies)
				}
			}
			wantReceipt(t, g, e.ID)
		}
		for _, m := range []training.Manifest{one, two, both, three, brief} {
			want("before", m, training.Valid, 0)
		}
		gone(erasure.Request{Scope: erasure.ScopeDocument, Documents: erasure.Documents{Collection: "one", Document: "a"}}, 2)
		want("one, without a document", one, training.Revoked, 1)
		want("both, without it", both, training.Revoked, 1)
		want("two, which never had it", two, training.Valid, 0)
		gone(erasure.Request{Scope: erasure.ScopeDocument, Documents: erasure.Documents{Collection: "one", Document: "nowhere"}}, 0)
		gone(erasure.Request{Scope: erasure.ScopeSource, Documents: erasure.Documents{Source: "archive"}}, 2) // the files of both are gone already
		want("one, without a source", one, training.Revoked, 2)
		want("two, without it", two, training.Revoked, 1)
		want("both, without it", both, training.Revoked, 3)
		want("three, without it", three, training.Revoked, 1)
		gone(erasure.Request{Scope: erasure.ScopeCollection, Documents: erasure.Documents{Collection: "two"}}, 0)
		want("two, erased", two, training.Revoked, 3)
		want("both, without it", both, training.Revoked, 5)
		// Who was in them stays, and a manifest of what is left is built.
		want("built anew", manifest(t, g, spec("one")), training.Valid, 0)
		want("another", brief, training.Valid, 0)
		clock.by.Store(int64(25 * time.Hour))
		g.Erasure.Sweep(t.Context(), gateway.DefaultTenant)
		left, err := g.Erasure.List(t.Context(), gateway.DefaultTenant, erasure.Page{OpenOnly: true, Limit: 2})
		if err != nil || len(left) != 1 || left[0].Scope != erasure.ScopeRetention {
			t.Fatalf("%d open erasures, %v", len(left), err)
		}
		if e := ended(t, g, left[0].ID); e.State != erasure.Completed {
			t.Errorf("%v", e.State)
		}
		want("past a retention", brief, training.Revoked, 1)
	})
}

// A manifest is being built while a document that it has read already is erased:
// the erasure is not done before the build is, and then the copy goes.
func TestErasureOfADocumentWaitsForManifestsBeingBuilt(t *testing.T) {
	scanned, goOn := make(chan struct{}), make(chan struct{})
	first := true
	g := openGateway(t, gateway.Config{ErasuresByHand: true, Step: func(at string) {
		if at == "scanned" && first {
			first = false
			close(scanned)
			<-goOn
		}
	}})
	release := sync.OnceFunc(func() { close(goOn) })
	t.Cleanup(release) // before the gateway is closed
	say(t, g, consent.Granted, []string{"ada"}, rag, emb, trn)
	makeCollection(t, g, "c", retrieval.Spec{})
	put(t, g, caller, "c", retrieval.Document{ID: "a", Owners: people(t, "ada")}, retrieval.Document{ID: "b", Owners: people(t, "ada")})
	built := make(chan training.Manifest, 1)
	go func() { built <- manifest(t, g, spec("c")) }()
	<-scanned
	e, err := g.Erasure.Request(t.Context(), gateway.DefaultTenant, erasure.Request{Scope: erasure.ScopeDocument, Documents: erasure.Documents{Collection: "c", Document: "a"}, By: "test"})
	must(t, err)
	for range 3 {
		if e, err = g.Erasure.Carry(t.Context(), gateway.DefaultTenant, e.ID); err != nil || e.State != erasure.Running || e.Attempts != 0 {
			t.Fatalf("while a manifest is built: %v after %d attempts, %v", e.State, e.Attempts, err)
		}
	}
	if n := len(find(t, g, "c", "server")); n != 1 {
		t.Errorf("%d hits meanwhile, want 1", n)
	}
	release()
	m := <-built
	wantPurged(t, ended(t, g, e.ID))
	got, err := g.Training.Check(t.Context(), trainer, m.ID)
	if err != nil || got.Status != training.Revoked || len(got.Drop) != 1 {
		t.Errorf("%v, %d rows to drop, %v", got.Status, len(got.Drop), err)
	}
	if _, err := os.Lstat(g.FilesOf(m.ID)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("files of the manifest: %v", err)
	}
}
