package gateway_test

import (
	"context"
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
	"github.com/assent-gateway/assent/retrieval"
)

// A gapMaker lets the applier do a whole round while a search is asking, and
// answers as the store does to one that read the lists it needs at the wrong
// moments: by marks or by words nothing is found.
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
	byWords := asked.Bm25Search != nil && m.gaps == 0
	if byWords || strings.Contains(asked.String(), `property:"ok"`) {
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

// What became of a write without an answer nobody knows: the person is found
// by name, and an answer by keywords, whose index the write may have left
// without the text, does not claim to be whole.
func TestAfterAWriteWithoutAnAnswerKeywordsSayWhatTheyMayLack(t *testing.T) {
	o := onWeaviate(t)
	to, err := url.Parse(o.URL)
	must(t, err)
	var mute atomic.Bool
	forward := httputil.NewSingleHostReverseProxy(to)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPatch && mute.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(web.Close)
	o.URL, o.Idle = web.URL, true
	g := openGateway(t, gateway.Config{Weaviate: o})
	makeCollection(t, g, "a", retrieval.Spec{Keyword: true})
	say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb)
	put(t, g, caller, "a", retrieval.Document{ID: "ada", Owners: people(t, "ada"), Text: "about the server"})
	must(t, g.ApplyVerdicts(t.Context(), gateway.DefaultTenant))
	mute.Store(true)
	put(t, g, caller, "a", retrieval.Document{ID: "more", Owners: people(t, "ada"), Text: "more about the server"})
	if err := g.ApplyVerdicts(t.Context(), gateway.DefaultTenant); err == nil {
		t.Fatal("the write had an answer")
	}
	if got, whole := completely(t, g, retrieval.ModeVector); len(got) != 2 || !whole {
		t.Errorf("by vectors: found %v, whole %v", got, whole)
	}
	if got, whole := completely(t, g, retrieval.ModeKeyword); len(got) != 2 || whole {
		t.Errorf("by keywords: found %v, whole %v", got, whole)
	}
}
