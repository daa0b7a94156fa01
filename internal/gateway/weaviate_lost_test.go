package gateway_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/testweaviate"
	"github.com/assent-gateway/assent/internal/weaviate"
	"github.com/assent-gateway/assent/retrieval"
)

// A Weaviate that lost everything, or was put back from a day before half of it
// came, is filled again before the gateway serves: an answer from what is left
// would lack passages and say that there are no more. What was revoked and
// deleted since stays so.
func TestALostWeaviateIsFilledAgain(t *testing.T) {
	w := testweaviate.Start(t)
	dir := filepath.Join(t.TempDir(), "data")
	open := func() *gateway.Gateway {
		return openGateway(t, gateway.Config{DataDir: dir, Weaviate: &weaviate.Options{URL: w.URL(), GRPC: w.GRPC()}})
	}
	g := open()
	makeCollection(t, g, "a", retrieval.Spec{Keyword: true, Filterable: []string{"half"}})
	say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb)
	store := func(half int) {
		for n := range 10 {
			for _, who := range []string{"ada", "bob"} {
				put(t, g, caller, "a", retrieval.Document{ID: fmt.Sprint(who, half, "-", n), Title: "printer", Owners: people(t, who), Text: "about the server",
					Metadata: map[string]retrieval.Value{"half": retrieval.IntValue(int64(half))}})
			}
		}
	}
	finds := func(when string, want int, r retrieval.SearchRequest) {
		t.Helper()
		r.K = 100
		if ids := searchIDs(t, g, caller, "a", r); len(ids) != want {
			t.Errorf("%s: %d found, want %d", when, len(ids), want)
		}
	}
	store(1)
	say(t, g, consent.Revoked, []string{"ada"}, rag)
	must(t, g.ApplyVerdicts(t.Context(), gateway.DefaultTenant))
	g.Close()
	w.Kill()
	old := filepath.Join(t.TempDir(), "old")
	must(t, os.CopyFS(old, os.DirFS(w.Data())))
	must(t, w.Restart())
	g = open()
	store(2)
	say(t, g, consent.Granted, []string{"ada"}, rag)
	must(t, g.ApplyVerdicts(t.Context(), gateway.DefaultTenant)) // the copy's objects of ada say otherwise
	must(t, g.Retrieval.Delete(t.Context(), caller, "a", "bob1-0"))
	finds("before", 39, retrieval.SearchRequest{})
	g.Close()
	for _, loss := range []struct {
		what string
		lose func()
	}{
		{"put back from a copy", func() {
			w.Kill()
			must(t, os.RemoveAll(w.Data()))
			must(t, os.CopyFS(w.Data(), os.DirFS(old)))
			must(t, w.Restart())
		}},
		{"emptied", func() { dropClasses(t, w.URL()) }},
	} {
		loss.lose()
		g = open()
		finds(loss.what, 39, retrieval.SearchRequest{Mode: retrieval.ModeVector})
		finds(loss.what+", by keyword", 39, retrieval.SearchRequest{Mode: retrieval.ModeKeyword, Query: "printer"})
		finds(loss.what+", filtered", 20, retrieval.SearchRequest{Filter: []byte(`{"field":"half","op":"eq","value":2}`)})
		say(t, g, consent.Revoked, []string{"ada"}, rag)
		finds(loss.what+", revoked", 19, retrieval.SearchRequest{})
		say(t, g, consent.Granted, []string{"ada"}, rag)
		must(t, g.ApplyVerdicts(t.Context(), gateway.DefaultTenant))
		g.Close()
	}
}

// classesIn are the classes of a server.
func classesIn(t testing.TB, url string) (names []string) {
	t.Helper()
	resp, err := http.Get(url + "/v1/schema")
	must(t, err)
	defer resp.Body.Close()
	var schema struct{ Classes []struct{ Class string } }
	must(t, json.NewDecoder(resp.Body).Decode(&schema))
	for _, c := range schema.Classes {
		names = append(names, c.Class)
	}
	return names
}

func dropClasses(t *testing.T, url string) {
	t.Helper()
	classes := classesIn(t, url)
	if len(classes) == 0 {
		t.Fatal("there is nothing to lose")
	}
	for _, class := range classes {
		req, err := http.NewRequest("DELETE", url+"/v1/schema/"+class, nil)
		must(t, err)
		gone, err := http.DefaultClient.Do(req)
		must(t, err)
		gone.Body.Close()
	}
}
