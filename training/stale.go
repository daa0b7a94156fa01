package training

import (
	"context"

	"github.com/assent-gateway/assent/consent"
)

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
