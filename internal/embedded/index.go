package embedded

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// Errors. None holds data.
var (
	errPermit     = errors.New("embedded: a search needs a permit")
	errQuery      = errors.New("embedded: the query's mode, k or vector does not fit the collection")
	errUnknown    = errors.New("embedded: unknown collection")
	errDimensions = errors.New("embedded: the collection has other dimensions")
	errChange     = errors.New("embedded: a passage to add is not well-formed")
	errVectors    = errors.New("embedded: stored vectors cannot be had")
)

// DefaultVectorCacheBytes is the budget when Options has none.
const DefaultVectorCacheBytes = 256 << 20

// Options of an Index.
type Options struct {
	// VectorCacheBytes bounds the float32 vectors kept in memory over all
	// collections, without which a search asks the Vectors port for its last
	// candidates. 0 is DefaultVectorCacheBytes, below 0 keeps none. Codes and
	// postings are kept whatever it says.
	VectorCacheBytes int64
}

// An Index is the embedded index. See the package comment.
type Index struct {
	budget *budget

	mu          sync.RWMutex
	vectors     retrieval.Vectors
	collections map[retrieval.CollectionID]*collection
	books       map[bookKey]*book
	ticks       atomic.Uint64 // orders uses of books and masks
}

var _ retrieval.Index = (*Index)(nil)

// New returns an empty index. v may be nil until SetVectors.
func New(v retrieval.Vectors, o Options) *Index {
	limit := o.VectorCacheBytes
	if limit == 0 {
		limit = DefaultVectorCacheBytes
	}
	return &Index{
		budget:      &budget{limit: limit},
		vectors:     v,
		collections: map[retrieval.CollectionID]*collection{},
		books:       map[bookKey]*book{},
	}
}

// SetVectors sets the port, where what implements it needs the index first.
func (x *Index) SetVectors(v retrieval.Vectors) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.vectors = v
}

func (x *Index) port() retrieval.Vectors {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.vectors
}

func (x *Index) collection(id retrieval.CollectionID) *collection {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.collections[id]
}

// Create implements retrieval.Index. Dimensions are at least 1; creating a
// collection again with others is an error. But for the canary, the rest of a
// shape is not for an index in memory.
func (x *Index) Create(_ context.Context, id retrieval.CollectionID, s retrieval.Shape) error {
	dimensions := s.Dimensions
	if dimensions < 1 || dimensions > maxDimensions {
		return errDimensions
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	c := x.collections[id]
	if c != nil && c.dimensions != dimensions {
		return errDimensions
	}
	if c == nil {
		c = newCollection(dimensions, x.budget)
	}
	if err := c.perch(s.Canary); err != nil {
		return err
	}
	x.collections[id] = c
	return nil
}

// Apply implements retrieval.Index. A passage that does not fit the collection,
// or contradicts another of its version, is an error, and then nothing of the
// change happens.
func (x *Index) Apply(_ context.Context, id retrieval.CollectionID, ch retrieval.Change) error {
	c := x.collection(id)
	if c == nil {
		if len(ch.Add) == 0 {
			return nil
		}
		return errUnknown
	}
	add, err := c.versions(ch.Add)
	if err != nil {
		return err
	}
	return c.apply(ch.Remove, add)
}

// Drop implements retrieval.Index.
func (x *Index) Drop(_ context.Context, id retrieval.CollectionID) error {
	x.mu.Lock()
	c := x.collections[id]
	delete(x.collections, id)
	x.mu.Unlock()
	if c != nil {
		c.drop()
	}
	return nil
}

// Search implements retrieval.Index.
func (x *Index) Search(ctx context.Context, p consent.Permit, q retrieval.Query) ([]retrieval.Found, error) {
	if !p.Valid() {
		return nil, errPermit
	}
	return x.search(ctx, p, q)
}
