package gateway_test

import (
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
