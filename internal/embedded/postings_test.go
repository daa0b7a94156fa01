package embedded

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// Postings equal a map of maps after any adding and removing, ascending, and
// leave zeros behind.
func TestPostings(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	d := dictionary{ord: map[uint64]uint32{}}
	want := map[uint64]map[uint32]uint32{}
	for range 500 {
		var late, gone []mention
		for range rng.IntN(20) {
			hash, p, n := rng.Uint64N(10), rng.Uint32N(100), 1+rng.Uint32N(9)
			if want[hash] == nil {
				want[hash] = map[uint32]uint32{}
			}
			if _, twice := want[hash][p]; twice {
				continue
			}
			want[hash][p] = n
			if m := (mention{d.number(hash), posting{p, n}}); !d.add(m) {
				late = append(late, m)
			}
		}
		d.merge(late)
		for hash, ps := range want {
			for p := range ps {
				if rng.IntN(3) == 0 {
					gone = append(gone, mention{d.ord[hash], posting{passage: p}})
					delete(ps, p)
				}
			}
			if len(ps) == 0 {
				delete(want, hash)
			}
		}
		d.remove(gone)
		if len(d.ord) != len(want) || len(d.hash) != len(want)+len(d.free) {
			t.Fatalf("%d terms, %d free, want %d", len(d.ord), len(d.free), len(want))
		}
		for hash, ps := range want {
			list := d.postings[d.ord[hash]]
			got := map[uint32]uint32{}
			for _, p := range list {
				got[p.passage] = p.count
			}
			if !maps.Equal(got, ps) || len(list) != len(ps) || !slices.IsSortedFunc(list, func(a, b posting) int { return byPassage(a, b.passage) }) {
				t.Fatalf("%v, want %v", list, ps)
			}
		}
		for _, list := range d.postings {
			if slices.ContainsFunc(list[len(list):cap(list)], func(p posting) bool { return p != posting{} }) {
				t.Fatal("a removed posting stays behind the list")
			}
		}
	}
}
