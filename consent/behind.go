package consent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/assent-gateway/assent/internal/seal"
)

// A Behind is who is behind a suppression mark.
type Behind struct {
	Num    SubjectNum
	Key    seal.Ref
	Lookup [32]byte
}

// Marked returns the mark that a person is suppressed under and has not come back
// from, 0 for none, and how often somebody was behind it.
func (l *Ledger) Marked(ctx context.Context, id TenantID, s Subject) (mark SubjectNum, round int, err error) {
	t, _, err := l.fresh(ctx, id)
	if err != nil {
		return 0, 0, err
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	num := t.resolve(s)
	if !t.condemned(num) && t.who[num].version != markedVersion {
		return 0, 0, nil
	}
	return num, t.round(num), nil
}

// round counts the suppressions of a mark that somebody was behind.
func (t *tenant) round(mark SubjectNum) (n int) {
	for _, s := range t.suppressedBy[mark] {
		if !s.key.IsZero() {
			n++
		}
	}
	return n
}

// Behind returns who is behind a suppression mark by the entry of an erasure: who
// came back since, and is being erased, too, is not who was. The zero Behind when
// there is nobody, or when nobody can tell any more.
func (l *Ledger) Behind(ctx context.Context, id TenantID, mark SubjectNum, erasure string) (Behind, error) {
	t, _, err := l.fresh(ctx, id)
	if err != nil {
		return Behind{}, err
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	if s := t.suppressedFor(mark, erasure); s != nil && !s.lifted {
		return Behind{s.link.num, s.link.key, s.link.lookup}, nil
	}
	return Behind{}, nil
}

// Gone returns everyone who was erased, and whom nobody can name any more.
func (l *Ledger) Gone(ctx context.Context, id TenantID) ([]SubjectNum, error) {
	_, gone, err := l.gone(ctx, id)
	return slices.Collect(maps.Keys(gone)), err
}

// gone is Gone. A row becomes nameless in the transaction of its suppression, but
// may be met before that entry is applied: then it looks as if nobody could tell any
// more whose mark they are under, though an erasure has just begun. So that who is
// gone is who is so again by a head that was read later.
func (l *Ledger) gone(ctx context.Context, id TenantID) (*tenant, map[SubjectNum]bool, error) {
	t, _, err := l.fresh(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	look := func() map[SubjectNum]bool {
		t.mu.RLock()
		defer t.mu.RUnlock()
		out := map[SubjectNum]bool{}
		for _, s := range t.states {
			if s.gone && len(t.behind[s.num]) == 0 {
				out[s.num] = true
			}
		}
		return out
	}
	first := look()
	if len(first) == 0 {
		return t, first, nil
	}
	if _, _, err := l.fresh(ctx, id); err != nil {
		return nil, nil, err
	}
	again := look()
	maps.DeleteFunc(first, func(num SubjectNum, _ bool) bool { return !again[num] })
	return t, first, nil
}

// Forget destroys every link that leads to a person, durably: their erasure is
// completed. Repeatable.
func (l *Ledger) Forget(ctx context.Context, id TenantID, num SubjectNum) error {
	t, err := l.tenant(ctx, id)
	if err != nil || num == 0 {
		return err
	}
	t.mu.RLock()
	var refs []seal.Ref
	for _, s := range t.behind[num] {
		refs = append(refs, s.key)
	}
	t.mu.RUnlock()
	if err := l.vault.Destroy(refs...); err != nil {
		return fmt.Errorf("%w: destroy the key of a link", ErrUnavailable)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.behind[num] {
		s.link = link{}
	}
	delete(t.behind, num)
	delete(t.aliases, num)
	return nil
}

// ForgetCompleted forgets everyone whose erasure the ledger has the completion of:
// a crash came between it and Forget.
func (l *Ledger) ForgetCompleted(ctx context.Context, id TenantID) error {
	t, _, err := l.fresh(ctx, id)
	if err != nil {
		return err
	}
	t.mu.RLock()
	var done []SubjectNum
	back := map[SubjectNum]seal.Ref{} // their suppressions were all taken back
	for num, all := range t.behind {
		if slices.ContainsFunc(all, t.done) {
			done = append(done, num)
		} else if !slices.ContainsFunc(all, func(s *suppression) bool { return !s.lifted }) {
			back[num] = all[0].link.key
		}
	}
	t.mu.RUnlock()
	for num, key := range back { // and they were erased later, by a link that is gone
		if _, err := l.vault.SubjectKey(key); errors.Is(err, ErrKeyGone) {
			done = append(done, num)
		}
	}
	for _, num := range done {
		if err := l.Forget(ctx, id, num); err != nil {
			return err
		}
	}
	return nil
}

// done reports whether an erasure is completed.
func (t *tenant) done(s *suppression) bool { return !s.lifted && t.completed[s.erasure] }

// LinkKeys calls f with the key of every link that is needed. No row names them:
// the entries do.
func (l *Ledger) LinkKeys(f func(seal.Ref)) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, t := range l.tenants {
		t.mu.RLock()
		for _, all := range t.behind {
			for _, s := range all {
				if !t.done(s) {
					f(s.key)
				}
			}
		}
		t.mu.RUnlock()
	}
}
