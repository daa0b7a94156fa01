package embedded

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// The contract's first sentence, against lists and loops: any sequence of
// changes and decisions, every mode, with and without kept vectors.
func TestSearchEqualsBruteForce(t *testing.T) {
	t.Parallel()
	seeds := 120
	if testing.Short() {
		seeds = 20
	}
	for name, cache := range map[string]int64{"all vectors kept": 0, "none kept": -1, "some kept": 40 * (dims*4 + 24)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := 0
			for seed := range seeds {
				w := newWorld(t, uint64(seed), cache)
				for step := range 25 {
					w.change(t)
					w.decide()
					w.people.now = consent.Time(98 + w.rng.IntN(4))
					q := w.query(t)
					got, err := w.index.search(context.Background(), w.people, q)
					if err != nil {
						t.Fatalf("seed %d step %d: %v", seed, step, err)
					}
					want := w.expect(q)
					if diff := cmp.Diff(want, append([]retrieval.Found{}, got...)); diff != "" {
						t.Fatalf("seed %d step %d mode %d: %s", seed, step, q.Mode, diff)
					}
					found += len(want)
				}
			}
			if found < seeds*25 {
				t.Errorf("only %d hits over all queries: the test shows little", found)
			}
		})
	}
}

func TestSearchWithoutPermitIsAnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 0)
	for _, id := range []retrieval.CollectionID{coll, coll + 1} {
		q := w.query(t)
		q.Collection = id
		if _, err := w.index.Search(context.Background(), consent.Permit{}, q); !errors.Is(err, errPermit) {
			t.Errorf("%v", err)
		}
	}
}

func TestNobodyPermittedFindsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 0)
	ps := w.document(0)
	for i := range ps {
		ps[i].Head.Personal, ps[i].Head.Visibility = true, retrieval.Visibility{Level: retrieval.TenantWide}
		ps[i].Owners, ps[i].Mentions, ps[i].RetainUntil = nums[:1], nil, 0
	}
	orphan := w.document(0)
	for i := range orphan {
		orphan[i].Head.Personal, orphan[i].Head.Visibility = true, retrieval.Visibility{Level: retrieval.TenantWide}
		orphan[i].Owners, orphan[i].Mentions, orphan[i].RetainUntil = nil, nil, 0
	}
	if err := w.index.Apply(context.Background(), coll, retrieval.Change{Add: append(ps, orphan...)}); err != nil {
		t.Fatal(err)
	}
	q := retrieval.Query{Collection: coll, K: 100, Vector: w.vector(), Mode: retrieval.ModeVector}
	find := func() int {
		got, err := w.index.search(context.Background(), w.people, q)
		if err != nil {
			t.Fatal(err)
		}
		return len(got)
	}
	if n := find(); n != 0 {
		t.Errorf("without a verdict: %d hits", n)
	}
	w.people.set(nums[0], consent.Allow)
	if n := find(); n != len(ps) {
		t.Errorf("permitted: %d hits, want the %d of the owned document", n, len(ps))
	}
	w.people.set(nums[0], consent.Block)
	if n := find(); n != 0 {
		t.Errorf("revoked: %d hits", n)
	}
}

