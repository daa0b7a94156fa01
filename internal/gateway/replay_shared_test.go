package gateway_test

import (
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
)

// onPostgres is a site of gateways that share a Postgres and a vault.
func onPostgres(t *testing.T) *site {
	t.Helper()
	c := newCluster(t, server(t))
	return &site{t: t, root: c.dir, dir: filepath.Join(c.dir, "vault0"), pg: c}
}

// A Postgres put back from a backup beside the newer vault of its gateways is
// closed, and whole again after a replay. A gateway that has read what was there
// before, grants that are lost among it, and one that started in between, stay
// closed until they are started anew, and say so.
func TestAnOldPostgresIsReplayedFromTheSharedJournal(t *testing.T) {
	r := putBackAt(t, onPostgres(t))
	// putBackAt put the copy back already: what was lost is as good as gone. One
	// more round, with a gateway that knows it.
	between := openGateway(t, r.config())
	if err := between.Ready(t.Context()); !errors.Is(err, consent.ErrBehindJournal) {
		t.Errorf("ready before the replay: %v", err)
	}
	gaps, err := gateway.Replay(t.Context(), r.config())
	if err != nil || gaps[gateway.DefaultTenant].Lost != 1203 || gaps[consent.TenantID(r.tenant)].From != 1 {
		t.Fatalf("%v %v", gaps, err)
	}
	if err := between.Ready(t.Context()); !errors.Is(err, consent.ErrBehindJournal) {
		t.Errorf("a gateway that started before the replay: %v", err)
	}
	if again, err := gateway.Replay(t.Context(), r.config()); err != nil || len(again) != 0 {
		t.Errorf("nothing was missing: %v %v", again, err)
	}
	if err := between.Close(); err != nil {
		t.Error(err)
	}
	r.replayed()
	r.during(func(g *gateway.Gateway) { r.verified(g) })
}

// The data is put back, and replayed, under a gateway that runs and knows a grant
// which is lost with the tail: it denies, too.
func TestAGatewayThatKnowsLostGrantsIsClosedByTheReplay(t *testing.T) {
	s := onPostgres(t)
	s.during(func(g *gateway.Gateway) { say(t, g, consent.Granted, []string{"ada"}, rag) })
	s.keepData()
	knows := openGateway(t, s.config())
	say(t, knows, consent.Granted, []string{"gus"}, rag)
	decide := func(g *gateway.Gateway, who string) (consent.Reason, error) {
		a, err := g.Ledger.Decide(t.Context(), gateway.DefaultTenant, []consent.Subject{subject(t, who)}, consent.Question{Purpose: "rag_retrieval"})
		if err != nil {
			return "", err
		}
		return a.Decisions[0].Reason, nil
	}
	if reason, err := decide(knows, "gus"); err != nil || reason != consent.ReasonGranted {
		t.Fatal(reason, err)
	}
	s.putDataBack()
	ct, err := consent.ParseType(rag)
	if err != nil {
		t.Fatal(err)
	}
	e := consent.Entry{Subject: subject(t, "hal"), Type: ct, Status: consent.Granted}
	write := func() error {
		out, err := knows.Ledger.Record(t.Context(), gateway.DefaultTenant, []consent.Entry{e}, consent.Once{})
		if err == nil {
			err = out[0].Err
		}
		return err
	}
	// A write that reads no head first goes nowhere, least of all to a position
	// that the journal has.
	for range 3 { // whatever it finds of its connections
		if err := write(); !errors.Is(err, consent.ErrUnavailable) {
			t.Errorf("a write to data that was put back: %v", err)
		}
	}
	if _, err := gateway.Replay(t.Context(), s.config()); err != nil {
		t.Fatal(err)
	}
	if _, err := decide(knows, "gus"); !errors.Is(err, consent.ErrReplayed) {
		t.Errorf("asked for a grant that is lost: %v", err)
	}
	if err := write(); !errors.Is(err, consent.ErrReplayed) {
		t.Errorf("a write there: %v", err)
	}
	if err := knows.Ready(t.Context()); !errors.Is(err, consent.ErrReplayed) {
		t.Errorf("ready: %v", err)
	}
	s.during(func(g *gateway.Gateway) {
		if reason, err := decide(g, "gus"); err != nil || reason != consent.ReasonNoRecord {
			t.Errorf("after a start: %v, %v", reason, err)
		}
		if reason, err := decide(g, "ada"); err != nil || reason != consent.ReasonGranted {
			t.Errorf("Ada, after a start: %v, %v", reason, err)
		}
	})
}

// kill -9 between any two durable steps of a replay, and of the start after it.
func TestAKilledReplayOfAPostgresGoesOn(t *testing.T) {
	for _, crash := range []string{
		"replay.begun:1", "tx.commit:3", "tx.committed:4", "replay.advanced:1", "replay.batch:1", "replay.batch:3",
	} {
		t.Run(crash, func(t *testing.T) {
			r := putBackAt(t, onPostgres(t))
			if replayIn(t, r.site, crash) {
				t.Fatal("the step was never reached")
			}
			r.during(func(g *gateway.Gateway) {
				if n, err := ask(t, g); err == nil && n != 2 || g.Ready(t.Context()) == nil {
					t.Errorf("between two replays: %d hits, %v", n, err)
				}
			})
			for !replayIn(t, r.site, "replay.batch:1") {
			}
			r.replayed()
		})
	}
	for _, crash := range []string{"event.entered:1", "journal.write:1", "tx.committed:3"} {
		t.Run("start "+crash, func(t *testing.T) {
			r := putBackAt(t, onPostgres(t))
			if !replayIn(t, r.site, "") {
				t.Fatal("killed")
			}
			startChild(t, r.dir, crash, r.env()...).kill()
			r.replayed()
		})
	}
}

// Of gateways that start at once after a replay, one enters it.
func TestGatewaysThatStartAtOnceEnterAReplayOnce(t *testing.T) {
	s := onPostgres(t)
	s.during(func(g *gateway.Gateway) { say(t, g, consent.Granted, []string{"ada"}, rag) })
	s.keepData()
	s.during(func(g *gateway.Gateway) { say(t, g, consent.Revoked, []string{"ada"}, rag) })
	s.putDataBack()
	if gaps, err := gateway.Replay(t.Context(), s.config()); err != nil || len(gaps) != 1 {
		t.Fatal(gaps, err)
	}
	// Each has read that the ledger was not told when any of them enters it.
	const n = 4
	var read sync.WaitGroup
	read.Add(n)
	gateways := make([]*gateway.Gateway, n)
	var started sync.WaitGroup
	for i := range n {
		started.Go(func() {
			cfg := s.config()
			here := sync.OnceFunc(read.Done)
			defer here() // one that fails holds nobody up
			cfg.Step = func(step string) {
				if step == "event.read" {
					here()
					read.Wait()
				}
			}
			var err error
			if gateways[i], err = gateway.Open(t.Context(), cfg); err != nil {
				t.Errorf("gateway %d: %v", i, err)
			}
		})
	}
	started.Wait()
	for _, g := range gateways {
		defer g.Close()
	}
	if t.Failed() {
		return
	}
	entries := 0
	err := gateways[0].Ledger.Notes(t.Context(), gateway.DefaultTenant, consent.KindRestore, func(consent.Position, []byte) error {
		entries++
		return nil
	})
	if err != nil || entries != 1 {
		t.Errorf("%d entries of the replay, %v", entries, err)
	}
}
