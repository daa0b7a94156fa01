package gateway

import (
	"context"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/training"
)

// Lineage implements erasecheck.Copies.
func (c copies) Lineage(ctx context.Context, t consent.TenantID, num consent.SubjectNum) (out erasure.Lineage, err error) {
	rows, err := c.g.db.ManifestsOf(ctx, t, num)
	for _, row := range rows {
		if row.State != training.Ready { // it never left
			continue
		}
		runs, err := c.g.db.RunsOf(ctx, t, row.ID)
		if err != nil {
			return out, err
		}
		out.Manifests++
		out.Runs += uint64(len(runs))
	}
	return out, err
}
