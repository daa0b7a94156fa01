package gateway_test

import (
	"errors"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
)

// What is to be erased is not kept in another form: neither without a person who
// is erased meanwhile, nor without a suspected mention.
func TestWhatIsCondemnedIsNotWrittenAnew(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open opener) {
		g := open(t, gateway.Config{ErasuresByHand: true})
		ctx, id := t.Context(), gateway.DefaultTenant
		say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb)
		makeCollection(t, g, "c", retrieval.Spec{OnErasure: retrieval.Redact})
		suspect := owned(t, "suspect", "bob")
		suspect.Text = "Ada has a server."
		store(t, g, "c", owned(t, "joint", "ada", "bob"), suspect)
		ask := func(document string) string {
			t.Helper()
			e, err := g.Erasure.Request(ctx, id, erasure.Request{
				Scope: erasure.ScopeDocument, Documents: erasure.Documents{Collection: "c", Document: document}, By: "test",
			})
			if err != nil {
				t.Fatal(err)
			}
			return e.ID
		}
		joint := ask("joint")
		ada := ended(t, g, erase(t, g, "ada").ID)
		if hits := find(t, g, "c", "server"); len(hits) != 1 || hits[0].DocumentID != "suspect" {
			t.Errorf("a document is found whose erasure was acknowledged: %+v", hits)
		}
		other := ask("suspect")
		for _, m := range waiting(t, g, ada.ID) {
			if err := g.Erasure.Review(ctx, id, ada.ID, m.N, erasure.ActRedact, "test"); !errors.Is(err, erasure.ErrState) {
				t.Errorf("redacted: %v", err)
			}
		}
		if hits := find(t, g, "c", "server"); len(hits) != 0 {
			t.Errorf("a document is found whose erasure was acknowledged: %+v", hits)
		}
		ended(t, g, joint)
		ended(t, g, other)
		if n := g.LiveDocuments(t); n != 0 {
			t.Errorf("%d documents are left", n)
		}
	})
}
