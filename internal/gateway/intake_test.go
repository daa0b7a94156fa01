package gateway_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/localembed"
	"github.com/assent-gateway/assent/retrieval"
)

// counting is the local embedder, and counts the texts it was given.
type counting struct {
	retrieval.Embedder
	texts *atomic.Int64
}

func (c counting) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	c.texts.Add(int64(len(texts)))
	return c.Embedder.Embed(ctx, texts)
}

type countingEmbedders struct{ texts atomic.Int64 }

func (c *countingEmbedders) For(dimensions int) (retrieval.Embedder, error) {
	e, err := localembed.New(dimensions)
	return counting{e, &c.texts}, err
}

// Embedding is processing: a text that may not be embedded never reaches the
// embedder, and one that is there already does not go again.
func TestRefusedTextsNeverReachTheEmbedder(t *testing.T) {
	embedders := &countingEmbedders{}
	g := openGateway(t, gateway.Config{Embedders: embedders})
	makeCollection(t, g, "a", retrieval.Spec{})
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	say(t, g, consent.Granted, []string{"no"}, rag)
	docs := []retrieval.Document{
		{ID: "1", Owners: people(t, "ada")}, {ID: "2", Owners: people(t, "no")}, {ID: "3", Owners: people(t, "stranger")},
		{ID: "4", Owners: people(t, "ada", "no")},
	}
	put(t, g, caller, "a", docs...)
	if n := embedders.texts.Load(); n != 1 {
		t.Errorf("%d texts reached the embedder, want Ada's alone", n)
	}
	put(t, g, caller, "a", docs...)
	if n := embedders.texts.Load(); n != 1 {
		t.Errorf("%d texts after a repeat", n)
	}
}

// A body of 10 MB is refused, and nothing of it is stored.
func TestTenMegabytesAreTooLarge(t *testing.T) {
	g := openGateway(t, gateway.Config{AdminKey: adminKey})
	s := httptest.NewServer(g.Handler())
	defer s.Close()
	makeCollection(t, g, "a", retrieval.Spec{})
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	doc := func(text string) map[string]any {
		return map[string]any{"documents": []any{map[string]any{"id": "d", "owners": []string{"ada"}, "text": text}}}
	}
	code, answer, err := call(s.URL, adminKey, "POST", "/v1/collections/a/documents", doc(strings.Repeat("server ", 10<<20/7)))
	if err != nil || code != 413 || answer["code"] != "too_large" {
		t.Errorf("10 MB: %d %v %v", code, answer["code"], err)
	}
	// 5 MB fit the body and are more than a document may hold.
	code, answer, err = call(s.URL, adminKey, "POST", "/v1/collections/a/documents", doc(strings.Repeat("server ", 5<<20/7)))
	if err != nil || code != 200 || answer["results"].([]any)[0].(map[string]any)["field"] != "text" {
		t.Errorf("5 MB: %d %v", code, err)
	}
	if ids := searchIDs(t, g, caller, "a", retrieval.SearchRequest{}); len(ids) != 0 {
		t.Errorf("stored: %v", ids)
	}
}

// A deletion whose key could not be destroyed is not acknowledged; its repeat
// destroys the key.
func TestRepeatedDeletionDestroysTheKeyThatWasLeft(t *testing.T) {
	var failing atomic.Bool
	g := openGateway(t, gateway.Config{VaultFault: func(op string) error {
		if failing.Load() && op == "slots.write" {
			return errors.New("fault")
		}
		return nil
	}})
	makeCollection(t, g, "a", retrieval.Spec{})
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	before := g.KeySlots()
	put(t, g, caller, "a", retrieval.Document{ID: "d", Owners: people(t, "ada")})
	failing.Store(true)
	if err := g.Retrieval.Delete(t.Context(), caller, "a", "d"); err == nil {
		t.Fatal("acknowledged with its key in place")
	}
	if err := g.Retrieval.Delete(t.Context(), caller, "a", "d"); err == nil {
		t.Fatal("its repeat was acknowledged with the key in place")
	}
	failing.Store(false)
	if err := g.Retrieval.Delete(t.Context(), caller, "a", "d"); err != nil {
		t.Fatal(err)
	}
	if got := g.KeySlots(); got != before {
		t.Errorf("%d keys, want %d", got, before)
	}
}

// A catalogue that cannot be written is an outage of ours, not a riddle: 503.
func TestFailingCatalogueIs503(t *testing.T) {
	g := openGateway(t, gateway.Config{AdminKey: adminKey})
	s := httptest.NewServer(g.Handler())
	defer s.Close()
	makeCollection(t, g, "a", retrieval.Spec{})
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	for _, req := range [][2]string{{"DELETE", "/v1/collections/a"}, {"PUT", "/v1/collections/b"}, {"DELETE", "/v1/collections/a/documents/x"}} {
		var body any
		if req[0] == "PUT" {
			body = map[string]any{"default_visibility": "tenant"}
		}
		if code, answer, err := call(s.URL, adminKey, req[0], req[1], body); err != nil || code != 503 {
			t.Errorf("%s %s with the database closed: %d %v %v", req[0], req[1], code, answer["code"], err)
		}
	}
}
