package embedded

import (
	"context"
	"slices"

	"github.com/assent-gateway/assent/retrieval"
)

// A Wanted is what a probe looks for in a collection.
type Wanted struct {
	Docs    []retrieval.DocNum
	Vectors [][]float32 // unit vectors of passages of Docs
	Codes   [][]int8    // codes of passages of Docs, or their first bytes
	Terms   []uint64    // keyed hashes of terms of Docs
}

// A Trace is what a probe found. Everything counts passages but Documents.
type Trace struct {
	Documents int // known by their number
	Nearest   int // among the nearest neighbours of the vectors
	Terms     int // in the lists of the terms
	Residue   int // codes in slots that hold no passage
	Looked    int // passages and slots looked at
}

// nearestProbed is how many nearest neighbours of each vector are looked at.
const nearestProbed = 10

// Probe looks for documents in every part of a collection, below every permit:
// by number, among the nearest neighbours of their vectors (an exact scan of
// all codes), in the lists of their terms, and in the memory of slots that are
// free. It is for verification of an erasure and shares nothing with what
// removes.
func (x *Index) Probe(_ context.Context, id retrieval.CollectionID, w Wanted) Trace {
	c := x.collection(id)
	if c == nil {
		return Trace{}
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	wanted := make(map[retrieval.DocNum]bool, len(w.Docs))
	for _, num := range w.Docs {
		wanted[num] = true
	}
	var t Trace
	for ord := range c.docs {
		if wanted[c.docs[ord].num] {
			t.Documents++
		}
	}
	of := func(p uint32) bool {
		doc := c.passages[p].doc
		return doc != nobody && wanted[c.docs[doc].num]
	}
	for _, v := range w.Vectors {
		for _, p := range c.probeNearest(v) {
			if of(p) {
				t.Nearest++
			}
		}
	}
	for _, hash := range w.Terms {
		n, ok := c.terms.ord[hash]
		if !ok {
			continue
		}
		for _, p := range c.terms.postings[n] {
			if int(p.passage) >= len(c.passages) || c.passages[p.passage].doc == nobody || of(p.passage) {
				t.Terms++
			}
		}
	}
	t.Residue = c.residue(w.Codes)
	t.Looked = len(c.passages)
	return t
}

// probeNearest are the passages whose codes are nearest to a vector: all of them by
// the products that a search begins with, which share nothing with what removes
// either. (In float64, code by code, eight vectors before and after were a third of
// the erasure of 1000 passages among 20 000.)
func (c *collection) probeNearest(v []float32) []uint32 {
	type scored struct {
		p uint32
		s float64
	}
	var best []scored
	q := newProbe(v[:min(len(v), c.dimensions)], c.stride)
	for ord := range c.passages {
		p := &c.passages[ord]
		if p.doc == nobody {
			continue
		}
		s := scored{uint32(ord), float64(c.dot(c.codes(uint32(ord)), q.code)) * (q.scale * float64(p.scale))}
		if len(best) == nearestProbed && s.s <= best[len(best)-1].s {
			continue
		}
		at, _ := slices.BinarySearchFunc(best, s, func(a, b scored) int {
			if a.s >= b.s {
				return -1
			}
			return 1
		})
		best = slices.Insert(best, at, s)
		best = best[:min(len(best), nearestProbed)]
	}
	out := make([]uint32, len(best))
	for i, b := range best {
		out[i] = b.p
	}
	return out
}

// residue counts free slots whose codes begin like one of codes, and blocks of
// vectors that a free slot still keeps.
func (c *collection) residue(codes [][]int8) int {
	const front = 32
	known := make(map[[front]int8]bool, len(codes))
	for _, code := range codes {
		if k, ok := frontOf(code); ok {
			known[k] = true
		}
	}
	n := 0
	for ord := range c.passages {
		if c.passages[ord].doc != nobody {
			continue
		}
		if k, ok := frontOf(c.codes(uint32(ord))); ok && known[k] || c.vectors[ord] != nil || len(c.slab.terms[ord]) > 0 {
			n++
		}
	}
	return n
}

func frontOf(code []int8) (k [32]int8, ok bool) {
	copy(k[:], code)
	return k, k != [32]int8{}
}

// Numbers returns the documents that a collection holds, for comparison with
// the catalogue, which does not know the canary.
func (x *Index) Numbers(id retrieval.CollectionID) []retrieval.DocNum {
	c := x.collection(id)
	if c == nil {
		return nil
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	out := make([]retrieval.DocNum, 0, len(c.byNum))
	for num := range c.byNum {
		if num != c.canary {
			out = append(out, num)
		}
	}
	return out
}
