package embedded

import (
	"context"
	"slices"

	"github.com/assent-gateway/assent/retrieval"
)

// firstFetch is how many vectors a search asks for at first; it doubles.
const firstFetch = 256

// maxLosses bounds how often a search goes on without vectors that the store no
// longer has.
const maxLosses = 4

// maxK is far beyond what any caller asks for.
const maxK = 1 << 20

// search is Search under what a permit says.
//
// It runs in rounds. A round works under the read lock, from the permit's
// newest verdicts to ranked hits. Where it lacks stored vectors it ends
// without result; they are fetched without any lock, and the next round starts
// from the beginning, so that a result is always of one moment. A version
// whose vectors the store no longer has was retired and is about to be
// removed: it is left out. Under steady replacement that happens again and
// again; a store that never comes to an end of it is taken for one that fails.
func (x *Index) search(ctx context.Context, v verdicts, q retrieval.Query) ([]retrieval.Found, error) {
	c := x.collection(q.Collection)
	if c == nil {
		return nil, nil
	}
	r := &round{x: x, c: c, v: v, q: &q, want: firstFetch}
	if err := r.check(); err != nil {
		return nil, err
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		found, lacks := r.run()
		if lacks == nil {
			r.keep()
			return found, nil
		}
		if err := r.fetch(ctx, lacks); err != nil {
			return nil, err
		}
	}
}

// A round is one attempt and what it hands to the next.
type round struct {
	x     *Index
	c     *collection
	v     verdicts
	q     *retrieval.Query
	probe *probe

	want int // how many vectors to ask for
	had  map[retrieval.PassageRef][]float32
	gone map[retrieval.DocNum]bool

	losses int // fetches that came back without some vectors
}

func (r *round) check() error {
	q := r.q
	switch q.Mode {
	case retrieval.ModeVector, retrieval.ModeHybrid:
		if len(q.Vector) != r.c.dimensions || !finite(q.Vector) {
			return errQuery
		}
		r.probe = newProbe(q.Vector, r.c.stride)
	case retrieval.ModeKeyword:
	default:
		return errQuery
	}
	if q.K < 1 || q.K > maxK {
		return errQuery
	}
	return nil
}

// run returns what the query finds, or the passages whose vectors it lacks.
func (r *round) run() ([]retrieval.Found, []retrieval.PassageRef) {
	c := r.c
	c.mu.RLock()
	defer c.mu.RUnlock()
	s := c.scratch.Get().(*scratch)
	defer c.scratch.Put(s)
	r.x.allow(c, r.v, r.q, r.gone, s)
	hits, lacks := r.rank(s)
	if lacks != nil {
		refs := make([]retrieval.PassageRef, len(lacks))
		for i, ord := range lacks {
			refs[i] = c.ref(ord)
		}
		return nil, refs
	}
	found := make([]retrieval.Found, len(hits))
	for i, h := range hits {
		found[i] = retrieval.Found{Ref: c.ref(h.ord), Score: h.score}
	}
	return found, nil
}

func (r *round) rank(s *scratch) (best []hit, lacks []uint32) {
	q, deep := r.q, r.q.K
	if q.Mode == retrieval.ModeKeyword {
		return r.c.keywords(q.Terms, deep, s), nil
	}
	if q.Mode == retrieval.ModeHybrid {
		deep = retrieval.FuseDepth(q.K)
	}
	best, lacks = r.c.nearest(r.probe, deep, r.want, r.had, s)
	if lacks != nil || q.Mode == retrieval.ModeVector {
		return best, lacks
	}
	return r.c.hybrid(best, r.c.keywords(q.Terms, deep, s), q.K), nil
}

// fetch asks the port for vectors, without any lock.
func (r *round) fetch(ctx context.Context, refs []retrieval.PassageRef) error {
	port := r.x.port()
	if port == nil {
		return errVectors
	}
	got, err := port.Vectors(ctx, r.q.Collection, refs)
	if err != nil {
		return err
	}
	if len(got) != len(refs) {
		return errVectors
	}
	if r.had == nil {
		r.had = make(map[retrieval.PassageRef][]float32, len(refs))
	}
	var gone []retrieval.DocNum
	for i, v := range got {
		switch {
		case v == nil:
			gone = append(gone, refs[i].Doc)
		case len(v) != r.c.dimensions || !finite(v):
			return errVectors
		default:
			r.had[refs[i]] = v
		}
	}
	r.want = min(2*r.want, maxK) // under steady replacement there may be hundreds of rounds
	if gone == nil {
		return nil
	}
	if r.losses++; r.losses > maxLosses {
		return errVectors
	}
	if r.gone == nil {
		r.gone = map[retrieval.DocNum]bool{}
	}
	for _, num := range gone {
		r.gone[num] = true
	}
	return nil
}

// keep offers what was fetched to the cache; what was removed meanwhile is not
// kept.
func (r *round) keep() {
	c := r.c
	if len(r.had) == 0 || c.budget.limit < c.vectorBytes() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for ref, v := range r.had {
		doc, ok := c.byNum[ref.Doc]
		if !ok {
			continue
		}
		i, ok := slices.BinarySearchFunc(c.docs[doc].passages, ref.N, func(ord, n uint32) int {
			return int(int64(c.passages[ord].n) - int64(n))
		})
		if ok {
			c.slab.keep(c.docs[doc].passages[i], slices.Clone(v))
		}
	}
}
