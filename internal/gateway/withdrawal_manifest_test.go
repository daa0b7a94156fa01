package gateway_test

import (
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
	"github.com/assent-gateway/assent/training"
)

// Withdrawal that ends storage reaches the copies of manifests that hold the
// documents, whether they go whole or their vectors alone, and no other copy.
func TestWithdrawalReachesManifests(t *testing.T) {
	t.Parallel()
	for name, revoked := range map[string][]string{"whole": {rag, emb, trn}, "vectors": {emb}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := openGateway(t, gateway.Config{ErasuresByHand: true, Policy: atOnce(t)})
			say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb, trn)
			makeCollection(t, g, "a", retrieval.Spec{})
			makeCollection(t, g, "b", retrieval.Spec{})
			put(t, g, caller, "a", retrieval.Document{ID: "ada's", Owners: people(t, "ada"), Text: "by ada"})
			put(t, g, caller, "b", retrieval.Document{ID: "bob's", Owners: people(t, "bob"), Text: "by bob"})
			holds, other := manifest(t, g, linkableOf("a", "b")), manifest(t, g, linkableOf("b"))
			say(t, g, consent.Revoked, []string{"ada"}, revoked...)
			e := sweep(t, g)
			if len(e) != 1 || e[0].State != erasure.Completed {
				t.Fatalf("%+v", e)
			}
			for _, target := range e[0].Targets {
				if target.Name == "manifests" && (target.Deleted != 1 || target.Remaining != 0) {
					t.Errorf("of manifests: %+v", target)
				}
			}
			if c, err := g.Training.Check(t.Context(), trainer, holds.ID); err != nil || c.Status != training.Revoked || len(c.Drop) != 1 {
				t.Errorf("the one that held it: %+v, %v", c, err)
			}
			if c, err := g.Training.Check(t.Context(), trainer, other.ID); err != nil || c.Status != training.Valid {
				t.Errorf("another: %+v, %v", c, err)
			}
		})
	}
}

func linkableOf(collections ...string) training.Spec {
	s := spec(collections...)
	s.Linkable, s.Formats = true, []string{"jsonl"}
	return s
}
