package consent

import "container/heap"

// maxMaskLog is how many changes a mask remembers for readers that lag; a
// reader further behind starts anew.
const maxMaskLog = 1 << 16

// maskKey names a mask: a purpose, and where people are whose own
// jurisdiction is not known.
type maskKey struct {
	purpose string
	def     Jurisdiction
}

// A mask is everyone's verdict for one maskKey at the tenant's applied
// position and clock, kept up to date entry by entry. The tenant's lock
// guards it.
type mask struct {
	unknown    Verdict   // of people without entries
	verdicts   []Verdict // by ordinal
	generation uint64    // changes when readers must start anew
	log        []uint32  // ordinals that changed in this generation
	due        dueHeap   // when time alone may change a verdict
}

type due struct {
	at  Time
	ord uint32
}

type dueHeap []due

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h dueHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *dueHeap) Push(x any)        { *h = append(*h, x.(due)) }
func (h *dueHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

// rebuild recomputes a mask whole: a new one, or after a policy or a consent
// type changed what counts.
func (t *tenant) rebuild(k maskKey, m *mask) {
	m.generation++
	m.log, m.due = m.log[:0], m.due[:0]
	m.unknown, _ = t.rules.verdict(nil, k.purpose, k.def, t.clock)
	m.verdicts = m.verdicts[:0]
	for _, s := range t.states {
		v, until := t.rules.verdict(s, k.purpose, k.def, t.clock)
		m.verdicts = append(m.verdicts, v)
		if until != 0 {
			m.due = append(m.due, due{until, s.ord})
		}
	}
	heap.Init(&m.due)
}

// refresh recomputes one person's verdict in a mask.
func (t *tenant) refresh(k maskKey, m *mask, s *state) {
	for int(s.ord) >= len(m.verdicts) {
		m.verdicts = append(m.verdicts, m.unknown)
	}
	v, until := t.rules.verdict(s, k.purpose, k.def, t.clock)
	if until != 0 {
		heap.Push(&m.due, due{until, s.ord})
	}
	if m.verdicts[s.ord] == v {
		return
	}
	m.verdicts[s.ord] = v
	if len(m.log) >= maxMaskLog {
		m.generation++
		m.log = m.log[:0]
	}
	m.log = append(m.log, s.ord)
}

// advance moves the clock to now, never back, and lets what expired expire.
// The caller holds the tenant's lock for writing.
func (t *tenant) advance(now Time) {
	if now <= t.clock {
		return
	}
	t.clock = now
	for k, m := range t.masks {
		for len(m.due) > 0 && m.due[0].at <= now {
			d := heap.Pop(&m.due).(due)
			t.refresh(k, m, t.states[d.ord])
		}
	}
}

// nextDue is the earliest time at which a mask may change by itself.
func (t *tenant) nextDue() Time {
	var next Time
	for _, m := range t.masks {
		if len(m.due) > 0 && (next == 0 || m.due[0].at < next) {
			next = m.due[0].at
		}
	}
	return next
}

// ensureMask makes the mask for k when there is none. now is the clock that
// the permit was made by: a mask that is made is made by that, since what
// expired before it had no mask to expire from.
func (t *tenant) ensureMask(k maskKey, now Time) {
	t.mu.RLock()
	_, ok := t.masks[k] // masks are never taken away
	t.mu.RUnlock()
	if ok {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.masks[k] == nil {
		t.advance(now)
		m := &mask{}
		t.rebuild(k, m)
		t.masks[k] = m
	}
}

// sync is Permit.Sync. The mask is there.
func (t *tenant) sync(k maskKey, c *Cursor, reset func(Verdict), visit func(SubjectNum, Verdict)) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	m := t.masks[k]
	if c.generation != m.generation {
		reset(m.unknown)
		for ord, v := range m.verdicts {
			if v != m.unknown {
				visit(t.states[ord].num, v)
			}
		}
		*c = Cursor{m.generation, len(m.log)}
		return
	}
	for _, ord := range m.log[c.seen:] {
		visit(t.states[ord].num, m.verdicts[ord])
	}
	c.seen = len(m.log)
}
