package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/erasecheck"
	"github.com/assent-gateway/assent/internal/weaviate"
	"github.com/assent-gateway/assent/retrieval"
)

// Paces of rebuilds: how often is looked whether there is any, and goes on with
// those that are under way.
const (
	rebuildEvery = 5 * time.Second
	rebuildPace  = time.Second
)

// awaitRebuild is the step of an erasure that waits until every class of the
// tenant in the index outside was begun after the documents had gone, and those
// before are dropped. It starts a rebuild when the schedule says, and when half
// of the erasure's time is over, whatever the schedule says.
func (g *Gateway) awaitRebuild(ctx context.Context, o erasure.Order) (map[string]uint64, bool, error) {
	done, err := g.Retrieval.RebuiltSince(ctx, o.Tenant, o.Since)
	if err != nil || done {
		return nil, false, err
	}
	head, err := g.Ledger.Head(ctx, o.Tenant)
	if err != nil {
		return nil, false, err
	}
	all, err := g.Retrieval.Rebuilds(ctx, o.Tenant)
	if err != nil {
		return nil, false, err
	}
	wait := &erasure.Waiting{Target: erasecheck.Index, For: "rebuild", Until: head.Now + consent.Time(rebuildPace)}
	oldest, busy := head.Now, false
	for _, r := range all {
		oldest, busy = min(oldest, r.Began), busy || r.State != retrieval.NotRebuilding
	}
	start := min(oldest+consent.Time(g.cfg.WeaviateRebuild), o.At+(o.Due-o.At)/2)
	switch {
	case busy: // also one that began too early: it is ended first
	case head.Now < start: // somebody may start one earlier
		wait.Until = min(start, head.Now+consent.Time(rebuildEvery))
	default:
		if err := g.StartRebuild(ctx, o.Tenant); err != nil {
			return nil, false, err
		}
	}
	return nil, false, wait
}

// StartRebuild begins a rebuild of all of a tenant's collections in the index
// outside, on whichever gateway leads.
func (g *Gateway) StartRebuild(ctx context.Context, t consent.TenantID) error {
	if err := g.Retrieval.StartRebuild(ctx, t); err != nil {
		return err
	}
	select {
	case g.index.rebuild <- struct{}{}:
	default:
	}
	return nil
}

// fillingNow reports whether any class is being filled: what was read before a
// document went may be on its way there.
func (g *Gateway) fillingNow(ctx context.Context, t consent.TenantID) (bool, error) {
	all, err := g.Retrieval.Rebuilds(ctx, t)
	for _, r := range all {
		if r.State == retrieval.Filling {
			return true, nil
		}
	}
	if errors.Is(err, retrieval.ErrNoRebuild) {
		err = nil
	}
	return false, err
}

// keepRebuilding goes on with rebuilds, whoever started them, where this gateway
// leads.
func (g *Gateway) keepRebuilding(ctx context.Context) {
	pace := rebuildPace
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.index.rebuild:
		case <-time.After(pace):
		}
		pace = rebuildEvery
		tenants, err := g.db.Tenants(ctx)
		if err != nil {
			continue
		}
		for _, t := range tenants {
			busy, err := g.rebuild(ctx, t.ID)
			if err != nil && ctx.Err() == nil {
				g.cfg.Log.Warn("a rebuild of the index outside goes on later", "error", err)
			}
			if busy {
				pace = rebuildPace
			}
		}
	}
}

func (g *Gateway) rebuild(ctx context.Context, t consent.TenantID) (busy bool, err error) {
	if err := g.Enter(ctx, t); err != nil {
		return false, err
	}
	busy, err = g.Retrieval.Rebuild(ctx, t)
	if errors.Is(err, retrieval.ErrNoRebuild) {
		err = nil
	}
	return busy, err
}

// outsideIndex is the index outside as verification looks at its files.
type outsideIndex struct {
	*weaviate.Index
	docs *retrieval.Service
}

func (x outsideIndex) EachKnown(ctx context.Context, c retrieval.CollectionID, f func([]retrieval.IndexPassage) error) error {
	return x.docs.EachKnown(ctx, c, f)
}
