package gateway_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
	"google.golang.org/grpc"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/telemetry"
	"github.com/assent-gateway/assent/retrieval"
)

// A deaf index holds what it is given and ranks all of it, whatever a permit says.
type deaf struct {
	retrieval.Index
	mu       sync.Mutex
	deaf     bool
	passages map[retrieval.CollectionID][]retrieval.IndexPassage
}

func (d *deaf) keep(c retrieval.CollectionID, ps ...retrieval.IndexPassage) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range ps {
		if !slices.ContainsFunc(d.passages[c], func(q retrieval.IndexPassage) bool { return q.Head.Ref == p.Head.Ref }) {
			d.passages[c] = append(d.passages[c], p)
		}
	}
}

func (d *deaf) Create(ctx context.Context, c retrieval.CollectionID, s retrieval.Shape) error {
	d.keep(c, *s.Canary)
	return d.Index.Create(ctx, c, s)
}

func (d *deaf) Apply(ctx context.Context, c retrieval.CollectionID, ch retrieval.Change) error {
	d.keep(c, ch.Add...)
	return d.Index.Apply(ctx, c, ch)
}

func (d *deaf) Search(ctx context.Context, p consent.Permit, q retrieval.Query) ([]retrieval.Found, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.deaf {
		return d.Index.Search(ctx, p, q)
	}
	var found []retrieval.Found
	for _, p := range d.passages[q.Collection] {
		found = append(found, retrieval.Found{Ref: p.Head.Ref, Score: retrieval.Cosine(q.Vector, p.Vector)})
	}
	slices.SortFunc(found, func(a, b retrieval.Found) int {
		if a.Score > b.Score {
			return -1
		}
		return 1
	})
	return found[:min(q.K, len(found))], nil
}

// An index that does not keep to permits: the canary is in no answer, and the
// alarm is raised, by searches that happen to meet it and by the probe that goes
// and looks. Neither says anything while the index does what it should.
func TestACanaryThatComesOutRaisesTheAlarm(t *testing.T) {
	onBoth(t, func(t *testing.T, open opener) {
		d := &deaf{passages: map[retrieval.CollectionID][]retrieval.IndexPassage{}}
		testAlarm(t, func(cfg gateway.Config) *gateway.Gateway {
			cfg.WrapIndex = func(x retrieval.Index) retrieval.Index { d.Index = x; return d }
			return open(t, cfg)
		}, func(is bool) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.deaf = is
		})
	})
}

// The same in Weaviate, from which something on the way takes the filters off.
func TestACanaryThatWeaviateReturnsRaisesTheAlarm(t *testing.T) {
	var mu sync.Mutex
	unfiltered := false
	o := onWeaviate(t)
	o.Idle = true // the applier asks the store as well, and should not judge what it gets so
	o.Dial = []grpc.DialOption{grpc.WithUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		mu.Lock()
		if q, search := req.(*pb.SearchRequest); search && unfiltered && (q.NearVector != nil || q.Bm25Search != nil) {
			q.Filters = nil
		}
		mu.Unlock()
		return invoke(ctx, method, req, reply, cc, opts...)
	})}
	testAlarm(t, func(cfg gateway.Config) *gateway.Gateway {
		cfg.Weaviate = o
		return openGateway(t, cfg)
	}, func(is bool) {
		mu.Lock()
		defer mu.Unlock()
		unfiltered = is
	})
}

