package weaviate_test

import (
	"sync"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/internal/storetest"
	"github.com/assent-gateway/assent/internal/testledger"
	"github.com/assent-gateway/assent/internal/testweaviate"
	"github.com/assent-gateway/assent/internal/weaviate"
	"github.com/assent-gateway/assent/retrieval"
)

// Gateways hear of a class at about the same time, and each makes what is not there
// yet: to whoever finds it in the schema, while another's making of it goes on, it is
// there to be asked, too.
func TestGatewaysMakeAClassTogether(t *testing.T) {
	t.Parallel()
	s := testweaviate.Start(t)
	corpus := &storetest.Corpus{}
	ledger, db := testledger.New(t, nil)
	var all []*weaviate.Index
	for range 3 {
		x, err := weaviate.Open(t.Context(), rows{db, corpus}, weaviate.Options{URL: s.URL(), GRPC: s.GRPC()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { x.Close() })
		x.Connect(source{corpus, seal.NewKey()}, ledger)
		all = append(all, x)
	}
	for round := range 24 {
		canary := version(1, consent.Canary, 1)[0]
		shape := retrieval.Shape{Dimensions: 4, Tenant: testledger.Tenant, Key: seal.NewKey(), Canary: &canary}
		id := retrieval.CollectionID(1000 + round)
		var made sync.WaitGroup
		for i, x := range all {
			made.Go(func() {
				time.Sleep(time.Duration(round*i) * time.Millisecond) // at any moment of another's making
				if err := x.Create(t.Context(), id, shape); err != nil {
					t.Errorf("round %d: %v", round, err)
				}
			})
		}
		made.Wait()
		must(t, all[0].Drop(t.Context(), id))
	}
}
