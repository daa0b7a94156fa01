package embedded

import (
	"cmp"
	"math"
	"slices"

	"github.com/assent-gateway/assent/retrieval"
)

// How the scan stays exact. A passage's stored vector v is known as
// v̂ = Scale·Code with ‖v − v̂‖ ≤ Residual; the query q is taken as
// q̂ = scale·code with 16-bit codes. By Cauchy and Schwarz
//
//	|q·v − q̂·v̂| ≤ ‖q‖·Residual + ‖q − q̂‖·‖v̂‖
//
// and q̂·v̂ is two factors times a sum of integers, which is exact. So the score
// lies in an interval around q̂·v̂. With T the k-th largest lower end, a passage
// whose upper end is below T is worse than k others: all others are candidates
// and are scored by retrieval.Cosine on the stored float32. slack pays for the
// float64 rounding in Cosine (below 1e-11 for unit vectors of 65 536
// dimensions) and in computing the interval (a few 2⁻⁵³), with room.
const slack = 1e-5

// A probe is a query made ready for the scan.
type probe struct {
	vector []float32
	code   []int16 // padded as codes are
	scale  float64
	norm   float64 // upper bound of ‖q‖
	error  float64 // upper bound of ‖q − q̂‖
}

// maxProbe is the largest code of a probe.
const maxProbe = 1<<15 - 1

func newProbe(q []float32, stride int) *probe {
	p := &probe{vector: q, code: make([]int16, stride)}
	top, square := 0.0, 0.0
	for _, x := range q {
		top = max(top, math.Abs(float64(x)))
		square += float64(x) * float64(x)
	}
	p.norm = math.Sqrt(square) * (1 + 1e-9)
	// Coarser codes until no sum can leave int32, whatever the passage's codes.
	for most := float64(maxProbe); top > 0; most /= 2 {
		p.scale = top / most
		sum, wrong := 0.0, 0.0
		for i, x := range q {
			p.code[i] = int16(math.RoundToEven(float64(x) / p.scale))
			d := float64(x) - p.scale*float64(p.code[i])
			wrong += d * d
			sum += math.Abs(float64(p.code[i]))
		}
		p.error = math.Sqrt(wrong)*(1+1e-9) + p.norm*1e-12
		if sum*128 <= math.MaxInt32 {
			break
		}
	}
	return p
}

// A candidate is a passage and the upper end of its score's interval.
type candidate struct {
	upper float64
	ord   uint32
}

// shortlist leaves in s.near a superset of the k best of s.ords, the most
// promising first.
func (c *collection) shortlist(p *probe, k int, s *scratch) {
	s.near, s.bounds = s.near[:0], s.bounds[:0]
	k = min(k, len(s.ords))
	least := math.Inf(-1) // the k-th largest lower end so far
	for _, ord := range s.ords {
		e := &c.passages[ord]
		score := float64(c.dot(c.codes(ord), p.code)) * (p.scale * float64(e.scale))
		margin := p.norm*float64(e.residual) + p.error*float64(e.norm) + slack
		if score+margin < least {
			continue
		}
		s.near = append(s.near, candidate{score + margin, ord})
		if low := score - margin; len(s.bounds) < k || low > least {
			s.bounds = keepLargest(s.bounds, k, low)
			if len(s.bounds) == k {
				least = s.bounds[0]
			}
		}
	}
	s.near = slices.DeleteFunc(s.near, func(n candidate) bool { return n.upper < least })
	slices.SortFunc(s.near, func(a, b candidate) int {
		if d := cmp.Compare(b.upper, a.upper); d != 0 {
			return d
		}
		return cmp.Compare(a.ord, b.ord)
	})
}

// keepLargest adds x to a min-heap of the k largest numbers.
func keepLargest(h []float64, k int, x float64) []float64 {
	if len(h) < k {
		h = append(h, x)
		for i := len(h) - 1; i > 0; {
			up := (i - 1) / 2
			if h[up] <= h[i] {
				break
			}
			h[up], h[i] = h[i], h[up]
			i = up
		}
		return h
	}
	h[0] = x
	for i := 0; ; {
		least := i
		for kid := 2*i + 1; kid <= 2*i+2 && kid < len(h); kid++ {
			if h[kid] < h[least] {
				least = kid
			}
		}
		if least == i {
			return h
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}

// nearest returns the k best of s.ords by cosine, best first, or at most want
// passages whose vectors it has to be given first.
func (c *collection) nearest(p *probe, k, want int, had map[retrieval.PassageRef][]float32, s *scratch) (best []hit, lacks []uint32) {
	c.shortlist(p, k, s)
	top := newTop(c, k)
	for _, n := range s.near {
		// Equal to the k-th best may still win the tie; below it nothing can.
		if top.full() && n.upper < top.worst() || len(lacks) == want {
			break
		}
		v := c.vectors[n.ord]
		if v == nil && had != nil {
			v = had[c.ref(n.ord)]
		}
		if v == nil {
			lacks = append(lacks, n.ord)
			continue
		}
		top.offer(hit{retrieval.Cosine(p.vector, v), n.ord})
	}
	if lacks != nil {
		return nil, lacks
	}
	return top.sorted(), nil
}
