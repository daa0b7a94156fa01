package weaviate

import (
	"context"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// For tests that look at the store by another path than the one under test.

func (x *Index) Class(c retrieval.CollectionID) string { return x.collection(c).names.class }

func (x *Index) ObjectID(c retrieval.CollectionID, ref retrieval.PassageRef) string {
	return x.collection(c).names.object(ref)
}

func (x *Index) PersonToken(c retrieval.CollectionID, who consent.SubjectNum) string {
	return x.collection(c).names.person(who)
}

// LateMark and LateInsert are a property update and an insert that were sent
// long ago and arrive now.
func (x *Index) LateMark(ctx context.Context, c retrieval.CollectionID, ref retrieval.PassageRef) (bool, error) {
	k := x.collection(c)
	return x.server.mark(ctx, k.names.class, k.names.object(ref), []string{markAny}, markPatience)
}

// Mark writes a property as the applier does.
func (x *Index) Mark(ctx context.Context, c retrieval.CollectionID, ref retrieval.PassageRef, marks ...string) error {
	k := x.collection(c)
	_, err := x.server.mark(ctx, k.names.class, k.names.object(ref), marks, markPatience)
	return err
}

// Open opens the belief about a person, as a round does that then ends early.
func (x *Index) Open(ctx context.Context, t consent.TenantID, c retrieval.CollectionID, who consent.SubjectNum) error {
	return x.outside.Believe(ctx, t, x.applier.holder, []retrieval.Belief{{Collection: c, Subject: who}})
}

// Marked are the objects that the store lists under a mark.
func (x *Index) Marked(ctx context.Context, c retrieval.CollectionID, mark string) (int, error) {
	return x.Raw(ctx, c, equal(propOK, mark), nil, most)
}

func (x *Index) LateInsert(ctx context.Context, c retrieval.CollectionID, ps ...retrieval.IndexPassage) error {
	k := x.collection(c)
	return x.server.insert(ctx, k, k.names, ps)
}

// Check looks at a collection's class as Create does.
func (x *Index) Check(ctx context.Context, c retrieval.CollectionID) error {
	k := x.collection(c)
	return x.ensure(ctx, k, k.names)
}

// Filter is what a search under a permit asks the store for.
func (x *Index) Filter(ctx context.Context, p consent.Permit, q retrieval.Query) (*pb.Filters, error) {
	f := &finder{x: x, c: x.collection(q.Collection), p: p, q: &q}
	err := f.compile(ctx)
	return f.filter, err
}

// Raw searches the store and does nothing else.
func (x *Index) Raw(ctx context.Context, c retrieval.CollectionID, filter *pb.Filters, vector []float32, k int) (int, error) {
	hits, err := x.server.search(ctx, ask{class: x.collection(c).names.class, filter: filter, vector: vector, limit: k})
	return len(hits), err
}

// Everyone is what a search asks for that may have missed more people than it names.
func (x *Index) Everyone(c retrieval.CollectionID) *pb.Filters {
	return crowd{everyone: true}.filter(x.collection(c))
}

// Permission and OwnerList are filters for comparisons.
func (x *Index) Permission(c retrieval.CollectionID, purpose string) string {
	return x.collection(c).names.permission(purpose, x.collection(c).shape.Rule)
}

func OwnerList(tokens []string) *pb.Filters    { return oneOf(propOwners, tokens...) }
func NotOwnerList(tokens []string) *pb.Filters { return not(oneOf(propOwners, tokens...)) }

// Everywhere is how many objects each generation lists under a mark: new, canary,
// or that of a purpose.
func (x *Index) Everywhere(ctx context.Context, c retrieval.CollectionID, of string) (out []int, err error) {
	k := x.collection(c)
	for _, in := range k.all() {
		mark := of
		if mark != markNew && mark != markCanary {
			mark = in.permission(of, k.shape.Rule)
		}
		hits, err := x.server.search(ctx, ask{class: in.class, filter: equal(propOK, mark), limit: most})
		if err != nil {
			return nil, err
		}
		out = append(out, len(hits))
	}
	return out, nil
}
