package weaviate_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	client "github.com/weaviate/weaviate-go-client/v4/weaviate"
	"github.com/weaviate/weaviate-go-client/v4/weaviate/filters"
	"github.com/weaviate/weaviate-go-client/v4/weaviate/graphql"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/testweaviate"
	"github.com/assent-gateway/assent/internal/weaviate"
	"github.com/assent-gateway/assent/retrieval"
)

// A bench is a gateway on a Weaviate with one document each of many owners.
type bench struct {
	g      *gateway.Gateway
	x      *weaviate.Index
	c      *client.Client
	id     retrieval.CollectionID
	who    []consent.Subject
	tokens []string
	rng    *rand.Rand
}

const (
	benchOwners = 20_000
	benchDims   = 128
)

var benchCaller = retrieval.Caller{Tenant: gateway.DefaultTenant, KeyID: "bench"}

// kept sees which collections a gateway makes.
type kept struct {
	*weaviate.Index
	id *retrieval.CollectionID
}

func (k kept) Create(ctx context.Context, c retrieval.CollectionID, s retrieval.Shape) error {
	*k.id = c
	return k.Index.Create(ctx, c, s)
}

func newBench(b *testing.B) *bench {
	b.Helper()
	testweaviate.Require(b, sharedErr)
	w := &bench{rng: rand.New(rand.NewPCG(1, 1))}
	var err error
	w.g, err = gateway.Open(b.Context(), gateway.Config{
		DataDir:  filepath.Join(b.TempDir(), "data"),
		Weaviate: &weaviate.Options{URL: shared.URL(), GRPC: shared.GRPC(), Timeout: time.Minute, Idle: true},
		WrapIndex: func(x retrieval.Index) retrieval.Index {
			w.x = x.(*weaviate.Index)
			return kept{w.x, &w.id}
		},
	})
	fatal(b, err)
	b.Cleanup(func() { w.g.Close() })
	w.c, err = client.NewClient(client.Config{Host: shared.URL()[len("http://"):], Scheme: "http"})
	fatal(b, err)
	_, _, err = w.g.Retrieval.PutCollection(b.Context(), benchCaller, "bench", retrieval.Spec{DefaultVisibility: retrieval.TenantWide})
	fatal(b, err)
	for i := range benchOwners {
		s, err := consent.ParseSubject(fmt.Sprint("user:", i))
		fatal(b, err)
		w.who = append(w.who, s)
	}
	w.say(b, w.who, consent.Granted, "embedding_v1.0", "rag_retrieval_v1.0")
	for part := range slices.Chunk(w.who, 500) {
		var docs []retrieval.Submission
		for _, s := range part {
			docs = append(docs, retrieval.Submission{Document: retrieval.Document{ID: s.Reveal(), Owners: []consent.Subject{s},
				Passages: []retrieval.Passage{{Text: "a passage of about the usual length, as far as that matters here", Vector: w.vector()}}}})
		}
		_, err := w.g.Retrieval.Ingest(b.Context(), benchCaller, "bench", docs, consent.Once{})
		fatal(b, err)
	}
	for _, s := range w.who {
		num, err := w.g.Ledger.Find(b.Context(), gateway.DefaultTenant, s)
		fatal(b, err)
		w.tokens = append(w.tokens, w.x.PersonToken(w.id, num))
	}
	w.apply(b)
	return w
}

func (w *bench) say(b *testing.B, who []consent.Subject, status consent.Status, types ...string) {
	for part := range slices.Chunk(who, 2000) {
		var entries []consent.Entry
		for _, s := range part {
			for _, typ := range types {
				ct, err := consent.ParseType(typ)
				fatal(b, err)
				entries = append(entries, consent.Entry{Subject: s, Type: ct, Status: status, Audit: consent.Audit{Source: "bench"}})
			}
		}
		_, err := w.g.Ledger.Record(b.Context(), gateway.DefaultTenant, entries, consent.Once{})
		fatal(b, err)
	}
}

// apply lets the applier catch up.
func (w *bench) apply(b *testing.B) {
	for {
		n, err := w.x.ApplyVerdicts(b.Context(), gateway.DefaultTenant)
		fatal(b, err)
		if n == 0 {
			return
		}
	}
}

func (w *bench) vector() []float32 {
	v := make([]float32, benchDims)
	for i := range v {
		v[i] = float32(w.rng.NormFloat64())
	}
	v[w.rng.IntN(16)] += 4
	u, err := retrieval.Unit(v)
	if err != nil {
		panic(err)
	}
	return u
}

