package consent

import (
	"slices"
	"strings"
)

// A Removing is a Removal that is entered and not carried out yet: it is about
// documents that were decided before At.
type Removing struct {
	ID string // the erasure's
	Removal
	At    Position
	Asked Time
}

// Removing returns the removals of documents that are not carried out, by the
// newest state that the gateway has applied, ordered by id. Those of vectors
// alone are not among them.
func (p Permit) Removing() (out []Removing) {
	if p.t == nil {
		return nil
	}
	p.t.mu.RLock()
	defer p.t.mu.RUnlock()
	for id, r := range p.t.removals {
		if r.done == 0 && !r.Vectors {
			out = append(out, Removing{ID: id, Removal: r.Removal, At: r.at, Asked: r.asked})
		}
	}
	slices.SortFunc(out, func(a, b Removing) int { return strings.Compare(a.ID, b.ID) })
	return out
}
