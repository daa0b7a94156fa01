package gateway_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
	"github.com/assent-gateway/assent/training"
)

// After a restart a manifest still says that it holds who was erased, and its runs
// what that makes due.
func TestRestartForgetsNoErasedPersonOfAManifest(t *testing.T) {
	dir := t.TempDir()
	cfg := gateway.Config{DataDir: dir + "/data", ErasuresByHand: true}
	g := openGateway(t, cfg)
	makeCollection(t, g, "a", retrieval.Spec{})
	say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb, trn)
	put(t, g, caller, "a", retrieval.Document{ID: "ada's", Owners: people(t, "ada")}, retrieval.Document{ID: "bob's", Owners: people(t, "bob")})
	m := manifest(t, g, linkable())
	_, _, err := g.Training.Bind(t.Context(), trainer, m.ID, training.Run{ID: "r"})
	must(t, err)
	_, _, err = g.Training.Decide(t.Context(), trainer, m.ID, "r", training.Remedy{Choice: "retrain", By: "Dr. Cy"})
	must(t, err)
	wantPurged(t, ended(t, g, erase(t, g, "ada").ID))
	for _, when := range []string{"before", "after a restart"} {
		wantChecked(t, g, when, m, training.Revoked, 1, false)
		if runs, err := g.Training.Runs(t.Context(), trainer, m.ID); err != nil || len(runs) != 1 || runs[0].Assessment != training.AssessmentRequired {
			t.Errorf("%s: %+v %v", when, runs, err)
		}
		must(t, g.Close())
		g = openGateway(t, cfg)
	}
}

// What a named person decided about a run, after people of its manifest were
// erased, is decided after a restart as well, as long as nobody else of it is
// erased; the same again is no other decision.
func TestRestartForgetsNoRemedy(t *testing.T) {
	cfg := gateway.Config{DataDir: t.TempDir() + "/data", ErasuresByHand: true}
	g := openGateway(t, cfg)
	makeCollection(t, g, "a", retrieval.Spec{})
	all := []string{"ada", "bob", "cyd", "dan"}
	say(t, g, consent.Granted, all, rag, emb, trn)
	for _, p := range all[:3] {
		put(t, g, caller, "a", retrieval.Document{ID: p + "'s", Owners: people(t, p)})
	}
	m := manifest(t, g, linkable())
	_, _, err := g.Training.Bind(t.Context(), trainer, m.ID, training.Run{ID: "r"})
	must(t, err)
	remedy := training.Remedy{Choice: "retrain", By: "Dr. Cy", Note: "next week"}
	decide := func(want bool) training.Remedy {
		t.Helper()
		r, made, err := g.Training.Decide(t.Context(), trainer, m.ID, "r", remedy)
		if err != nil || made != want {
			t.Fatalf("made %v, want %v, %v", made, want, err)
		}
		return r
	}
	assessed := func(when, want string) {
		t.Helper()
		runs, err := g.Training.Runs(t.Context(), trainer, m.ID)
		if err != nil || len(runs) != 1 || runs[0].Assessment != want {
			t.Errorf("%s: %+v %v, want %s", when, runs, err, want)
		}
	}
	restart := func() {
		t.Helper()
		must(t, g.Close())
		g = openGateway(t, cfg)
	}
	wantPurged(t, ended(t, g, erase(t, g, "ada").ID))
	first := decide(true)
	assessed("decided", training.AssessmentDecided)
	restart()
	assessed("after a restart", training.AssessmentDecided)
	if again := decide(false); again != first {
		t.Errorf("the same decision is %+v, was %+v", again, first)
	}
	uses, err := g.Training.Uses(t.Context(), trainer, subject(t, "ada"))
	if err != nil || len(uses) != 1 || uses[0].Assessment != training.AssessmentDecided || *uses[0].Runs[0].Remedy != first {
		t.Errorf("lineage of who was erased: %+v %v", uses, err)
	}

	wantPurged(t, ended(t, g, erase(t, g, "dan").ID)) // who is in no manifest
	restart()
	assessed("somebody else was erased", training.AssessmentDecided)

	wantPurged(t, ended(t, g, erase(t, g, "bob").ID))
	assessed("another of it was erased", training.AssessmentRequired)
	restart()
	assessed("another of it was erased, after a restart", training.AssessmentRequired)
	if second := decide(true); second.Position <= first.Position {
		t.Errorf("decided anew at %d, before at %d", second.Position, first.Position)
	}
	restart()
	assessed("decided anew, after a restart", training.AssessmentDecided)
	decide(false)

	// The job of a later erasure is lost with the database's tail: nobody can say
	// any more whom of which manifest it was about.
	wantPurged(t, ended(t, g, erase(t, g, "cyd").ID))
	must(t, g.Close())
	db, err := sql.Open("sqlite", filepath.Join(cfg.DataDir, "assent.db"))
	must(t, err)
	_, err = db.Exec(`DELETE FROM erasures WHERE position = (SELECT max(position) FROM erasures)`)
	must(t, err)
	must(t, db.Close())
	g = openGateway(t, cfg)
	assessed("an erasure that nothing is known of", training.AssessmentRequired)
}
