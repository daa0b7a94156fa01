package consent

// numbers leads from people's numbers to their ordinals: an open table, which
// only grows. A lookup among a million people costs the one miss of a cache that
// it cannot save, where a map costs three; and the misses of several people
// overlap, which is most of what the second gate's time is made of.
type numbers struct {
	slots []numberSlot // a power of two, at most three quarters full
	used  int
}

// numberSlot is an entry; of number 0, which nobody has, it is free.
type numberSlot struct {
	num SubjectNum
	ord uint32
}

// find returns a person's ordinal; false when they have none.
func (n *numbers) find(num SubjectNum) (uint32, bool) {
	if len(n.slots) == 0 || num == 0 {
		return 0, false
	}
	mask := uint64(len(n.slots) - 1)
	for at := spread(num) & mask; ; at = (at + 1) & mask {
		switch s := &n.slots[at]; s.num {
		case num:
			return s.ord, true
		case 0:
			return 0, false
		}
	}
}

// add gives a person who has none an ordinal.
func (n *numbers) add(num SubjectNum, ord uint32) {
	if n.used*4 >= len(n.slots)*3 {
		old := n.slots
		n.slots = make([]numberSlot, max(16, 2*len(old)))
		for _, s := range old {
			if s.num != 0 {
				n.put(s)
			}
		}
	}
	n.put(numberSlot{num, ord})
	n.used++
}

func (n *numbers) put(s numberSlot) {
	mask := uint64(len(n.slots) - 1)
	at := spread(s.num) & mask
	for n.slots[at].num != 0 {
		at = (at + 1) & mask
	}
	n.slots[at] = s
}

// spread makes a place of a number. Numbers are random, but a table must not
// depend on what a restored database holds.
func spread(num SubjectNum) uint64 {
	h := uint64(num) * 0x9E3779B97F4A7C15
	return h ^ h>>32
}
