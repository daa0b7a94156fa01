package embedded

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// benchIndex holds n passages of 256 dimensions around topics, one document
// each, a tenth as many owners, 30 Zipf terms a passage; share percent of the
// owners permit.
func benchIndex(b *testing.B, n, share int) (*Index, *people, func() retrieval.Query) {
	const dims = 256
	rng := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(rng, 1.1, 4, 50_000)
	topics := make([][]float32, 100)
	for i := range topics {
		topics[i] = make([]float32, dims)
		for j := range topics[i] {
			topics[i][j] = float32(rng.NormFloat64())
		}
	}
	vector := func() []float32 {
		v := make([]float32, dims)
		t := topics[rng.IntN(len(topics))]
		for j := range v {
			v[j] = t[j]*0.7 + float32(rng.NormFloat64())
		}
		u, _ := retrieval.Unit(v)
		return u
	}
	x := New(nil, Options{VectorCacheBytes: 1 << 30})
	ctx := context.Background()
	if err := x.Create(ctx, coll, retrieval.Shape{Dimensions: dims}); err != nil {
		b.Fatal(err)
	}
	p := newPeople(0)
	for i := range n / 10 {
		if i%100 < share {
			p.of[consent.SubjectNum(i+1)] = consent.Allow
		}
	}
	var ch retrieval.Change
	for i := range n {
		v := vector()
		counts := map[uint64]uint32{}
		for range 30 {
			counts[zipf.Uint64()+1]++
		}
		h := retrieval.Head{
			Ref: retrieval.PassageRef{Doc: retrieval.DocNum(i + 1)}, DocID: fmt.Sprint("doc", i), Personal: true,
			Visibility: retrieval.Visibility{Level: retrieval.TenantWide}, Length: 30, Codes: retrieval.Quantise(v),
			Values: map[string]retrieval.Value{"year": retrieval.IntValue(int64(2000 + i%25))},
		}
		for _, t := range slices.Sorted(maps.Keys(counts)) {
			h.Terms = append(h.Terms, retrieval.TermCount{Hash: t, Count: counts[t]})
		}
		ch.Add = append(ch.Add, retrieval.IndexPassage{Head: h, Owners: []consent.SubjectNum{consent.SubjectNum(rng.IntN(n/10) + 1)}, Vector: v})
		if len(ch.Add) == 1000 || i == n-1 {
			if err := x.Apply(ctx, coll, ch); err != nil {
				b.Fatal(err)
			}
			ch = retrieval.Change{}
		}
	}
	return x, p, func() retrieval.Query {
		return retrieval.Query{Collection: coll, K: 10, Vector: vector(), Terms: []uint64{20, 300, 4000}}
	}
}

func BenchmarkSearch(b *testing.B) {
	filter, err := retrieval.ParseFilter([]byte(`{"field":"year","op":"gte","value":2010}`), nil)
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{12_000, 200_000} {
		for _, share := range []int{1, 50, 100} {
			var x *Index
			var p *people
			var query func() retrieval.Query
			run := func(name string, edit func(*retrieval.Query)) {
				b.Run(fmt.Sprintf("%d/%d%%/%s", n, share, name), func(b *testing.B) {
					if x == nil {
						x, p, query = benchIndex(b, n, share)
					}
					qs := make([]retrieval.Query, 64)
					for i := range qs {
						qs[i] = query()
						edit(&qs[i])
					}
					i := 0
					for b.Loop() {
						if _, err := x.search(context.Background(), p, qs[i%len(qs)]); err != nil {
							b.Fatal(err)
						}
						i++
					}
				})
			}
			run("vector", func(q *retrieval.Query) { q.Mode = retrieval.ModeVector })
			run("keyword", func(q *retrieval.Query) { q.Mode = retrieval.ModeKeyword })
			run("hybrid", func(q *retrieval.Query) { q.Mode = retrieval.ModeHybrid })
			run("filtered", func(q *retrieval.Query) { q.Mode, q.Filter = retrieval.ModeVector, filter })
		}
	}
}

// One document is replaced in a collection of 200 000.
func BenchmarkReplace(b *testing.B) {
	x, _, _ := benchIndex(b, 200_000, 1)
	ctx := context.Background()
	c := x.collection(coll)
	rng := rand.New(rand.NewPCG(3, 4))
	v := make([]float32, 256)
	v[0] = 1
	for b.Loop() {
		d := c.docs[rng.IntN(len(c.docs))]
		var terms []retrieval.TermCount
		for _, t := range c.slab.terms[d.passages[0]] {
			terms = append(terms, retrieval.TermCount{Hash: c.terms.hash[t], Count: 1})
		}
		h := retrieval.Head{
			Ref: retrieval.PassageRef{Doc: d.num}, DocID: d.id, Personal: true, Visibility: d.visibility,
			Terms: terms, Length: 30, Codes: retrieval.Quantise(v),
		}
		if err := x.Apply(ctx, coll, retrieval.Change{Add: []retrieval.IndexPassage{{Head: h, Owners: d.owners, Vector: v}}}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkKernel(b *testing.B) {
	code, query := make([]int8, 256), make([]int16, 256)
	for name, k := range map[string]kernel{"generic": dotGeneric, "picked": pickKernel()} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				k(code, query)
			}
		})
	}
}
