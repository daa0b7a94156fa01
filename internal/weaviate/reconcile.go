package weaviate

import (
	"context"
	"slices"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// Reconcile walks over all objects of a tenant's collections and deletes those
// that no live version and no reservation accounts for; it reports how many.
// Classes of the tenant that no collection has go, too.
func (x *Index) Reconcile(ctx context.Context, t consent.TenantID) (removed int, err error) {
	if err := x.source.Refresh(ctx, t); err != nil {
		return 0, err
	}
	for _, c := range x.of(t) {
		for _, in := range c.all() {
			n, err := x.reconcile(ctx, c, in, nil)
			removed += n
			if err != nil {
				return removed, err
			}
		}
	}
	if err := x.dropOrphans(ctx, t); err != nil {
		return removed, err
	}
	if removed > 0 {
		x.log.Warn("objects without a row deleted from the index", "count", removed)
	}
	return removed, nil
}

// reconcile does so in one generation, and calls kept, when not nil, with what is left.
func (x *Index) reconcile(ctx context.Context, c *collection, in names, kept func(retrieval.PassageRef)) (removed int, err error) {
	err = x.walk(ctx, c, in, func(hits []hit) error {
		// Looked up after the store was read: what comes in is reserved before.
		strangers, err := x.strangers(ctx, c, in, hits)
		if err != nil {
			return err
		}
		for part := range slices.Chunk(strangers, removeAtOnce) {
			if err := x.server.remove(ctx, in.class, oneOf("_id", part...)); err != nil {
				return err
			}
			removed += len(part)
		}
		if kept == nil {
			return nil
		}
		for _, h := range hits {
			if ref, ok := in.ref(h.id); ok && !slices.Contains(strangers, h.id) {
				kept(ref)
			}
		}
		return nil
	})
	return removed, err
}

func (x *Index) strangers(ctx context.Context, c *collection, in names, hits []hit) (ids []string, err error) {
	var nums []retrieval.DocNum
	for _, h := range hits {
		if ref, ok := in.ref(h.id); ok {
			nums = append(nums, ref.Doc)
		}
	}
	slices.Sort(nums)
	held, err := x.outside.Held(ctx, c.shape.Tenant, slices.Compact(nums))
	if err != nil {
		return nil, err
	}
	here := make(map[retrieval.DocNum]bool, len(held))
	for _, num := range held {
		here[num] = true
	}
	for _, h := range hits {
		if ref, ok := in.ref(h.id); !ok || !here[ref.Doc] {
			ids = append(ids, h.id)
		}
	}
	return ids, nil
}

// Count is how many objects the store has of a collection where searches look,
// by walking over them.
func (x *Index) Count(ctx context.Context, id retrieval.CollectionID) (n int, err error) {
	c := x.collection(id)
	if c == nil {
		return 0, nil
	}
	err = x.walk(ctx, c, c.names, func(hits []hit) error {
		n += len(hits)
		return nil
	})
	return n, err
}

// walk calls f with every object of a generation but the canary, in the order of
// their ids.
func (x *Index) walk(ctx context.Context, c *collection, in names, f func([]hit) error) error {
	const page = 1000
	for at := firstID; ; {
		hits, err := x.server.search(ctx, ask{class: in.class, after: at, limit: page})
		if err != nil || len(hits) == 0 {
			return err
		}
		if err := f(c.withoutCanary(in, hits)); err != nil {
			return err
		}
		at = hits[len(hits)-1].id
	}
}