func TestQueriesThatDoNotFit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 0)
	good := retrieval.Query{Collection: coll, K: 1, Mode: retrieval.ModeHybrid, Vector: w.vector()}
	for name, edit := range map[string]func(*retrieval.Query){
		"mode":       func(q *retrieval.Query) { q.Mode = retrieval.ModeDefault },
		"k":          func(q *retrieval.Query) { q.K = 0 },
		"huge k":     func(q *retrieval.Query) { q.K = math.MaxInt },
		"no vector":  func(q *retrieval.Query) { q.Vector = nil },
		"dimensions": func(q *retrieval.Query) { q.Vector = make([]float32, dims+1) },
		"NaN":        func(q *retrieval.Query) { q.Vector = append(w.vector()[:dims-1:dims-1], float32(math.NaN())) },
	} {
		q := good
		edit(&q)
		if _, err := w.index.search(context.Background(), w.people, q); !errors.Is(err, errQuery) {
			t.Errorf("%s: %v", name, err)
		}
	}
	q := good
	q.Collection = coll + 1
	if got, err := w.index.search(context.Background(), w.people, q); err != nil || len(got) != 0 {
		t.Errorf("unknown collection: %d, %v", len(got), err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := w.index.search(ctx, w.people, good); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestCreateApplyDrop(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t, 1, 0)
	if err := w.index.Create(ctx, coll, retrieval.Shape{Dimensions: dims}); err != nil {
		t.Errorf("again: %v", err)
	}
	for _, n := range []int{0, dims + 1, maxDimensions + 1} {
		if err := w.index.Create(ctx, coll, retrieval.Shape{Dimensions: n}); !errors.Is(err, errDimensions) {
			t.Errorf("with %d dimensions: %v", n, err)
		}
	}
	ps := w.document(0)
	if err := w.index.Apply(ctx, coll+1, retrieval.Change{Add: ps}); !errors.Is(err, errUnknown) {
		t.Errorf("add to an unknown collection: %v", err)
	}
	if err := w.index.Apply(ctx, coll+1, retrieval.Change{Remove: []retrieval.DocNum{1}}); err != nil {
		t.Errorf("remove from an unknown collection: %v", err)
	}
	held := w.index.collection(coll)
	if err := w.index.Apply(ctx, coll, retrieval.Change{Add: ps}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.index.Drop(ctx, coll); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.index.budget.used.Load(); n != 0 {
		t.Errorf("%d bytes of vectors stay on the account", n)
	}
	if err := held.apply(nil, [][]retrieval.IndexPassage{ps}); !errors.Is(err, errUnknown) {
		t.Errorf("add during drop: %v", err)
	}
}

func TestPassagesThatDoNotFitChangeNothing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for name, edit := range map[string]func(p *retrieval.IndexPassage){
		"codes":    func(p *retrieval.IndexPassage) { p.Head.Codes.Code = p.Head.Codes.Code[1:] },
		"scale":    func(p *retrieval.IndexPassage) { p.Head.Codes.Scale = float32(math.Inf(1)) },
		"residual": func(p *retrieval.IndexPassage) { p.Head.Codes.Residual = -1 },
		"vector":   func(p *retrieval.IndexPassage) { p.Vector = make([]float32, dims-1) },
		"NaN":      func(p *retrieval.IndexPassage) { p.Vector = []float32{7: float32(math.NaN())} },
		"terms": func(p *retrieval.IndexPassage) {
			p.Head.Terms = []retrieval.TermCount{{Hash: 2, Count: 1}, {Hash: 1, Count: 1}}
		},
		"count":       func(p *retrieval.IndexPassage) { p.Head.Terms = []retrieval.TermCount{{Hash: 2}} },
		"number":      func(p *retrieval.IndexPassage) { p.Head.Ref.N = 0 },
		"document id": func(p *retrieval.IndexPassage) { p.Head.DocID += "x" },
		"owners":      func(p *retrieval.IndexPassage) { p.Owners = []consent.SubjectNum{99} },
		"personal":    func(p *retrieval.IndexPassage) { p.Head.Personal = !p.Head.Personal },
		"level":       func(p *retrieval.IndexPassage) { p.Head.Visibility.Level = 0 },
		"retention":   func(p *retrieval.IndexPassage) { p.RetainUntil++ },
	} {
		w := newWorld(t, 3, 0)
		old := w.document(0)
		if err := w.index.Apply(ctx, coll, retrieval.Change{Add: old}); err != nil {
			t.Fatal(err)
		}
		var ps []retrieval.IndexPassage
		for len(ps) < 2 {
			ps = w.document(0)
		}
		edit(&ps[len(ps)-1])
		if err := w.index.Apply(ctx, coll, retrieval.Change{Remove: []retrieval.DocNum{old[0].Head.Ref.Doc}, Add: ps}); !errors.Is(err, errChange) {
			t.Errorf("%s: %v", name, err)
		}
		if c := w.index.collection(coll); len(c.byNum) != 1 || c.alive.count() != 1 {
			t.Errorf("%s: something changed", name)
		}
	}
}

func TestVersionGoneFromTheStore(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t, 4, -1)
	w.people.restart(consent.Allow)
	var all []retrieval.IndexPassage
	for range 20 {
		ps := w.document(0)
		for i := range ps {
			ps[i].Head.Visibility, ps[i].RetainUntil = retrieval.Visibility{Level: retrieval.TenantWide}, 0
			ps[i].Owners, ps[i].Mentions = nums[:1], nil
		}
		w.docs[ps[0].Head.Ref.Doc] = ps
		all = append(all, ps...)
	}
	if err := w.index.Apply(ctx, coll, retrieval.Change{Add: all}); err != nil {
		t.Fatal(err)
	}
	q := retrieval.Query{Collection: coll, K: 5, Mode: retrieval.ModeHybrid, Vector: w.vector(), Terms: []uint64{1 << 40}}
	best := w.expect(q)[0].Ref
	delete(w.store.vectors, best)
	delete(w.docs, best.Doc)
	got, err := w.index.search(ctx, w.people, q)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(w.expect(q), got); diff != "" {
		t.Errorf("the retired version is not simply left out: %s", diff)
	}

	// A store that loses more at every call is not asked for ever.
	w.store.before = func() {
		for ref := range w.store.vectors {
			delete(w.store.vectors, ref)
		}
	}
	many := retrieval.Change{}
	for i := range 1 << maxLosses * firstFetch {
		p := all[0]
		p.Head.Ref = retrieval.PassageRef{Doc: retrieval.DocNum(1_000_000 + i)}
		p.Head.DocID = fmt.Sprint(i)
		p.Head.Codes = all[0].Head.Codes
		many.Add = append(many.Add, p)
	}
	for i := range many.Add {
		many.Add[i].Vector = nil
	}
	if err := w.index.Apply(ctx, coll, many); err != nil {
		t.Fatal(err)
	}
	if _, err := w.index.search(ctx, w.people, q); !errors.Is(err, errVectors) {
		t.Errorf("%v", err)
	}
}

