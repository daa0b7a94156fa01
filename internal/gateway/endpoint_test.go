package gateway_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/logging"
	"github.com/assent-gateway/assent/internal/openaiembed"
	"github.com/assent-gateway/assent/retrieval"
)

// embedServer speaks OpenAI's protocol on a socket and keeps what it heard.
type embedServer struct {
	*httptest.Server
	mu     sync.Mutex
	heard  []string
	refuse bool
}

func serveEmbeddings(t *testing.T) *embedServer {
	t.Helper()
	s := &embedServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Input []string }
		_ = json.NewDecoder(r.Body).Decode(&in)
		s.mu.Lock()
		s.heard = append(s.heard, in.Input...)
		refuse := s.refuse
		s.mu.Unlock()
		if refuse {
			http.Error(w, "the endpoint says: "+strings.Join(in.Input, " "), http.StatusInternalServerError)
			return
		}
		type datum struct {
			Index     int       `json:"index"`
			Embedding []float32 `json:"embedding"`
		}
		var data []datum
		for i, text := range in.Input {
			data = append(data, datum{i, []float32{1, float32(strings.Count(text, "server")), float32(len(text)) / 100, 0.5}})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"data": data})
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *embedServer) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.heard, "\n")
}

func (s *embedServer) embedder(t *testing.T, model string, dimensions int) retrieval.Embedders {
	t.Helper()
	e, err := openaiembed.New(openaiembed.Config{URL: s.URL, Model: model, Dimensions: dimensions, Backoff: time.Microsecond})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// over is the gateway's HTTP interface, asked with the operator's key.
func over(t *testing.T, g *gateway.Gateway, method, path, body string) (int, string) {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+g.AdminKey)
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	g.Handler().ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// Purpose embedding is decided before a text leaves: the endpoint, on a real
// socket, hears the permitted text and the query, and nothing refused.
func TestRefusedTextsNeverReachTheEndpoint(t *testing.T) {
	t.Parallel()
	s := serveEmbeddings(t)
	g := openGateway(t, gateway.Config{Embedders: s.embedder(t, "m", 4)})
	say(t, g, consent.Granted, []string{"ada", "eve"}, rag, emb)
	say(t, g, consent.Revoked, []string{"eve"}, emb)
	say(t, g, consent.Denied, []string{"mallory"}, emb)
	makeCollection(t, g, "a", retrieval.Spec{})
	got := put(t, g, caller, "a",
		retrieval.Document{ID: "1", Owners: people(t, "ada"), Title: "title of ada", Text: "ada permits"},
		retrieval.Document{ID: "2", Owners: people(t, "bob"), Title: "title of bob", Text: "bob never said a word"},
		retrieval.Document{ID: "3", Owners: people(t, "eve"), Text: "eve withdrew"},
		retrieval.Document{ID: "4", Owners: people(t, "ada", "bob"), Text: "both of them"},
		retrieval.Document{ID: "5", Owners: people(t, "ada"), Mentions: people(t, "mallory"), Text: "about mallory"},
	)
	want := []retrieval.DocStatus{retrieval.Stored, retrieval.Refused, retrieval.Refused, retrieval.Refused, retrieval.Refused}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("document %d: %v", i+1, got[i])
		}
	}
	if heard := s.said(); heard != "title of ada\nada permits" {
		t.Errorf("the endpoint heard %q", heard)
	}
	// A purpose that is not permitted asks nobody either.
	status, _ := over(t, g, "POST", "/v1/collections/a/search", `{"query":"who is it","purpose":"marketing"}`)
	if status != 403 || strings.Contains(s.said(), "who is it") {
		t.Errorf("%d, heard %q", status, s.said())
	}
	if ids := searchIDs(t, g, caller, "a", retrieval.SearchRequest{Query: "who permits"}); len(ids) != 1 || ids[0] != "1" {
		t.Errorf("found %v", ids)
	}
}

