package gateway_test

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/testweaviate"
	"github.com/assent-gateway/assent/internal/weaviate"
	"github.com/assent-gateway/assent/retrieval"
)

// Without opting in to keywords, no text, name, identifier, title, group or
// undeclared metadata rests in Weaviate's files; with it, the text does, which
// shows that the scan would find it.
func TestWhatRestsInWeaviate(t *testing.T) {
	s := testweaviate.Start(t)
	g := openGateway(t, gateway.Config{Weaviate: &weaviate.Options{URL: s.URL(), GRPC: s.GRPC()}})
	say(t, g, consent.Granted, []string{"markedada"}, rag, emb)
	store := func(collection string, keyword bool) {
		makeCollection(t, g, collection, retrieval.Spec{Filterable: []string{"lang"}, Keyword: keyword})
		for i := range 20 {
			put(t, g, caller, collection, retrieval.Document{
				ID: fmt.Sprint("markeddocument", i), Title: "markedtitle", Text: "markedtext about the server", Owners: people(t, "markedada"), Mentions: people(t, "markedmention"),
				Source: "markedsource", Metadata: map[string]retrieval.Value{"lang": retrieval.StringValue("en"), "note": retrieval.StringValue("markednote")},
				Visibility: retrieval.Visibility{Level: retrieval.Listed, Users: people(t, "markeduser"), Groups: []string{"markedgroup"}},
			})
		}
	}
	scan := func() []string {
		s.Kill()
		needles := map[string][]byte{}
		for _, word := range []string{"ada", "document", "title", "text", "source", "note", "user", "group", "mention"} {
			mark := []byte("marked" + word)
			needles[word] = mark
			needles[word+" in hex"] = []byte(hex.EncodeToString(mark))
			needles[word+" in base64"] = []byte(base64.StdEncoding.EncodeToString(mark)[:len(mark)])
		}
		found := scanFiles(t, s.Data(), needles)
		must(t, s.Restart())
		return found
	}
	store("closed", false)
	must(t, g.ApplyVerdicts(t.Context(), gateway.DefaultTenant))
	if found := scan(); len(found) > 0 {
		t.Errorf("at rest in Weaviate: %v", found)
	}
	store("open", true)
	if found := scan(); !slices.ContainsFunc(found, func(f string) bool { return strings.HasPrefix(f, "text in ") }) {
		t.Error("the scan does not find what rests there")
	}
}

// Keywords, and filters, are there where the collection declared them.
func TestWhatACollectionInWeaviateDeclares(t *testing.T) {
	g := openGateway(t, gateway.Config{Weaviate: onWeaviate(t)})
	say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb)
	makeCollection(t, g, "plain", retrieval.Spec{})
	makeCollection(t, g, "words", retrieval.Spec{Keyword: true, Filterable: []string{"lang"}})
	for _, c := range []string{"plain", "words"} {
		for i, text := range []string{"the backup server was restarted", "nobody knows why", "a server is a machine"} {
			put(t, g, caller, c, retrieval.Document{ID: fmt.Sprint("d", i), Owners: people(t, []string{"ada", "bob"}[i%2]), Text: text,
				Metadata: map[string]retrieval.Value{"lang": retrieval.StringValue("en")}})
		}
	}
	ask := func(c string, r retrieval.SearchRequest) (retrieval.Answer, error) {
		r.Purpose, r.K = "rag_retrieval", 10
		if r.Query == "" {
			r.Query = "server restarted"
		}
		return g.Retrieval.Search(t.Context(), caller, c, r)
	}
	for _, mode := range []retrieval.Mode{retrieval.ModeKeyword, retrieval.ModeHybrid} {
		if _, err := ask("plain", retrieval.SearchRequest{Mode: mode}); !errors.Is(err, retrieval.ErrModeUnavailable) {
			t.Errorf("mode %d without keywords: %v", mode, err)
		}
	}
	if a, err := ask("plain", retrieval.SearchRequest{}); err != nil || a.Mode != retrieval.ModeVector || len(a.Hits) != 3 {
		t.Errorf("default without keywords: mode %d, %d hits, error %v", a.Mode, len(a.Hits), err)
	}
	a, err := ask("words", retrieval.SearchRequest{Mode: retrieval.ModeKeyword})
	if err != nil || len(a.Hits) != 2 || a.Hits[0].DocumentID != "d0" || a.Hits[1].DocumentID != "d2" {
		t.Errorf("keywords: %d hits, error %v", len(a.Hits), err)
	}
	if a, err = ask("words", retrieval.SearchRequest{}); err != nil || a.Mode != retrieval.ModeHybrid || len(a.Hits) != 3 || a.Hits[0].DocumentID != "d0" || a.Hits[0].Score != 1 {
		t.Errorf("default with keywords: mode %d, %d hits, error %v", a.Mode, len(a.Hits), err)
	}
	say(t, g, consent.Revoked, []string{"ada"}, rag)
	if a, err = ask("words", retrieval.SearchRequest{Mode: retrieval.ModeKeyword}); err != nil || len(a.Hits) != 0 {
		t.Errorf("keywords after a revocation: %d hits, error %v", len(a.Hits), err)
	}
	for c, want := range map[string]string{"plain": "filter", "words": "filter"} {
		_, err := ask(c, retrieval.SearchRequest{Filter: []byte(`{"field":"year","op":"eq","value":2020}`)})
		var input *retrieval.InputError
		if !errors.As(err, &input) || !strings.HasPrefix(input.Field, want) {
			t.Errorf("%s: a filter on what is not declared: %v", c, err)
		}
	}
	if a, err = ask("words", retrieval.SearchRequest{Filter: []byte(`{"field":"lang","op":"in","value":["en"]}`)}); err != nil || len(a.Hits) != 1 {
		t.Errorf("a declared field: %d hits, error %v", len(a.Hits), err)
	}
}

