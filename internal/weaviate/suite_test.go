package weaviate_test

import (
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/sqlite"
	"github.com/assent-gateway/assent/internal/storetest"
	"github.com/assent-gateway/assent/internal/testledger"
	"github.com/assent-gateway/assent/internal/testweaviate"
	"github.com/assent-gateway/assent/internal/weaviate"
	"github.com/assent-gateway/assent/retrieval"
)

// shared is the server of all tests that do not stop it, and why there is none.
var (
	shared    *testweaviate.Server
	sharedErr error
)

func TestMain(m *testing.M) {
	shared, sharedErr = testweaviate.New()
	code := m.Run()
	if shared != nil {
		shared.Stop()
	}
	os.Exit(code)
}

// rows is a catalogue whose documents are a corpus's.
type rows struct {
	*sqlite.DB
	corpus *storetest.Corpus
}

func (r rows) DocsOf(ctx context.Context, _ consent.TenantID, c retrieval.CollectionID, people []consent.SubjectNum, after retrieval.DocNum, limit int) ([]retrieval.DocRow, error) {
	var out []retrieval.DocRow
	err := r.corpus.EachKnown(ctx, c, func(v []retrieval.IndexPassage) error {
		p := v[0]
		if p.Head.Ref.Doc > after && slices.ContainsFunc(slices.Concat(p.Owners, p.Mentions), func(n consent.SubjectNum) bool { return slices.Contains(people, n) }) {
			out = append(out, retrieval.DocRow{Num: p.Head.Ref.Doc, Passages: uint32(len(v)), Personal: p.Head.Personal, Owners: p.Owners, Mentions: p.Mentions})
		}
		return nil
	})
	slices.SortFunc(out, func(a, b retrieval.DocRow) int { return int(a.Num - b.Num) })
	return out[:min(limit, len(out))], err
}

// An applying index lets the applier do a round before some of the calls.
type applying struct {
	*weaviate.Index
	t      *testing.T
	chance float64
}

func (a *applying) maybe(ctx context.Context) {
	if rand.Float64() < a.chance && ctx.Err() == nil {
		if _, err := a.ApplyVerdicts(ctx, testledger.Tenant); err != nil && ctx.Err() == nil {
			a.t.Error(err)
		}
	}
}

func (a *applying) Apply(ctx context.Context, c retrieval.CollectionID, ch retrieval.Change) error {
	a.maybe(ctx)
	return a.Index.Apply(ctx, c, ch)
}

func adapter(t *testing.T, applier float64) storetest.IndexAdapter {
	testweaviate.Require(t, sharedErr)
	return storetest.IndexAdapter{
		Open: func(t *testing.T, corpus *storetest.Corpus, now func() time.Time) (retrieval.Index, *consent.Ledger, consent.TenantID) {
			ledger, db := testledger.New(t, now)
			x, err := weaviate.Open(t.Context(), rows{db, corpus}, weaviate.Options{URL: shared.URL(), GRPC: shared.GRPC()})
			if err != nil {
				t.Fatal(err)
			}
			x.Connect(corpus, ledger)
			t.Cleanup(func() { x.Close() })
			return &applying{x, t, applier}, ledger, testledger.Tenant
		},
		Except: map[string]string{
			"Index/a random history of keyword and hybrid searches is answered as the contract says": "keyword mode ranks by Weaviate's statistics over all passages; without opting in a collection has none",
		},
	}
}

// With the applier at work between changes, and without any round of it.
func TestIndex(t *testing.T)                  { storetest.Index(t, adapter(t, 0.5)) }
func TestIndexWithoutTheApplier(t *testing.T) { storetest.Index(t, adapter(t, 0)) }
