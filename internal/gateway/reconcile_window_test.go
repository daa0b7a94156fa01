package gateway

import (
	"testing"

	"github.com/assent-gateway/assent/retrieval"
)

// Look by look, the reconciler comes to everything that an index holds, and begins anew.
func TestReconcilerComesToEveryEntry(t *testing.T) {
	var r reconciler
	for _, n := range []int{0, 1, partsAtOnce - 1, partsAtOnce, partsAtOnce + 1, 3*partsAtOnce + 7} {
		for range 2 {
			met := map[retrieval.DocNum]bool{}
			for range n/partsAtOnce + 1 {
				nums := make([]retrieval.DocNum, n)
				for i := range nums {
					nums[i] = retrieval.DocNum(2 * (n - i))
				}
				for _, num := range r.window(1, nums) {
					met[num] = true
				}
			}
			if len(met) != n {
				t.Errorf("of %d it came to %d", n, len(met))
			}
			r.entries = nil
		}
	}
}
