package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
	"github.com/assent-gateway/assent/training"
)

// stales are the reasons of all manifest.stale events of a manifest.
func stales(t *testing.T, g *gateway.Gateway, manifest string) (reasons []string) {
	t.Helper()
	all, _, err := g.Events.Read(t.Context(), gateway.DefaultTenant, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		var body struct {
			Data struct{ Manifest, Reason string }
		}
		if err := json.Unmarshal(e.Message.Event, &body); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(e.Type, "manifest.stale.v1") && body.Data.Manifest == manifest {
			reasons = append(reasons, body.Data.Reason)
		}
	}
	return reasons
}

// wantGone checks that of a manifest pipelines heard once, that its files are gone
// and that whoever has a copy hears which rows to drop.
func wantGone(t *testing.T, g *gateway.Gateway, m training.Manifest, drop int) {
	t.Helper()
	if got := stales(t, g, m.ID); len(got) != 1 || got[0] != "erased" {
		t.Errorf("events of the manifest: %q", got)
	}
	c, err := g.Training.Check(t.Context(), trainer, m.ID)
	if err != nil || c.Status != training.Revoked || len(c.Drop) != drop {
		t.Errorf("check: %+v, %v", c, err)
	}
	if f, _, err := g.Training.OpenFile(t.Context(), trainer, m.ID, m.Files[0].Name); !errors.Is(err, training.ErrErased) {
		if err == nil {
			f.Close()
		}
		t.Errorf("its file: %v", err)
	}
}

// An erasure of documents, however it names them, makes one event of each manifest
// that holds rows of them, nobody having asked for events before they were gone;
// another erasure makes no second one, and other manifests none.
func TestAnErasureOfDocumentsMakesManifestsStaleOnce(t *testing.T) {
	for _, scope := range []erasure.Scope{erasure.ScopeDocument, erasure.ScopeSource, erasure.ScopeCollection, erasure.ScopeRetention} {
		t.Run(string(scope), func(t *testing.T) {
			t.Parallel()
			clock := newClock()
			g := openGateway(t, gateway.Config{ErasuresByHand: true, Now: clock.Now})
			say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb, trn)
			for _, c := range []string{"a", "b"} {
				makeCollection(t, g, c, retrieval.Spec{})
				put(t, g, caller, c, retrieval.Document{ID: "one", Owners: people(t, "ada"), Text: "by ada", Source: "mail-" + c},
					retrieval.Document{ID: "two", Owners: people(t, "bob"), Text: "by bob"})
			}
			if scope == erasure.ScopeRetention {
				put(t, g, caller, "a", retrieval.Document{ID: "old", Owners: people(t, "bob"), Text: "old", RetainUntil: clock.Now().Add(24 * time.Hour)})
			}
			m, other := manifest(t, g, spec("a")), manifest(t, g, spec("b"))
			drop := 1
			switch scope {
			case erasure.ScopeDocument:
				ended(t, g, eraseDocument(t, g, "a", "one"))
				ended(t, g, eraseDocument(t, g, "a", "two"))
				drop = 2
			case erasure.ScopeRetention:
				clock.move(2)
				if e := sweep(t, g); len(e) != 1 || e[0].State != erasure.Completed {
					t.Fatalf("%+v", e)
				}
			default:
				r := erasure.Request{Scope: scope, By: "test", Documents: erasure.Documents{Collection: "a"}}
				if scope == erasure.ScopeSource {
					r.Documents.Source = "mail-a"
				} else {
					drop = 2
				}
				e, err := g.Erasure.Request(t.Context(), gateway.DefaultTenant, r)
				if err != nil {
					t.Fatal(err)
				}
				ended(t, g, e.ID)
			}
			wantGone(t, g, m, drop)
			if got := stales(t, g, other.ID); len(got) != 0 {
				t.Errorf("of the other manifest: %q", got)
			}
		})
	}
}

// The name of an erased person is taken out of a text of somebody else's: manifests
// that hold the old text become stale, and their files go. So they do where the
// process ended, or something failed, at any step of it.
func TestRedactingAMentionReachesManifests(t *testing.T) {
	for _, step := range []string{"", "redact.marked", "redact.written", "redact.asked"} {
		t.Run("at "+step, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var armed atomic.Bool
			cfg := gateway.Config{DataDir: filepath.Join(t.TempDir(), "data"), AdminKey: adminKey, ErasuresByHand: true, Step: func(name string) {
				if name == step && armed.Load() {
					cancel()
				}
			}}
			g := openGateway(t, cfg)
			say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb, trn)
			makeCollection(t, g, "a", retrieval.Spec{})
			put(t, g, caller, "a", retrieval.Document{ID: "one", Owners: people(t, "bob"), Text: "Ask ada about it."},
				retrieval.Document{ID: "two", Owners: people(t, "bob"), Text: "Nobody is named."})
			s := spec("a")
			s.IncludeText = true
			m := manifest(t, g, s)
			id := ended(t, g, erase(t, g, "ada").ID).ID
			if got := stales(t, g, m.ID); len(got) != 0 {
				t.Fatalf("before: %q", got)
			}
			armed.Store(true)
			n := waiting(t, g, id)["one"].N
			err := g.Erasure.Review(ctx, gateway.DefaultTenant, id, n, erasure.ActRedact, "test")
			if (err == nil) != (step == "") {
				t.Fatalf("reviewed: %v", err)
			}
			if step != "" {
				armed.Store(false)
				g.Close()
				g = openGateway(t, cfg)
				if err := g.Erasure.Resume(t.Context(), gateway.DefaultTenant); err != nil {
					t.Fatal(err)
				}
			}
			all, err := g.Erasure.List(t.Context(), gateway.DefaultTenant, erasure.Page{Limit: 9})
			if err != nil || len(all) != 2 {
				t.Fatalf("%d erasures, %v", len(all), err)
			}
			for _, e := range all {
				if e := ended(t, g, e.ID); e.State != erasure.Completed {
					t.Errorf("%v: %v", e.Scope, e.State)
				}
			}
			wantGone(t, g, m, 1)
			if left := waiting(t, g, id); len(left) != 0 {
				t.Errorf("waiting: %+v", left)
			}
			for _, r := range rowsOf(t, g, manifest(t, g, s)) {
				if strings.Contains(r.Text, "ada") {
					t.Errorf("the next manifest holds %q", r.Text)
				}
			}
			if hits := find(t, g, "a", "ask"); len(hits) == 0 || hits[0].Text != "Ask [redacted] about it." {
				t.Errorf("found %+v", hits)
			}
		})
	}
}
