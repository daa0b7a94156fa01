package embedded

import (
	"slices"
	"testing"

	"github.com/assent-gateway/assent/retrieval"
)

// Documents that hold every term of a set are found, those that were removed are not.
func TestHolding(t *testing.T) {
	t.Parallel()
	x := New(nil, Options{})
	const c = retrieval.CollectionID(1)
	if err := x.Create(t.Context(), c, retrieval.Shape{Dimensions: 2}); err != nil {
		t.Fatal(err)
	}
	passage := func(doc retrieval.DocNum, n uint32, terms ...uint64) retrieval.IndexPassage {
		h := retrieval.Head{Ref: retrieval.PassageRef{Doc: doc, N: n}, DocID: "d", Codes: retrieval.Quantise([]float32{1, 0})}
		for _, term := range terms {
			h.Terms = append(h.Terms, retrieval.TermCount{Hash: term, Count: 1})
		}
		return retrieval.IndexPassage{Head: h, Owners: nil, Vector: []float32{1, 0}}
	}
	err := x.Apply(t.Context(), c, retrieval.Change{Add: []retrieval.IndexPassage{passage(7, 0, 1, 2), passage(7, 1, 3), passage(8, 0, 2, 3), passage(9, 0, 1)}})
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []struct {
		sets [][]uint64
		want []retrieval.DocNum
	}{
		{nil, nil}, {[][]uint64{{}}, nil}, {[][]uint64{{4}}, nil}, {[][]uint64{{1}}, []retrieval.DocNum{7, 9}}, {[][]uint64{{1, 2}}, []retrieval.DocNum{7}},
		{[][]uint64{{1, 3}}, nil}, {[][]uint64{{1, 2}, {2, 3}}, []retrieval.DocNum{7, 8}}, {[][]uint64{{1, 4}, {3}}, []retrieval.DocNum{7, 8}},
	} {
		if got := x.Holding(c, q.sets); !slices.Equal(got, q.want) {
			t.Errorf("%v: %v, want %v", q.sets, got, q.want)
		}
	}
	if err := x.Apply(t.Context(), c, retrieval.Change{Remove: []retrieval.DocNum{7}}); err != nil {
		t.Fatal(err)
	}
	if got := x.Holding(c, [][]uint64{{1}}); !slices.Equal(got, []retrieval.DocNum{9}) {
		t.Errorf("after a removal: %v", got)
	}
	if got := x.Holding(2, [][]uint64{{1}}); len(got) != 0 {
		t.Errorf("in no collection: %v", got)
	}
}
