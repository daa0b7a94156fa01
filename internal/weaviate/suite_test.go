package weaviate_test

import (
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
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

// Held is what is live in the corpus, or reserved.
func (r rows) Held(ctx context.Context, t consent.TenantID, nums []retrieval.DocNum) ([]retrieval.DocNum, error) {
	held, err := r.DB.Held(ctx, t, nums)
	if err != nil {
		return nil, err
	}
	refs := make([]retrieval.PassageRef, len(nums))
	for i, num := range nums {
		refs[i].Doc = num
	}
	known, err := r.corpus.Known(ctx, 0, refs)
	for i := range known {
		if known[i].Vector != nil {
			held = append(held, nums[i])
		}
	}
	return held, err
}

// source is a corpus as what the gateway itself knows.
type source struct {
	*storetest.Corpus
	home seal.Key
}

func (s source) EachLive(ctx context.Context, c retrieval.CollectionID, f func([]retrieval.IndexPassage) error) error {
	var all [][]retrieval.IndexPassage // f asks the corpus, too
	err := s.EachKnown(ctx, c, func(ps []retrieval.IndexPassage) error {
		all = append(all, ps)
		return nil
	})
	for _, ps := range all {
		if err == nil {
			err = f(ps)
		}
	}
	return err
}

func (s source) IndexHome(consent.TenantID) (seal.Key, error) { return s.home, nil }

// An applying index lets an applier do a round before some of the calls: its own,
// or that of another gateway on the same database and store.
type applying struct {
	*weaviate.Index
	t       *testing.T
	applier *weaviate.Index
	chance  float64
}

func (a *applying) Create(ctx context.Context, c retrieval.CollectionID, s retrieval.Shape) error {
	if a.applier != a.Index {
		if err := a.applier.Create(ctx, c, s); err != nil {
			return err
		}
	}
	return a.Index.Create(ctx, c, s)
}

func (a *applying) Apply(ctx context.Context, c retrieval.CollectionID, ch retrieval.Change) error {
	if rand.Float64() < a.chance && ctx.Err() == nil {
		if _, err := a.applier.ApplyVerdicts(ctx, testledger.Tenant); err != nil && ctx.Err() == nil {
			a.t.Error(err)
		}
	}
	return a.Index.Apply(ctx, c, ch)
}

// adapter is an index whose applier works with a chance at every change.
func adapter(t *testing.T, chance float64, gateways int) storetest.IndexAdapter {
	testweaviate.Require(t, sharedErr)
	return storetest.IndexAdapter{
		Open: func(t *testing.T, corpus *storetest.Corpus, now func() time.Time) (retrieval.Index, *consent.Ledger, consent.TenantID) {
			ledger, db := testledger.New(t, now)
			home := seal.NewKey()
			var xs []*weaviate.Index
			for range gateways {
				x, err := weaviate.Open(t.Context(), rows{db, corpus}, weaviate.Options{URL: shared.URL(), GRPC: shared.GRPC()})
				if err != nil {
					t.Fatal(err)
				}
				x.Connect(source{corpus, home}, ledger)
				t.Cleanup(func() { x.Close() })
				xs = append(xs, x)
			}
			return &applying{xs[0], t, xs[gateways-1], chance}, ledger, testledger.Tenant
		},
		Except: map[string]string{
			"Index/a random history of keyword and hybrid searches is answered as the contract says": "keyword mode ranks by Weaviate's statistics over all passages; without opting in a collection has none",
		},
	}
}

// With the applier at work between changes, with none at work, and with another
// gateway's.
func TestIndex(t *testing.T)                          { storetest.Index(t, adapter(t, 0.5, 1)) }
func TestIndexWithoutTheApplier(t *testing.T)         { storetest.Index(t, adapter(t, 0, 1)) }
func TestIndexAppliedToByAnotherGateway(t *testing.T) { storetest.Index(t, adapter(t, 0.5, 2)) }
