package consent

import "context"

// A Step is a part of a ledger's work that is worth timing by itself.
type Step uint8

// The steps.
const (
	StepPermit  Step = iota + 1 // a purpose was asked for: head read and memory caught up
	StepHead                    // the head was read from the store
	StepAppend                  // one transaction of the ledger
	StepJournal                 // the vault's journal was appended to, and synced
)

// An Observer is told what a Ledger does, for metrics and traces: which step,
// how long, how it ended, and why decisions are what they are. It is never told
// who, about whom, in which tenant or for which purpose. Its methods are called
// by many goroutines on the way of every search: they must not block, and must
// not call the ledger.
type Observer interface {
	// Begin says that a step begins. The function it returns is called once,
	// with how the step ended; the context is for the steps within.
	Begin(ctx context.Context, s Step) (context.Context, func(error))
	// Decided says that a decision was given.
	Decided(r Reason)
}

// unobserved hears nothing.
type unobserved struct{}

func (unobserved) Begin(ctx context.Context, _ Step) (context.Context, func(error)) {
	return ctx, func(error) {}
}
func (unobserved) Decided(Reason) {}

// Stats are a Ledger's numbers, over all its tenants.
type Stats struct {
	Tenants int
	Closed  int    // tenants whose ledger permits nothing
	Entries uint64 // applied
	Waiting int    // writes that wait for a transaction
}

// Stats returns the numbers as they are now, from memory.
func (l *Ledger) Stats() Stats {
	l.mu.RLock()
	defer l.mu.RUnlock()
	s := Stats{Tenants: len(l.tenants)}
	for _, t := range l.tenants {
		if t.closed.Load() != nil {
			s.Closed++
		}
		t.mu.RLock()
		s.Entries += uint64(t.applied)
		t.mu.RUnlock()
		t.queue.mu.Lock()
		s.Waiting += len(t.queue.waiting)
		t.queue.mu.Unlock()
	}
	return s
}
