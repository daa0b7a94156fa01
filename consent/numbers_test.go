package consent

import (
	"math/rand/v2"
	"testing"
)

func TestNumbersIsAMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	var n numbers
	want := map[SubjectNum]uint32{}
	check := func(num SubjectNum) {
		t.Helper()
		ord, ok := n.find(num)
		if w, there := want[num]; ok != there || ord != w {
			t.Fatalf("after %d numbers: %d, %v; want %d, %v", len(want), ord, ok, w, there)
		}
	}
	check(7)
	for i := range 20_000 {
		num := SubjectNum(rng.Uint64())
		if i%3 == 0 { // numbers that lie together, or fall together by their lower bits
			num = SubjectNum(i) << (i % 40)
		}
		if _, there := want[num]; !there && num != 0 {
			n.add(num, uint32(i))
			want[num] = uint32(i)
		}
		check(num)
		check(SubjectNum(rng.Uint64()))
		check(0)
	}
	for num := range want {
		check(num)
	}
	if len(n.slots) > 3*len(want) {
		t.Errorf("%d slots for %d numbers", len(n.slots), len(want))
	}
}
