package erasure

import (
	"context"
	"slices"

	"github.com/assent-gateway/assent/consent"
)

// A Lineage counts what an erasure cannot undo: manifests that held rows of the
// person and left the gateway, and the training runs bound to them. Which they
// are, and what was decided about their models, is not in a receipt.
type Lineage struct {
	Manifests uint64 `json:"manifests"`
	Runs      uint64 `json:"runs"`
}

// lineageOf is what a statement says of it: nothing where documents were
// erased, and not a person.
func (j *job) lineageOf() *Lineage {
	if j.Subject == 0 {
		return nil
	}
	l := j.Gathered.Lineage
	return &l
}

// A Remnant is a manifest that held an erased person.
type Remnant struct {
	Manifest string
	Position consent.Position // of the suppression
}

// HeldBy returns the manifests that held whoever was erased under a mark, as the
// jobs of those erasures keep it. It opens every job of the tenant: it is asked
// for by hand, and what would make it quick would also lead from a mark to
// manifests without the key that jobs are sealed under.
func (s *Service) HeldBy(ctx context.Context, t consent.TenantID, mark consent.SubjectNum) (out []Remnant, err error) {
	err = s.eachJob(ctx, t, func(row *consent.ErasureRow, j *job) {
		if j.Subject != mark {
			return
		}
		for _, id := range j.Gathered.Held {
			out = append(out, Remnant{id, row.Position})
		}
	})
	return out, err
}

// Held returns every erasure of a person, by the position of its suppression,
// and whether a manifest held them until then. It costs what HeldBy does.
func (s *Service) Held(ctx context.Context, t consent.TenantID, manifest string) (map[consent.Position]bool, error) {
	held := map[consent.Position]bool{}
	err := s.eachJob(ctx, t, func(row *consent.ErasureRow, j *job) {
		if j.Subject != 0 {
			held[row.Position] = held[row.Position] || slices.Contains(j.Gathered.Held, manifest)
		}
	})
	return held, err
}

// eachJob calls f with every job of a tenant.
func (s *Service) eachJob(ctx context.Context, t consent.TenantID, f func(*consent.ErasureRow, *job)) error {
	k, err := s.keys(t)
	if err != nil {
		return err
	}
	p := Page{Limit: 1000}
	for {
		rows, err := s.Store.Erasures(ctx, t, p)
		if err != nil {
			return err
		}
		for i := range rows {
			j, err := openJob(k, t, &rows[i])
			if err != nil {
				return err
			}
			f(&rows[i], j)
		}
		if len(rows) < p.Limit {
			return nil
		}
		last := rows[len(rows)-1]
		p.After = Cursor{last.Created, last.ID}
	}
}
