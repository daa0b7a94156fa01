package gateway_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
)

// naming are documents of others: three name ada.
func naming(t testing.TB) []retrieval.Document {
	t.Helper()
	long := strings.Repeat("Nobody knows who started the server that day. ", 60)
	return []retrieval.Document{
		{ID: "a", Owners: persons(t, "bob"), Text: "Ask ADA about the server."},
		{ID: "b", Owners: persons(t, "bob"), Text: "The server of Adam in Canada."},
		{ID: "c", Owners: persons(t, "eve"), Title: "To ada@example.org", Text: "The server is down."},
		{ID: "d", Owners: persons(t, "bob", "eve"), Text: long + "It was Ada. " + long},
		{ID: "own", Owners: persons(t, "ada"), Text: "Ada's server."},
	}
}

func mentionsStart(t testing.TB, g *gateway.Gateway) {
	t.Helper()
	say(t, g, consent.Granted, []string{"ada", "bob", "eve"}, rag, emb)
	if _, err := g.Ledger.Identify(t.Context(), gateway.DefaultTenant, subject(t, "ada"), subject(t, "email:ada@example.org")); err != nil {
		t.Fatal(err)
	}
	makeCollection(t, g, "c", retrieval.Spec{})
	store(t, g, "c", naming(t)...)
}

// A name is found where the analyser makes one term of it and what it is joined
// to: in the genitive, with its namespace, in a link.
func TestSuspectedMentionsAreFoundInsideTerms(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open opener) {
		g := open(t, gateway.Config{ErasuresByHand: true})
		mentionsStart(t, g)
		say(t, g, consent.Granted, []string{"user:\u738b\u4f1f"}, rag, emb)
		texts := []string{"It is Ada's server.", "It is ADA\u2019S.", "Said user:ada again.", "The user:Ada's own.", "[x](mailto:ada@example.org)", "See email:ada@example.org.",
			"By ada.lovelace", "lovelace.Ada wrote it", "l'ada's own", "user:ada's.list", "https://x.example/~ada.html", "a.ada@example.org.uk"}
		var docs []retrieval.Document
		for i, text := range texts {
			docs = append(docs, retrieval.Document{ID: fmt.Sprint("joined", i), Owners: persons(t, "bob"), Text: text})
		}
		store(t, g, "c", append(docs, retrieval.Document{ID: "han", Owners: persons(t, "bob"), Text: "\u6211\u53eb\u738b\u4f1f\u3002"})...)
		e := ended(t, g, erase(t, g, "ada").ID)
		list := waiting(t, g, e.ID)
		for i, text := range texts {
			if _, found := list[fmt.Sprint("joined", i)]; !found {
				t.Errorf("not found: %q", text)
			}
		}
		if len(list) != len(texts)+3 {
			t.Errorf("%d wait, want %d", len(list), len(texts)+3)
		}
		e = ended(t, g, erase(t, g, "user:\u738b\u4f1f").ID)
		if list := waiting(t, g, e.ID); len(list) != 1 || len(list["han"].Passages) != 1 {
			t.Errorf("of a name in a text without spaces: %+v", list)
		}
	})
}

// waiting are the documents that wait for review, by id.
func waiting(t testing.TB, g *gateway.Gateway, id string) map[string]erasure.Mention {
	t.Helper()
	found, _, err := g.Erasure.Mentions(t.Context(), gateway.DefaultTenant, id)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]erasure.Mention{}
	for _, m := range found {
		out[m.Document] = m
	}
	return out
}

