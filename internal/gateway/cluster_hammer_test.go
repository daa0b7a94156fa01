package gateway_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assent-gateway/assent/eval"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/testpg"
)

// Three gateways on one Postgres, hammered together: a revocation that any of
// them acknowledged holds at all of them.
func TestHammerOnThreeGatewaysFindsNoStaleRow(t *testing.T) {
	c := newCluster(t, server(t))
	a := newAnvil(t, 64, c.open(gateway.Config{}), c.open(gateway.Config{}), c.open(gateway.Config{}))
	a.strike(t, eval.HammerConfig{Writers: 8, Readers: 18, Rows: 200_000, Writes: 500, AtMost: 180 * time.Second, Seed: 4})
	c.wantWholeJournal(t, a.gateways[0])
	c.wantOneLog(t, a.gateways...)
}

// The same with every notification dropped, and one gateway that believes it
// an hour later than the others do.
func TestHammerOnDeafGatewaysWithAWrongClockFindsNoStaleRow(t *testing.T) {
	c := newCluster(t, server(t))
	later := func() time.Time { return time.Now().Add(time.Hour) }
	a := newAnvil(t, 64, c.open(gateway.Config{Deaf: true}), c.open(gateway.Config{Deaf: true, Now: later}), c.open(gateway.Config{Deaf: true}))
	a.strike(t, eval.HammerConfig{Writers: 8, Readers: 18, Rows: 200_000, Writes: 500, AtMost: 180 * time.Second, Seed: 5})
}

// Postgres is killed in the middle and comes back, with data and vault: errors
// meanwhile and never a stale row; then every gateway serves again by itself.
func TestHammerThroughARestartOfPostgres(t *testing.T) {
	s := testpg.Start(t)
	c := newCluster(t, s)
	a := newAnvil(t, 32, c.open(gateway.Config{}), c.open(gateway.Config{}), c.open(gateway.Config{}))
	a.strikeThrough(t, eval.HammerConfig{Writers: 6, Readers: 9, Rows: 90_000, Writes: 200, AtMost: 180 * time.Second, Seed: 6}, func() error {
		s.Kill()
		return s.Restart()
	})
	c.wantWholeJournal(t, a.gateways[0])
	c.wantOneLog(t, a.gateways...)
}

// strikeThrough hammers, and restarts something after a third of the rows.
// Errors are expected meanwhile; afterwards every gateway serves again.
func (a *anvil) strikeThrough(t *testing.T, c eval.HammerConfig, restart func() error) {
	t.Helper()
	c.People = len(a.subjects)
	target := a.target()
	search, set := target.Search, target.Set
	target.Set = func(ctx context.Context, p int, granted bool) error {
		err := set(ctx, p, granted)
		if err != nil {
			pause(ctx)
		}
		return err
	}
	var rows atomic.Int64
	var begun atomic.Bool
	var back atomic.Pointer[time.Time]
	var recovered sync.Map // gateway → time of its first answer after the restart
	target.Search = func(ctx context.Context, reader int) ([]int, bool, error) {
		started := back.Load()
		who, complete, err := search(ctx, reader)
		if err != nil {
			if errors.Is(err, errForeign) {
				t.Error(err)
			}
			pause(ctx)
			return who, complete, err
		}
		if rows.Add(int64(len(who))) > c.Rows/3 && begun.CompareAndSwap(false, true) { // the others meet it
			if err := restart(); err != nil {
				t.Error(err)
			}
			now := time.Now()
			back.Store(&now)
		}
		if started != nil {
			recovered.LoadOrStore(reader/3%len(a.gateways), time.Since(*started))
		}
		return who, complete, nil
	}
	r := eval.Hammer(t.Context(), target, c)
	convict(t, r, c.Rows)
	if r.SearchErrors == 0 {
		t.Error("the restart was not noticed")
	}
	for i, g := range a.gateways {
		for began := time.Now(); ; pause(t.Context()) { // the others' rows may have ended it before
			if _, ok := recovered.Load(i); ok {
				break
			}
			if time.Since(began) > time.Minute {
				t.Fatalf("gateway %d did not answer after the restart", i)
			}
			_, _, _ = target.Search(t.Context(), 3*i)
		}
		took, _ := recovered.Load(i)
		t.Logf("gateway %d answered %s after the server was ready again", i, took.(time.Duration).Round(time.Millisecond))
		if err := g.Ready(t.Context()); err != nil {
			t.Errorf("gateway %d: %v", i, err)
		}
	}
}

// pause keeps those who are told 503 from asking again at once.
func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(5 * time.Millisecond):
	}
}