// A document that is replaced while its vector is fetched, again and again, is
// found in the end, in whichever version it then is.
func TestASearchOutlivesManyReplacements(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t, 6, -1)
	w.people.restart(consent.Allow)
	version := func() []retrieval.IndexPassage {
		ps := w.document(0)[:1]
		ps[0].Head.Visibility, ps[0].RetainUntil, ps[0].Vector = retrieval.Visibility{Level: retrieval.TenantWide}, 0, nil
		ps[0].Owners, ps[0].Mentions = nums[:1], nil
		return ps
	}
	live := version()
	if err := w.index.Apply(ctx, coll, retrieval.Change{Add: live}); err != nil {
		t.Fatal(err)
	}
	left := 200
	w.store.before = func() {
		if left == 0 {
			return
		}
		left--
		old := live[0].Head.Ref.Doc
		live = version()
		if err := w.index.Apply(ctx, coll, retrieval.Change{Remove: []retrieval.DocNum{old}, Add: live}); err != nil {
			t.Error(err)
		}
	}
	got, err := w.index.search(ctx, w.people, retrieval.Query{Collection: coll, K: 5, Mode: retrieval.ModeVector, Vector: w.vector()})
	if err != nil || left != 0 || len(got) != 1 || got[0].Ref != live[0].Head.Ref {
		t.Errorf("%d hits with %d replacements to come, error %v; want the last version", len(got), left, err)
	}
}

type wrongVectors func([]retrieval.PassageRef) ([][]float32, error)

func (f wrongVectors) Vectors(_ context.Context, _ retrieval.CollectionID, refs []retrieval.PassageRef) ([][]float32, error) {
	return f(refs)
}

func TestCorruptVectorsAreAnError(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	failed := errors.New("failed")
	for name, port := range map[string]retrieval.Vectors{
		"none":    nil,
		"failing": wrongVectors(func([]retrieval.PassageRef) ([][]float32, error) { return nil, failed }),
		"too few": wrongVectors(func(r []retrieval.PassageRef) ([][]float32, error) { return make([][]float32, len(r)-1), nil }),
		"short":   wrongVectors(func(r []retrieval.PassageRef) ([][]float32, error) { return [][]float32{{1}}, nil }),
		"NaN": wrongVectors(func(r []retrieval.PassageRef) ([][]float32, error) {
			return [][]float32{{7: float32(math.NaN())}}, nil
		}),
	} {
		w := newWorld(t, 5, -1)
		w.index.SetVectors(port)
		w.people.restart(consent.Allow)
		ps := w.document(0)[:1]
		ps[0].Head.Visibility, ps[0].RetainUntil, ps[0].Owners = retrieval.Visibility{Level: retrieval.TenantWide}, 0, nums[:1]
		if err := w.index.Apply(ctx, coll, retrieval.Change{Add: ps}); err != nil {
			t.Fatal(err)
		}
		q := retrieval.Query{Collection: coll, K: 5, Mode: retrieval.ModeVector, Vector: w.vector()}
		if got, err := w.index.search(ctx, w.people, q); err == nil || got != nil {
			t.Errorf("%s: %d hits", name, len(got))
		}
	}
}
