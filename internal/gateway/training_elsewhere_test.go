package gateway_test

import (
	"errors"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
	"github.com/assent-gateway/assent/training"
)

// Of two gateways the one that built a manifest keeps its files. The other says so
// wherever it would need them, and tells what rests in the database.
func TestAnotherGatewayKeepsTheFiles(t *testing.T) {
	c := newCluster(t, server(t))
	var full, merged atomic.Bool
	here := c.open(gateway.Config{DataDir: t.TempDir(), ErasuresByHand: true, Step: func(step string) {
		if step == "merged" {
			merged.Store(true)
		}
	},
		Training: gateway.TrainingConfig{Workers: 1, FileFault: func(op string) error {
			if full.Load() && merged.Load() && op == "file.write" {
				return syscall.ENOSPC
			}
			return nil
		}}})
	makeCollection(t, here, "a", retrieval.Spec{})
	say(t, here, consent.Granted, []string{"ada", "bob"}, rag, emb, trn)
	put(t, here, caller, "a", retrieval.Document{ID: "ada's", Owners: people(t, "ada")}, retrieval.Document{ID: "bob's", Owners: people(t, "bob")})
	there := c.open(gateway.Config{DataDir: t.TempDir(), ErasuresByHand: true})
	m := manifest(t, here, linkable())
	_, _, err := here.Training.Bind(t.Context(), trainer, m.ID, training.Run{ID: "r"})
	must(t, err)

	got, err := there.Training.Get(t.Context(), trainer, m.ID)
	if err != nil || got.FilesHere || got.State != training.Ready || got.Digest != m.Digest || !m.FilesHere {
		t.Errorf("told: %+v %v", got, err)
	}
	if s, err := there.Training.Statement(t.Context(), trainer, m.ID); err != nil || len(s) == 0 {
		t.Errorf("the statement: %v", err)
	}
	if runs, err := there.Training.Runs(t.Context(), trainer, m.ID); err != nil || len(runs) != 1 {
		t.Errorf("the runs: %v %v", runs, err)
	}
	if _, made, err := there.Training.Decide(t.Context(), trainer, m.ID, "r", training.Remedy{Choice: "retrain", By: "Dr. Cy"}); err != nil || !made {
		t.Errorf("a remedy: %v", err)
	}
	if uses, err := there.Training.Uses(t.Context(), trainer, subject(t, "ada")); err != nil || len(uses) != 1 || !uses[0].Permitted {
		t.Errorf("lineage: %+v %v", uses, err)
	}
	_, _, opened := there.Training.OpenFile(t.Context(), trainer, m.ID, "manifest.json")
	_, checked := there.Training.Check(t.Context(), trainer, m.ID)
	_, _, bound := there.Training.Bind(t.Context(), trainer, m.ID, training.Run{ID: "another"})
	differs := there.Training.Diff(t.Context(), trainer, m.ID, m.ID, func(training.Change) error { return nil })
	for what, err := range map[string]error{"a file": opened, "check": checked, "diff": differs, "a run": bound} {
		if !errors.Is(err, training.ErrElsewhere) {
			t.Errorf("%s: %v", what, err)
		}
	}

	merged.Store(false)
	full.Store(true)
	failed, err := here.Training.Create(t.Context(), trainer, training.NewID(), linkable(), nil)
	must(t, err)
	awaitFailed(t, here, failed.ID)
	if _, err := there.Training.Resume(t.Context(), trainer, failed.ID); !errors.Is(err, training.ErrElsewhere) {
		t.Errorf("resume: %v", err)
	}
	// An erasure that the other carries out: what is finished goes, and so does what
	// a failed build keeps of nobody knows whom.
	wantCompleted(t, ended(t, there, erase(t, there, "ada").ID))
	if _, _, err := there.Training.OpenFile(t.Context(), trainer, m.ID, "manifest.json"); !errors.Is(err, training.ErrErased) {
		t.Errorf("a file of an erased person: %v", err)
	}
	wantChecked(t, here, "erased elsewhere", m, training.Revoked, 1, true)
	for _, id := range []string{m.ID, failed.ID} {
		if !here.FileKeyOf(t.Context(), id).IsZero() {
			t.Error("files of an erased person have their key")
		}
	}
	full.Store(false)
	_, err = here.Training.Resume(t.Context(), trainer, failed.ID)
	must(t, err)
	await(t, here, failed.ID)
	if rows := here.ManifestRows(t.Context(), failed.ID); len(rows) != 1 || rows[0].ID != "bob's" {
		t.Errorf("it holds %v", rows)
	}
}
