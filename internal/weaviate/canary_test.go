package weaviate_test

import (
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/testweaviate"
	"github.com/assent-gateway/assent/retrieval"
)

// A search that may have missed more people than it names asks for everyone's
// passages. The canary is not among them: it would be an alarm about a store that
// keeps to its filters.
func TestWhoMayHaveMissedEverybodyDoesNotAskForTheCanary(t *testing.T) {
	testweaviate.Require(t, sharedErr)
	canary := version(7, consent.Canary, 1)[0]
	x, ledger, db := opened(t, shared, retrieval.Shape{Canary: &canary})
	v := version(1, granted(t, ledger, "user:ada"), 3)
	db.corpus.Put(v)
	if err := x.Apply(t.Context(), books, retrieval.Change{Add: v}); err != nil {
		t.Fatal(err)
	}
	if n, err := x.Raw(t.Context(), books, nil, nil, 10); err != nil || n != 4 {
		t.Fatalf("%d objects, want 3 and the canary, %v", n, err)
	}
	if n, err := x.Raw(t.Context(), books, x.Everyone(books), nil, 10); err != nil || n != 3 {
		t.Errorf("%d objects, want 3, %v", n, err)
	}
}
