package erasecheck

import (
	"bytes"
	"context"
	"slices"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
)

// back reports whether the person's lookup is by now that of somebody else's row:
// they came back before their erasure was carried out, as an erasure that was held.
// Then it is no trace of who was erased, and is not looked for in files. Whoever
// comes back has another number, and no row of two has one lookup.
func (c *Checker) back(ctx context.Context, o erasure.Order, m *material) (bool, error) {
	for _, name := range m.Names {
		who, err := consent.ParseSubject(name)
		if err != nil {
			continue
		}
		num, err := c.Ledger.Find(ctx, o.Tenant, who)
		if err != nil {
			return false, err
		}
		if num == 0 || num == o.Subject {
			continue
		}
		rows, err := c.People.SubjectsBy(ctx, o.Tenant, []consent.SubjectNum{num})
		if err != nil {
			return false, err
		}
		if len(rows) == 1 && rows[0].Num == num && rows[0].Lookup == m.Lookup {
			m.Needles = slices.DeleteFunc(m.Needles, func(n needle) bool { return n.Kind == lookup && bytes.Equal(n.Data, m.Lookup[:]) })
			return true, nil
		}
	}
	return false, nil
}