// Documents of others that seem to name an erased person are listed, counted in
// the receipt, and decided about one by one.
func TestSuspectedMentionsAreReviewed(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open opener) {
		g := open(t, gateway.Config{ErasuresByHand: true})
		mentionsStart(t, g)
		e := ended(t, g, erase(t, g, "ada").ID)
		if e.State != erasure.Completed || e.Gathered.Suspected != 3 || e.Gathered.Documents != 1 {
			t.Fatalf("%v, %+v", e.State, e.Gathered)
		}
		if r := stated(t, g, e.ID).Statement; r.SuspectedMentions != 3 {
			t.Errorf("the receipt: %+v", r)
		}
		list := waiting(t, g, e.ID)
		if len(list) != 3 || len(list["a"].Passages) != 1 || !list["c"].Title || len(list["c"].Passages) != 0 || len(list["d"].Passages) == 0 {
			t.Fatalf("waiting: %+v", list)
		}
		review := func(doc string, a erasure.Action) error {
			return g.Erasure.Review(t.Context(), gateway.DefaultTenant, e.ID, list[doc].N, a, "test")
		}
		if err := errors.Join(review("a", erasure.ActRedact), review("d", erasure.ActRedact), review("c", erasure.ActRemove)); err != nil {
			t.Fatal(err)
		}
		if left := waiting(t, g, e.ID); len(left) != 0 {
			t.Errorf("still waiting: %+v", left)
		}
		if err := review("a", erasure.ActIgnore); !errors.Is(err, erasure.ErrNotFound) {
			t.Errorf("decided twice: %v", err)
		}
		var texts []string
		for _, h := range find(t, g, "c", "server") {
			if strings.Contains(h.Text+h.Title, "ADA") || strings.Contains(h.Text+h.Title, "Ada.") {
				t.Errorf("still named: %q", h.Text)
			}
			if h.DocumentID == "c" {
				t.Error("what was to be removed is found")
			}
			texts = append(texts, h.Text)
		}
		if !slices.Contains(texts, "Ask [redacted] about the server.") {
			t.Errorf("found %q", texts)
		}
		a, err := g.Retrieval.Document(t.Context(), caller, "c", "d", "rag_retrieval")
		if want := strings.TrimSpace(strings.Replace(naming(t)[3].Text, "Ada", "[redacted]", 1)); err != nil || a.Text != want {
			t.Errorf("the long one: %q, %v", a.Text, err)
		}
	})
}

// What changed since is not listed any more; what its people do not permit to be
// embedded again is not redacted; evidence and list end together.
func TestSuspectedMentionsEnd(t *testing.T) {
	t.Parallel()
	clock := newClock()
	g := openGateway(t, gateway.Config{ErasuresByHand: true, Now: clock.Now})
	mentionsStart(t, g)
	e := ended(t, g, erase(t, g, "ada").ID)
	store(t, g, "c", retrieval.Document{ID: "a", Owners: persons(t, "bob"), Text: "Another server."})
	list := waiting(t, g, e.ID)
	if len(list) != 2 {
		t.Errorf("waiting: %+v", list)
	}
	say(t, g, consent.Restricted, []string{"eve"}, emb)
	if err := g.Erasure.Review(t.Context(), gateway.DefaultTenant, e.ID, list["c"].N, erasure.ActRedact, "test"); !errors.Is(err, erasure.ErrState) {
		t.Errorf("redacted against its owner: %v", err)
	}
	if err := g.Erasure.Review(t.Context(), gateway.DefaultTenant, e.ID, list["d"].N, erasure.ActIgnore, "test"); err != nil {
		t.Error(err)
	}
	if left := waiting(t, g, e.ID); len(left) != 1 {
		t.Errorf("still waiting: %+v", left)
	}
	clock.move(3 * 365)
	g.Erasure.Sweep(t.Context(), gateway.DefaultTenant)
	if left := waiting(t, g, e.ID); len(left) != 0 {
		t.Errorf("after the archive's end: %+v", left)
	}
}

// kill -9 around the look: what was found is there once, also when the cascade
// goes round again without the person's key.
func TestKillWhileMentionsAreLookedFor(t *testing.T) {
	t.Parallel()
	for _, crash := range []string{"erasure.before.mentions:1", "erasure.after.mentions:1", "erasure.after.person_key:1", "erasure.verified:1"} {
		t.Run(crash, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			g, err := gateway.Open(t.Context(), gateway.Config{DataDir: dir, AdminKey: adminKey, ErasuresByHand: true})
			if err != nil {
				t.Fatal(err)
			}
			mentionsStart(t, g)
			id := erase(t, g, "ada").ID
			if err := g.Close(); err != nil {
				t.Fatal(err)
			}
			c := startChild(t, dir, crash)
			select {
			case <-c.dead:
			case <-time.After(time.Minute):
				t.Fatal("the step was never reached")
			}
			g = openGateway(t, gateway.Config{DataDir: dir, AdminKey: adminKey, ErasuresByHand: true})
			e := ended(t, g, id)
			wantPurged(t, e)
			if e.Gathered.Suspected != 3 || len(waiting(t, g, id)) != 3 {
				t.Errorf("%d suspected, %d waiting, want 3", e.Gathered.Suspected, len(waiting(t, g, id)))
			}
		})
	}
}
