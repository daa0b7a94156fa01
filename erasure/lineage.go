package erasure

import (
	"context"

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
func (s *Service) HeldBy(ctx context.Context, t consent.TenantID, mark consent.SubjectNum) ([]Remnant, error) {
	k, err := s.keys(t)
	if err != nil {
		return nil, err
	}
	var out []Remnant
	p := Page{Limit: 1000}
	for {
		rows, err := s.Store.Erasures(ctx, t, p)
		if err != nil {
			return nil, err
		}
		for i := range rows {
			j, err := openJob(k, t, &rows[i])
			if err != nil {
				return nil, err
			}
			if j.Subject != mark {
				continue
			}
			for _, id := range j.Gathered.Held {
				out = append(out, Remnant{id, rows[i].Position})
			}
		}
		if len(rows) < p.Limit {
			return out, nil
		}
		last := rows[len(rows)-1]
		p.After = Cursor{last.Created, last.ID}
	}
}
