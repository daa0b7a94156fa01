package embedded_test

import (
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/embedded"
	"github.com/assent-gateway/assent/internal/storetest"
	"github.com/assent-gateway/assent/internal/testledger"
	"github.com/assent-gateway/assent/retrieval"
)

// The embedded index has no exceptions: it is the reference.
func TestIndex(t *testing.T) {
	storetest.Index(t, storetest.IndexAdapter{
		Open: func(t *testing.T, corpus *storetest.Corpus, now func() time.Time) (retrieval.Index, *consent.Ledger, consent.TenantID) {
			ledger, _ := testledger.New(t, now)
			return embedded.New(corpus, embedded.Options{}), ledger, testledger.Tenant
		},
	})
}
