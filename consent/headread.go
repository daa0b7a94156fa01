package consent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Others may wait for what one of them does. headPatience bounds the reading of
// a head, patience a transaction and the reading of entries.
const (
	headPatience = 5 * time.Second
	patience     = 20 * time.Second
)

// headReads joins the reads of one tenant's head. At most one is in flight.
// Whoever comes meanwhile waits for the next one, never for that: a read
// answers only those who asked before it was sent, or else it could lack a
// revocation that was acknowledged before they asked (P2).
type headReads struct {
	mu     sync.Mutex
	flying bool
	next   *headRead

	last Head // the newest answer; guarded by flying
}

// A headRead is a read that is not sent yet, and then its answer.
type headRead struct {
	done chan struct{}
	head Head
	err  error
}

// head returns the tenant's head as a read says that was sent after the call.
func (l *Ledger) head(ctx context.Context, t *tenant) (Head, error) {
	if err := ctx.Err(); err != nil {
		return Head{}, err
	}
	h := &t.heads
	h.mu.Lock()
	if !h.flying {
		h.flying = true
		h.mu.Unlock()
		defer l.passOn(t)
		return l.sendHead(ctx, t)
	}
	if h.next == nil {
		h.next = &headRead{done: make(chan struct{})}
	}
	r := h.next
	h.mu.Unlock()
	select {
	case <-r.done:
		return r.head, r.err
	case <-ctx.Done():
		return Head{}, ctx.Err()
	}
}

// passOn ends a read: those who came meanwhile get theirs.
func (l *Ledger) passOn(t *tenant) {
	h := &t.heads
	h.mu.Lock()
	r := h.next
	h.next, h.flying = nil, r != nil
	h.mu.Unlock()
	if r != nil {
		go l.answer(t, r)
	}
}

func (l *Ledger) answer(t *tenant, r *headRead) {
	defer l.passOn(t)
	defer close(r.done)
	r.head, r.err = l.sendHead(context.Background(), t)
}

// sendHead reads the head. Nothing in it ever goes back, or nobody can tell
// what a gateway has told already: positions that do are an error, a clock
// that does is not believed.
func (l *Ledger) sendHead(ctx context.Context, t *tenant) (Head, error) {
	last := &t.heads.last
	t.mu.RLock()
	least := max(t.applied, last.Position)
	t.mu.RUnlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), headPatience) // others may wait for it
	defer cancel()
	watched, end := l.watch.Begin(ctx, StepHead)
	head, err := l.store.Head(watched, t.id)
	end(err)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return Head{}, fmt.Errorf("%w: its head was not read in time", ErrUnavailable)
	case err != nil:
		return Head{}, asUnavailable(err)
	case head.Replayed != t.replayed:
		l.Shut(t.id, ErrReplayed)
		return Head{}, ErrReplayed
	case head.Position < least, head.Corpus < last.Corpus, head.Shelf < last.Shelf:
		return Head{}, ErrHeadBackwards
	}
	head.Now = max(head.Now, last.Now)
	*last = head
	return head, nil
}
