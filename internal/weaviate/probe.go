package weaviate

import (
	"context"
	"maps"
	"slices"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// Wanted is what verification looks for in a collection.
type Wanted struct {
	Docs    []retrieval.DocNum
	Person  consent.SubjectNum // 0: nobody
	Vectors [][]float32
}

// Traces are objects that a probe found: of wanted documents, of them among the
// nearest neighbours of wanted vectors, and of the person without a live
// version or a reservation. Looked counts the objects that answers held or
// could have: the collection's.
type Traces struct{ Documents, Nearest, Strays, Looked int }

const (
	probeDocs    = 200 // documents that one request asks for
	probeNearest = 64  // neighbours that are looked at
	probeAtOnce  = 1000
)

// Probe looks for documents in the store itself, below every permit, by
// requests that nothing is deleted with: fetched by document, by person, and as
// nearest neighbours of the vectors they had. It deletes nothing.
func (x *Index) Probe(ctx context.Context, id retrieval.CollectionID, w Wanted) (t Traces, err error) {
	c := x.collection(id)
	if c == nil {
		return t, nil
	}
	if t.Looked, err = x.Count(ctx, id); err != nil {
		return t, err
	}
	wanted := make(map[retrieval.DocNum]bool, len(w.Docs))
	for _, num := range w.Docs {
		wanted[num] = true
	}
	for _, in := range c.all() {
		if err := x.probe(ctx, c, in, w, wanted, &t); err != nil {
			return t, err
		}
	}
	return t, nil
}

// probe looks in one generation.
func (x *Index) probe(ctx context.Context, c *collection, in names, w Wanted, wanted map[retrieval.DocNum]bool, t *Traces) error {
	for part := range slices.Chunk(w.Docs, probeDocs) {
		tokens := make([]string, len(part))
		for i, num := range part {
			tokens[i] = in.doc(num)
		}
		hits, err := x.server.search(ctx, ask{class: in.class, filter: oneOf(propDoc, tokens...), limit: probeAtOnce})
		if err != nil {
			return err
		}
		t.Documents += len(hits)
	}
	for _, v := range w.Vectors {
		hits, err := x.server.search(ctx, ask{class: in.class, vector: v, limit: probeNearest})
		if err != nil {
			return err
		}
		for _, h := range hits {
			if ref, ok := in.ref(h.id); ok && wanted[ref.Doc] {
				t.Nearest++
			}
		}
	}
	if w.Person == 0 {
		return nil
	}
	strays, err := x.strayOf(ctx, c, in, w.Person)
	t.Strays += strays
	return err
}

// strayOf counts objects of a person that no row accounts for: what arrived
// late, or was brought back. Where a person has more objects than one answer
// holds, the whole collection is walked, and whosever they are count.
func (x *Index) strayOf(ctx context.Context, c *collection, in names, who consent.SubjectNum) (strays int, err error) {
	for _, prop := range []string{propOwners, propMentions} {
		hits, err := x.server.search(ctx, ask{class: in.class, filter: oneOf(prop, in.person(who)), limit: probeAtOnce})
		if err != nil {
			return strays, err
		}
		if len(hits) == probeAtOnce {
			strays = 0
			err := x.walk(ctx, c, in, func(hits []hit) error {
				n, err := x.unaccounted(ctx, c, in, hits)
				strays += n
				return err
			})
			return strays, err
		}
		n, err := x.unaccounted(ctx, c, in, hits)
		if err != nil {
			return strays, err
		}
		strays += n
	}
	return strays, nil
}

// unaccounted counts objects that are of no version that lives or is reserved.
func (x *Index) unaccounted(ctx context.Context, c *collection, in names, hits []hit) (n int, err error) {
	of := map[retrieval.DocNum]int{}
	for _, h := range hits {
		if ref, ok := in.ref(h.id); ok {
			of[ref.Doc]++
		} else {
			n++ // of no version of ours
		}
	}
	live, err := x.outside.Held(ctx, c.shape.Tenant, slices.Collect(maps.Keys(of)))
	if err != nil {
		return n, err
	}
	for _, num := range live {
		delete(of, num)
	}
	for _, objects := range of {
		n += objects
	}
	return n, nil
}
