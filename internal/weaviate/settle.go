package weaviate

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// settleNew judges objects of one generation that no round has seen: their
// people's beliefs are opened, as for every change, and the objects get what
// follows. It leaves those of people who are to be settled anyhow to settleChanged.
func (r *applyRound) settleNew(ctx context.Context, c *collection, in names) error {
	for {
		hits, err := r.x.server.search(ctx, ask{class: in.class, filter: equal(propOK, markNew), limit: most})
		if err != nil {
			return err
		}
		refs := make([]retrieval.PassageRef, 0, len(hits))
		for _, h := range hits {
			if ref, ok := in.ref(h.id); ok {
				refs = append(refs, ref)
			}
		}
		before := r.written
		for part := range slices.Chunk(refs, newAtOnce) {
			known, err := r.x.source.Known(ctx, c.id, part)
			if err != nil {
				return err
			}
			known = slices.DeleteFunc(known, func(p retrieval.IndexPassage) bool { return p.Vector == nil }) // not live, or not yet
			if err := r.meet(ctx, c, known, in); err != nil {
				return err
			}
		}
		if len(hits) < most || r.written == before {
			return nil
		}
	}
}

// meet settles new passages of one generation: those of people of whom nothing is
// believed yet, or what the ledger says. So whatever else they have, there and in
// the other generations, is new or reflects the same. What it leaves open, when a
// verdict changes meanwhile or it fails, settleChanged settles.
func (r *applyRound) meet(ctx context.Context, c *collection, ps []retrieval.IndexPassage, in names) error {
	before, err := r.believed(ctx, c, peopleOf(ps))
	if err != nil {
		return err
	}
	books, err := r.verdicts(ctx, c)
	if err != nil {
		return err
	}
	stands := func(who consent.SubjectNum) bool {
		b, known := before[who]
		return !known || b == r.profile(books, c.shape.Rule, who)
	}
	ps = ofAll(ps, stands)
	who := peopleOf(ps)
	if err := r.believe(ctx, opened(c, who)); err != nil {
		return err
	}
	if books, err = r.verdicts(ctx, c); err != nil { // only now, as in settle
		return err
	}
	who = slices.DeleteFunc(who, func(num consent.SubjectNum) bool { return !stands(num) })
	profiles := r.profiles(books, c.shape.Rule, who)
	met := func(num consent.SubjectNum) bool { _, ok := profiles[num]; return ok }
	if err := r.apply(ctx, c, ofAll(ps, met), profiles, nil, in); err != nil {
		return err
	}
	return r.believe(ctx, settled(c, who, profiles))
}

// believed is what is believed of some people.
func (r *applyRound) believed(ctx context.Context, c *collection, who []consent.SubjectNum) (map[consent.SubjectNum]belief, error) {
	m, err := r.x.mind(ctx, r.t)
	if err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	out := map[consent.SubjectNum]belief{}
	for _, num := range who {
		if b, known := m.in(c.id).people[num]; known {
			out[num] = b
		}
	}
	return out, nil
}

func (r *applyRound) profiles(books map[string]*book, rule consent.Rule, who []consent.SubjectNum) map[consent.SubjectNum]belief {
	out := make(map[consent.SubjectNum]belief, len(who))
	for _, num := range who {
		out[num] = r.profile(books, rule, num)
	}
	return out
}

