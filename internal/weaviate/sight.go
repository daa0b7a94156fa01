package weaviate

import (
	"context"
	"maps"
	"slices"
	"time"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"

	"github.com/assent-gateway/assent/consent"
)

// The store answers a question from many lists that it reads one after the
// other, and takes an object out of the list of its old mark before it puts it
// into that of its new one. So an object whose property changes meanwhile can be
// in none of the lists at the moment they are read. Every such change lies
// between the opening of a belief and its next value: a search looks at beliefs
// before it asks the store (those whose belief is open it asks for by name) and
// after. Of whom something changed in between may have been missed.

// A sight is what was believed in a collection when a search looked.
type sight struct {
	of   *believed
	at   int // of its log
	open []consent.SubjectNum
}

func seeing(in *believed) *sight {
	return &sight{of: in, at: len(in.log), open: slices.Collect(maps.Keys(in.open))}
}

// A crowd is people who may have been missed: those whose passages a search may
// find. Everyone stands for more than can be told.
type crowd struct {
	everyone bool
	owners   map[consent.SubjectNum]bool
	mentions map[consent.SubjectNum]bool
}

func (c crowd) nobody() bool { return !c.everyone && len(c.owners)+len(c.mentions) == 0 }

// filter asks for the passages of a crowd, nil for all.
func (c crowd) filter(of *collection) *pb.Filters {
	if c.everyone {
		return nil
	}
	list := func(nums map[consent.SubjectNum]bool) []string {
		return of.names.people(slices.Sorted(maps.Keys(nums)))
	}
	return anyOf(oneOf(propOwners, list(c.owners)...), oneOf(propMentions, list(c.mentions)...))
}

// pick returns those of a crowd whom keep wants.
func (c crowd) pick(keep func(consent.SubjectNum) bool) crowd {
	out := crowd{everyone: c.everyone, owners: maps.Clone(c.owners), mentions: maps.Clone(c.mentions)}
	drop := func(who consent.SubjectNum, _ bool) bool { return !keep(who) }
	maps.DeleteFunc(out.owners, drop)
	maps.DeleteFunc(out.mentions, drop)
	return out
}

func (c crowd) has(who consent.SubjectNum) bool { return c.owners[who] || c.mentions[who] }

// and is both crowds.
func (c crowd) and(other crowd) crowd {
	if c.everyone || other.everyone {
		return crowd{everyone: true}
	}
	out := c.pick(func(consent.SubjectNum) bool { return true })
	maps.Copy(out.owners, other.owners)
	maps.Copy(out.mentions, other.mentions)
	return out
}

// less is a crowd without those who were asked for at rest, but with whom of
// them moved again meanwhile.
func (c crowd) less(settled, again crowd) crowd {
	if settled.everyone || again.everyone {
		return again
	}
	left := c.pick(func(who consent.SubjectNum) bool { return !settled.has(who) })
	return left.and(again.pick(settled.has))
}

// moved are the people of whom something else is believed since a sight, or was
// meanwhile. Those who rule their documents out by now do not count: that they
// were let through before was a change during the search.
func (f *finder) moved(ctx context.Context, s *sight) (crowd, error) {
	m, err := f.x.mind(ctx, f.p.Tenant())
	if err != nil {
		return crowd{}, err
	}
	defer m.mu.Unlock()
	in := m.in(f.c.id)
	if in != s.of {
		return crowd{everyone: true}, nil
	}
	return f.crowd(in.log[s.at:]), nil
}

// crowd is those of some people who may be found.
func (f *finder) crowd(who []consent.SubjectNum) crowd {
	out := crowd{owners: map[consent.SubjectNum]bool{}, mentions: map[consent.SubjectNum]bool{}}
	if len(who) == 0 {
		return out
	}
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
	if len(out.owners) > fewListed || len(out.mentions) > fewListed {
		return crowd{everyone: true}
	}
	return out
}

// restPatience bounds how long a keyword search waits for people whose passages
// are being changed.
const (
	restPatience = time.Second
	restLook     = 10 * time.Millisecond
)

// restless are the people whose passages may have been changing since the
// search looked first.
func (f *finder) restless(ctx context.Context) (crowd, error) {
	moved, err := f.moved(ctx, f.sight)
	if err != nil || moved.everyone {
		return moved, err
	}
	open := f.crowd(f.sight.open)
	if open.everyone {
		return open, nil
	}
	return moved.and(open), nil
}

// awaitRest waits until the belief about some of a crowd is not open, and
// returns those and what is believed then; nobody when the time is over.
func (f *finder) awaitRest(ctx context.Context, c crowd, deadline time.Time) (crowd, *sight, error) {
	for {
		m, err := f.x.mind(ctx, f.p.Tenant())
		if err != nil {
			return crowd{}, nil, err
		}
		in := m.in(f.c.id)
		settled, now := c.pick(func(who consent.SubjectNum) bool { return !in.open[who] }), seeing(in)
		settled.everyone = c.everyone && len(in.open) == 0
		m.mu.Unlock()
		switch {
		case !time.Now().Before(deadline):
			return crowd{}, now, nil
		case !settled.nobody():
			return settled, now, nil
		}
		select {
		case <-ctx.Done():
			return crowd{}, nil, ctx.Err()
		case <-time.After(restLook):
		}
	}
}
