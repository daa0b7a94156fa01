package weaviate

import (
	"context"
	"maps"
	"slices"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"

	"github.com/assent-gateway/assent/consent"
)

// The store answers a question from many lists that it reads one after the
// other, and takes an object out of the list of its old mark before it puts it
// into that of its new one. So an object whose property changes meanwhile can be
// in none of the lists at the moment they are read. Every such change lies
// between the opening of a belief and its next value: a search looks at beliefs
// before it asks the store (those whose belief is open it asks for by name) and
// after. Of whom something changed in between may have been missed, and is asked
// for by name then: no change of a mark touches the lists of names.

// A sight is what was believed in a collection when a search looked.
type sight struct {
	of *believed
	at int // of its log
}

func seeing(in *believed) sight { return sight{in, len(in.log)} }

// A crowd is people who may have been missed: those whose passages a search may
// find. Everyone stands for more than a filter should list.
type crowd struct {
	everyone         bool
	owners, mentions map[consent.SubjectNum]bool
}

func (c crowd) nobody() bool { return !c.everyone && len(c.owners)+len(c.mentions) == 0 }

// filter asks for the passages of a crowd; of everyone, for all but the canary.
func (c crowd) filter(of *collection) *pb.Filters {
	if c.everyone {
		return of.unlisted()
	}
	list := func(nums map[consent.SubjectNum]bool) []string {
		return of.names.people(slices.Sorted(maps.Keys(nums)))
	}
	return anyOf(oneOf(propOwners, list(c.owners)...), oneOf(propMentions, list(c.mentions)...))
}

// moved are the people of whom something else is believed since the search
// looked, or was meanwhile. Those who rule their documents out by now do not
// count: that they were let through before was a change during the search.
func (f *finder) moved(ctx context.Context) (crowd, error) {
	m, err := f.x.mind(ctx, f.p.Tenant())
	if err != nil {
		return crowd{}, err
	}
	defer m.mu.Unlock()
	in := m.in(f.c.id)
	if in != f.sight.of {
		return crowd{everyone: true}, nil
	}
	who := in.log[f.sight.at:]
	if len(who) == 0 {
		return crowd{}, nil
	}
	out := crowd{owners: map[consent.SubjectNum]bool{}, mentions: map[consent.SubjectNum]bool{}}
	b := f.x.book(f.p, f.q.Rule.Default)
	defer b.mu.Unlock()
	for _, num := range who {
		if ownerWeight(b.of(num), f.q.Rule) != rulesOut {
			out.owners[num] = true
		}
		if mentionWeight(b.of(num), f.q.Rule) != rulesOut {
			out.mentions[num] = true
		}
	}
	out.everyone = len(out.owners)+len(out.mentions) > 2*fewListed
	return out, nil
}
