package retrieval

// A Fused is an item of a fused list and the sum of its ranks' reciprocals.
type Fused[K comparable] struct {
	Item  K
	Score float64
}

// Fuse combines ranked lists, best first, by reciprocal-rank fusion (Cormack,
// Clarke and Büttcher, SIGIR 2009): an item scores the sum over the lists that
// hold it of 1/(RRFConst + rank), rank from 1. Sums are taken in the order of
// the lists. The result stands in the order in which items were first met, not
// by score: ties are the caller's to break. A list holds no item twice.
func Fuse[K comparable](lists ...[]K) []Fused[K] {
	var out []Fused[K]
	at := map[K]int{}
	for _, list := range lists {
		for i, item := range list {
			j, ok := at[item]
			if !ok {
				j = len(out)
				at[item] = j
				out = append(out, Fused[K]{Item: item})
			}
			out[j].Score += 1 / float64(RRFConst+i+1)
		}
	}
	return out
}