// kill -9 after each step of a replacement: the repeat of the request makes it
// whole, one version is found, and what was left in Weaviate is swept when the
// lease has ended.
func TestKillBetweenTheStepsOutside(t *testing.T) {
	o := onWeaviate(t)
	t.Setenv("ASSENT_TEST_WEAVIATE", o.URL)
	t.Setenv("ASSENT_TEST_WEAVIATE_GRPC", o.GRPC)
	for _, step := range []string{"slots.synced", "outside.reserved", "outside.placed", "tx.committed", "applied", "outside.withdrawn"} {
		t.Run(step, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			g, err := gateway.Open(t.Context(), gateway.Config{DataDir: dir, AdminKey: adminKey, Weaviate: o})
			must(t, err)
			makeCollection(t, g, "a", retrieval.Spec{})
			say(t, g, consent.Granted, []string{"ada"}, rag, emb)
			put(t, g, caller, "a", retrieval.Document{ID: "d", Owners: people(t, "ada"), Text: "the old text"})
			must(t, g.Close())
			c := startChild(t, dir, step+":1")
			for nth := 2; c.url == ""; nth++ { // the ledger has steps of these names, too, on the way up
				<-c.dead
				c = startChild(t, dir, fmt.Sprint(step, ":", nth))
			}
			body := map[string]any{"documents": []map[string]any{{"id": "d", "owners": []string{"user:ada"}, "text": "the new text"}}}
			if status, _, err := c.call("POST", "/v1/collections/a/documents", body); err == nil {
				t.Fatalf("the child lived: status %d", status)
			}
			<-c.dead
			later := func() time.Time { return time.Now().Add(2 * time.Minute) } // past every lease
			g, err = gateway.Open(t.Context(), gateway.Config{DataDir: dir, AdminKey: adminKey, Weaviate: o, Now: later})
			must(t, err)
			defer g.Close()
			texts := func() (out []string) {
				t.Helper()
				a, err := g.Retrieval.Search(t.Context(), caller, "a", retrieval.SearchRequest{Query: "text", K: 10, Purpose: "rag_retrieval"})
				must(t, err)
				for _, h := range a.Hits {
					out = append(out, h.Text)
				}
				return out
			}
			// tx.committed is also the database's name for the end of a
			// transaction, here that of the reservation.
			committed := step == "applied" || step == "outside.withdrawn"
			if got := texts(); len(got) != 1 || committed != (got[0] == "the new text") {
				t.Errorf("found %q after the crash", got)
			}
			put(t, g, caller, "a", retrieval.Document{ID: "d", Owners: people(t, "ada"), Text: "the new text"})
			if got := texts(); !slices.Equal(got, []string{"the new text"}) {
				t.Errorf("found %q after the repeat", got)
			}
			if _, err := g.Retrieval.Sweep(t.Context(), gateway.DefaultTenant); err != nil {
				t.Fatal(err)
			}
			if n, err := g.Reconcile(t.Context(), gateway.DefaultTenant); err != nil || n != 0 {
				t.Errorf("the reconciler found %d objects that the debts did not know, error %v", n, err)
			}
			if n, err := g.ObjectsInWeaviate(t.Context(), "a"); err != nil || n != 1 {
				t.Errorf("%d objects are left in Weaviate, error %v", n, err)
			}
		})
	}
}
