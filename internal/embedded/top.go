package embedded

import (
	"cmp"
	"slices"
)

// A hit is a passage and its score.
type hit struct {
	score float64
	ord   uint32
}

// A top keeps the k best of the hits offered: a heap with the worst on top.
type top struct {
	c *collection
	k int
	h []hit
}

func newTop(c *collection, k int) *top { return &top{c: c, k: k} }

// order is below 0 when a ranks before b.
func (t *top) order(a, b hit) int {
	if d := cmp.Compare(b.score, a.score); d != 0 {
		return d
	}
	return t.c.less(a.ord, b.ord)
}

func (t *top) full() bool { return len(t.h) >= t.k }

// worst is the k-th best score; only when full.
func (t *top) worst() float64 { return t.h[0].score }

func (t *top) offer(x hit) {
	if !t.full() {
		t.h = append(t.h, x)
		for i := len(t.h) - 1; i > 0; {
			up := (i - 1) / 2
			if t.order(t.h[up], t.h[i]) >= 0 {
				break
			}
			t.h[up], t.h[i] = t.h[i], t.h[up]
			i = up
		}
		return
	}
	if x.score < t.h[0].score || t.order(x, t.h[0]) >= 0 {
		return
	}
	t.h[0] = x
	for i := 0; ; {
		worst := i
		for kid := 2*i + 1; kid <= 2*i+2 && kid < len(t.h); kid++ {
			if t.order(t.h[kid], t.h[worst]) > 0 {
				worst = kid
			}
		}
		if worst == i {
			return
		}
		t.h[i], t.h[worst] = t.h[worst], t.h[i]
		i = worst
	}
}

// sorted returns the hits, best first, and ends the top's use.
func (t *top) sorted() []hit {
	slices.SortFunc(t.h, t.order)
	return t.h
}
