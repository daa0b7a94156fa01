package weaviate_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/storetest"
	"github.com/assent-gateway/assent/retrieval"
)

// A rebuilt index goes on with a rebuild before some of the calls, as a gateway
// does between others' calls: what is being changed is placed everywhere, and
// searches are let go on meanwhile.
type rebuilt struct {
	*applying
	chance float64

	mu     sync.RWMutex
	shapes map[retrieval.CollectionID]retrieval.Shape
	ended  int
}

func (r *rebuilt) Create(ctx context.Context, c retrieval.CollectionID, s retrieval.Shape) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.Generations = r.shapes[c].Generations
	r.shapes[c] = s
	return r.applying.Create(ctx, c, s)
}

func (r *rebuilt) Drop(ctx context.Context, c retrieval.CollectionID) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.shapes, c)
	return r.applying.Drop(ctx, c)
}

func (r *rebuilt) Apply(ctx context.Context, c retrieval.CollectionID, ch retrieval.Change) error {
	r.maybe(ctx, c)
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.applying.Apply(ctx, c, ch)
}

func (r *rebuilt) Search(ctx context.Context, p consent.Permit, q retrieval.Query) ([]retrieval.Found, error) {
	r.maybe(ctx, q.Collection)
	return r.applying.Search(ctx, p, q)
}

func (r *rebuilt) maybe(ctx context.Context, c retrieval.CollectionID) {
	if rand.Float64() >= r.chance || ctx.Err() != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s, there := r.shapes[c]
	if !there {
		return
	}
	if err := r.on(ctx, c, &s.Generations); err != nil {
		if ctx.Err() == nil {
			r.t.Errorf("a rebuild: %v", err)
		}
		return
	}
	s.Generations.Change++
	r.shapes[c] = s
	if err := r.applying.Create(ctx, c, s); err != nil && ctx.Err() == nil {
		r.t.Errorf("a rebuild: %v", err)
	}
}

// on takes one step.
func (r *rebuilt) on(ctx context.Context, c retrieval.CollectionID, g *retrieval.Generations) error {
	switch g.State() {
	case retrieval.Filling:
		if err := r.Fill(ctx, c); err != nil {
			return err
		}
		old := g.Serving
		g.Serving, g.Filling, g.Draining = *g.Filling, nil, &old
	case retrieval.Draining:
		g.Draining, g.Dropping = nil, g.Draining
	case retrieval.Dropping:
		if err := r.DropGeneration(ctx, c, g.Dropping.Number); err != nil {
			return err
		}
		g.Dropping = nil
		r.ended++
	default:
		g.Filling = &retrieval.Generation{Number: rand.Uint64()}
	}
	return nil
}

// The whole contract holds while generations come and go.
func TestIndexWhileItIsRebuilt(t *testing.T) {
	a := adapter(t, 0.3, 1)
	open, ended := a.Open, 0
	a.Open = func(t *testing.T, corpus *storetest.Corpus, now func() time.Time) (retrieval.Index, *consent.Ledger, consent.TenantID) {
		x, ledger, tenant := open(t, corpus, now)
		r := &rebuilt{applying: x.(*applying), chance: 0.1, shapes: map[retrieval.CollectionID]retrieval.Shape{}}
		t.Cleanup(func() { ended += r.ended })
		return r, ledger, tenant
	}
	storetest.Index(t, a)
	t.Logf("%d rebuilds", ended)
	if ended == 0 {
		t.Error("nothing was rebuilt")
	}
}
