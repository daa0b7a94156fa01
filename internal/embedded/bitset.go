package embedded

import "math/bits"

// A bitset is a set of small numbers. Reading beyond its end finds nothing.
type bitset []uint64

func (b bitset) has(i uint32) bool {
	w := int(i >> 6)
	return w < len(b) && b[w]>>(i&63)&1 == 1
}

func (b *bitset) set(i uint32) {
	for int(i>>6) >= len(*b) {
		*b = append(*b, 0)
	}
	(*b)[i>>6] |= 1 << (i & 63)
}

func (b bitset) unset(i uint32) {
	if w := int(i >> 6); w < len(b) {
		b[w] &^= 1 << (i & 63)
	}
}

// and leaves in b what is in c too.
func (b bitset) and(c bitset) {
	n := min(len(b), len(c))
	for i, w := range c[:n] {
		b[i] &= w
	}
	clear(b[n:])
}

// each calls f with the members, ascending. f may unset what it is given.
func (b bitset) each(f func(uint32)) {
	for i, w := range b {
		for ; w != 0; w &= w - 1 {
			f(uint32(i<<6 + bits.TrailingZeros64(w)))
		}
	}
}

func (b bitset) count() int {
	n := 0
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}

// empty returns b with n words of zeros, in b's memory where it suffices.
func (b bitset) empty(n int) bitset {
	if cap(b) < n {
		return make(bitset, n)
	}
	b = b[:n]
	clear(b)
	return b
}
