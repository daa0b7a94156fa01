package gateway

import (
	"context"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/events"
)

// newStream makes what derives events from the ledger.
func (g *Gateway) newStream() {
	g.Events = &events.Stream{Ledger: g.Ledger, Names: names{g}, Lineage: g.Training, Store: g.db, Origin: g.Tree.Origin}
}

// names are those that erasures keep.
type names struct{ g *Gateway }

func (n names) Told(ctx context.Context, t consent.TenantID, erasure string) (events.Told, error) {
	told, err := n.g.Erasure.Told(ctx, t, erasure)
	return events.Told(told), err
}
