package weaviate_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	client "github.com/weaviate/weaviate-go-client/v4/weaviate"
	"github.com/weaviate/weaviate-go-client/v4/weaviate/filters"
	"github.com/weaviate/weaviate-go-client/v4/weaviate/graphql"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/internal/storetest"
	"github.com/assent-gateway/assent/internal/testledger"
	"github.com/assent-gateway/assent/internal/testweaviate"
	"github.com/assent-gateway/assent/internal/weaviate"
	"github.com/assent-gateway/assent/retrieval"
)

const books retrieval.CollectionID = 77

// opened is an index on a server, with nothing in its corpus but what a test
// puts there.
func opened(t *testing.T, s *testweaviate.Server, shape retrieval.Shape) (*weaviate.Index, *consent.Ledger, rows) {
	t.Helper()
	corpus := &storetest.Corpus{}
	ledger, db := testledger.New(t, nil)
	x, err := weaviate.Open(t.Context(), rows{db, corpus}, weaviate.Options{URL: s.URL(), GRPC: s.GRPC()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
	x.Connect(source{corpus, seal.NewKey()}, ledger)
	if shape.Dimensions == 0 {
		shape.Dimensions = 4
	}
	shape.Tenant, shape.Key = testledger.Tenant, seal.NewKey()
	if err := x.Create(t.Context(), books, shape); err != nil {
		t.Fatal(err)
	}
	return x, ledger, rows{db, corpus}
}

// version makes a version of n passages.
func version(num retrieval.DocNum, owner consent.SubjectNum, n int) []retrieval.IndexPassage {
	out := make([]retrieval.IndexPassage, n)
	for i := range out {
		v, err := retrieval.Unit([]float32{1, float32(num), float32(i), 0.5})
		if err != nil {
			panic(err)
		}
		out[i] = retrieval.IndexPassage{
			Head: retrieval.Head{Ref: retrieval.PassageRef{Doc: num, N: uint32(i)}, DocID: fmt.Sprint(num), Personal: true,
				Visibility: retrieval.Visibility{Level: retrieval.TenantWide}},
			Owners: []consent.SubjectNum{owner}, Vector: v,
		}
	}
	return out
}

// A probe looks at the store through its client's GraphQL and REST, which the
// adapter does not delete by.
type probe struct {
	t     *testing.T
	c     *client.Client
	class string
}

func newProbe(t *testing.T, s *testweaviate.Server, class string) probe {
	t.Helper()
	c, err := client.NewClient(client.Config{Host: s.URL()[len("http://"):], Scheme: "http"})
	if err != nil {
		t.Fatal(err)
	}
	return probe{t, c, class}
}

func (p probe) data(data any, into any) {
	p.t.Helper()
	raw, err := json.Marshal(data)
	if err == nil {
		err = json.Unmarshal(raw, into)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// count is how many objects there are, by the store's own count.
func (p probe) count() int {
	p.t.Helper()
	r, err := p.c.GraphQL().Aggregate().WithClassName(p.class).WithFields(graphql.Field{Name: "meta", Fields: []graphql.Field{{Name: "count"}}}).Do(p.t.Context())
	if err != nil || len(r.Errors) > 0 {
		p.t.Fatal("count failed")
	}
	var out struct {
		Aggregate map[string][]struct{ Meta struct{ Count int } }
	}
	p.data(r.Data, &out)
	return out.Aggregate[p.class][0].Meta.Count
}

func (p probe) get(b *graphql.GetBuilder) int {
	p.t.Helper()
	r, err := b.WithClassName(p.class).WithLimit(100).WithFields(graphql.Field{Name: "_additional", Fields: []graphql.Field{{Name: "id"}}}).Do(p.t.Context())
	if err != nil || len(r.Errors) > 0 {
		p.t.Fatal("probe failed")
	}
	var out struct{ Get map[string][]any }
	p.data(r.Data, &out)
	return len(out.Get[p.class])
}

func (p probe) byOwner(token string) int {
	p.t.Helper()
	return p.get(p.c.GraphQL().Get().WithWhere(filters.Where().WithPath([]string{"owners"}).WithOperator(filters.Equal).WithValueText(token)))
}

func (p probe) near(v []float32) int {
	p.t.Helper()
	return p.get(p.c.GraphQL().Get().WithNearVector(p.c.GraphQL().NearVectorArgBuilder().WithVector(v)))
}

func (p probe) there(id string) bool {
	p.t.Helper()
	ok, err := p.c.Data().Checker().WithClassName(p.class).WithID(id).Do(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	return ok
}

// 25 000 objects of one owner are deleted: the store's count, a fetch by id, a
// filter by owner and the nearest neighbours of what is gone find none of them,
// before and after the store is killed and started again.
func TestManyObjectsOfOneOwnerAreGone(t *testing.T) {
	s := testweaviate.Start(t)
	x, _, _ := opened(t, s, retrieval.Shape{})
	const versions, each = 250, 100
	var all [][]retrieval.IndexPassage
	var nums []retrieval.DocNum
	for i := range retrieval.DocNum(versions) {
		all, nums = append(all, version(i+1, 5, each)), append(nums, i+1)
	}
	for _, v := range all {
		if err := x.Apply(t.Context(), books, retrieval.Change{Add: v}); err != nil {
			t.Fatal(err)
		}
	}
	keep := version(9_999, 6, 1)
	if err := x.Apply(t.Context(), books, retrieval.Change{Add: keep}); err != nil {
		t.Fatal(err)
	}
	p := newProbe(t, s, x.Class(books))
	if n := p.count(); n != versions*each+1 {
		t.Fatalf("%d objects", n)
	}
	began := time.Now()
	if err := x.Apply(t.Context(), books, retrieval.Change{Remove: nums}); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	t.Logf("%d objects deleted in %s: %.0f a second", versions*each, took.Round(time.Millisecond), versions*each/took.Seconds())
	look := func(when string) {
		t.Helper()
		if n := p.count(); n != 1 {
			t.Errorf("%s: %d objects are counted, want 1", when, n)
		}
		if n := p.byOwner(x.PersonToken(books, 5)); n != 0 {
			t.Errorf("%s: a filter by owner finds %d", when, n)
		}
		for i := 0; i < versions; i += 25 {
			if n := p.near(all[i][i%each].Vector); n != 1 {
				t.Errorf("%s: %d nearest neighbours of what is gone, want 1", when, n)
			}
			if p.there(x.ObjectID(books, all[i][i%each].Head.Ref)) {
				t.Errorf("%s: an object is there by id", when)
			}
		}
		if !p.there(x.ObjectID(books, keep[0].Head.Ref)) {
			t.Errorf("%s: what should stay is gone", when)
		}
	}
	look("before the restart")
	s.Kill()
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	look("after the restart")
}

// A property update that arrives after the deletion brings nothing back; an
// insert that does is found by no search, and swept.
func TestWhatArrivesLateDoesNotComeBack(t *testing.T) {
	testweaviate.Require(t, sharedErr)
	x, ledger, _ := opened(t, shared, retrieval.Shape{})
	v := version(1, 5, 2)
	if err := x.Apply(t.Context(), books, retrieval.Change{Add: v}); err != nil {
		t.Fatal(err)
	}
	if err := x.Apply(t.Context(), books, retrieval.Change{Remove: []retrieval.DocNum{1}}); err != nil {
		t.Fatal(err)
	}
	p := newProbe(t, shared, x.Class(books))
	if there, err := x.LateMark(t.Context(), books, v[0].Head.Ref); err != nil || there {
		t.Errorf("a late update says: there %v, error %v", there, err)
	}
	if n := p.count(); n != 0 {
		t.Fatalf("%d objects after a late update", n)
	}
	late := version(1, 5, 2)
	late[0].Head.Personal = false // even one that the store would give to everybody
	if err := x.LateInsert(t.Context(), books, late...); err != nil {
		t.Fatal(err)
	}
	if n := p.count(); n != 2 {
		t.Fatalf("%d objects after a late insert: the test shows nothing", n)
	}
	permit, err := ledger.Permit(t.Context(), testledger.Tenant, "rag_retrieval")
	if err != nil {
		t.Fatal(err)
	}
	found, err := x.Search(t.Context(), permit, retrieval.Query{Collection: books, K: 10, Mode: retrieval.ModeVector, Vector: v[0].Vector})
	if err != nil || len(found) != 0 {
		t.Errorf("a search finds %d, error %v", len(found), err)
	}
	if d := x.Dropped(); d[weaviate.Gone] == 0 {
		t.Error("nothing was counted")
	}
	if n, err := x.Reconcile(t.Context(), testledger.Tenant); err != nil || n != 2 {
		t.Errorf("swept %d, error %v", n, err)
	}
	if n := p.count(); n != 0 {
		t.Errorf("%d objects after the sweep", n)
	}
}

// What is reserved is not swept while its lease lasts, and is after it.
func TestTheReconcilerLeavesWhatIsOnItsWay(t *testing.T) {
	testweaviate.Require(t, sharedErr)
	x, _, db := opened(t, shared, retrieval.Shape{})
	if err := db.Reserve(t.Context(), testledger.Tenant, books, []retrieval.DocNum{1}, time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := db.Reserve(t.Context(), testledger.Tenant, books, []retrieval.DocNum{2}, 0); err != nil {
		t.Fatal(err)
	}
	if err := x.Apply(t.Context(), books, retrieval.Change{Add: append(version(1, 5, 1), version(2, 5, 1)...)}); err != nil {
		t.Fatal(err)
	}
	if n, err := x.Reconcile(t.Context(), testledger.Tenant); err != nil || n != 1 {
		t.Errorf("swept %d, error %v", n, err)
	}
	p := newProbe(t, shared, x.Class(books))
	if !p.there(x.ObjectID(books, retrieval.PassageRef{Doc: 1})) || p.there(x.ObjectID(books, retrieval.PassageRef{Doc: 2})) {
		t.Error("the wrong one was swept")
	}
}
