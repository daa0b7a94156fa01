package testport

import (
	"sync"
	"testing"
)

// However many take ports at once, and whether or not anybody listens on them
// yet, none is given twice before it is given back; and none is of those that
// the kernel gives to whoever asks for any.
func TestNoPortIsGivenTwice(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	given := map[int]bool{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				b, err := Take(Most)
				if err != nil {
					t.Error(err)
					return
				}
				t.Cleanup(b.Close)
				mu.Lock()
				for i := range Most {
					if p := b.Port(i); given[p] || p < first || p >= last {
						t.Errorf("port %d", p)
					}
					given[b.Port(i)] = true
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(given) != 800*Most {
		t.Errorf("%d ports", len(given))
	}
}

// What somebody listens on who knows of no blocks is not given.
func TestATakenPortIsNotGiven(t *testing.T) {
	t.Parallel()
	b, err := Take(2)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	l, err := listen(b.Port(1))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if b.free(2) || !b.free(1) {
		t.Error("a port that somebody listens on is taken for free")
	}
}
