package consent

import (
	"context"
	"math"
	"slices"
)

// departure is the suppression of somebody, as the ledger has folded it in.
type departure struct {
	num  SubjectNum
	at   Position
	late bool // a row alone said so: at is when it was heard of, not when it was
}

// Suppressed calls f with everyone whose erasure was entered after a position,
// by the newest state that the gateway has applied, and was not taken back:
// also with those who permit again, whose data from before may not be used all
// the same. f runs under the ledger's lock: it must be short and must not call
// the ledger. It costs what was entered since, and may name somebody twice.
func (p Permit) Suppressed(after Position, f func(SubjectNum)) {
	if p.t == nil {
		return
	}
	p.t.mu.RLock()
	defer p.t.mu.RUnlock()
	all := p.t.departures
	for i := len(all) - 1; i >= 0 && all[i].at > after; i-- {
		if s := p.t.state(all[i].num); s != nil && (s.gone || s.suppressed && s.suppressedPos > after) {
			f(all[i].num)
		}
	}
}

// A Leaving is when somebody stopped permitting, for who no longer does.
type Leaving struct {
	Position Position // of the newest entry that counts
	Time     Time     // when what was granted there ended by itself; 0: it did not
	Erased   bool     // an erasure was entered after a position that was asked about
	// Undated: they were erased, and no link leads to when any more. Position is
	// then above every other; the entry is one of ErasedAfter's.
	Undated bool
}

// Left returns when a person's permission for a purpose, or that for embedding,
// which every purpose needs, was last changed, and whether they were erased
// after a position.
func (l *Ledger) Left(ctx context.Context, id TenantID, num SubjectNum, purpose string, after Position) (Leaving, error) {
	all, err := l.AllLeft(ctx, id, []SubjectNum{num}, purpose, after)
	if err != nil {
		return Leaving{}, err
	}
	return all[0], nil
}

// AllLeft is Left of several people, in order.
func (l *Ledger) AllLeft(ctx context.Context, id TenantID, nums []SubjectNum, purpose string, after Position) ([]Leaving, error) {
	t, head, err := l.fresh(ctx, id)
	if err != nil {
		return nil, err
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	erased := map[SubjectNum]Position{}
	for _, d := range t.departures {
		if !d.late {
			erased[d.num] = d.at
		}
	}
	out := make([]Leaving, len(nums))
	for i, num := range nums {
		out[i] = t.left(num, purpose, after, head.Now)
		if out[i].Erased {
			out[i].Position = max(out[i].Position, erased[num])
		}
		if s := t.state(num); s != nil && s.gone && erased[num] == 0 {
			out[i].Position, out[i].Undated = math.MaxInt64, true // since a restart
		}
	}
	return out, nil
}

// ErasedAfter returns the positions, ascending, of the suppressions after one that
// somebody was behind and that were not taken back.
func (l *Ledger) ErasedAfter(ctx context.Context, id TenantID, after Position) ([]Position, error) {
	t, _, err := l.fresh(ctx, id)
	if err != nil {
		return nil, err
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	var out []Position
	for at, s := range t.suppressedAt {
		if at > after && !s.lifted && !s.key.IsZero() {
			out = append(out, at)
		}
	}
	slices.Sort(out)
	return out, nil
}

// left is Left by what is applied. The caller holds the lock.
func (t *tenant) left(num SubjectNum, purpose string, after Position, now Time) (out Leaving) {
	s := t.state(num)
	if s == nil {
		return out
	}
	if s.suppressed {
		out.Position, out.Erased = s.suppressedPos, s.suppressedPos > after
	}
	if s.gone { // for good: who comes back is somebody else
		out.Erased = true
	}
	for _, sup := range t.behind[num] {
		if !sup.lifted {
			out.Position = max(out.Position, sup.at)
		}
	}
	for _, name := range []string{purpose, Embedding} {
		p := s.about(name)
		if p == nil {
			continue
		}
		out.Position = max(out.Position, p.current.position, p.restriction.position)
		for _, g := range p.grants {
			if g.until != 0 && g.until <= now {
				out.Time = max(out.Time, g.until)
			}
		}
	}
	return out
}

// Past returns the mark of a person who was erased at some time, 0 for none, and
// everybody whom it leads to as long as anybody can tell: the same person, under
// earlier numbers, before their erasures are completed.
func (l *Ledger) Past(ctx context.Context, id TenantID, s Subject) (mark SubjectNum, behind []Condemned, err error) {
	t, _, err := l.fresh(ctx, id)
	if err != nil {
		return 0, nil, err
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	mark = t.byMark[t.mark(t.lookup(s))].num
	for _, sup := range t.suppressedBy[mark] {
		if sup.link.num != 0 && !sup.lifted {
			behind = append(behind, Condemned{Num: sup.link.num, Mark: mark, Before: sup.at})
		}
	}
	return mark, behind, nil
}
