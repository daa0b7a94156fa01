package gateway

import (
	"context"
	"slices"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/erasecheck"
	"github.com/assent-gateway/assent/retrieval"
)

// lineage implements events.Lineage.
type lineage struct{ g *Gateway }

func (l lineage) Holding(ctx context.Context, t consent.TenantID, who consent.SubjectNum, purpose string, at consent.Position, when consent.Time) ([]string, error) {
	return l.g.Training.Holding(ctx, t, who, purpose, at, when)
}

// HoldingRemoved asks the catalogue which documents a removal condemns: they are
// live until its erasure deletes them, which asks this first (resolveDocuments).
// Whose vectors alone go is in manifests as before.
func (l lineage) HoldingRemoved(ctx context.Context, t consent.TenantID, r consent.Removal, at consent.Position, when consent.Time) ([]string, error) {
	if r.Vectors {
		return nil, nil
	}
	docs := slices.Clone(r.Versions)
	if len(docs) == 0 {
		w := erasecheck.WhichOf(erasure.Order{Tenant: t, Position: at, Removal: r, At: when})
		err := l.g.Retrieval.EachCondemned(ctx, t, w, func(some []retrieval.DocNum) error {
			docs = append(docs, numbers(some)...)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(docs)
	return l.g.Training.HoldingAny(ctx, t, docs, at, when)
}
