package consent

// suppressed is a suppression that the ledger has folded in.
type suppressed struct {
	num SubjectNum
	at  Position
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
	all := p.t.suppressions
	for i := len(all) - 1; i >= 0 && all[i].at > after; i-- {
		if s := p.t.byNum[all[i].num]; s != nil && s.suppressed && s.suppressedPos > after {
			f(all[i].num)
		}
	}
}
