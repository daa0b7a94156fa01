package gateway

import (
	"context"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/training"
)

// Lineage implements erasecheck.Copies.
func (c copies) Lineage(ctx context.Context, t consent.TenantID, num consent.SubjectNum) (out erasure.Lineage, ids []string, err error) {
	rows, err := c.g.db.ManifestsOf(ctx, t, num)
	for _, row := range rows {
		if row.State != training.Ready { // it never left
			continue
		}
		runs, err := c.g.db.RunsOf(ctx, t, row.ID)
		if err != nil {
			return out, nil, err
		}
		ids = append(ids, row.ID)
		out.Manifests++
		out.Runs += uint64(len(runs))
	}
	return out, ids, err
}

// departures are what erased people left behind, as lineage asks for it.
type departures struct{ g *Gateway }

func (d departures) Departed(ctx context.Context, t consent.TenantID, who consent.Subject) ([]training.Departed, error) {
	mark, behind, err := d.g.Ledger.Past(ctx, t, who)
	if err != nil || mark == 0 {
		return nil, err
	}
	var out []training.Departed
	for _, b := range behind {
		rows, err := d.g.db.ManifestsOf(ctx, t, b.Num)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			out = append(out, training.Departed{Manifest: row.ID, At: b.Before})
		}
	}
	held, err := d.g.Erasure.HeldBy(ctx, t, mark)
	for _, h := range held {
		out = append(out, training.Departed{Manifest: h.Manifest, At: h.Position})
	}
	return out, err
}

func (d departures) LastDeparture(ctx context.Context, t consent.TenantID, manifest string, after consent.Position) (last consent.Position, err error) {
	at, err := d.g.Ledger.ErasedAfter(ctx, t, after)
	if err != nil || len(at) == 0 {
		return 0, err
	}
	held, err := d.g.Erasure.Held(ctx, t, manifest)
	for _, p := range at {
		if there, known := held[p]; there || !known { // its job may have been lost with a database
			last = max(last, p)
		}
	}
	return last, err
}
