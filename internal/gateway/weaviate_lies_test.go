package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/testweaviate"
	"github.com/assent-gateway/assent/internal/weaviate"
	"github.com/assent-gateway/assent/retrieval"
)

// An inventor stands between a gateway and a real Weaviate and returns, with a
// probability of 0.2 at every read, objects that it saw before, or that nobody
// ever put in, in front of what was asked for.
type inventor struct {
	mu   sync.Mutex
	on   bool
	seen []string
	lies int
	rng  *rand.Rand
}

func (l *inventor) intercept(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	err := invoke(ctx, method, req, reply, cc, opts...)
	answer, search := reply.(*pb.SearchReply)
	if err != nil || !search {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range answer.Results {
		if id := r.Metadata.Id; !slices.Contains(l.seen, id) {
			l.seen = append(l.seen, id)
		}
	}
	if !l.on || l.rng.Float64() >= 0.2 {
		return nil
	}
	l.lies++
	var lies []*pb.SearchResult
	for range 6 {
		id := uuid.NewString()
		if n := len(l.seen); n > 0 && l.rng.IntN(3) > 0 {
			id = l.seen[l.rng.IntN(n)]
		}
		lies = append(lies, &pb.SearchResult{Metadata: &pb.MetadataResult{Id: id}})
	}
	answer.Results = append(lies, answer.Results...)
	if most := int(req.(*pb.SearchRequest).Limit); len(answer.Results) > most {
		answer.Results = answer.Results[:most]
	}
	return nil
}

// A store that returns deleted, foreign and revoked objects: none reaches a
// caller, each is counted and reported.
func TestNothingThatWeaviateMakesUpReachesACaller(t *testing.T) {
	l := &inventor{rng: rand.New(rand.NewPCG(1, 2))}
	o := onWeaviate(t)
	o.Dial = []grpc.DialOption{grpc.WithUnaryInterceptor(l.intercept)}
	var log strings.Builder
	g := openGateway(t, gateway.Config{Weaviate: o, Log: logTo(&log)})
	makeCollection(t, g, "a", retrieval.Spec{})
	names := []string{"ada", "bob", "eve", "kim", "zoe"}
	say(t, g, consent.Granted, names, rag, emb)
	permitted := map[string]bool{}
	for _, who := range names {
		for n := range 8 {
			id := fmt.Sprint(who, n)
			put(t, g, caller, "a", retrieval.Document{ID: id, Owners: people(t, who), Text: fmt.Sprint("about the server, ", id)})
			permitted[id] = true
		}
	}
	search := func(k int) []string {
		return searchIDs(t, g, caller, "a", retrieval.SearchRequest{K: k})
	}
	search(100) // the inventor sees everything
	say(t, g, consent.Revoked, []string{"eve"}, rag)
	for n := range 8 {
		delete(permitted, fmt.Sprint("eve", n))
	}
	for n := range 4 {
		if err := g.Retrieval.Delete(t.Context(), caller, "a", fmt.Sprint("bob", n)); err != nil {
			t.Fatal(err)
		}
		delete(permitted, fmt.Sprint("bob", n))
	}
	l.mu.Lock()
	l.on = true
	l.mu.Unlock()
	for range 300 {
		for _, id := range search(5 + l.rng.IntN(20)) {
			if !permitted[id] {
				t.Fatal("what may not be found reached a caller")
			}
		}
	}
	dropped := g.DroppedByIndex()
	t.Logf("%d lies; dropped: %d foreign, %d gone, %d refused, %d hidden", l.lies, dropped[weaviate.Foreign], dropped[weaviate.Gone], dropped[weaviate.Refused], dropped[weaviate.Hidden])
	for _, why := range []int{weaviate.Foreign, weaviate.Gone, weaviate.Refused} {
		if dropped[why] == 0 {
			t.Errorf("nothing was counted for reason %d", why)
		}
	}
	if !strings.Contains(log.String(), "the index returned what it should not") {
		t.Error("nothing was reported")
	}
}

// A spoiler makes calls fail as a test asks.
type spoiler struct {
	mu    sync.Mutex
	spoil func(method string, req, reply any) error // after the real answer; nil: nothing
}

func (s *spoiler) set(f func(method string, req, reply any) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spoil = f
}

func (s *spoiler) intercept(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	err := invoke(ctx, method, req, reply, cc, opts...)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.spoil != nil && err == nil {
		return s.spoil(method, req, reply)
	}
	return err
}

func onSearch(f func(*pb.SearchRequest, *pb.SearchReply)) func(string, any, any) error {
	return func(_ string, req, reply any) error {
		if answer, ok := reply.(*pb.SearchReply); ok {
			f(req.(*pb.SearchRequest), answer)
		}
		return nil
	}
}

// Weaviate × how it fails → what a caller sees (the table in ARCHITECTURE). Each
// is over when the failure is.
func TestWeaviateFailing(t *testing.T) {
	server := testweaviate.Start(t)
	sp := &spoiler{}
	g := openGateway(t, gateway.Config{AdminKey: adminKey, Weaviate: &weaviate.Options{
		URL: server.URL(), GRPC: server.GRPC(), Timeout: 3 * time.Second, Idle: true, Dial: []grpc.DialOption{grpc.WithUnaryInterceptor(sp.intercept)},
	}})
	makeCollection(t, g, "a", retrieval.Spec{})
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	put(t, g, caller, "a", retrieval.Document{ID: "d1", Owners: people(t, "ada")}, retrieval.Document{ID: "d2", Owners: people(t, "ada")})
	web := httptest.NewServer(g.Handler())
	t.Cleanup(web.Close)
	const query = `{"query":"server","purpose":"rag_retrieval","k":1}`
	var documents int
	request := map[string]func() (string, string, string){
		"search": func() (string, string, string) { return "POST", "/v1/collections/a/search", query },
		"ingest": func() (string, string, string) {
			documents++
			return "POST", "/v1/collections/a/documents", fmt.Sprintf(`{"documents":[{"id":"n%d","owners":["user:ada"],"text":"about the server"}]}`, documents)
		},
		"ready": func() (string, string, string) { return "GET", "/readyz", "" },
	}
	ask := func(what string) (int, string) {
		method, path, body := request[what]()
		req, err := http.NewRequest(method, web.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+adminKey)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		raw, _ := io.ReadAll(resp.Body)
		var problem struct{ Type string }
		_ = json.Unmarshal(raw, &problem)
		return resp.StatusCode, problem.Type
	}
	const away = 503
	for _, c := range []struct {
		name          string
		begin, end    func()
		search, write int
		ready         int
	}{
		{"down", server.Kill, func() { must(t, server.Restart()) }, away, away, away},
		{"slow", server.Suspend, server.Resume, away, away, away},
		{"an error of its own", func() {
			sp.set(func(string, any, any) error { return status.Error(codes.Unknown, "user:ada quoted by the store") })
		}, func() { sp.set(nil) }, away, away, 200},
		{"more than was asked for", func() {
			sp.set(onSearch(func(q *pb.SearchRequest, r *pb.SearchReply) {
				for len(r.Results) <= int(q.Limit) {
					r.Results = append(r.Results, &pb.SearchResult{Metadata: &pb.MetadataResult{Id: uuid.NewString()}})
				}
			}))
		}, func() { sp.set(nil) }, away, 200, 200},
		{"results without ids", func() {
			sp.set(onSearch(func(_ *pb.SearchRequest, r *pb.SearchReply) {
				for _, one := range r.Results {
					one.Metadata = nil
				}
			}))
		}, func() { sp.set(nil) }, away, 200, 200},
		{"ids that are none", func() {
			sp.set(onSearch(func(_ *pb.SearchRequest, r *pb.SearchReply) {
				for _, one := range r.Results {
					one.Metadata.Id = "user:ada"
				}
			}))
		}, func() { sp.set(nil) }, 200, 200, 200}, // nothing is left of them
		{"an insert that failed in part inside a success", func() {
			sp.set(func(_ string, _, reply any) error {
				if r, ok := reply.(*pb.BatchObjectsReply); ok {
					r.Errors = append(r.Errors, &pb.BatchObjectsReply_BatchError{Index: 0, Error: "vector lengths don't match"})
				}
				return nil
			})
		}, func() { sp.set(nil) }, 200, away, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			check := func(when, what string, want int) {
				t.Helper()
				got, problem := ask(what)
				if got != want {
					t.Errorf("%s, %s: status %d, want %d", when, what, got, want)
				}
				if want == away && what != "ready" && !strings.HasSuffix(problem, "dependency_unavailable") {
					t.Errorf("%s, %s: problem %q", when, what, problem)
				}
			}
			c.begin()
			check("meanwhile", "search", c.search)
			check("meanwhile", "ingest", c.write)
			check("meanwhile", "ready", c.ready)
			c.end()
			for until := time.Now().Add(time.Minute); ; { // connections come back by themselves
				if _, err := g.Retrieval.Search(t.Context(), caller, "a", retrieval.SearchRequest{Query: "server", K: 1, Purpose: "rag_retrieval"}); err == nil {
					break
				} else if !errors.Is(err, retrieval.ErrIndex) || time.Now().After(until) {
					t.Fatal("it does not come back")
				}
			}
			check("afterwards", "search", 200)
			check("afterwards", "ingest", 200)
			check("afterwards", "ready", 200)
			if ids := searchIDs(t, g, caller, "a", retrieval.SearchRequest{}); !slices.Contains(ids, "d1") || !slices.Contains(ids, "d2") {
				t.Error("what was stored before is not found any more")
			}
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
