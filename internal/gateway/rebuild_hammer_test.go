package gateway_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/eval"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
)

// rebuildAllAlong begins a rebuild whenever none is under way, until stop is
// called; switched tells how many times searches went over to another class. A
// clock, when there is one, is set forward where a rebuild waits.
func rebuildAllAlong(t *testing.T, g *gateway.Gateway, tenant consent.TenantID, clock *ahead) (switched func() int64, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var times atomic.Int64
	var done sync.WaitGroup
	done.Go(func() {
		serving := consent.Time(0)
		for ctx.Err() == nil {
			all, err := g.Retrieval.Rebuilds(ctx, tenant)
			switch {
			case err != nil:
			case all[0].State == retrieval.NotRebuilding:
				err = g.StartRebuild(ctx, tenant)
			case all[0].State != retrieval.Filling:
				if serving != all[0].Began {
					serving = all[0].Began
					times.Add(1)
				}
				if clock != nil && all[0].State == retrieval.Draining {
					clock.by.Add(int64(61 * time.Second))
				}
			}
			if err != nil && ctx.Err() == nil {
				t.Logf("a rebuild goes on later: %v", err)
			}
			pause(ctx)
		}
	})
	return times.Load, func() {
		cancel()
		done.Wait()
	}
}

// mostBlows bounds how often is hammered until a rebuild was overtaken by none.
const mostBlows = 10

// Writers revoke and grant while readers search, the applier works, and classes
// are made anew one after the other: no stale row, and nobody left out.
func TestHammerOnWeaviateThroughRebuilds(t *testing.T) {
	var clock ahead
	g := openGateway(t, gateway.Config{Weaviate: onWeaviate(t), Now: clock.Now, Log: debugLog()})
	h := newWeaviateHammer(t, g, 48)
	switched, stop := rebuildAllAlong(t, g, h.tenant, &clock)
	for blow := 0; blow == 0 || switched() == 0 && blow < mostBlows; blow++ {
		r := eval.Hammer(t.Context(), h.target(), eval.HammerConfig{People: 48, Writers: 4, Readers: 8, Rows: 22_000, Writes: 400, AtMost: 4 * time.Minute, Seed: 15 + uint64(blow)})
		h.judge(r, 20_000)
		for p := range h.people { // as every blow finds them
			must(t, h.target().Set(t.Context(), p, true))
		}
	}
	stop()
	t.Logf("searches went over to another class %d times", switched())
	if switched() == 0 || h.outages.Load() != 0 {
		t.Error("nothing was rebuilt, or the index was said to be away")
	}
}

// The same on three gateways that share Postgres and Weaviate, of which one leads
// the rebuild and the others hear of it by the head they read before each search.
func TestHammerOnThreeGatewaysAndWeaviateThroughARebuild(t *testing.T) {
	c := newCluster(t, server(t))
	a := newAnvilOf(t, caller, 32, 12, threeOutside(t, c, onWeaviate(t), gateway.Config{Deaf: true}, gateway.Config{Deaf: true}, gateway.Config{Deaf: true})...)
	switched, stop := rebuildAllAlong(t, a.gateways[1], gateway.DefaultTenant, nil)
	for blow := 0; blow == 0 || switched() == 0 && blow < mostBlows; blow++ {
		a.strike(t, eval.HammerConfig{Writers: 4, Readers: 9, Rows: 60_000, Writes: 200, AtMost: 5 * time.Minute, Seed: 16 + uint64(blow)})
		for p := range a.subjects { // as every blow finds them
			must(t, a.target().Set(t.Context(), p, true))
		}
	}
	stop()
	t.Logf("searches went over to another class %d times", switched())
	if switched() == 0 {
		t.Error("searches never went over to another class")
	}
	c.wantWholeJournal(t, a.gateways[0])
}
