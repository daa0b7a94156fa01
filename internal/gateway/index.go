package gateway

import (
	"context"
	"sync"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/embedded"
	"github.com/assent-gateway/assent/internal/weaviate"
	"github.com/assent-gateway/assent/retrieval"
)

// sweepEvery is how often debts of an index outside are paid. The reconciler
// walks over all of it.
const sweepEvery = 10 * time.Second

// outside is the index outside of a gateway, and what runs beside it: the
// applier of permissions, the payer of debts. A nil outside is
// a gateway with the embedded index.
type outside struct {
	index *weaviate.Index
	rows  retrieval.Outside

	rebuild chan struct{} // wakes who goes on with rebuilds

	cancel context.CancelFunc
	done   sync.WaitGroup
}

// openIndex opens the index that is configured. connect gives it the service.
func (g *Gateway) openIndex(ctx context.Context) (x retrieval.Index, connect func(*retrieval.Service), err error) {
	if g.cfg.Weaviate == nil {
		x := embedded.New(nil, embedded.Options{})
		g.local = x
		return x, func(s *retrieval.Service) { x.SetVectors(s) }, nil
	}
	options := *g.cfg.Weaviate
	options.Log, options.Begin, options.Dropped = g.cfg.Log, g.cfg.Telemetry.Apply(), g.cfg.Telemetry.Outside()
	out, err := weaviate.Open(ctx, g.db, options)
	if err != nil {
		return nil, nil, err
	}
	g.index = &outside{index: out, rows: g.db, rebuild: make(chan struct{}, 1)}
	g.feed = nil // it is shared: nothing is to be followed
	return out, func(s *retrieval.Service) { out.Connect(s, g.Ledger) }, nil
}

func (o *outside) catalogue() retrieval.Outside {
	if o == nil {
		return nil
	}
	return o.rows
}

func (o *outside) ready(ctx context.Context) error {
	if o == nil {
		return nil
	}
	return o.index.Ready(ctx)
}

// run starts the background work; stop ends it. What it did not finish is
// finished by the next start or another gateway.
func (o *outside) run(g *Gateway) {
	if o == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	o.cancel = cancel
	if !g.cfg.Weaviate.Idle {
		o.done.Go(func() { _ = o.index.Run(ctx) })
	}
	o.done.Go(func() { g.keepClean(ctx) })
	if !g.cfg.RebuildsByHand {
		o.done.Go(func() { g.keepRebuilding(ctx) })
	}
}

// keepClean pays debts.
func (g *Gateway) keepClean(ctx context.Context) {
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-sweep.C:
		}
		tenants, err := g.db.Tenants(ctx)
		if err != nil {
			continue
		}
		for _, t := range tenants {
			if err := g.cleanUp(ctx, t.ID); err != nil && ctx.Err() == nil {
				g.cfg.Log.Warn("the index outside holds what is deleted for a while longer: nobody finds it")
			}
		}
	}
}

func (g *Gateway) cleanUp(ctx context.Context, t consent.TenantID) error {
	if err := g.Enter(ctx, t); err != nil { // another gateway may have made it, and be gone
		return err
	}
	_, err := g.Retrieval.Sweep(ctx, t)
	return err
}

func (o *outside) stop() {
	if o == nil {
		return
	}
	if o.cancel != nil {
		o.cancel()
	}
	o.done.Wait()
	_ = o.index.Close()
}
