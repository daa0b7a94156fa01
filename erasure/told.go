package erasure

import (
	"context"
	"errors"

	"github.com/assent-gateway/assent/consent"
)

// Told is what recipients are told of an erasure.
type Told struct {
	Scope, Regulation string
	Names             []string // of the person; none once they cannot be named
}

// Told returns what recipients are told of an erasure while it is open. Of one
// that has ended, or that a restored database does not know, nobody is named.
func (s *Service) Told(ctx context.Context, t consent.TenantID, id string) (Told, error) {
	k, row, err := s.row(ctx, t, id)
	if errors.Is(err, ErrNotFound) {
		return Told{}, nil
	}
	if err != nil {
		return Told{}, err
	}
	j, err := openJob(k, t, &row)
	if err != nil {
		return Told{}, err
	}
	out := Told{Scope: string(j.Scope), Regulation: j.Regulation}
	if row.Open && j.Subject != 0 {
		out.Names, err = s.names(ctx, t, &row, j)
	}
	return out, err
}

func (s *Service) names(ctx context.Context, t consent.TenantID, row *consent.ErasureRow, j *job) ([]string, error) {
	if names, err := s.opened(t, row.ID, j, row.Key); err != nil || names != nil {
		return names, err
	}
	order, err := s.order(ctx, j, t, row)
	if err != nil {
		return nil, err
	}
	known, err := s.Ledger.Identifiers(ctx, t, order.Subject)
	if err != nil {
		return nil, err
	}
	out := make([]string, len(known))
	for i, who := range known {
		out[i] = who.Reveal()
	}
	return out, nil
}
