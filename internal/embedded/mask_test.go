package embedded

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// After any history a mask that followed equals one made anew.
func TestMaskThatFollowsEqualsOneMadeAnew(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		w := newWorld(t, seed, -1)
		rules := []consent.Rule{{}, {Joint: consent.AnyOwner}, {Mentions: consent.MustPermit}, {Joint: consent.AnyOwner, Default: "DE"}}
		for range 40 {
			if w.rng.IntN(2) == 0 {
				w.change(t)
			}
			w.decide()
			c, r := w.index.collection(coll), rules[w.rng.IntN(len(rules))]
			c.mu.RLock()
			all := func() bitset { return append(bitset(nil), c.alive...) }
			followed := all()
			w.index.permitted(c, w.people, r, followed)
			fresh := New(nil, Options{})
			made := all()
			held := c.masks
			c.masks = map[maskKey]*mask{}
			fresh.permitted(c, w.people, r, made)
			c.masks = held
			c.mu.RUnlock()
			if !slices.Equal(followed, made) {
				t.Fatalf("seed %d: %b, want %b", seed, followed, made)
			}
		}
	}
}

// A changed verdict costs what that person's documents cost, no more.
func TestMaskJudgesOnlyWhoChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, -1)
	w.people.restart(consent.Allow)
	for range 20 {
		w.change(t)
	}
	c := w.index.collection(coll)
	c.mu.RLock()
	defer c.mu.RUnlock()
	r := consent.Rule{}
	w.index.permitted(c, w.people, r, append(bitset(nil), c.alive...))
	m := c.mask(maskKey{"t", "rag_retrieval", r}, 1)
	// Spoil the mask: only what is judged again becomes right.
	clear(m.permitted)
	w.people.set(1, consent.Block)
	w.people.set(2, consent.Allow) // no change
	w.index.permitted(c, w.people, r, append(bitset(nil), c.alive...))
	m.permitted.each(func(ord uint32) {
		d := &c.docs[ord]
		if !slices.Contains(d.owners, 1) && !slices.Contains(d.mentions, 1) {
			t.Error("a document was judged whose people did not change")
		}
	})
	if w.people.visits != 2 {
		t.Errorf("%d visits", w.people.visits)
	}
}

func TestMasksAndBooksAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, -1)
	w.change(t)
	q := w.query(t)
	for i := range 3 * maxBooks {
		w.people.purpose = fmt.Sprint("purpose", i)
		clear(w.people.seen) // the fake knows readers by address
		if _, err := w.index.search(context.Background(), w.people, q); err != nil {
			t.Fatal(err)
		}
		last := maskKey{"t", w.people.purpose, q.Rule}
		if c := w.index.collection(coll); c.masks[last] == nil || len(c.masks) > maxMasks || len(w.index.books) > maxBooks {
			t.Fatalf("%d masks, %d books", len(c.masks), len(w.index.books))
		}
	}
}

// Readers that lag behind a log that was cut start anew.
func TestLongLogStartsReadersAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3, -1)
	for range 10 {
		w.change(t)
	}
	q := w.query(t)
	q.Mode, q.K = retrieval.ModeVector, 1000
	other := q
	other.Rule.Joint = 1 - q.Rule.Joint
	ask := func(q retrieval.Query) {
		t.Helper()
		got, err := w.index.search(context.Background(), w.people, q)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(w.expect(q)) {
			t.Fatalf("%d hits, want %d", len(got), len(w.expect(q)))
		}
	}
	ask(q)
	ask(other)
	for i := range 2*maxBookLog + 1000 {
		w.people.set(nums[i%len(nums)], someVerdicts[1+2*(i/len(nums)%2)])
		if i%1000 == 0 {
			ask(q)
		}
	}
	ask(other)
	ask(q)
}
