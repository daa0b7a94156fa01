package weaviate

import (
	"context"
	"slices"
	"time"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"

	"github.com/assent-gateway/assent/retrieval"
)

// The canary of a collection (retrieval.Shape) is an object like any other in each
// of its generations, with
// a mark of its own as its permission. Searches leave it out by that property:
// where they name what they take, it is not among it, and where they send no list
// of people, it is ruled out by name. A store that returns it all the same does
// not keep to the filter.

// perch puts the canary into a generation where it is not there.
func (c *collection) perch(ctx context.Context, s *server, in names) error {
	p := c.shape.Canary
	if p == nil {
		return nil
	}
	there, err := s.search(ctx, ask{class: in.class, filter: equal("_id", in.object(p.Head.Ref)), limit: 1})
	if err != nil || len(there) > 0 {
		return err
	}
	return s.insert(ctx, c, in, []retrieval.IndexPassage{*p})
}

// perchWhenMade is perch in a class that another gateway may be making: it stands in
// the store's schema some milliseconds before it can be asked.
func (c *collection) perchWhenMade(ctx context.Context, s *server, in names) error {
	for pause := 5 * time.Millisecond; ; pause *= 2 {
		err := c.perch(ctx, s, in)
		if err == nil || pause > time.Second {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

func (c *collection) isCanary(ref retrieval.PassageRef) bool {
	return c.shape.Canary != nil && c.shape.Canary.Head.Ref == ref
}

// unlisted is what is asked for where no list of people is sent: all but the canary.
func (c *collection) unlisted() *pb.Filters {
	if c.shape.Canary == nil {
		return nil
	}
	return not(equal(propOK, markCanary))
}

// withoutCanary takes the canary out of what a walk over all objects met.
func (c *collection) withoutCanary(in names, hits []hit) []hit {
	if c.shape.Canary == nil {
		return hits
	}
	id := in.object(c.shape.Canary.Head.Ref)
	return slices.DeleteFunc(slices.Clone(hits), func(h hit) bool { return h.id == id })
}
