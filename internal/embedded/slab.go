package embedded

import (
	"math"

	"github.com/assent-gateway/assent/retrieval"
)

const (
	maxDimensions = 1 << 16
	blockBits     = 8 // a block holds the codes of 256 passages
	blockSize     = 1 << blockBits
	rowAlign      = 32         // codes of a passage are padded with zeros to this
	nobody        = ^uint32(0) // the document of a free passage slot
)

// A passage is what the scan reads beside the codes.
type passage struct {
	scale, residual float32
	norm            float32 // upper bound of ‖Scale·Code‖₂
	doc             uint32  // nobody: the slot is free
	n               uint32  // its number in the version
	length          uint32
}

// A slab holds passages by ordinal. Codes never move, so that zeroing them
// leaves no copy.
type slab struct {
	dimensions, stride int // never change
	budget             *budget

	blocks   [][]int8
	passages []passage
	terms    [][]uint32  // ordinals of its terms, to find its postings
	vectors  [][]float32 // nil where not kept
	free     []uint32
	hand     int // next slot that makes room in the cache
}

func newSlab(dimensions int, b *budget) slab {
	return slab{dimensions: dimensions, stride: (dimensions + rowAlign - 1) / rowAlign * rowAlign, budget: b}
}

// codes returns a passage's padded row.
func (s *slab) codes(ord uint32) []int8 {
	at := int(ord&(blockSize-1)) * s.stride
	return s.blocks[ord>>blockBits][at : at+s.stride : at+s.stride]
}

// put stores a passage of document doc and returns its ordinal.
func (s *slab) put(doc uint32, p *retrieval.IndexPassage) uint32 {
	var ord uint32
	if n := len(s.free); n > 0 {
		ord, s.free = s.free[n-1], s.free[:n-1]
	} else {
		ord = uint32(len(s.passages))
		if ord&(blockSize-1) == 0 {
			s.blocks = append(s.blocks, make([]int8, blockSize*s.stride))
		}
		s.passages = append(s.passages, passage{})
		s.terms = append(s.terms, nil)
		s.vectors = append(s.vectors, nil)
	}
	h := &p.Head
	copy(s.codes(ord), h.Codes.Code)
	s.passages[ord] = passage{
		scale: h.Codes.Scale, residual: h.Codes.Residual, norm: codeNorm(h.Codes),
		doc: doc, n: h.Ref.N, length: h.Length,
	}
	if p.Vector != nil && s.budget.take(s.vectorBytes()) {
		s.vectors[ord] = append(make([]float32, 0, s.dimensions), p.Vector...)
	}
	return ord
}

// codeNorm returns ‖Scale·Code‖₂, rounded up. The sum of squares is exact.
func codeNorm(c retrieval.Codes) float32 {
	sum := int64(0)
	for _, x := range c.Code {
		sum += int64(x) * int64(x)
	}
	norm := float64(c.Scale) * math.Sqrt(float64(sum))
	return math.Nextafter32(float32(norm), math.MaxFloat32)
}

// wipe zeroes a passage's slot and frees it. Its postings are the caller's.
func (s *slab) wipe(ord uint32) {
	clear(s.codes(ord))
	s.forget(ord)
	clear(s.terms[ord])
	s.terms[ord] = nil
	s.passages[ord] = passage{doc: nobody}
	s.free = append(s.free, ord)
}

func (s *slab) vectorBytes() int64 { return int64(s.dimensions)*4 + 24 }

// forget zeroes and releases a kept vector.
func (s *slab) forget(ord uint32) {
	if v := s.vectors[ord]; v != nil {
		clear(v)
		s.vectors[ord] = nil
		s.budget.give(s.vectorBytes())
	}
}

// keep stores a fetched vector if the budget allows, or if a vector of this
// slab can make room: slots lose theirs in turn.
func (s *slab) keep(ord uint32, v []float32) {
	if s.vectors[ord] != nil {
		return
	}
	for range len(s.vectors) {
		if s.budget.take(s.vectorBytes()) {
			s.vectors[ord] = v
			return
		}
		if s.budget.limit < s.vectorBytes() {
			return
		}
		s.hand = (s.hand + 1) % len(s.vectors)
		s.forget(uint32(s.hand))
	}
}
