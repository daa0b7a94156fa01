package embedded

import (
	"slices"

	"github.com/assent-gateway/assent/retrieval"
)

// scratch is the memory of one search, used again. It holds ordinals and
// scores, nothing of any document.
type scratch struct {
	allowed  bitset
	ords     []uint32 // allowed passages
	passages bitset   // the same
	scores   []float64
	touched  []uint32
	matched  []posting
	bounds   []float64
	near     []candidate
}

// allow fills s.allowed with the documents, and s.ords with their passages,
// that a query may find. The caller holds c.mu for reading. gone are versions
// that the store no longer has.
func (x *Index) allow(c *collection, v verdicts, q *retrieval.Query, gone map[retrieval.DocNum]bool, s *scratch) {
	s.allowed = s.allowed.empty(len(c.alive))
	c.visible(q, s.allowed)
	s.allowed.and(c.alive)
	x.permitted(c, v, q.Rule, s.allowed)
	now := v.Now()
	for i := range min(len(s.allowed), len(c.retained)) {
		if ends := s.allowed[i] & c.retained[i]; ends != 0 {
			bitset{ends}.each(func(bit uint32) {
				ord := uint32(i)<<6 + bit
				if c.docs[ord].retain <= now {
					s.allowed.unset(ord)
				}
			})
		}
	}
	for num := range gone {
		if ord, ok := c.byNum[num]; ok {
			s.allowed.unset(ord)
		}
	}
	if q.Filter != nil {
		s.allowed.each(func(ord uint32) {
			if !q.Filter.Match(c.docs[ord].values) {
				s.allowed.unset(ord)
			}
		})
	}
	c.list(s)
}

// visible adds to set what the principal may see, whatever consent says: what
// the whole tenant sees, what lists the principal or a group, and the
// principal's own.
func (c *collection) visible(q *retrieval.Query, set bitset) {
	copy(set, c.everyone)
	add := func(ords []uint32) {
		for _, ord := range ords {
			set.set(ord)
		}
	}
	if !q.Principal.Subject.IsZero() {
		add(c.users[q.Principal.Subject])
	}
	for _, g := range q.Principal.Groups {
		add(c.groups[g])
	}
	if q.PrincipalNum != 0 {
		add(c.owned[q.PrincipalNum])
	}
}

// list lists the passages of allowed documents: by document where these are
// few, else in one pass over the slab, which reads memory in order.
func (c *collection) list(s *scratch) {
	s.ords = s.ords[:0]
	if s.allowed.count() < len(c.docs)/8 {
		s.allowed.each(func(ord uint32) { s.ords = append(s.ords, c.docs[ord].passages...) })
		return
	}
	// Without a branch on what is allowed, which nothing could predict. A free
	// slot's document is beyond the bitset.
	ords, n := slices.Grow(s.ords, len(c.passages))[:len(c.passages)], 0
	for i := range c.passages {
		doc := c.passages[i].doc
		in := uint64(0)
		if w := doc >> 6; int(w) < len(s.allowed) {
			in = s.allowed[w] >> (doc & 63) & 1
		}
		ords[n] = uint32(i)
		n += int(in)
	}
	s.ords = ords[:n]
}
