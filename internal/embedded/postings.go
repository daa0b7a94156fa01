package embedded

import (
	"cmp"
	"slices"
)

// A posting says how often a term stands in a passage.
type posting struct{ passage, count uint32 }

func byPassage(p posting, passage uint32) int { return cmp.Compare(p.passage, passage) }

// A dictionary holds, for each term's keyed hash, the passages with it,
// ascending by ordinal. Terms are numbered densely; the number of one that no
// passage holds any longer is used again.
type dictionary struct {
	ord      map[uint64]uint32
	hash     []uint64
	postings [][]posting
	free     []uint32
}

// A mention is one posting on its way in or out.
type mention struct {
	term uint32
	posting
}

func sortMentions(ms []mention) {
	slices.SortFunc(ms, func(a, b mention) int {
		if c := cmp.Compare(a.term, b.term); c != 0 {
			return c
		}
		return cmp.Compare(a.passage, b.passage)
	})
}

// number returns a term's ordinal, a new one for a new term.
func (d *dictionary) number(hash uint64) uint32 {
	if t, ok := d.ord[hash]; ok {
		return t
	}
	var t uint32
	if n := len(d.free); n > 0 {
		t, d.free = d.free[n-1], d.free[:n-1]
		d.hash[t] = hash
	} else {
		t = uint32(len(d.hash))
		d.hash = append(d.hash, hash)
		d.postings = append(d.postings, nil)
	}
	d.ord[hash] = t
	return t
}

// add appends a posting at once when its passage is beyond all others of the
// term; else it returns false, for merge.
func (d *dictionary) add(m mention) bool {
	list := d.postings[m.term]
	if n := len(list); n > 0 && list[n-1].passage >= m.passage {
		return false
	}
	d.postings[m.term] = append(list, m.posting)
	return true
}

// merge adds postings wherever they belong, each term's list in one pass from
// the back.
func (d *dictionary) merge(late []mention) {
	sortMentions(late)
	for len(late) > 0 {
		t := late[0].term
		n := 1
		for n < len(late) && late[n].term == t {
			n++
		}
		list := d.postings[t]
		from, to := len(list)-1, len(list)+n-1
		list = slices.Grow(list, n)[:len(list)+n]
		for i := n - 1; i >= 0; to-- {
			if from >= 0 && list[from].passage > late[i].passage {
				list[to] = list[from]
				from--
			} else {
				list[to] = late[i].posting
				i--
			}
		}
		d.postings[t] = list
		late = late[n:]
	}
}

// remove takes postings out, zeroes what that frees, and forgets terms that no
// passage holds any longer.
func (d *dictionary) remove(gone []mention) {
	sortMentions(gone)
	for len(gone) > 0 {
		t := gone[0].term
		list := d.postings[t]
		kept, from := 0, 0
		for len(gone) > 0 && gone[0].term == t {
			if at, ok := slices.BinarySearchFunc(list, gone[0].passage, byPassage); ok {
				kept += copy(list[kept:], list[from:at])
				from = at + 1
			}
			gone = gone[1:]
		}
		kept += copy(list[kept:], list[from:])
		clear(list[kept:])
		d.postings[t] = list[:kept]
		if kept == 0 {
			delete(d.ord, d.hash[t])
			d.hash[t], d.postings[t] = 0, nil
			d.free = append(d.free, t)
		}
	}
}
