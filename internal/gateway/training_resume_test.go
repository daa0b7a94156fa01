package gateway_test

import (
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
	"github.com/assent-gateway/assent/training"
)

// A build is erased under the builder, as by an erasure that waits no longer, and
// resumed before the builder hears of that: what was asked for last counts, and
// not what the builder then says of the build it lost.
func TestResumeOutlivesTheEndOfTheBuildBefore(t *testing.T) {
	for _, at := range []string{"scanned", "merged", "part", "settled", "entered", "signed"} {
		t.Run(at, func(t *testing.T) {
			var g *gateway.Gateway
			armed, id, resumed := false, make(chan string, 1), make(chan bool)
			g = twoPeople(t, func(step string) {
				if armed && step == at {
					armed = false
					m := <-id
					defer close(resumed)
					must(t, g.Training.Erase(t.Context(), gateway.DefaultTenant, m))
					if got, err := g.Training.Get(t.Context(), trainer, m); err != nil || got.State != training.Failed || got.Problem != "erased" || !got.FilesGone {
						t.Errorf("erased: %v %q %v", got.State, got.Problem, err)
					}
					if got, err := g.Training.Resume(t.Context(), trainer, m); err != nil || got.State != training.Building {
						t.Errorf("resumed: %v %v", got.State, err)
					}
				}
			})
			armed = true
			m, err := g.Training.Create(t.Context(), trainer, training.NewID(), linkable(), nil)
			must(t, err)
			id <- m.ID
			<-resumed
			m = await(t, g, m.ID) // from here on it never says that it failed
			if got := g.ManifestRows(t.Context(), m.ID); len(got) != 2 || armed {
				t.Errorf("it holds %v", got)
			}
			wantChecked(t, g, "resumed", m, training.Valid, 0, true)
		})
	}
}

// fullAfterMerge is a gateway whose disk is full once a build has merged, where
// ada is erased; failed is called when that build has failed.
func fullAfterMerge(t *testing.T, cfg gateway.Config, failed func(g *gateway.Gateway, full *atomic.Bool)) (*gateway.Gateway, *atomic.Bool) {
	t.Helper()
	var g *gateway.Gateway
	var full atomic.Bool
	armed := false
	cfg.ErasuresByHand = true
	cfg.Training = gateway.TrainingConfig{Workers: 1, FileFault: func(op string) error {
		if full.Load() && op == "file.write" {
			return syscall.ENOSPC
		}
		return nil
	}}
	cfg.Step = func(step string) {
		switch {
		case step == "merged" && armed:
			armed = false
			wantPurged(t, ended(t, g, erase(t, g, "ada").ID))
			full.Store(true)
		case step == "failed":
			failed(g, &full)
		}
	}
	g = openGateway(t, cfg)
	makeCollection(t, g, "a", retrieval.Spec{})
	say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb, trn)
	put(t, g, caller, "a", retrieval.Document{ID: "ada's", Owners: people(t, "ada")}, retrieval.Document{ID: "bob's", Owners: people(t, "bob")})
	armed = true
	return g, &full
}

// A build that failed is resumed before what it keeps was judged: it keeps an
// erased person, so it begins anew, and is not to be asked for again.
func TestResumeOutlivesWhatAFailedBuildForgets(t *testing.T) {
	id := make(chan string, 1)
	g, _ := fullAfterMerge(t, gateway.Config{}, func(g *gateway.Gateway, full *atomic.Bool) {
		full.Store(false)
		if got, err := g.Training.Resume(t.Context(), trainer, <-id); err != nil || got.State != training.Building {
			t.Errorf("resumed: %v %v", got.State, err)
		}
	})
	m, err := g.Training.Create(t.Context(), trainer, training.NewID(), linkable(), nil)
	must(t, err)
	before := g.FileKeyOf(t.Context(), m.ID)
	id <- m.ID
	eventually(t, func() bool { return g.FileKeyOf(t.Context(), m.ID) != before }) // that it fails is no end here
	m = await(t, g, m.ID)
	if got := g.ManifestRows(t.Context(), m.ID); len(got) != 1 || got[0].ID != "bob's" {
		t.Errorf("it holds %v", got)
	}
}

// A crash between a failure and its judgement: the next start looks again.
func TestStartForgetsWhatAFailedBuildKeeps(t *testing.T) {
	cfg := gateway.Config{DataDir: t.TempDir() + "/data"}
	g, _ := fullAfterMerge(t, cfg, func(*gateway.Gateway, *atomic.Bool) { panic("killed") })
	m, err := g.Training.Create(t.Context(), trainer, training.NewID(), linkable(), nil)
	must(t, err)
	if m = awaitFailed(t, g, m.ID); m.FilesGone {
		t.Fatal("it was judged already")
	}
	must(t, g.Close())
	g = openGateway(t, gateway.Config{DataDir: cfg.DataDir, ErasuresByHand: true})
	eventually(t, func() bool { return g.FileKeyOf(t.Context(), m.ID).IsZero() })
	_, err = g.Training.Resume(t.Context(), trainer, m.ID)
	must(t, err)
	m = await(t, g, m.ID)
	if got := g.ManifestRows(t.Context(), m.ID); len(got) != 1 || got[0].ID != "bob's" {
		t.Errorf("it holds %v", got)
	}
}
