package weaviate_test

import (
	"slices"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/internal/storetest"
	"github.com/assent-gateway/assent/internal/testledger"
	"github.com/assent-gateway/assent/internal/testweaviate"
	"github.com/assent-gateway/assent/internal/weaviate"
	"github.com/assent-gateway/assent/retrieval"
)

// Each generation has a canary of its own, which no comparison counts or takes
// away; what is kept without vectors is lacking in none; and the applier keeps
// all by the same beliefs: what is new in each, what changes, and what a round
// left open, which is written twice in each.
func TestGenerationsAreKeptAlike(t *testing.T) {
	testweaviate.Require(t, sharedErr)
	corpus := &storetest.Corpus{}
	ledger, db := testledger.New(t, nil)
	x, err := weaviate.Open(t.Context(), rows{db, corpus}, weaviate.Options{URL: shared.URL(), GRPC: shared.GRPC()})
	must(t, err)
	t.Cleanup(func() { x.Close() })
	x.Connect(source{corpus, seal.NewKey()}, ledger)
	canary := version(1_000, consent.Canary, 1)[0]
	shape := retrieval.Shape{Dimensions: 4, Tenant: testledger.Tenant, Key: seal.NewKey(), Canary: &canary}
	must(t, x.Create(t.Context(), books, shape))
	older := shape
	ada := granted(t, ledger, "user:ada")
	want := func(when string, of string, counts ...int) {
		t.Helper()
		got, err := x.Everywhere(t.Context(), books, of)
		must(t, err)
		if !slices.Equal(got, counts) {
			t.Errorf("%s: %v are listed as %s, want %v", when, got, of, counts)
		}
	}
	round := func(want int) {
		t.Helper()
		if n, err := x.ApplyVerdicts(t.Context(), testledger.Tenant); err != nil || n != want {
			t.Fatalf("%d properties written, want %d; error %v", n, want, err)
		}
	}
	add := func(num retrieval.DocNum, n int) {
		t.Helper()
		v := version(num, ada, n)
		corpus.Put(v)
		must(t, x.Apply(t.Context(), books, retrieval.Change{Add: v}))
	}
	stripped := version(2, granted(t, ledger, "user:bob"), 4)
	for i := range stripped {
		stripped[i].Vector = nil
	}
	corpus.Put(stripped)
	add(1, 3)
	round(3)

	shape.Generations = retrieval.Generations{Change: 1, Filling: &retrieval.Generation{Number: 7}}
	must(t, x.Create(t.Context(), books, shape))
	want("before it is filled", "canary", 1, 1)
	must(t, x.Fill(t.Context(), books))
	want("filled", "canary", 1, 1)
	want("filled", "rag_retrieval", 3, 3)
	if n, err := x.Reconcile(t.Context(), testledger.Tenant); err != nil || n != 0 {
		t.Errorf("the reconciler took %d away, %v", n, err)
	}
	want("reconciled", "canary", 1, 1)

	add(3, 2)
	want("more", "new", 2, 2)
	round(2 * 2)
	want("judged", "rag_retrieval", 5, 5)
	must(t, x.Open(t.Context(), testledger.Tenant, books, ada))
	round(2 * 2 * 5)
	want("left open", "rag_retrieval", 5, 5)
	round(0)

	must(t, x.Create(t.Context(), books, older))
	want("told of something older", "canary", 1, 1)
	filled := shape.Generations.Filling
	shape.Generations = retrieval.Generations{Change: 2, Serving: *filled, Draining: &retrieval.Generation{}}
	must(t, x.Create(t.Context(), books, shape))
	if n, err := x.Count(t.Context(), books); err != nil || n != 5 {
		t.Errorf("%d objects serve, %v", n, err)
	}
	if n, err := x.Refill(t.Context(), books, 5); err != nil || n != 0 {
		t.Errorf("%d were lacking, %v", n, err)
	}
	revoke(t, ledger, "user:ada")
	round(2 * 5)
	want("revoked", "rag_retrieval", 0, 0)
	want("revoked", "embedding", 5, 5)
}

func revoke(t *testing.T, l *consent.Ledger, name string) {
	t.Helper()
	who, err := consent.ParseSubject(name)
	must(t, err)
	typ, err := consent.ParseType("rag_retrieval_v1.0")
	must(t, err)
	_, err = l.Record(t.Context(), testledger.Tenant, []consent.Entry{{Subject: who, Type: typ, Status: consent.Revoked}}, consent.Once{})
	must(t, err)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
