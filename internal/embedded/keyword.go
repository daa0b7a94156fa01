package embedded

import (
	"slices"

	"github.com/assent-gateway/assent/retrieval"
)

// keywords returns the k best of s.ords by BM25, best first. Statistics are
// those of s.ords alone, so that hidden passages do not show in scores.
func (c *collection) keywords(terms []uint64, k int, s *scratch) []hit {
	total := uint64(0)
	s.passages = s.passages.empty((len(c.passages) + 63) / 64)
	for _, ord := range s.ords {
		total += uint64(c.passages[ord].length)
		s.passages.set(ord)
	}
	if len(s.scores) < len(c.passages) {
		s.scores = make([]float64, cap(c.passages))
	}
	n := len(s.ords)
	mean := float64(total) / float64(max(1, n))
	s.touched = s.touched[:0]
	for _, hash := range terms {
		t, ok := c.terms.ord[hash]
		if !ok {
			continue
		}
		s.matched = s.matched[:0]
		for _, p := range c.terms.postings[t] {
			if s.passages.has(p.passage) {
				s.matched = append(s.matched, p)
			}
		}
		idf := retrieval.IDF(n, len(s.matched))
		for _, p := range s.matched {
			// idf is above 0, so a score of 0 is a passage not met before.
			if s.scores[p.passage] == 0 {
				s.touched = append(s.touched, p.passage)
			}
			s.scores[p.passage] += retrieval.BM25(float64(p.count), float64(c.passages[p.passage].length), mean, idf)
		}
	}
	best := newTop(c, k)
	for _, ord := range s.touched {
		best.offer(hit{s.scores[ord], ord})
		s.scores[ord] = 0
	}
	return best.sorted()
}

// hybrid fuses each mode's first results.
func (c *collection) hybrid(near, words []hit, k int) []hit {
	ords := func(hits []hit) []uint32 {
		out := make([]uint32, len(hits))
		for i, h := range hits {
			out[i] = h.ord
		}
		return out
	}
	best := newTop(c, k)
	for _, f := range retrieval.Fuse(ords(near), ords(words)) {
		best.offer(hit{f.Score, f.Item})
	}
	return slices.Clip(best.sorted())
}
