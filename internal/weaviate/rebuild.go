package weaviate

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// # Generations
//
// A collection's objects are in a class per generation (retrieval.Generations),
// whose name, ids and tokens are its own. Changes go to all of them; a search
// asks the one that serves when it began. What is believed of people holds for
// the objects of all: the applier judges what is new in each by itself, and
// changes a person's objects in each before it writes a new belief.
//
// A round of the applier that began before a generation did does not know of it.
// As long as it keeps its lease nobody else judges anything there, and all of it
// stays new; when it takes its lease anew, it looks (unmoved).
//
// Who leads the applier's election rebuilds: one gateway at a time.

var _ retrieval.Rebuilder = (*Index)(nil)

// newCollection knows the classes of a shape.
func newCollection(id retrieval.CollectionID, s retrieval.Shape) *collection {
	c := &collection{id: id, shape: s, overlays: map[overlayKey]*overlay{}}
	for i, number := range s.Generations.Written() {
		if n := newNames(s.Key, number); i == 0 {
			c.names = n
		} else {
			c.also = append(c.also, n)
		}
	}
	return c
}

// all are the generations that changes go to, that which serves first.
func (c *collection) all() []names { return append([]names{c.names}, c.also...) }

// everything are all that may be there.
func (c *collection) everything() []names {
	out := c.all()
	if d := c.shape.Generations.Dropping; d != nil {
		out = append(out, newNames(c.shape.Key, d.Number))
	}
	return out
}

// make notes that classes are being made, until what it returns is called.
func (x *Index) make(c *collection) (done func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, n := range c.all() {
		x.making[n.class]++
	}
	return func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		for _, n := range c.all() {
			if x.making[n.class]--; x.making[n.class] == 0 {
				delete(x.making, n.class)
			}
		}
	}
}

// insert puts passages into every generation. One that does not serve may have
// been dropped since: whether that matters is decided when they are committed.
func (x *Index) insert(ctx context.Context, c *collection, ps []retrieval.IndexPassage) error {
	for i, in := range c.all() {
		err := x.server.insert(ctx, c, in, ps)
		if err == nil {
			continue
		}
		if i == 0 {
			return err
		}
		if there, look := x.server.class(ctx, in.class); look != nil || there != nil {
			return err
		}
	}
	return nil
}

// errMoved: the collection has other generations than when the round began.
var errMoved = errors.New("weaviate: the collection has other generations by now")

// knowsAll reports whether a collection has the generations that this gateway
// knows of.
func (x *Index) knowsAll(c *collection) bool {
	now := x.collection(c.id)
	return now != nil && now.shape.Generations.Change == c.shape.Generations.Change
}

// unmoved is errMoved when the collection that a round works on has others.
func (r *applyRound) unmoved(ctx context.Context) error {
	if r.c == nil {
		return nil
	}
	if err := r.x.source.Refresh(ctx, r.t); err != nil {
		return err
	}
	if !r.x.knowsAll(r.c) {
		return errMoved
	}
	return nil
}

// Lead implements retrieval.Rebuilder.
func (x *Index) Lead(ctx context.Context, t consent.TenantID) (bool, error) {
	return x.outside.Elect(ctx, t, x.applier.holder, applyLease)
}

// How a filling goes on: what is put in at once, and how long that may take
// since it was read; how many times it is compared with what is live; how many
// objects that the applier has not judged do not matter to searches, and for how
// long it may come no nearer to that.
const (
	fillAtOnce     = insertAtOnce
	fillPatience   = 30 * time.Second
	fillRounds     = 10
	fewNew         = 100
	judgePatience  = time.Minute
	judgeInterval  = 200 * time.Millisecond
	quietForJudges = 2 * applyLease
)

// Fill implements retrieval.Rebuilder: compared with what is there already, so
// that it goes on where a crash ended it.
func (x *Index) Fill(ctx context.Context, id retrieval.CollectionID) error {
	c := x.collection(id)
	if c == nil || c.shape.Generations.Filling == nil {
		return faultOf("fill a generation that is not there")
	}
	in := newNames(c.shape.Key, c.shape.Generations.Filling.Number)
	for round := 0; ; round++ {
		lacked, err := x.fill(ctx, c, in)
		if err != nil {
			return err
		}
		if lacked == 0 {
			return x.judged(ctx, c, in)
		}
		if round == fillRounds {
			return faultOf("a generation lacks again and again what was put in")
		}
	}
}

