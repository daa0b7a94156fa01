package retrieval

import (
	"errors"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

func TestUnit(t *testing.T) {
	t.Parallel()
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, bad := range [][]float32{nil, {}, {0, 0}, {1, nan}, {inf, 1}, {-inf}} {
		if got, err := Unit(bad); !errors.Is(err, ErrVector) || got != nil {
			t.Errorf("%v: %v", bad, err)
		}
	}
	for _, v := range [][]float32{{3, 4}, {math.MaxFloat32, math.MaxFloat32, -math.MaxFloat32}, {math.SmallestNonzeroFloat32}, {1e-40, -1e-40}} {
		u, err := Unit(v)
		if err != nil {
			t.Fatal(err)
		}
		if n := Cosine(u, u); math.Abs(n-1) > 1e-6 {
			t.Errorf("%v: squared length %v", v, n)
		}
	}
	if u, _ := Unit([]float32{3, 4}); u[0] != 0.6 || u[1] != 0.8 {
		t.Errorf("%v", u)
	}
}

func TestCosineIsTheAscendingFloat64Sum(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		a, b := make([]float32, 33), make([]float32, 33)
		for i := range a {
			a[i], b[i] = rng.Float32()-.5, rng.Float32()-.5
		}
		want := new(big.Float).SetPrec(53)
		for i := range a {
			p := new(big.Float).SetPrec(53).Mul(big.NewFloat(float64(a[i])), big.NewFloat(float64(b[i])))
			want.Add(want, p)
		}
		w, _ := want.Float64()
		if got := Cosine(a, b); got != w {
			t.Fatalf("%v, want %v", got, w)
		}
	}
	big := []float32{math.MaxFloat32, math.MaxFloat32}
	if got := Cosine(big, big); math.IsInf(got, 0) || math.IsNaN(got) {
		t.Errorf("%v", got)
	}
	if got := Cosine([]float32{1, 2}, []float32{3}); got != 3 {
		t.Errorf("%v", got)
	}
}

// The residual is checked in exact arithmetic.
func TestResidualIsAnUpperBound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.SliceOfN(rapid.OneOf(rapid.Float32Range(-1, 1), rapid.SampledFrom([]float32{0, 0, 1e-30, -1})), 1, 40).Draw(t, "v")
		u, err := Unit(v)
		if err != nil {
			t.Skip("zero")
		}
		c := Quantise(u)
		if len(c.Code) != len(u) {
			t.Fatal("length")
		}
		sum := new(big.Rat)
		for i, x := range u {
			d := new(big.Rat).SetFloat64(float64(x))
			d.Sub(d, new(big.Rat).Mul(new(big.Rat).SetFloat64(float64(c.Scale)), new(big.Rat).SetInt64(int64(c.Code[i]))))
			sum.Add(sum, d.Mul(d, d))
		}
		r := new(big.Rat).SetFloat64(float64(c.Residual))
		if r.Mul(r, r).Cmp(sum) < 0 {
			t.Fatalf("residual %v is below the error", c.Residual)
		}
		got, _ := sum.Float64()
		if over := float64(c.Residual) - math.Sqrt(got); over > 1e-6*math.Sqrt(got)+1e-38 {
			t.Fatalf("residual is %v above the error", over)
		}
		if c.Residual > 0.6*c.Scale*float32(math.Sqrt(float64(len(u)))) {
			t.Fatalf("codes are not the nearest: residual %v, scale %v", c.Residual, c.Scale)
		}
	})
}

func TestQuantiseTakesAnything(t *testing.T) {
	t.Parallel()
	for _, v := range [][]float32{nil, {0, 0}, {float32(math.NaN()), 1}, {float32(math.Inf(-1))}} {
		Quantise(v) // must not panic
	}
}
