package weaviate

import (
	"context"
	"maps"
	"slices"

	"github.com/assent-gateway/assent/consent"
	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
)

type overlayKey struct {
	purpose string
	rule    consent.Rule
}

// An overlay is the people of a collection whose verdict for a purpose is not
// what the properties outside reflect. Whoever rules a document out by himself
// is excluded by list; the documents of the others are taken along, whatever
// their property says, and judged here. Its collection's mu guards it.
type overlay struct {
	from       *book
	generation uint64
	seen       int // of from.log
	believed   *believed
	thought    int // of believed.log

	sets   [4]map[consent.SubjectNum]string // tokens
	barred map[consent.SubjectNum]bool      // who rule their own documents out now
}

const (
	takeOwners = iota
	takeMentions
	ruleOutOwners
	ruleOutMentions
)

// Lists cost the store 8 to 15 µs a person. Where they are longer than fewListed
// and at most half of the people are ruled out, it is cheaper to send none, to
// find more than may be found and to drop it here: that only takes a wider
// search. Beyond maxListed none is sent in any case.
const (
	fewListed = 500
	maxListed = 20_000
)

// permitted is the filter of what a permit allows now, as far as the store can
// tell, nil when it cannot; and what it was made of.
func (x *Index) permitted(ctx context.Context, c *collection, p consent.Permit, r consent.Rule) (*pb.Filters, sight, error) {
	m, err := x.mind(ctx, p.Tenant())
	if err != nil {
		return nil, sight{}, err
	}
	defer m.mu.Unlock()
	b := x.book(p, r.Default)
	defer b.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	k := overlayKey{p.Purpose(), r}
	o := c.overlays[k]
	if o == nil {
		o = &overlay{}
		c.overlays[k] = o
	}
	o.follow(c, b, m.in(c.id), k)
	if len(o.sets[takeOwners])+len(o.sets[takeMentions])+len(o.sets[ruleOutOwners])+len(o.sets[ruleOutMentions]) > 0 {
		x.applier.wake()
	}
	return o.filter(c.names.permission(k.purpose, k.rule)), seeing(m.in(c.id)), nil
}

// filter is what the store is asked for; nil is everything.
func (o *overlay) filter(permission string) *pb.Filters {
	takes := len(o.sets[takeOwners]) + len(o.sets[takeMentions])
	bars := len(o.sets[ruleOutOwners]) + len(o.sets[ruleOutMentions])
	mostlyOpen := 2*len(o.barred) <= len(o.believed.people)
	if takes > maxListed || takes > fewListed && mostlyOpen {
		return nil
	}
	list := func(set int, property string) *pb.Filters {
		return oneOf(property, slices.Sorted(maps.Values(o.sets[set]))...)
	}
	take := anyOf(oneOf(propOK, permission, markNew, markAny), list(takeOwners, propOwners), list(takeMentions, propMentions))
	if bars > maxListed || bars > fewListed && bars <= len(o.believed.people) {
		return take
	}
	return allOf(take, not(list(ruleOutOwners, propOwners)), not(list(ruleOutMentions, propMentions)))
}

// follow brings an overlay up to the ledger's verdicts and to what is believed:
// only people of whom one or the other changed are judged.
func (o *overlay) follow(c *collection, b *book, in *believed, k overlayKey) {
	rule, purpose := ruleName(k.rule), shortName([]byte(k.purpose))
	if o.from != b || o.generation != b.generation || o.believed != in {
		for i := range o.sets {
			o.sets[i] = map[consent.SubjectNum]string{}
		}
		o.barred = map[consent.SubjectNum]bool{}
		for who := range in.people {
			o.judge(c, who, b.of(who), in, k.rule, rule, purpose)
		}
	} else {
		for _, who := range b.log[o.seen:] {
			o.judge(c, who, b.of(who), in, k.rule, rule, purpose)
		}
		for _, who := range in.log[o.thought:] {
			o.judge(c, who, b.of(who), in, k.rule, rule, purpose)
		}
	}
	o.from, o.generation, o.seen, o.believed, o.thought = b, b.generation, len(b.log), in, len(in.log)
}

// judge puts one person where they belong. People of whom nothing is believed
// have only new objects, which every search takes along.
func (o *overlay) judge(c *collection, who consent.SubjectNum, now consent.Verdict, in *believed, r consent.Rule, rule, purpose string) {
	for i := range o.sets {
		delete(o.sets[i], who)
	}
	delete(o.barred, who)
	belief, known := in.people[who]
	if !known {
		return
	}
	if ownerWeight(now, r) == rulesOut {
		o.barred[who] = true
	}
	was, settled := belief.verdict(rule, purpose)
	put := func(weight func(consent.Verdict, consent.Rule) int, take, ruleOut int) {
		switch w := weight(now, r); {
		case settled && w == weight(was, r):
		case w == rulesOut:
			o.sets[ruleOut][who] = c.names.person(who)
		default:
			o.sets[take][who] = c.names.person(who)
		}
	}
	put(ownerWeight, takeOwners, ruleOutOwners)
	put(mentionWeight, takeMentions, ruleOutMentions)
}

// What a person's verdict does to a document, as consent.Rule.Permits says.
const (
	rulesOut = iota // whatever the others say
	silent          // it depends on others
	permits
)

func ownerWeight(v consent.Verdict, r consent.Rule) int {
	switch {
	case v&consent.Erased != 0:
		return rulesOut
	case v&consent.Allow != 0:
		return permits
	case r.Joint == consent.AnyOwner:
		return silent
	}
	return rulesOut
}

func mentionWeight(v consent.Verdict, r consent.Rule) int {
	if v&consent.Block != 0 || r.Mentions == consent.MustPermit && v&consent.Allow == 0 {
		return rulesOut
	}
	return permits
}
