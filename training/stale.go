package training

import (
	"context"

	"github.com/assent-gateway/assent/consent"
)

// HoldingAny returns the ready manifests, entered before a position, with a lease
// that had not ended, that hold any of some documents, whose numbers are ascending.
func (s *Service) HoldingAny(ctx context.Context, t consent.TenantID, docs []int64, at consent.Position, when consent.Time) (ids []string, err error) {
	err = s.eachHolding(ctx, t, docs, func(b *build, _ []int64) error {
		if b.job.Entry < at && b.job.ExpiresAt > when {
			ids = append(ids, b.row.ID)
		}
		return nil
	})
	return ids, err
}

// Holding returns the ready manifests that hold a person and that an entry of
// theirs makes stale: for its purpose, or of any where there is none; entered
// before it, with a lease that had not ended.
func (s *Service) Holding(ctx context.Context, t consent.TenantID, who consent.SubjectNum, purpose string, at consent.Position, when consent.Time) ([]string, error) {
	rows, err := s.Lineage.ManifestsOf(ctx, t, who)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, row := range rows {
		if row.State != Ready { // it never left, and when it is ready it is judged anew
			continue
		}
		b, err := s.open(t, row)
		if err != nil {
			return nil, err
		}
		if (purpose == "" || purpose == b.job.Spec.Purpose) && b.job.Entry < at && b.job.ExpiresAt > when {
			out = append(out, row.ID)
		}
	}
	return out, nil
}
