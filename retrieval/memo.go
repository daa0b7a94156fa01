package retrieval

import (
	"bytes"
	"context"
	"sync"
)

// A memo keeps what one round of a search has opened for an index outside
// (Known), so that the second gate need not open it again. It is our own, from
// after the round began, and is believed only for a row that is still live and
// the same: a version never changes while it lives.
type memo struct {
	mu     sync.Mutex
	opened map[DocNum]*opened
	bodies map[PassageRef]*Body

	overtaken bool
	sang      bool
}

type memoKey struct{}

func withMemo(ctx context.Context) context.Context {
	return context.WithValue(ctx, memoKey{}, &memo{opened: map[DocNum]*opened{}, bodies: map[PassageRef]*Body{}})
}

// memoOf returns the round's memo; nil, which keeps nothing, outside of one.
func memoOf(ctx context.Context) *memo {
	m, _ := ctx.Value(memoKey{}).(*memo)
	return m
}

func (m *memo) keep(o *opened, ref PassageRef, b *Body) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	o.known = true
	m.opened[ref.Doc], m.bodies[ref] = o, b
}

func (m *memo) record(row *DocRow) *opened {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	o := m.opened[row.Num]
	if o == nil || o.row.Key != row.Key || !bytes.Equal(o.row.Sealed, row.Sealed) || o.row.RetainUntil != row.RetainUntil ||
		!bytes.Equal(metaAAD("", &o.row), metaAAD("", row)) {
		return nil
	}
	return o
}

func (m *memo) body(ref PassageRef) *Body {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.bodies[ref]
}

// Overtaken is how an index outside says, of the search that ctx is for, that
// rows changed under it again and again: what it returns may lack some, and the
// answer must not claim to be whole.
func Overtaken(ctx context.Context) {
	if m := memoOf(ctx); m != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.overtaken = true
	}
}

func (m *memo) wasOvertaken() bool {
	if m == nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.overtaken
}