// peopleOf are all people of passages, each once, in order.
func peopleOf(ps []retrieval.IndexPassage) (out []consent.SubjectNum) {
	for i := range ps {
		out = slices.Concat(out, ps[i].Owners, ps[i].Mentions)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// ofAll are the passages all of whose people are wanted.
func ofAll(ps []retrieval.IndexPassage, wanted func(consent.SubjectNum) bool) (out []retrieval.IndexPassage) {
	for i := range ps {
		people := slices.Concat(ps[i].Owners, ps[i].Mentions)
		if !slices.ContainsFunc(people, func(num consent.SubjectNum) bool { return !wanted(num) }) {
			out = append(out, ps[i])
		}
	}
	return out
}

func opened(c *collection, who []consent.SubjectNum) []retrieval.Belief {
	out := make([]retrieval.Belief, len(who))
	for i, num := range who {
		out[i] = retrieval.Belief{Collection: c.id, Subject: num}
	}
	return out
}

func settled(c *collection, who []consent.SubjectNum, profiles map[consent.SubjectNum]belief) []retrieval.Belief {
	out := opened(c, who)
	for i, num := range who {
		out[i].Verdicts = []byte(profiles[num])
	}
	return out
}

func (r *applyRound) believe(ctx context.Context, b []retrieval.Belief) error {
	if len(b) == 0 {
		return nil
	}
	if err := r.renew(ctx); err != nil {
		return err
	}
	return r.x.outside.Believe(ctx, r.t, r.x.applier.holder, b)
}

// settleChanged applies the verdicts of people of whom something else is
// believed, some at a time: their belief is opened, the ledger asked anew, their
// objects changed, the new belief written. A crash in between leaves open
// beliefs, which searches do not rely on and the next round settles. Where people
// change their minds faster than that, it ends all the same: other collections and
// tenants wait, and so does a generation that is filled.
func (r *applyRound) settleChanged(ctx context.Context, c *collection) error {
	for range sweepsARound {
		who, at, err := r.changed(ctx, c)
		if err != nil {
			return err
		}
		if len(who) == 0 {
			r.x.applier.mu.Lock()
			r.x.applier.rested[c.id] = at
			r.x.applier.mu.Unlock()
			return nil
		}
		for part := range slices.Chunk(who, peopleAtOnce) {
			if !r.x.knowsAll(c) {
				return errMoved
			}
			if err := r.settle(ctx, c, part); err != nil {
				return err
			}
		}
	}
	r.x.applier.wake()
	return nil
}

// sweepsARound is how often a round looks at a collection for who changed
// meanwhile.
const sweepsARound = 8

// changed are the people whose belief is open or not what the ledger says.
func (r *applyRound) changed(ctx context.Context, c *collection) ([]consent.SubjectNum, rest, error) {
	books, err := r.verdicts(ctx, c)
	if err != nil {
		return nil, "", err
	}
	m, err := r.x.mind(ctx, r.t)
	if err != nil {
		return nil, "", err
	}
	defer m.mu.Unlock()
	at := fmt.Sprint(m.seq, c.shape.Rule)
	for _, purpose := range r.purposes {
		b := books[purpose]
		b.mu.Lock()
		at += fmt.Sprint(" ", purpose, b.generation, "/", len(b.log))
		b.mu.Unlock()
	}
	r.x.applier.mu.Lock()
	same := r.x.applier.rested[c.id] == rest(at)
	r.x.applier.mu.Unlock()
	if same {
		return nil, rest(at), nil
	}
	var out []consent.SubjectNum
	for who, b := range m.in(c.id).people {
		if b != r.profile(books, c.shape.Rule, who) {
			out = append(out, who)
		}
	}
	slices.Sort(out)
	return out, rest(at), nil
}

func (r *applyRound) settle(ctx context.Context, c *collection, who []consent.SubjectNum) error {
	before, err := r.believed(ctx, c, who)
	if err != nil {
		return err
	}
	if err := r.believe(ctx, opened(c, who)); err != nil {
		return err
	}
	// Only now: whoever changes later is met by searches that know of the opening.
	books, err := r.verdicts(ctx, c)
	if err != nil {
		return err
	}
	profiles := r.profiles(books, c.shape.Rule, who)
	doubtful := func(num consent.SubjectNum) bool { b, known := before[num]; return known && b == "" }
	for after := retrieval.DocNum(0); ; {
		rows, err := r.x.outside.DocsOf(ctx, r.t, c.id, who, after, docsAtOnce)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			break
		}
		after = rows[len(rows)-1].Num
		if err := r.apply(ctx, c, passagesOf(rows), profiles, doubtful, c.all()...); err != nil {
			return err
		}
	}
	return r.believe(ctx, settled(c, who, profiles))
}

func passagesOf(rows []retrieval.DocRow) []retrieval.IndexPassage {
	var out []retrieval.IndexPassage
	for _, row := range rows {
		for n := range row.Passages {
			out = append(out, retrieval.IndexPassage{
				Head:   retrieval.Head{Ref: retrieval.PassageRef{Doc: row.Num, N: n}, Personal: row.Personal},
				Owners: row.Owners, Mentions: row.Mentions,
			})
		}
	}
	return out
}

// apply writes the property of passages into generations, as it follows from the profiles given
// and from what is believed of everyone else. One with a person of whom nothing
// is believed is new, and waits for settleNew; so does, with people outside
// profiles whose belief is open, one that their own settlement comes to.
//
// The objects of doubtful people are written twice, with another value first: an
// earlier write may have been cut short (a Weaviate that was killed), or have
// been carried out beside a later one. Then the object and the store's index of
// it say different things, and a write of what the object says changes nothing.
func (r *applyRound) apply(ctx context.Context, c *collection, ps []retrieval.IndexPassage, profiles map[consent.SubjectNum]belief, doubtful func(consent.SubjectNum) bool, into ...names) error {
	m, err := r.x.mind(ctx, r.t)
	if err != nil {
		return err
	}
	var writes, before []markWrite
	sure := func(who consent.SubjectNum) bool { return doubtful == nil || !doubtful(who) }
	for i := range ps {
		twice := len(ofAll(ps[i:i+1], sure)) == 0
		for _, in := range into {
			marks, ok := r.marks(c, in, m.in(c.id), &ps[i], profiles)
			if !ok {
				break // for the same people everywhere
			}
			object := in.object(ps[i].Head.Ref)
			writes = append(writes, markWrite{in.class, object, marks})
			if twice {
				before = append(before, markWrite{in.class, object, []string{markNew}})
			}
		}
	}
	m.mu.Unlock()
	if err := r.write(ctx, before); err != nil {
		return err
	}
	return r.write(ctx, writes)
}

// A markWrite is what an object's property is to be.
type markWrite struct {
	class, object string
	marks         []string
}

func (r *applyRound) write(ctx context.Context, writes []markWrite) error {
	for part := range slices.Chunk(writes, 16*marksAtOnce) {
		if err := r.renew(ctx); err != nil {
			return err
		}
		// Writes are not called off, neither by each other's failure nor by a stop:
		// Weaviate may carry them out all the same.
		var g errgroup.Group
		g.SetLimit(marksAtOnce)
		for _, w := range part {
			g.Go(func() error {
				if !time.Now().Before(r.until.Add(2 * markPatience)) {
					return errLease // the machine stood still
				}
				_, err := r.x.server.mark(context.WithoutCancel(ctx), w.class, w.object, w.marks, markPatience)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			r.hush(ctx)
			return err
		}
		r.written += len(part)
	}
	return nil
}

// marks is the property of a passage in a generation: a mark for each purpose
// that its people permit by what is believed.
func (r *applyRound) marks(c *collection, n names, in *believed, p *retrieval.IndexPassage, profiles map[consent.SubjectNum]belief) ([]string, bool) {
	if !p.Head.Personal {
		return []string{markAny}, true
	}
	rule := ruleName(c.shape.Rule)
	of := func(who consent.SubjectNum) (belief, bool) {
		if b, ok := profiles[who]; ok {
			return b, true
		}
		b, known := in.people[who]
		return b, known && (b != "" || profiles != nil)
	}
	for _, who := range slices.Concat(p.Owners, p.Mentions) {
		if _, known := of(who); !known {
			return nil, false
		}
	}
	marks := []string{}
	for _, purpose := range r.purposes {
		verdicts := func(nums []consent.SubjectNum) (out []consent.Verdict) {
			for _, num := range nums {
				b, _ := of(num)
				v, _ := b.verdict(rule, shortName([]byte(purpose)))
				out = append(out, v)
			}
			return out
		}
		if c.shape.Rule.Permits(verdicts(p.Owners), verdicts(p.Mentions)) {
			marks = append(marks, n.permission(purpose, c.shape.Rule))
		}
	}
	return marks, true
}
