package embedded

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// Whatever a writer does meanwhile, a search finds exactly one version of each
// document: never both, never neither; also while vectors are fetched.
func TestReplacementIsAtomic(t *testing.T) {
	t.Parallel()
	for name, cache := range map[string]int64{"vectors kept": 0, "vectors fetched": -1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := context.Background()
			w := newWorld(t, 1, cache)
			w.people.restart(consent.Allow)
			const ids = 3
			version := func(num retrieval.DocNum, id string) []retrieval.IndexPassage {
				vectors := [][]float32{w.vector()}
				p := retrieval.IndexPassage{
					Head: retrieval.Head{
						Ref: retrieval.PassageRef{Doc: num}, DocID: id, Personal: true, Visibility: retrieval.Visibility{Level: retrieval.TenantWide},
						Terms: []retrieval.TermCount{{Hash: 7, Count: 1}}, Length: 1, Codes: retrieval.Quantise(vectors[0]),
					},
					Owners: nums[:1],
				}
				w.store.put([]retrieval.IndexPassage{p}, vectors)
				return []retrieval.IndexPassage{p}
			}
			name := func(num retrieval.DocNum) string { return string(rune('a' + num%ids)) }
			next := retrieval.DocNum(ids)
			for num := range next {
				if err := w.index.Apply(ctx, coll, retrieval.Change{Add: version(num, name(num))}); err != nil {
					t.Fatal(err)
				}
			}
			q := w.vector()
			var done atomic.Bool
			var searches atomic.Int64
			var wg sync.WaitGroup
			for mode := retrieval.ModeVector; mode <= retrieval.ModeHybrid; mode++ {
				wg.Go(func() {
					for !done.Load() {
						got, err := w.index.search(ctx, w.people, retrieval.Query{Collection: coll, K: 10, Mode: mode, Vector: q, Terms: []uint64{7}})
						if err != nil {
							t.Error(err)
							return
						}
						met := map[string]int{}
						for _, f := range got {
							met[name(f.Ref.Doc)]++
						}
						if len(got) != ids || len(met) != ids {
							t.Errorf("mode %d: %d hits of %d documents", mode, len(got), len(met))
							return
						}
						searches.Add(1)
					}
				})
			}
			for i := 0; i < 300 || searches.Load() < 100 && !t.Failed(); i++ {
				ch := retrieval.Change{Remove: []retrieval.DocNum{next - ids}, Add: version(next, name(next))}
				if err := w.index.Apply(ctx, coll, ch); err != nil {
					t.Error(err)
				}
				next++
			}
			done.Store(true)
			wg.Wait()
		})
	}
}

// A revocation is obeyed by every search that begins after it, with other
// searches and changes under way.
func TestRevocationIsObeyedAtOnce(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t, 2, 0)
	for range 20 {
		w.change(t)
	}
	for _, s := range nums {
		w.people.set(s, consent.Allow)
	}
	q := retrieval.Query{Collection: coll, K: 1000, Mode: retrieval.ModeVector, Vector: w.vector(), Rule: consent.Rule{Joint: consent.AllOwners}}
	var done atomic.Bool
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for !done.Load() {
				if _, err := w.index.search(ctx, w.people, q); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 300 {
		s := nums[i%len(nums)]
		w.people.set(s, consent.Block)
		got, err := w.index.search(ctx, w.people, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range got {
			p := w.docs[f.Ref.Doc][0]
			for _, o := range append(p.Owners, p.Mentions...) {
				if p.Head.Personal && o == s {
					t.Fatal("a document of a person who just revoked was found")
				}
			}
		}
		w.people.set(s, consent.Allow)
		if i%10 == 0 {
			w.change(t)
		}
	}
	done.Store(true)
	wg.Wait()
}

// What is removed while its vectors are fetched is neither found nor kept.
func TestRemovalDuringFetch(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t, 6, 0)
	w.people.restart(consent.Allow)
	add := marked(t, 2)
	vectors := [][]float32{add[0].Vector, add[1].Vector}
	w.store.put(add, vectors)
	for i := range add {
		add[i].Vector = nil
		add[i].Head.Codes = retrieval.Quantise(vectors[i])
	}
	if err := w.index.Apply(ctx, coll, retrieval.Change{Add: add}); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	w.store.before = func() {
		once.Do(func() {
			if err := w.index.Apply(ctx, coll, retrieval.Change{Remove: []retrieval.DocNum{markDoc}}); err != nil {
				t.Error(err)
			}
		})
	}
	q := retrieval.Query{Collection: coll, K: 10, Mode: retrieval.ModeVector, Vector: w.vector(), PrincipalNum: markPerson}
	got, err := w.index.search(ctx, w.people, q)
	if err != nil || len(got) != 0 || w.store.calls != 1 {
		t.Errorf("%d hits after %d fetches, %v", len(got), w.store.calls, err)
	}
	if found := w.marks(); len(found) != 0 {
		t.Errorf("remains: %v", found)
	}
}
