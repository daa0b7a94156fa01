package eval

import (
	"cmp"
	"math"
	"slices"
)

// NDCG is the normalised discounted cumulative gain of a ranking at depth k:
// Σ (2^rel − 1)/log2(rank + 1), over the same of the ideal ranking (Järvelin
// and Kekäläinen 2002, with the exponential gain of Burges et al. 2005). A
// query without a relevant document has no NDCG: ok is false.
func NDCG(ranking []string, rel map[string]float64, k int) (ndcg float64, ok bool) {
	gain := func(r float64, rank int) float64 { return (math.Exp2(r) - 1) / math.Log2(float64(rank)+1) }
	ideal := make([]float64, 0, len(rel))
	for _, r := range rel {
		if r > 0 {
			ideal = append(ideal, r)
		}
	}
	if len(ideal) == 0 {
		return 0, false
	}
	slices.SortFunc(ideal, func(a, b float64) int { return cmp.Compare(b, a) })
	var dcg, best float64
	for i, id := range ranking[:min(k, len(ranking))] {
		dcg += gain(rel[id], i+1)
	}
	for i, r := range ideal[:min(k, len(ideal))] {
		best += gain(r, i+1)
	}
	return dcg / best, true
}

// Recall is the share of want's first k that got's first k holds; 1 when want
// is empty.
func Recall(got, want []string, k int) float64 {
	want = want[:min(k, len(want))]
	if len(want) == 0 {
		return 1
	}
	got = got[:min(k, len(got))]
	found := 0
	for _, w := range want {
		if slices.Contains(got, w) {
			found++
		}
	}
	return float64(found) / float64(len(want))
}

// AUC is the chance that a value of a is smaller than one of b, ties counting
// half: 0.5 when the two cannot be told apart (Hanley and McNeil 1982).
func AUC[T cmp.Ordered](a, b []T) float64 {
	if len(a) == 0 || len(b) == 0 {
		return .5
	}
	slices.Sort(a)
	var sum float64
	for _, x := range b {
		less, _ := slices.BinarySearch(a, x)
		upTo := less
		for upTo < len(a) && a[upTo] == x {
			upTo++
		}
		sum += float64(less) + float64(upTo-less)/2
	}
	return sum / float64(len(a)) / float64(len(b))
}

// Mean of values; 0 for none.
func Mean(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	var sum float64
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// Quantile returns the q-quantile of values by nearest rank; values is sorted
// in place.
func Quantile[T cmp.Ordered](values []T, q float64) (v T) {
	if len(values) == 0 {
		return v
	}
	slices.Sort(values)
	i := int(math.Ceil(q*float64(len(values)))) - 1
	return values[min(max(i, 0), len(values)-1)]
}