// measure runs b.N queries by some callers at once and reports percentiles.
func (w *bench) measure(b *testing.B, callers int, query func(v []float32) error) {
	b.Helper()
	queries := make([][]float32, b.N)
	for i := range queries {
		queries[i] = w.vector()
	}
	took := make([]time.Duration, b.N)
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range callers {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
				began := time.Now()
				if err := query(queries[i]); err != nil {
					b.Error(err)
					return
				}
				took[i] = time.Since(began)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(took[b.N/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[b.N*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "queries/s")
}

func (w *bench) gateway(ctx context.Context) func([]float32) error {
	return func(v []float32) error {
		a, err := w.g.Retrieval.Search(ctx, benchCaller, "bench", retrieval.SearchRequest{Vector: v, K: 10, Purpose: "rag_retrieval"})
		if err == nil && len(a.Hits) != 10 {
			err = fmt.Errorf("%d hits", len(a.Hits))
		}
		return err
	}
}

// The gateway against the bare v4 client with the same filter, and GraphQL
// against gRPC; then the permission property against lists of owners, at some
// numbers of permitted or revoked owners and of callers.
func BenchmarkWeaviate(b *testing.B) {
	w := newBench(b)
	ctx := b.Context()
	permit, err := w.g.Ledger.Permit(ctx, gateway.DefaultTenant, "rag_retrieval")
	fatal(b, err)
	filter, err := w.x.Filter(ctx, permit, retrieval.Query{Collection: w.id, K: 10, Mode: retrieval.ModeVector})
	fatal(b, err)
	where := filters.Where().WithOperator(filters.And).WithOperands([]*filters.WhereBuilder{
		filters.Where().WithPath([]string{"ok"}).WithOperator(filters.ContainsAny).WithValueText(w.x.Permission(w.id, "rag_retrieval"), "new", "any"),
		filters.Where().WithPath([]string{"seen"}).WithOperator(filters.Equal).WithValueText("everyone"),
		filters.Where().WithPath([]string{"until"}).WithOperator(filters.GreaterThan).WithValueInt(time.Now().UnixMilli()),
	})
	for _, callers := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("bare/graphql/callers=%d", callers), func(b *testing.B) {
			w.measure(b, callers, func(v []float32) error {
				r, err := w.c.GraphQL().Get().WithClassName(w.x.Class(w.id)).WithWhere(where).WithLimit(10).
					WithNearVector(w.c.GraphQL().NearVectorArgBuilder().WithVector(v)).
					WithFields(graphql.Field{Name: "_additional", Fields: []graphql.Field{{Name: "id"}, {Name: "distance"}}}).Do(ctx)
				if err == nil && len(r.Errors) > 0 {
					err = fmt.Errorf("%s", r.Errors[0].Message)
				}
				return err
			})
		})
		b.Run(fmt.Sprintf("bare/grpc/callers=%d", callers), func(b *testing.B) {
			w.measure(b, callers, func(v []float32) error {
				_, err := w.x.Raw(ctx, w.id, filter, v, 10)
				return err
			})
		})
		b.Run(fmt.Sprintf("gateway/callers=%d", callers), func(b *testing.B) {
			w.measure(b, callers, w.gateway(ctx))
		})
	}
	revoked := 0
	for _, n := range []int{10, 1_000, 10_000, 19_000, 19_990} {
		w.say(b, w.who[revoked:n], consent.Revoked, "rag_retrieval_v1.0")
		revoked = n
		w.apply(b)
		list, name := weaviate.NotOwnerList(w.tokens[:n]), fmt.Sprintf("revoked=%d", n)
		if n > benchOwners/2 {
			list, name = weaviate.OwnerList(w.tokens[n:]), fmt.Sprintf("permitted=%d", benchOwners-n)
		}
		for _, callers := range []int{1, 8, 32} {
			b.Run(fmt.Sprintf("%s/list/callers=%d", name, callers), func(b *testing.B) {
				w.measure(b, callers, func(v []float32) error {
					_, err := w.x.Raw(ctx, w.id, list, v, 10)
					return err
				})
			})
			b.Run(fmt.Sprintf("%s/gateway/callers=%d", name, callers), func(b *testing.B) {
				w.measure(b, callers, w.gateway(ctx))
			})
		}
	}
}

func fatal(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
