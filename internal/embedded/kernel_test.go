package embedded

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/assent-gateway/assent/retrieval"
)

func TestKernelsAgree(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	fast := pickKernel()
	for n := rowAlign; n <= 4096; n += rowAlign * (1 + n/512) {
		code, query := make([]int8, n), make([]int16, n)
		for _, extreme := range []bool{false, true} {
			want := int64(0)
			for i := range code {
				code[i], query[i] = int8(rng.IntN(256)-128), int16(rng.IntN(2001)-1000)
				if extreme {
					code[i], query[i] = -128, int16(-math.MaxInt32/128/n)
				}
				want += int64(code[i]) * int64(query[i])
			}
			if got := fast(code, query); int64(got) != want {
				t.Fatalf("%d codes: %d, want %d", n, got, want)
			}
			if got := dotGeneric(code, query); int64(got) != want {
				t.Fatalf("generic, %d codes: %d, want %d", n, got, want)
			}
		}
	}
}

// However long and lopsided the query, no sum leaves int32, and the interval
// holds the exact score.
func TestIntervalsHoldTheScore(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{1, 2, 31, 33, 256, 4096, maxDimensions} {
		for _, shape := range []string{"even", "random", "lopsided", "long"} {
			q, v := make([]float32, n), make([]float32, n)
			for i := range q {
				q[i], v[i] = 1, 1-2*float32(i&1)
				if shape != "even" {
					q[i], v[i] = float32(rng.NormFloat64()), float32(rng.NormFloat64())
				}
			}
			if shape == "lopsided" {
				q[0], v[n-1] = 1000, -1000
			}
			q, _ = retrieval.Unit(q)
			v, _ = retrieval.Unit(v)
			if shape == "long" { // a query need not be of unit length
				for i := range q {
					q[i] *= 7
				}
			}
			c := newCollection(n, &budget{limit: -1})
			p := retrieval.IndexPassage{Head: retrieval.Head{Codes: retrieval.Quantise(v)}}
			ord := c.put(0, &p)
			e, pr := c.passages[ord], newProbe(q, c.stride)
			sum := int64(0)
			for i := range q {
				sum += int64(p.Head.Codes.Code[i]) * int64(pr.code[i])
			}
			got := c.dot(c.codes(ord), pr.code)
			if int64(got) != sum {
				t.Errorf("%d %s: the sum left int32", n, shape)
			}
			score := float64(got) * pr.scale * float64(e.scale)
			margin := pr.norm*float64(e.residual) + pr.error*float64(e.norm) + slack
			if off := math.Abs(retrieval.Cosine(q, v) - score); off > margin {
				t.Errorf("%d %s: off by %v, margin %v", n, shape, off, margin)
			}
			if margin > 0.1*pr.norm+2*slack && n < 1000 {
				t.Errorf("%d %s: margin %v is useless", n, shape, margin)
			}
		}
	}
}

func TestZeroQueryHasNoDirection(t *testing.T) {
	t.Parallel()
	p := newProbe(make([]float32, 40), 64)
	if p.scale != 0 || len(p.code) != 64 || slices.ContainsFunc(p.code, func(c int16) bool { return c != 0 }) {
		t.Error("codes of a zero query")
	}
}

func TestKeepLargest(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 6))
	for k := 1; k < 20; k++ {
		var h, all []float64
		for range 200 {
			x := float64(rng.IntN(50))
			all = append(all, x)
			if len(h) < k || x > h[0] {
				h = keepLargest(h, k, x)
			}
		}
		slices.Sort(all)
		slices.Sort(h)
		if !slices.Equal(h, all[len(all)-k:]) {
			t.Errorf("k %d: %v", k, h)
		}
	}
}
