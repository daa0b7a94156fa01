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
// documents, and no other copy. Where their vectors alone go, what manifests hold of
// them stays, and is not served: it was refused.
func TestWithdrawalReachesManifests(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		revoked []string
		deleted uint64
		status  training.Status
	}{"whole": {[]string{rag, emb, trn}, 1, training.Revoked}, "vectors": {[]string{emb}, 0, training.Stale}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := openGateway(t, gateway.Config{ErasuresByHand: true, Policy: atOnce(t)})
			say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb, trn)
			makeCollection(t, g, "a", retrieval.Spec{})
			makeCollection(t, g, "b", retrieval.Spec{})
			put(t, g, caller, "a", retrieval.Document{ID: "ada's", Owners: people(t, "ada"), Text: "by ada"})
			put(t, g, caller, "b", retrieval.Document{ID: "bob's", Owners: people(t, "bob"), Text: "by bob"})
			holds, other := manifest(t, g, linkableOf("a", "b")), manifest(t, g, linkableOf("b"))
			say(t, g, consent.Revoked, []string{"ada"}, c.revoked...)
			e := sweep(t, g)
			if len(e) != 1 || e[0].State != erasure.Completed {
				t.Fatalf("%+v", e)
			}
			for _, target := range e[0].Targets {
				if target.Name == "manifests" && (target.Deleted != c.deleted || target.Remaining != 0) {
					t.Errorf("of manifests: %+v", target)
				}
			}
			if got, err := g.Training.Check(t.Context(), trainer, holds.ID); err != nil || got.Status != c.status || len(got.Drop) != 1 {
				t.Errorf("the one that held it: %+v, %v", got, err)
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
