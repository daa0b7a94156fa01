package eval

import (
	"context"
	"math"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assent-gateway/assent/retrieval"
)

func TestNDCG(t *testing.T) {
	rel := map[string]float64{"a": 1, "b": 1, "c": 0}
	if got, _ := NDCG([]string{"a", "b"}, rel, 10); got != 1 {
		t.Errorf("ideal ranking: %v, want 1", got)
	}
	// One relevant of two, at rank 2: (1/log2 3) / (1 + 1/log2 3).
	want := (1 / math.Log2(3)) / (1 + 1/math.Log2(3))
	if got, _ := NDCG([]string{"x", "a"}, rel, 10); math.Abs(got-want) > 1e-12 {
		t.Errorf("rank 2: %v, want %v", got, want)
	}
	if got, _ := NDCG([]string{"x", "a"}, rel, 1); got != 0 {
		t.Errorf("cut before it: %v, want 0", got)
	}
	if _, ok := NDCG(nil, map[string]float64{"c": 0}, 10); ok {
		t.Error("no relevant document, yet an NDCG")
	}
}

func TestRecall(t *testing.T) {
	if got := Recall([]string{"a", "x"}, []string{"a", "b"}, 2); got != 0.5 {
		t.Errorf("%v, want 0.5", got)
	}
	if got := Recall(nil, nil, 10); got != 1 {
		t.Errorf("nothing to find: %v, want 1", got)
	}
}

func TestAUC(t *testing.T) {
	for _, c := range []struct {
		a, b []int
		want float64
	}{{[]int{1, 2}, []int{3, 4}, 1}, {[]int{3, 4}, []int{1, 2}, 0}, {[]int{1, 1}, []int{1, 1}, .5}, {[]int{1, 3}, []int{2, 2}, .5}, {[]int{2, 1}, []int{1, 2}, .5}, {nil, []int{1}, .5}} {
		if got := AUC(c.a, c.b); got != c.want {
			t.Errorf("AUC(%v, %v) = %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

func TestOracleFormulas(t *testing.T) {
	var o Oracle
	o.Add(OraclePassage{Doc: "a", Terms: []string{"red", "fox"}, Vector: []float32{1, 0}})
	o.Add(OraclePassage{Doc: "b", Terms: []string{"red", "red", "dog", "sun"}, Vector: []float32{0, 1}})
	all := func(*OraclePassage) bool { return true }
	got := o.Search(OracleQuery{Text: "fox", Mode: retrieval.ModeKeyword, K: 5, Permitted: all})
	// N 2, df 1: idf ln 2; tf 1, length 2, average 3.
	want := math.Log(2) * 2.2 / (1 + 1.2*(0.25+0.75*2/3))
	if len(got) != 1 || got[0].Doc != "a" || math.Abs(got[0].Score-want) > 1e-12 {
		t.Errorf("keyword: %+v, want a with %v", got, want)
	}
	got = o.Search(OracleQuery{Text: "fox", Vector: []float32{1, 0}, Mode: retrieval.ModeHybrid, K: 2, Permitted: all})
	if got[0].Doc != "a" || math.Abs(got[0].Score*retrieval.RRFScale-1) > 1e-12 {
		t.Errorf("first in both: %+v, want a with 1.00", got[0])
	}
	// Statistics are those of the permitted alone.
	onlyA := func(p *OraclePassage) bool { return p.Doc == "a" }
	got = o.Search(OracleQuery{Text: "red", Mode: retrieval.ModeKeyword, K: 5, Permitted: onlyA})
	want = math.Log(1+0.5/1.5) * 2.2 / (1 + 1.2)
	if len(got) != 1 || math.Abs(got[0].Score-want) > 1e-12 {
		t.Errorf("permitted statistics: %+v, want %v", got, want)
	}
}

// The hammer must find a target that is late, and one that forgets.
func TestHammerFindsViolations(t *testing.T) {
	for _, c := range []struct {
		name           string
		late, forgets  bool
		stale, missing bool
	}{
		{name: "an honest target"},
		{name: "a target that acknowledges too early", late: true, stale: true},
		{name: "a target that leaves people out", forgets: true, missing: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			const people = 8
			var granted, behind [people]atomic.Bool
			for i := range granted {
				granted[i].Store(true)
				behind[i].Store(true)
			}
			var searches atomic.Int64
			target := HammerTarget{
				Set: func(ctx context.Context, p int, to bool) error {
					if c.late { // one write behind: it takes effect when they say something else
						to = behind[p].Swap(to)
					}
					granted[p].Store(to)
					// Whole searches pass meanwhile, however the goroutines are
					// scheduled, so that the hammer cannot miss how everybody else is
					// answered about.
					for until := searches.Load() + 8; searches.Load() < until && ctx.Err() == nil; {
						runtime.Gosched()
					}
					return nil
				},
				Search: func(context.Context, int) (out []int, complete bool, err error) {
					defer searches.Add(1)
					runtime.Gosched() // else, on one processor, a write waits for everybody's time slice
					for p := range granted {
						if granted[p].Load() && !(c.forgets && p == 3) {
							out = append(out, p)
						}
					}
					return out, true, nil
				},
			}
			r := Hammer(t.Context(), target, HammerConfig{People: people, Writers: 2, Readers: 2, Rows: 50_000, Writes: 200, AtMost: time.Minute, Seed: 1})
			if r.Rows < 50_000 || r.Writes < 200 {
				t.Fatalf("the hammer did not run: %v", r)
			}
			if (r.Stale > 0) != c.stale {
				t.Errorf("stale: %v", r)
			}
			if !c.late && (r.Missing > 0) != c.missing {
				t.Errorf("missing: %v", r)
			}
		})
	}
}