// An endpoint that fails is 503, says nothing of itself, and leaves nothing:
// no document, and no pin of the collection either.
func TestAFailingEndpointIs503AndNothingIsStored(t *testing.T) {
	t.Parallel()
	s := serveEmbeddings(t)
	dir := filepath.Join(t.TempDir(), "data")
	var log strings.Builder // written by requests, which come one by one
	g := openGateway(t, gateway.Config{DataDir: dir, Embedders: s.embedder(t, "m", 4), Log: logging.New(&log, slog.LevelDebug)})
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	makeCollection(t, g, "a", retrieval.Spec{})
	makeCollection(t, g, "b", retrieval.Spec{})
	const doc = `{"documents":[{"id":"1","owners":["ada"],"text":"the server text"}]}`
	fails := func(when, method, path, body string) {
		t.Helper()
		status, answer := over(t, g, method, path, body)
		if status != 503 || !strings.Contains(answer, `"dependency_unavailable"`) || strings.Contains(answer, "server") || strings.Contains(answer, "endpoint") {
			t.Errorf("%s: %d %s", when, status, answer)
		}
	}
	s.mu.Lock()
	s.refuse = true
	s.mu.Unlock()
	fails("refusing", "POST", "/v1/collections/a/documents", doc)
	s.mu.Lock()
	s.refuse = false
	s.mu.Unlock()
	if status, answer := over(t, g, "GET", "/v1/collections/a/documents/1?purpose=rag_retrieval", ""); status != 404 {
		t.Errorf("the document is there: %d %s", status, answer)
	}
	if status, answer := over(t, g, "POST", "/v1/collections/b/documents", doc); status != 200 || !strings.Contains(answer, `"stored"`) {
		t.Fatalf("%d %s", status, answer)
	}
	s.Close()
	fails("gone", "POST", "/v1/collections/a/documents", doc)
	fails("gone", "POST", "/v1/collections/b/search", `{"query":"server","purpose":"rag_retrieval"}`)
	if status, answer := over(t, g, "POST", "/v1/collections/b/search", `{"query":"server","purpose":"rag_retrieval","mode":"keyword"}`); status != 200 || !strings.Contains(answer, `"document_id":"1"`) {
		t.Errorf("keywords need no endpoint: %d %s", status, answer)
	}
	g.Close()
	if l := log.String(); !strings.Contains(l, "dependency_unavailable") || strings.Contains(l, "server text") || strings.Contains(l, "endpoint says") || strings.Contains(l, "127.0.0.1") {
		t.Errorf("the log says %s", l)
	}
	// Nothing pinned "a": the local embedder may make it.
	g = openGateway(t, gateway.Config{DataDir: dir})
	if status, answer := over(t, g, "POST", "/v1/collections/a/documents", doc); status != 200 || !strings.Contains(answer, `"stored"`) {
		t.Errorf("%d %s", status, answer)
	}
}

// A collection is pinned to name, model, revision and dimensions.
func TestAGatewayConfiguredOtherwiseAnswersEmbedderMismatch(t *testing.T) {
	t.Parallel()
	s := serveEmbeddings(t)
	dir := filepath.Join(t.TempDir(), "data")
	g := openGateway(t, gateway.Config{DataDir: dir, Embedders: s.embedder(t, "m", 4)})
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	makeCollection(t, g, "a", retrieval.Spec{})
	put(t, g, caller, "a", retrieval.Document{ID: "1", Owners: people(t, "ada")})
	heard := s.said()
	g.Close()
	revised, err := openaiembed.New(openaiembed.Config{URL: s.URL, Model: "m", Revision: "2", Dimensions: 4})
	if err != nil {
		t.Fatal(err)
	}
	for name, e := range map[string]retrieval.Embedders{
		"another model": s.embedder(t, "n", 4), "other dimensions": s.embedder(t, "m", 5),
		"another revision": revised, "the local embedder": nil,
	} {
		g := openGateway(t, gateway.Config{DataDir: dir, Embedders: e})
		for what, r := range map[string][2]string{
			"ingest":                     {"documents", `{"documents":[{"id":"2","owners":["ada"],"text":"x"}]}`},
			"search":                     {"search", `{"query":"server","purpose":"rag_retrieval"}`},
			"search by vector":           {"search", `{"query":"server","purpose":"rag_retrieval","mode":"vector"}`},
			"search by given vector":     {"search", `{"vector":[1,2,3,4],"purpose":"rag_retrieval"}`},
			"search by vector and words": {"search", `{"query":"server","vector":[1,2,3,4],"purpose":"rag_retrieval"}`},
		} {
			if status, answer := over(t, g, "POST", "/v1/collections/a/"+r[0], r[1]); status != 409 || !strings.Contains(answer, `"embedder_mismatch"`) {
				t.Errorf("%s, %s: %d %s", name, what, status, answer)
			}
		}
		g.Close()
	}
	if s.said() != heard {
		t.Errorf("the endpoint was sent texts all the same: %q", s.said())
	}
	g = openGateway(t, gateway.Config{DataDir: dir, Embedders: s.embedder(t, "m", 4)})
	if ids := searchIDs(t, g, caller, "a", retrieval.SearchRequest{}); len(ids) != 1 {
		t.Errorf("with its own embedder: %v", ids)
	}
}
