package embedded

import (
	"slices"

	"github.com/assent-gateway/assent/retrieval"
)

var _ retrieval.Holder = (*Index)(nil)

// Holding implements retrieval.Holder.
func (x *Index) Holding(id retrieval.CollectionID, sets [][]uint64) []retrieval.DocNum {
	c := x.collection(id)
	if c == nil {
		return nil
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	found := map[retrieval.DocNum]bool{}
	for _, terms := range sets {
		for _, p := range c.holding(terms) {
			if doc := c.passages[p].doc; doc != nobody {
				found[c.docs[doc].num] = true
			}
		}
	}
	out := make([]retrieval.DocNum, 0, len(found))
	for num := range found {
		out = append(out, num)
	}
	slices.Sort(out)
	return out
}

// holding are the passages that hold every term; none, of no terms.
func (c *collection) holding(terms []uint64) []uint32 {
	var lists [][]posting
	for _, hash := range terms {
		n, ok := c.terms.ord[hash]
		if !ok {
			return nil
		}
		lists = append(lists, c.terms.postings[n])
	}
	if len(lists) == 0 {
		return nil
	}
	slices.SortFunc(lists, func(a, b []posting) int { return len(a) - len(b) })
	var out []uint32
	for _, p := range lists[0] {
		everywhere := !slices.ContainsFunc(lists[1:], func(list []posting) bool {
			_, found := slices.BinarySearchFunc(list, p.passage, byPassage)
			return !found
		})
		if everywhere {
			out = append(out, p.passage)
		}
	}
	return out
}
