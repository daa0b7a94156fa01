package gateway_test

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/credential"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/localembed"
	"github.com/assent-gateway/assent/retrieval"
)

// documentsFound searches by keyword and returns the documents found.
func documentsFound(t *testing.T, g *gateway.Gateway, who retrieval.Caller, collection, query string) map[string]string {
	t.Helper()
	a, err := g.Retrieval.Search(t.Context(), who, collection, retrieval.SearchRequest{Query: query, K: 100, Purpose: "rag_retrieval", Mode: retrieval.ModeKeyword})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, h := range a.Hits {
		found[h.DocumentID] = h.Text
	}
	return found
}

// What one gateway acknowledged, the next call at another one sees, with every
// notification dropped: people, collections, documents, replacements, deletions.
func TestGatewaysSeeWhatOthersAcknowledged(t *testing.T) {
	c := newCluster(t, server(t))
	a, b := c.open(gateway.Config{Deaf: true}), c.open(gateway.Config{Deaf: true})
	put := func(g *gateway.Gateway, id, text string) retrieval.DocResult {
		t.Helper()
		doc := retrieval.Document{ID: id, Text: text, Owners: []consent.Subject{subject(t, "ada")}}
		out, err := g.Retrieval.Ingest(t.Context(), caller, "notes", []retrieval.Submission{{Document: doc}}, consent.Once{})
		if err != nil {
			t.Fatal(err)
		}
		return out.Results[0]
	}
	say(t, a, consent.Granted, []string{"ada"}, rag, emb)
	makeCollection(t, b, "notes", retrieval.Spec{})
	if r := put(a, "one", "the first server"); r.Status != retrieval.Stored {
		t.Fatalf("stored at a: %+v", r)
	}
	if r := put(b, "one", "the first server"); r.Status != retrieval.Unchanged {
		t.Errorf("the same at b: %+v", r)
	}
	if r := put(b, "two", "the second server"); r.Status != retrieval.Stored {
		t.Fatalf("stored at b: %+v", r)
	}
	for name, g := range map[string]*gateway.Gateway{"a": a, "b": b} {
		if found := documentsFound(t, g, caller, "notes", "server"); len(found) != 2 {
			t.Errorf("%s finds %v", name, found)
		}
	}
	put(a, "two", "the second server, moved")
	if found := documentsFound(t, b, caller, "notes", "server"); found["two"] != "the second server, moved" || len(found) != 2 {
		t.Errorf("after a replacement b finds %v", found)
	}
	if err := b.Retrieval.Delete(t.Context(), caller, "notes", "one"); err != nil {
		t.Fatal(err)
	}
	if found := documentsFound(t, a, caller, "notes", "server"); len(found) != 1 {
		t.Errorf("after a deletion a finds %v", found)
	}
	if _, err := a.Retrieval.Document(t.Context(), caller, "notes", "one", "rag_retrieval"); !errors.Is(err, retrieval.ErrNotFound) {
		t.Errorf("the deleted document: %v", err)
	}
	say(t, a, consent.Revoked, []string{"ada"}, rag)
	if found := documentsFound(t, b, caller, "notes", "server"); len(found) != 0 {
		t.Errorf("after a revocation b finds %v", found)
	}
	if r := put(b, "three", "the third server"); r.Status != retrieval.Stored { // embedding is still permitted
		t.Errorf("stored after the revocation of another purpose: %+v", r)
	}
	say(t, b, consent.Revoked, []string{"ada"}, emb)
	if r := put(a, "four", "the fourth server"); r.Status != retrieval.Refused {
		t.Errorf("stored although embedding was revoked at b: %+v", r)
	}
	if err := a.Retrieval.DropCollection(t.Context(), caller, "notes"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Retrieval.Collection(t.Context(), caller, "notes"); !errors.Is(err, retrieval.ErrNotFound) {
		t.Errorf("b knows the dropped collection: %v", err)
	}
	makeCollection(t, b, "notes", retrieval.Spec{DefaultVisibility: retrieval.Private})
	if col, err := a.Retrieval.Collection(t.Context(), caller, "notes"); err != nil || col.Spec.DefaultVisibility != retrieval.Private {
		t.Errorf("a: %+v, %v", col, err)
	}
	c.wantWholeJournal(t, a)
}

// A key that was made, or revoked, at one gateway holds, or does not, at all.
func TestAKeyRevokedAtOneGatewayIsRefusedAtAll(t *testing.T) {
	c := newCluster(t, server(t))
	gateways := []*gateway.Gateway{c.open(gateway.Config{}), c.open(gateway.Config{}), c.open(gateway.Config{})}
	var urls []string
	for _, g := range gateways {
		s := httptest.NewServer(g.Handler())
		t.Cleanup(s.Close)
		urls = append(urls, s.URL)
	}
	for i := range 9 {
		code, made, err := call(urls[i%3], adminKey, "POST", "/v1/keys", map[string]any{"name": "k", "scopes": []string{"search"}, "purposes": []string{"rag_retrieval"}})
		if err != nil || code != 201 {
			t.Fatal(code, made, err)
		}
		secret, id := made["key"].(string), made["id"].(string)
		for _, url := range urls { // each has seen it
			if code, _, err := call(url, secret, "GET", "/v1/collections", nil); code != 200 || err != nil {
				t.Fatalf("before: %d, %v", code, err)
			}
		}
		if code, _, err := call(urls[(i+1)%3], adminKey, "DELETE", "/v1/keys/"+id, nil); code != 204 || err != nil {
			t.Fatal(code, err)
		}
		for n, url := range urls {
			if code, _, err := call(url, secret, "GET", "/v1/collections", nil); code != 401 || err != nil {
				t.Errorf("gateway %d answers a revoked key with %d, %v", n, code, err)
			}
		}
	}
}

// A tenant made at one gateway can be used at another at once, and nothing of
// it is to be seen in another tenant with the same names of everything.
func TestTenantsOfSeveralGatewaysNeverMeet(t *testing.T) {
	c := newCluster(t, server(t))
	gateways := []*gateway.Gateway{c.open(gateway.Config{}), c.open(gateway.Config{})}
	name, err := credential.ParseName("tenant")
	if err != nil {
		t.Fatal(err)
	}
	type side struct {
		url, key, word string
	}
	var sides []side
	for i, word := range []string{"zebra", "walrus"} {
		_, secret, err := gateways[i].CreateTenant(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewServer(gateways[1-i].Handler()) // used at the other gateway
		t.Cleanup(s.Close)
		sides = append(sides, side{s.URL, secret, word})
	}
	must := func(s side, method, path string, body any) map[string]any {
		code, answer, err := call(s.url, s.key, method, path, body)
		if err != nil || code/100 != 2 {
			t.Errorf("%s %s: %d, %v, %v", method, path, code, answer, err)
		}
		return answer
	}
	var wg sync.WaitGroup
	for n, s := range sides {
		wg.Go(func() {
			must(s, "PUT", "/v1/collections/same", map[string]any{"default_visibility": "tenant"})
			for i := range 20 {
				person := fmt.Sprintf("person%d", i)
				for _, typ := range []string{rag, emb} {
					must(s, "POST", "/v1/consent", map[string]any{"user_id": person, "consent_type": typ, "status": "granted", "source": "t"})
				}
				must(s, "POST", "/v1/collections/same/documents", map[string]any{"documents": []map[string]any{
					{"id": fmt.Sprintf("doc%d", i), "owners": []string{person}, "text": "the common word and " + s.word},
				}})
				if i%2 == n { // each revokes the people whom the other leaves alone
					must(s, "POST", "/v1/consent", map[string]any{"user_id": person, "consent_type": rag, "status": "revoked", "source": "t"})
				}
			}
		})
	}
	wg.Wait()
	for n, s := range sides {
		answer := must(s, "POST", "/v1/collections/same/search", map[string]any{"query": "common word", "k": 100, "purpose": "rag_retrieval"})
		hits, _ := answer["hits"].([]any)
		if len(hits) != 10 {
			t.Errorf("%d hits, want the 10 that this tenant permits", len(hits))
		}
		for _, h := range hits {
			hit := h.(map[string]any)
			var i int
			if _, err := fmt.Sscanf(hit["document_id"].(string), "doc%d", &i); err != nil || i%2 == n {
				t.Errorf("found %v", hit["document_id"])
			}
			if hit["text"] != "the common word and "+s.word {
				t.Error("a passage of the other tenant")
			}
		}
	}
	c.wantWholeJournal(t, gateways[0])
}

// otherEmbedders are those of a gateway that was set up differently.
type otherEmbedders struct{ retrieval.Embedders }

func (o otherEmbedders) For(dimensions int) (retrieval.Embedder, error) {
	e, err := o.Embedders.For(dimensions)
	return otherEmbedder{e}, err
}

type otherEmbedder struct{ retrieval.Embedder }

func (o otherEmbedder) Identity() retrieval.EmbedderPin {
	pin := o.Embedder.Identity()
	pin.Revision = "another"
	return pin
}

// Two gateways with different embedders store a collection's first document at
// once: one pins the collection, the other is told that it has another embedder.
func TestTwoGatewaysPinACollectionOnce(t *testing.T) {
	c := newCluster(t, server(t))
	gateways := []*gateway.Gateway{
		c.open(gateway.Config{}), c.open(gateway.Config{Embedders: otherEmbedders{localembed.Embedders{}}}),
	}
	say(t, gateways[0], consent.Granted, []string{"ada"}, rag, emb)
	won := [2]int{}
	for i := range 12 {
		name := fmt.Sprintf("pin%d", i)
		makeCollection(t, gateways[i%2], name, retrieval.Spec{})
		var errs [2]error
		var wg sync.WaitGroup
		for n, g := range gateways {
			wg.Go(func() {
				doc := retrieval.Document{ID: fmt.Sprint(n), Text: "some text", Owners: []consent.Subject{subject(t, "ada")}}
				_, errs[n] = g.Retrieval.Ingest(t.Context(), caller, name, []retrieval.Submission{{Document: doc}}, consent.Once{})
			})
		}
		wg.Wait()
		loser := 0
		if errs[0] == nil {
			loser = 1
		}
		won[1-loser]++
		if errs[1-loser] != nil || !errors.Is(errs[loser], retrieval.ErrEmbedderMismatch) {
			t.Errorf("errors are %v", errs)
		}
		for n, g := range gateways {
			if col, err := g.Retrieval.Collection(t.Context(), caller, name); err != nil || (col.Embedder.Revision == "another") != (loser == 0) {
				t.Errorf("gateway %d: %+v, %v", n, col, err)
			}
		}
	}
	t.Logf("pinned by the first %d times, by the second %d times", won[0], won[1])
}

// A collection that is made, or changed, at all gateways at once is one
// collection, as one of them said last.
func TestGatewaysMakeACollectionOnce(t *testing.T) {
	c := newCluster(t, server(t))
	gateways := []*gateway.Gateway{c.open(gateway.Config{}), c.open(gateway.Config{}), c.open(gateway.Config{})}
	var wg sync.WaitGroup
	var made atomic.Int64
	for _, g := range gateways {
		wg.Go(func() {
			for i := range 10 {
				_, created, err := g.Retrieval.PutCollection(t.Context(), caller, "same", retrieval.Spec{DefaultVisibility: retrieval.TenantWide, Jurisdiction: []consent.Jurisdiction{"", "DE"}[i%2]})
				if err != nil {
					t.Error(err)
				}
				if created {
					made.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 {
		t.Errorf("made %d times", made.Load())
	}
	first, err := gateways[0].Retrieval.Collections(t.Context(), caller)
	if err != nil || len(first) != 1 {
		t.Fatalf("%d collections, %v", len(first), err)
	}
	for _, g := range gateways[1:] {
		if col, err := g.Retrieval.Collection(t.Context(), caller, "same"); err != nil || col.ID != first[0].ID || col.Spec.Jurisdiction != first[0].Spec.Jurisdiction {
			t.Errorf("%+v, %v", col, err)
		}
	}
}

// A request that is repeated at another gateway while the first still works is
// done once, and both hear the same.
func TestARepeatAtAnotherGatewayIsDoneOnce(t *testing.T) {
	c := newCluster(t, server(t))
	gateways := []*gateway.Gateway{c.open(gateway.Config{}), c.open(gateway.Config{})}
	say(t, gateways[0], consent.Granted, []string{"ada"}, emb)
	makeCollection(t, gateways[0], "notes", retrieval.Spec{})
	typ, err := consent.ParseType(rag)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 15 {
		body := fmt.Appendf(nil, "body %d", i)
		once := func(g *gateway.Gateway, route string) consent.Once {
			o, err := g.Ledger.OnceOf(t.Context(), gateway.DefaultTenant, "key", route, fmt.Sprint(i), body)
			if err != nil {
				t.Error(err)
			}
			return o
		}
		var stored [2]retrieval.Ingested
		var recorded [2]consent.Result
		var wg sync.WaitGroup
		for n, g := range gateways {
			wg.Go(func() {
				doc := retrieval.Document{ID: "d", Text: fmt.Sprintf("version %d of it", i), Owners: []consent.Subject{subject(t, "ada")}}
				var err error
				if stored[n], err = g.Retrieval.Ingest(t.Context(), caller, "notes", []retrieval.Submission{{Document: doc}}, once(g, "ingest")); err != nil {
					t.Errorf("ingest: %v", err)
				}
			})
			wg.Go(func() {
				e := consent.Entry{Subject: subject(t, fmt.Sprintf("p%d", i)), Type: typ, Status: consent.Revoked}
				out, err := g.Ledger.Record(t.Context(), gateway.DefaultTenant, []consent.Entry{e}, once(g, "consent"))
				if err != nil {
					t.Errorf("consent: %v", err)
					return
				}
				recorded[n] = out[0]
			})
		}
		wg.Wait()
		if recorded[0] != recorded[1] {
			t.Errorf("recorded %+v and %+v", recorded[0], recorded[1])
		}
		// The second may have begun after the first had ended, and look it up
		// before it is remembered: then it finds the document unchanged.
		if len(stored[0].Results) != 1 || len(stored[1].Results) != 1 || stored[0].Results[0].Status != stored[1].Results[0].Status && stored[0].Corpus != stored[1].Corpus {
			t.Errorf("stored %+v and %+v", stored[0], stored[1])
		}
	}
	if head, err := gateways[0].Ledger.Head(t.Context(), gateway.DefaultTenant); err != nil || head.Corpus != 29 { // each but the first replaces one
		t.Errorf("corpus at %d, %v: a document was stored twice", head.Corpus, err)
	}
}