// fill takes out what is of no live version and puts in what is lacking.
func (x *Index) fill(ctx context.Context, c *collection, in names) (lacked int, err error) {
	there := map[retrieval.PassageRef]struct{}{}
	if _, err := x.reconcile(ctx, c, in, func(ref retrieval.PassageRef) { there[ref] = struct{}{} }); err != nil {
		return 0, err
	}
	err = x.source.EachLive(ctx, c.id, func(ps []retrieval.IndexPassage) error {
		ps = slices.DeleteFunc(ps, func(p retrieval.IndexPassage) bool {
			_, has := there[p.Head.Ref]
			return has || p.Vector == nil
		})
		lacked += len(ps)
		for part := range slices.Chunk(ps, fillAtOnce) {
			if err := x.put(ctx, c, in, part); err != nil {
				return err
			}
		}
		return nil
	})
	return lacked, err
}

// put puts passages in that were live when they were read, and takes out again
// those that ended meanwhile: who ended them may have been faster.
func (x *Index) put(ctx context.Context, c *collection, in names, ps []retrieval.IndexPassage) error {
	if lead, err := x.Lead(ctx, c.shape.Tenant); err != nil || !lead {
		return errors.Join(err, errLease)
	}
	sent, cancel := context.WithTimeout(ctx, fillPatience)
	defer cancel()
	if err := x.server.insert(sent, c, in, ps); err != nil {
		return err
	}
	hits := make([]hit, len(ps))
	for i := range ps {
		hits[i].id = in.object(ps[i].Head.Ref)
	}
	gone, err := x.strangers(ctx, c, in, hits)
	if err != nil || len(gone) == 0 {
		return err
	}
	return x.server.remove(ctx, in.class, oneOf("_id", gone...))
}

// judged lets the applier judge a generation before searches go over to it: they
// would be right without, and slow. It gives up when that comes to a stop.
func (x *Index) judged(ctx context.Context, c *collection, in names) error {
	least, moved := most, time.Now()
	for {
		patience := judgePatience
		select {
		case x.applier.turn <- struct{}{}: // else a round is under way, and may be for long
			<-x.applier.turn
			if _, err := x.ApplyVerdicts(ctx, c.shape.Tenant); errors.Is(err, errQuiet) {
				patience = quietForJudges
			}
		default:
			x.applier.wake()
		}
		hits, err := x.server.search(ctx, ask{class: in.class, filter: equal(propOK, markNew), limit: most})
		if err != nil {
			return err
		}
		if len(hits) < least {
			least, moved = len(hits), time.Now()
		}
		if len(hits) <= fewNew || time.Since(moved) > patience {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(judgeInterval):
		}
	}
}

// DropGeneration implements retrieval.Rebuilder.
func (x *Index) DropGeneration(ctx context.Context, id retrieval.CollectionID, number uint64) error {
	c := x.collection(id)
	if c == nil {
		return nil
	}
	n := newNames(c.shape.Key, number)
	if slices.ContainsFunc(c.all(), func(in names) bool { return in.class == n.class }) {
		return faultOf("drop a generation that is in use")
	}
	return x.server.deleteClass(ctx, n.class)
}

// home is the description by which a class is known to be a tenant's own.
func (x *Index) home(t consent.TenantID, class string) (string, error) {
	key, err := x.source.IndexHome(t)
	if err != nil {
		return "", err
	}
	return token(key, "assent class of a tenant", []byte(class)), nil
}

// dropOrphans deletes the tenant's classes that no collection has: whoever makes
// one has written the row that names it before, and a deletion may have met with
// a gateway that made it again, or have been cut short.
func (x *Index) dropOrphans(ctx context.Context, t consent.TenantID) error {
	there, err := x.server.classes(ctx)
	if err != nil {
		return err
	}
	if err := x.source.Refresh(ctx, t); err != nil { // after they were listed
		return err
	}
	known := map[string]bool{}
	for _, c := range x.of(t) {
		for _, n := range c.everything() {
			known[n.class] = true
		}
	}
	x.mu.RLock()
	for class := range x.making {
		known[class] = true
	}
	x.mu.RUnlock()
	for _, class := range there {
		home, err := x.home(t, class.Class)
		if err != nil {
			return err
		}
		if class.Description != home || known[class.Class] {
			continue
		}
		if err := x.server.deleteClass(ctx, class.Class); err != nil {
			return err
		}
		x.log.Warn("a class that no collection has was deleted from the index", "count", 1)
	}
	return nil
}
