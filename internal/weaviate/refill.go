package weaviate

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/weaviate/weaviate-go-client/v4/weaviate/graphql"

	"github.com/assent-gateway/assent/retrieval"
)

var _ retrieval.Refiller = (*Index)(nil)

// Refill implements retrieval.Refiller. Fewer objects than live passages may say
// that some are lost, or that documents were deleted since the passages were
// counted; where some are, all are put in anew, marked new: what is left may be
// from a day when the permission property was another than is believed. Other
// gateways may change the collection meanwhile: what they put in is put in
// twice, under the same id, and what they take out is what the reconciler is for.
func (x *Index) Refill(ctx context.Context, id retrieval.CollectionID, passages int) (lacked int, err error) {
	c := x.collection(id)
	if c == nil {
		return 0, faultOf("fill an unknown collection")
	}
	n, err := x.server.count(ctx, c.names.class)
	if c.shape.Canary != nil {
		n-- // Create saw to it that it is there
	}
	if err != nil || n >= passages {
		return 0, err
	}
	if lacked, err = x.lacking(ctx, c); err != nil || lacked == 0 {
		return 0, err
	}
	err = x.source.EachKnown(ctx, id, func(ps []retrieval.IndexPassage) error {
		ps = slices.DeleteFunc(ps, func(p retrieval.IndexPassage) bool { return p.Vector == nil })
		return x.server.insert(ctx, c, c.names, ps)
	})
	x.applier.wake()
	return lacked, err
}

// lacking counts live passages that have no object: a row is live only while
// there is one.
func (x *Index) lacking(ctx context.Context, c *collection) (n int, err error) {
	there := map[retrieval.PassageRef]struct{}{}
	note := func(hits []hit) error {
		for _, h := range hits {
			if ref, ok := c.names.ref(h.id); ok {
				there[ref] = struct{}{}
			}
		}
		return nil
	}
	if err := x.walk(ctx, c, c.names, note); err != nil {
		return 0, err
	}
	var suspects []retrieval.PassageRef
	err = x.source.EachKnown(ctx, c.id, func(ps []retrieval.IndexPassage) error {
		for i := range ps {
			if _, ok := there[ps[i].Head.Ref]; !ok && ps[i].Vector != nil {
				suspects = append(suspects, ps[i].Head.Ref)
			}
		}
		return nil
	})
	for part := range slices.Chunk(suspects, docsAtOnce) {
		if err != nil {
			return 0, err
		}
		ids := make([]string, len(part))
		for i, ref := range part {
			ids[i] = c.names.object(ref)
		}
		hits, err := x.server.search(ctx, ask{class: c.names.class, filter: oneOf("_id", ids...), limit: len(ids)})
		if err != nil {
			return 0, err
		}
		_ = note(hits) // of those that came since the walk
		part = slices.DeleteFunc(slices.Clone(part), func(ref retrieval.PassageRef) bool { _, ok := there[ref]; return ok })
		live, err := x.source.Known(ctx, c.id, part)
		if err != nil {
			return 0, err
		}
		for i := range live {
			if live[i].Vector != nil {
				n++
			}
		}
	}
	return n, err
}

// count is how many objects a class has, as the store counts. Its errors may
// stand in an answer that says that all is well.
func (s *server) count(ctx context.Context, class string) (int, error) {
	const doing = "count objects"
	call, cancel := s.call(ctx, s.timeout)
	defer cancel()
	reply, err := s.rest.GraphQL().Aggregate().WithClassName(class).
		WithFields(graphql.Field{Name: "meta", Fields: []graphql.Field{{Name: "count"}}}).Do(call)
	if err != nil {
		return 0, failed(ctx, doing, err)
	}
	if reply == nil || len(reply.Errors) > 0 {
		return 0, faultOf(doing)
	}
	var out struct {
		Aggregate map[string][]struct{ Meta struct{ Count *int } }
	}
	raw, err := json.Marshal(reply.Data)
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	if of := out.Aggregate[class]; err == nil && len(of) == 1 && of[0].Meta.Count != nil {
		return *of[0].Meta.Count, nil
	}
	return 0, faultOf(doing)
}
