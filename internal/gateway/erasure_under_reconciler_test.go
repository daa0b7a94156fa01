package gateway_test

import (
	"context"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
)

// lookedFor is a store that does something, once, before it says whether an erasure
// of a name is open.
type lookedFor struct {
	erasure.Store
	first func()
}

func (s *lookedFor) OpenErasure(ctx context.Context, t consent.TenantID, name [32]byte) (consent.ErasureRow, bool, error) {
	if f := s.first; f != nil {
		s.first = nil
		f()
	}
	return s.Store.OpenErasure(ctx, t, name)
}

// reconcile reconciles, and does something when it has listed who is suppressed.
func reconcile(t *testing.T, g *gateway.Gateway, meanwhile func()) int {
	t.Helper()
	deps := g.Erasure.Deps
	deps.Store = &lookedFor{Store: deps.Store, first: meanwhile}
	n, err := erasure.NewService(deps).Reconcile(t.Context(), gateway.DefaultTenant)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// An erasure that is taken back when the reconciler has listed who is suppressed, and
// has not looked yet whether it is open, is not carried out by it.
func TestWhatIsTakenBackUnderTheReconcilerStays(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open opener) {
		g := open(t, gateway.Config{ErasuresByHand: true})
		say(t, g, consent.Granted, []string{"ada"}, rag, emb)
		makeCollection(t, g, "c", retrieval.Spec{})
		store(t, g, "c", owned(t, "one", "ada"))
		id := erase(t, g, "ada").ID
		n := reconcile(t, g, func() {
			if _, err := g.Erasure.Cancel(t.Context(), gateway.DefaultTenant, id); err != nil {
				t.Error(err)
			}
		})
		if n != 0 || g.LiveDocuments(t) != 1 || len(find(t, g, "c", "server")) != 1 {
			t.Errorf("%d people found, %d documents left", n, g.LiveDocuments(t))
		}
	})
}

// One that ends then is no alarm: nothing has come back.
func TestWhatEndsUnderTheReconcilerIsNoAlarm(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open opener) {
		g := open(t, gateway.Config{ErasuresByHand: true})
		say(t, g, consent.Granted, []string{"ada"}, rag, emb)
		makeCollection(t, g, "c", retrieval.Spec{})
		store(t, g, "c", owned(t, "one", "ada"))
		id := erase(t, g, "ada").ID
		if n := reconcile(t, g, func() { ended(t, g, id) }); n != 0 {
			t.Errorf("%d people found", n)
		}
	})
}
