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

	sets [4]map[consent.SubjectNum]string // tokens
}

const (
	takeOwners = iota
	takeMentions
	ruleOutOwners
	ruleOutMentions
)

// maxListed bounds the people of a list that is sent. Beyond it a list is left
// out: then more is found than may be, and dropped here.
const maxListed = 20_000

// permitted is the filter of what a permit allows now, as far as the store can
// tell; nil when it cannot.
func (x *Index) permitted(ctx context.Context, c *collection, p consent.Permit, r consent.Rule) (*pb.Filters, error) {
	m, err := x.mind(ctx, p.Tenant())
	if err != nil {
		return nil, err
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
	return o.filter(c.names.permission(k.purpose, k.rule)), nil
}

func (o *overlay) filter(permission string) *pb.Filters {
	take := func(set int, property string) *pb.Filters { return oneOf(property, sortedTokens(o.sets[set])...) }
	var fs []*pb.Filters
	if len(o.sets[takeOwners]) <= maxListed && len(o.sets[takeMentions]) <= maxListed {
		fs = append(fs, anyOf(oneOf(propOK, permission, markNew, markAny), take(takeOwners, propOwners), take(takeMentions, propMentions)))
	}
	if len(o.sets[ruleOutOwners]) <= maxListed {
		fs = append(fs, not(take(ruleOutOwners, propOwners)))
	}
	if len(o.sets[ruleOutMentions]) <= maxListed {
		fs = append(fs, not(take(ruleOutMentions, propMentions)))
	}
	return allOf(fs...)
}

func sortedTokens(set map[consent.SubjectNum]string) []string {
	return slices.Sorted(maps.Values(set))
}

// follow brings an overlay up to the ledger's verdicts and to what is believed:
// only people of whom one or the other changed are judged.
func (o *overlay) follow(c *collection, b *book, in *believed, k overlayKey) {
	rule, purpose := ruleName(k.rule), shortName([]byte(k.purpose))
	if o.from != b || o.generation != b.generation || o.believed != in {
		for i := range o.sets {
			o.sets[i] = map[consent.SubjectNum]string{}
		}
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
	belief, known := in.people[who]
	if !known {
		return
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
