package retrieval

import (
	"errors"
	"math"
)

// ErrVector: a vector is empty, all zeros, or holds what is not finite.
var ErrVector = errors.New("retrieval: a vector is empty, zero or not finite")

// Unit returns v scaled to length one, in memory of its own: each component is
// float32(float64(x) / norm), norm the square root of the float64 sum of
// squares, ascending. ErrVector when v has no direction.
func Unit(v []float32) ([]float32, error) {
	norm := math.Sqrt(Cosine(v, v))
	if !(norm > 0) || math.IsInf(norm, 1) {
		return nil, ErrVector
	}
	unit := make([]float32, len(v))
	for i, x := range v {
		unit[i] = float32(float64(x) / norm)
	}
	return unit, nil
}

// Cosine returns the float64 sum of products of two unit float32 vectors,
// ascending (DESIGN §5): the score of a vector search. a and b have the same
// length; what the longer one has more does not count.
//
// The outer conversion forbids the compiler to fuse multiplication and
// addition (Go specification, "Floating-point operators"), which it does on
// some processors and which rounds once instead of twice. Products of float32
// are exact in float64 and cannot overflow; the sum of as many as memory holds
// cannot either.
func Cosine(a, b []float32) float64 {
	n := min(len(a), len(b))
	a, b = a[:n], b[:n]
	s := 0.0
	for i, x := range a {
		s += float64(float64(x) * float64(b[i]))
	}
	return s
}

// Quantise returns the codes of a unit vector: Scale is its largest component
// over 127, each code the nearest integer to component/Scale.
//
// Residual is an upper bound of the error's length, not an estimate. The
// float64 products Scale·Code are exact (24 and 8 bits); every later rounding
// (a difference, a square, up to 2³² additions, a root) errs by a relative
// 2⁻⁵³ each, together below 2⁻²⁰ of what rounding up to the next float32 after
// rounding to the nearest adds, unless the sum has more than 2²⁴ terms.
func Quantise(unit []float32) Codes {
	top := float32(0)
	for _, x := range unit {
		if a := float32(math.Abs(float64(x))); a > top {
			top = a
		}
	}
	c := Codes{Code: make([]int8, len(unit)), Scale: top / 127}
	scale := float64(c.Scale)
	sum := 0.0
	for i, x := range unit {
		if scale > 0 {
			code := math.RoundToEven(float64(x) / scale)
			c.Code[i] = int8(max(-127, min(127, code)))
		}
		d := float64(x) - float64(scale*float64(c.Code[i]))
		sum += float64(d * d)
	}
	c.Residual = math.Nextafter32(float32(math.Sqrt(sum)), float32(math.Inf(1)))
	return c
}