func testAlarm(t *testing.T, open func(gateway.Config) *gateway.Gateway, deafen func(bool)) {
	var log strings.Builder
	tel, err := telemetry.New(t.Context(), telemetry.Config{})
	if err != nil {
		t.Fatal(err)
	}
	g := open(gateway.Config{AdminKey: adminKey, Log: logTo(&log), Telemetry: tel, MetricsHere: true})
	web := httptest.NewServer(g.Handler())
	defer web.Close()
	get := func(path string) string {
		resp, err := http.Get(web.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%s: %d, %v", path, resp.StatusCode, err)
		}
		return string(body)
	}
	makeCollection(t, g, "c", retrieval.Spec{})
	say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb)
	put(t, g, caller, "c",
		retrieval.Document{ID: "a1", Owners: people(t, "ada")}, retrieval.Document{ID: "a2", Owners: people(t, "ada")},
		retrieval.Document{ID: "b1", Owners: people(t, "bob")})
	say(t, g, consent.Revoked, []string{"bob"}, rag)
	want := []string{"a1", "a2"}
	whole := func(when string) {
		t.Helper()
		if got := searchIDs(t, g, caller, "c", retrieval.SearchRequest{Mode: retrieval.ModeVector}); !slices.Equal(got, want) {
			t.Errorf("%s: found %v, want %v", when, got, want)
		}
	}
	silent := func(when string) {
		t.Helper()
		if a := g.Alarms(); a != nil || strings.Contains(log.String(), "canary") || strings.Contains(get("/readyz"), "alarm") {
			t.Fatalf("%s: an alarm", when)
		}
	}
	whole("before")
	// One search for each purpose and mode: the canary is looked for where it is.
	asked, sang, err := g.Retrieval.ProbeCanaries(t.Context(), gateway.DefaultTenant)
	if err != nil || asked < 4 || sang != 0 {
		t.Fatalf("%d searches, %d songs, %v", asked, sang, err)
	}
	silent("in normal operation")

	deafen(true)
	whole("while the index returns everything")
	heard := g.Retrieval.Alarms()
	if heard == 0 {
		t.Error("a search was handed the canary, and nobody heard")
	}
	if _, err := g.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if g.Retrieval.Alarms() == heard {
		t.Error("the probe did not hear the canary")
	}
	deafen(false)
	whole("afterwards")
	if body := get("/readyz"); !strings.Contains(body, `"status":"ready"`) || !strings.Contains(body, `"alarms":["canary"]`) {
		t.Errorf("/readyz says %s", body)
	}
	if !strings.Contains(get("/metrics"), `assent_gate_dropped_total{cause="canary"}`) {
		t.Error("no metric counts it")
	}
	if !strings.Contains(log.String(), "level=ERROR msg=\"a canary came out of the index") {
		t.Error("no log says it")
	}
}

// Nothing that anybody sees counts the canary.
func TestNobodySeesTheCanary(t *testing.T) {
	onBoth(t, func(t *testing.T, open opener) {
		g := open(t, gateway.Config{AdminKey: adminKey})
		makeCollection(t, g, "c", retrieval.Spec{Jurisdiction: "US-CA"}) // where silence permits what it may
		say(t, g, consent.Granted, []string{"ada"}, rag, emb)
		before := g.CorpusHead(t.Context())
		keys := g.KeySlots()
		put(t, g, caller, "c", retrieval.Document{ID: "a1", Owners: people(t, "ada")})
		if n := g.CorpusHead(t.Context()) - before; n != 1 {
			t.Errorf("one document took %d positions", n)
		}
		if n := g.KeySlots() - keys; n != 1 {
			t.Errorf("one document took %d keys", n)
		}
		if n := g.LiveDocuments(t); n != 1 {
			t.Errorf("%d documents", n)
		}
		for _, mode := range []retrieval.Mode{retrieval.ModeVector, retrieval.ModeKeyword, retrieval.ModeHybrid} {
			a, err := g.Retrieval.Search(t.Context(), caller, "c", retrieval.SearchRequest{Query: "server", K: 1000, Mode: mode, Purpose: "rag_retrieval"})
			if err != nil || len(a.Hits) != 1 || a.Privacy.Completeness != retrieval.Short {
				t.Errorf("mode %d: %d hits, %v, %v", mode, len(a.Hits), a.Privacy.Completeness, err)
			}
		}
		if found, err := g.Look(t.Context()); err != nil || len(found) != 0 {
			t.Errorf("the reconciler: %v, %v", fmt.Sprint(found), err)
		}
		if g.Alarms() != nil {
			t.Error("an alarm")
		}
	})
}
