package gateway_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
	"google.golang.org/grpc"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/testweaviate"
	"github.com/assent-gateway/assent/internal/weaviate"
	"github.com/assent-gateway/assent/retrieval"
)

// A gapMaker lets the applier do a whole round while a search is asking, and
// answers as the store does to one that read the lists it needs at the wrong
// moments: by marks nothing is found.
type gapMaker struct {
	round func() // nil: answers are left alone
	gaps  int
}

func (m *gapMaker) intercept(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, call grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	err := call(ctx, method, req, reply, cc, opts...)
	asked, ok := req.(*pb.SearchRequest)
	if err != nil || !ok || m.round == nil {
		return err
	}
	if m.gaps == 0 {
		round := m.round
		m.round = nil // it asks as well
		round()
		m.round = round
	}
	if strings.Contains(asked.String(), `property:"ok"`) {
		m.gaps++
		reply.(*pb.SearchReply).Results = nil
	}
	return nil
}

// A search during which passages are judged first finds them, though the store
// lists them nowhere at the moment that it reads.
func TestNobodyIsMissedWhoseMarkChangesDuringASearch(t *testing.T) {
	for _, mode := range []retrieval.Mode{retrieval.ModeVector, retrieval.ModeKeyword, retrieval.ModeHybrid} {
		m := &gapMaker{}
		o := onWeaviate(t)
		o.Idle, o.Dial = true, []grpc.DialOption{grpc.WithUnaryInterceptor(m.intercept)}
		g := openGateway(t, gateway.Config{Weaviate: o})
		makeCollection(t, g, "a", retrieval.Spec{Keyword: true})
		say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb)
		put(t, g, caller, "a", retrieval.Document{ID: "ada", Owners: people(t, "ada"), Text: "about the server"},
			retrieval.Document{ID: "bob", Owners: people(t, "bob"), Text: "about the server"})
		m.round = func() { must(t, g.ApplyVerdicts(t.Context(), gateway.DefaultTenant)) }
		got, whole := completely(t, g, mode)
		if m.gaps == 0 {
			t.Errorf("%v: nothing happened during the search", mode)
		}
		if len(got) != 2 || !whole {
			t.Errorf("%v: found %v, whole %v", mode, got, whole)
		}
		m.round = nil
		if got, whole = completely(t, g, mode); len(got) != 2 || !whole {
			t.Errorf("%v: found %v afterwards, whole %v", mode, got, whole)
		}
	}
}

// completely searches for everything about the server in "a".
func completely(t *testing.T, g *gateway.Gateway, mode retrieval.Mode) (ids []string, whole bool) {
	t.Helper()
	a, err := g.Retrieval.Search(t.Context(), caller, "a", retrieval.SearchRequest{Query: "server", K: 10, Purpose: "rag_retrieval", Mode: mode})
	must(t, err)
	for _, h := range a.Hits {
		ids = append(ids, h.DocumentID)
	}
	return ids, a.Privacy.Completeness != retrieval.Degraded
}

// What became of a write without an answer nobody knows: the person is found by
// name meanwhile.
func TestAfterAWriteWithoutAnAnswerNobodyIsMissed(t *testing.T) {
	o := onWeaviate(t)
	to, err := url.Parse(o.URL)
	must(t, err)
	var broken atomic.Bool
	forward := httputil.NewSingleHostReverseProxy(to)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPatch || !broken.Load() {
			forward.ServeHTTP(w, r)
			return
		}
		// What is worst: the object is listed under no mark.
		body := `{"properties":{"ok":[]}}`
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		forward.ServeHTTP(httptest.NewRecorder(), r)
		w.WriteHeader(http.StatusBadGateway)
	}))
	t.Cleanup(web.Close)
	o.URL, o.Idle = web.URL, true
	g := openGateway(t, gateway.Config{Weaviate: o})
	makeCollection(t, g, "a", retrieval.Spec{Keyword: true})
	say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb)
	put(t, g, caller, "a", retrieval.Document{ID: "ada", Owners: people(t, "ada"), Text: "about the server"})
	must(t, g.ApplyVerdicts(t.Context(), gateway.DefaultTenant))
	broken.Store(true)
	put(t, g, caller, "a", retrieval.Document{ID: "more", Owners: people(t, "ada"), Text: "more about the server"})
	if err := g.ApplyVerdicts(t.Context(), gateway.DefaultTenant); err == nil {
		t.Fatal("the write had an answer")
	}
	for _, mode := range []retrieval.Mode{retrieval.ModeVector, retrieval.ModeKeyword, retrieval.ModeHybrid} {
		if got, whole := completely(t, g, mode); len(got) != 2 || !whole {
			t.Errorf("%v: found %v, whole %v", mode, got, whole)
		}
	}
}

// A Weaviate whose keyword index is of the kind that loses texts when another
// property changes is used, and its answers do not claim to be whole.
func TestKeywordsOfAnIndexThatLosesTextsClaimNothing(t *testing.T) {
	s := testweaviate.Start(t, "USE_INVERTED_SEARCHABLE=true")
	g := openGateway(t, gateway.Config{Weaviate: &weaviate.Options{URL: s.URL(), GRPC: s.GRPC()}})
	makeCollection(t, g, "a", retrieval.Spec{Keyword: true})
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	put(t, g, caller, "a", retrieval.Document{ID: "ada", Owners: people(t, "ada"), Text: "about the server"})
	must(t, g.ApplyVerdicts(t.Context(), gateway.DefaultTenant))
	for mode, want := range map[retrieval.Mode]bool{retrieval.ModeVector: true, retrieval.ModeKeyword: false, retrieval.ModeHybrid: false} {
		if _, whole := completely(t, g, mode); whole != want {
			t.Errorf("%v: whole %v, want %v", mode, whole, want)
		}
	}
}
