package gateway_test

import (
	"sync"
	"testing"
	"time"

	"github.com/assent-gateway/assent/eval"
	"github.com/assent-gateway/assent/internal/credential"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/testpg"
	"github.com/assent-gateway/assent/internal/testweaviate"
	"github.com/assent-gateway/assent/internal/weaviate"
)

// threeOutside are three gateways on one Postgres and one Weaviate.
func threeOutside(t *testing.T, c *cluster, o *weaviate.Options, cfgs ...gateway.Config) []*gateway.Gateway {
	t.Helper()
	cfgs = append(cfgs, make([]gateway.Config, 3-len(cfgs))...)
	var out []*gateway.Gateway
	for _, cfg := range cfgs {
		own := *o
		cfg.Weaviate, cfg.Log = &own, debugLog()
		out = append(out, c.open(cfg))
	}
	return out
}

// outside is how hard three gateways and Weaviate are hammered. Most of the work
// is a search's and hardly grows with its rows, so each asks for nearly as many
// as one may; a property is written for each document of a person whose verdict
// changes, so there are few. AtMost is for a machine that does ten times as much
// besides.
func outside(seed uint64) eval.HammerConfig {
	return eval.HammerConfig{Writers: 2, Pause: 25 * time.Millisecond, Readers: 9, Rows: 200_000, Writes: 300, AtMost: 10 * time.Minute, Seed: seed}
}

// Three gateways on one Postgres and one Weaviate, hammered together: a
// revocation that any of them acknowledged holds at all of them.
func TestHammerOnThreeGatewaysAndWeaviateFindsNoStaleRow(t *testing.T) {
	c := newCluster(t, server(t))
	a := newAnvilOf(t, caller, 480, 2, threeOutside(t, c, onWeaviate(t))...)
	a.strike(t, outside(11))
	c.wantWholeJournal(t, a.gateways[0])
	c.wantOneLog(t, a.gateways...)
}

// The same with every notification dropped, and one gateway that believes it
// an hour later than the others do.
func TestHammerOnDeafGatewaysAndWeaviateFindsNoStaleRow(t *testing.T) {
	c := newCluster(t, server(t))
	later := func() time.Time { return time.Now().Add(time.Hour) }
	a := newAnvilOf(t, caller, 480, 2, threeOutside(t, c, onWeaviate(t),
		gateway.Config{Deaf: true}, gateway.Config{Deaf: true, Now: later}, gateway.Config{Deaf: true})...)
	a.strike(t, outside(12))
}

// Postgres is killed in the middle and comes back, and then Weaviate: errors
// meanwhile, and never a stale row.
func TestHammerThroughRestartsOfPostgresAndWeaviate(t *testing.T) {
	s, w := testpg.Start(t), testweaviate.Start(t)
	c := newCluster(t, s)
	o := &weaviate.Options{URL: w.URL(), GRPC: w.GRPC(), Timeout: 2 * time.Second}
	a := newAnvilOf(t, caller, 480, 2, threeOutside(t, c, o)...)
	a.strikeThrough(t, outside(13), func() error {
		s.Kill()
		if err := s.Restart(); err != nil {
			return err
		}
		w.Kill()
		return w.Restart()
	})
	c.wantWholeJournal(t, a.gateways[0])
	c.wantOneLog(t, a.gateways...)
}

// Two tenants hammered side by side, with the same document ids, people and
// collection: each by its own history is free of violations, and no text of one
// is ever in an answer of the other.
func TestTenantsHammeredSideBySideOnWeaviateDoNotMeet(t *testing.T) {
	c := newCluster(t, server(t))
	gateways := threeOutside(t, c, onWeaviate(t))
	name, err := credential.ParseName("other")
	must(t, err)
	theirs := caller
	theirs.Tenant, _, err = gateways[1].CreateTenant(t.Context(), name)
	must(t, err)
	for _, g := range gateways {
		must(t, g.Enter(t.Context(), theirs.Tenant))
	}
	anvils := []*anvil{newAnvilOf(t, caller, 16, 20, gateways...), newAnvilOf(t, theirs, 16, 20, gateways...)}
	var wg sync.WaitGroup
	for i, a := range anvils {
		wg.Go(func() {
			a.strike(t, eval.HammerConfig{Writers: 2, Readers: 9, Rows: 20_000, Writes: 100, AtMost: 3 * time.Minute, Seed: uint64(20 + i)})
		})
	}
	wg.Wait()
	c.wantWholeJournal(t, gateways[0])
}
