package retrieval

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBM25(t *testing.T) {
	t.Parallel()
	// By hand: ln(1 + 2.5/1.5) and 2·2.2/(2 + 1.2·(0.25 + 0.75·10/20)).
	idf := IDF(3, 1)
	if want := math.Log(8.0 / 3); math.Abs(idf-want) > 1e-15 {
		t.Errorf("idf %v, want %v", idf, want)
	}
	if got, want := BM25(2, 10, 20, 1), 4.4/2.75; math.Abs(got-want) > 1e-15 {
		t.Errorf("bm25 %v, want %v", got, want)
	}
	if got := IDF(5, 5); got <= 0 {
		t.Errorf("a term that all hold weighs %v", got)
	}
}

func TestFuse(t *testing.T) {
	t.Parallel()
	got := Fuse([]string{"a", "b"}, []string{"b", "c"}, nil)
	first, second := 1/float64(61), 1/float64(62) // a constant sum would round once
	want := []Fused[string]{{"a", first}, {"b", second + first}, {"c", second}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	best := Fuse([]int{1}, []int{1})[0].Score
	if math.Abs(best*RRFScale-1) > 1e-15 {
		t.Errorf("first in both shows as %v", best*RRFScale)
	}
}
