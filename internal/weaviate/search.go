package weaviate

import (
	"cmp"
	"context"
	"slices"
	"strings"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// Reasons why a hit of the store does not count.
const (
	Foreign = iota // an id that is not the collection's
	Gone           // no live row, or it does not open
	Refused        // the permit does not allow it
	Hidden         // visibility, retention or filter
	reasons
)

var reasonNames = [reasons]string{"foreign", "gone", "consent", "hidden"}

// Dropped is how many hits of the store did not count so far, by reason. Gone
// and Refused are also what is in flight: being replaced, or not yet applied.
func (x *Index) Dropped() [reasons]int64 {
	var out [reasons]int64
	for i := range out {
		out[i] = x.dropped[i].Load()
	}
	return out
}

// Search implements retrieval.Index.
func (x *Index) Search(ctx context.Context, p consent.Permit, q retrieval.Query) ([]retrieval.Found, error) {
	if !p.Valid() {
		return nil, errPermit
	}
	c := x.collection(q.Collection)
	if c == nil || c.shape.Tenant != p.Tenant() {
		return nil, nil
	}
	if q.K < 1 || q.K > most || q.Mode != retrieval.ModeKeyword && len(q.Vector) != c.shape.Dimensions {
		return nil, errQuery
	}
	f := &finder{x: x, c: c, p: p, q: &q, seen: map[retrieval.PassageRef]*candidate{}}
	if err := f.compile(ctx); err != nil {
		return nil, err
	}
	defer f.report()
	best, err := f.rank(ctx)
	if err != nil {
		return nil, err
	}
	found := make([]retrieval.Found, len(best))
	for i, b := range best {
		found[i] = retrieval.Found{Ref: b.ref, Score: b.score}
	}
	return found, nil
}

// A candidate is a passage that the store returned and that may be found, or
// one that may not: then ok is false.
type candidate struct {
	ref   retrieval.PassageRef
	doc   string
	score float64
	ok    bool
	gone  bool // it had no live row, or did not open
}

// A finder is one search.
type finder struct {
	x *Index
	c *collection
	p consent.Permit
	q *retrieval.Query

	filter *pb.Filters // of the next question to the store
	base   *pb.Filters // what filter says besides consent
	marked bool        // filter goes by the permission property
	sight  sight
	seen   map[retrieval.PassageRef]*candidate
	fell   [reasons]int64
	// missing is set when a hit had no live row that was not known to be gone
	// before the store was asked: what replaced it may have come too late.
	missing bool
}

// compile makes the filter: the first gate, in the store's own query.
func (f *finder) compile(ctx context.Context) error {
	permitted, sight, err := f.x.permitted(ctx, f.c, f.p, f.q.Rule)
	if err != nil {
		return err
	}
	if permitted == nil {
		permitted = f.c.unlisted()
	}
	var metadata *pb.Filters
	if cond, ok := f.q.Filter.Condition(); ok {
		if metadata, err = f.c.condition(cond); err != nil {
			return err
		}
	}
	now := int64(f.p.Now()) / 1e6
	f.base = allOf(oneOf(propSeen, f.c.names.eyes(f.q)...), after(propUntil, now), metadata)
	f.filter, f.marked, f.sight = allOf(permitted, f.base), permitted != nil, sight
	return nil
}

func (f *finder) rank(ctx context.Context) ([]*candidate, error) {
	switch f.q.Mode {
	case retrieval.ModeVector:
		return f.near(ctx, f.q.K)
	case retrieval.ModeKeyword, retrieval.ModeHybrid:
		if !f.c.shape.Keyword {
			return nil, retrieval.ErrModeUnavailable
		}
	default:
		return nil, errQuery
	}
	if f.q.Mode == retrieval.ModeKeyword {
		return f.words(ctx, f.q.K)
	}
	return f.hybrid(ctx)
}

// maxRounds bounds how often the store is asked again because rows had changed.
const maxRounds = 4

// near returns the k nearest of what may be found.
func (f *finder) near(ctx context.Context, k int) ([]*candidate, error) {
	if f.q.Exact {
		return f.scan(ctx, k)
	}
	return f.twice(ctx, k, f.nearest)
}

// twice asks, and asks again for passages whose property changed meanwhile, by
// their people: the store may have listed them nowhere (sight.go).
func (f *finder) twice(ctx context.Context, k int, ask func(context.Context, int) ([]*candidate, error)) ([]*candidate, error) {
	best, err := ask(ctx, k)
	if err != nil || !f.marked {
		return best, err
	}
	moved, err := f.moved(ctx)
	if err != nil || moved.nobody() {
		return best, err
	}
	defer func(filter *pb.Filters) { f.filter = filter }(f.filter)
	f.filter = allOf(moved.filter(f.c), f.base)
	more, err := ask(ctx, k)
	return first(k, best, more), err
}

// nearest returns the k nearest of what may be found and the filter lets through.
func (f *finder) nearest(ctx context.Context, k int) ([]*candidate, error) {
	limit, rounds := min(k+max(4, k/8), most), 0
	for {
		hits, err := f.ask(ctx, ask{vector: f.q.Vector, limit: limit})
		if err != nil {
			return nil, err
		}
		best, err := f.judge(ctx, hits)
		if err != nil {
			return nil, err
		}
		if f.overtaken(ctx, &rounds) {
			continue
		}
		sortByScore(best)
		switch {
		case len(hits) < limit && len(best) >= k: // all that the store has for it
			return best[:k], nil
		case len(hits) < limit:
			if best, err = f.exhaust(ctx, best, k); err == nil && f.overtaken(ctx, &rounds) {
				continue
			}
			return best, err
		case len(best) >= k && best[k-1].score > hits[len(hits)-1].score+rounding:
			return best[:k], nil
		case limit == most:
			return f.scan(ctx, k)
		}
		limit = min(limit*4, most)
	}
}

// overtaken reports whether the store must be asked again, because a row that
// one of its hits needs had gone: what replaced it may have come after the store
// answered. When that happens too often, the answer says that it may lack something.
func (f *finder) overtaken(ctx context.Context, rounds *int) bool {
	if !f.missing {
		return false
	}
	if *rounds == maxRounds {
		retrieval.Overtaken(ctx)
		return false
	}
	*rounds++
	return true
}

// rounding is more than the store's float32 arithmetic errs by: what it did not
// return may be as near as its last hit, and this nearer.
const rounding = 1e-5

// exhaust is for a search that ended early: is there really no more? The store
// lists all that match; what is ranked is that list.
func (f *finder) exhaust(ctx context.Context, best []*candidate, k int) ([]*candidate, error) {
	hits, err := f.ask(ctx, ask{limit: most})
	if err != nil {
		return nil, err
	}
	if len(hits) == most {
		return f.scan(ctx, k)
	}
	all, err := f.judge(ctx, hits)
	if err != nil {
		return nil, err
	}
	at := map[retrieval.PassageRef]bool{}
	for _, b := range all {
		at[b.ref] = true
	}
	for _, b := range best {
		if !at[b.ref] {
			all = append(all, b)
		}
	}
	sortByScore(all)
	return all[:min(k, len(all))], nil
}

// scan ranks everything that the gateway itself has: when the store's lists are
// too short to tell. It reads every body of the collection, and begins anew when
// one goes meanwhile.
func (f *finder) scan(ctx context.Context, k int) ([]*candidate, error) {
	gone := map[retrieval.PassageRef]bool{}
	for rounds := 0; ; {
		f.missing = false
		var best []*candidate
		went := false
		err := f.x.source.EachKnown(ctx, f.c.id, func(ps []retrieval.IndexPassage) error {
			for i := range ps {
				if ps[i].Vector == nil && !gone[ps[i].Head.Ref] {
					gone[ps[i].Head.Ref], went = true, true
				}
			}
			best = append(best, f.weigh(ps, nil)...)
			if len(best) > 4*k+1000 {
				sortByScore(best)
				best = best[:k]
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if f.missing = went; f.overtaken(ctx, &rounds) {
			continue
		}
		sortByScore(best)
		return best[:min(k, len(best))], nil
	}
}

// words returns the k best by the store's keywords, in its order.
func (f *finder) words(ctx context.Context, k int) ([]*candidate, error) {
	if strings.TrimSpace(f.q.Text) == "" {
		return nil, nil
	}
	if f.c.rewrites {
		retrieval.Overtaken(ctx)
	}
	return f.twice(ctx, k, f.worded)
}

// worded returns the k best by the store's keywords that the filter lets through.
func (f *finder) worded(ctx context.Context, k int) ([]*candidate, error) {
	limit, rounds := min(k+max(8, k/8), most), 0
	for {
		hits, err := f.ask(ctx, ask{text: f.q.Text, limit: limit})
		if err != nil {
			return nil, err
		}
		best, err := f.judge(ctx, hits)
		if err != nil {
			return nil, err
		}
		if f.overtaken(ctx, &rounds) {
			continue
		}
		if len(best) >= k || len(hits) < limit || limit == most {
			score := map[retrieval.PassageRef]float64{}
			for _, h := range hits {
				if ref, ok := f.c.names.ref(h.id); ok {
					score[ref] = h.score
				}
			}
			out := make([]*candidate, len(best))
			for i, b := range best {
				out[i] = &candidate{ref: b.ref, doc: b.doc, score: score[b.ref]}
			}
			sortByScore(out)
			return out[:min(k, len(out))], nil
		}
		limit = min(limit*4, most)
	}
}

func (f *finder) hybrid(ctx context.Context) ([]*candidate, error) {
	deep := min(retrieval.FuseDepth(f.q.K), most)
	near, err := f.near(ctx, deep)
	if err != nil {
		return nil, err
	}
	words, err := f.words(ctx, deep)
	if err != nil {
		return nil, err
	}
	refs := func(cs []*candidate) (out []retrieval.PassageRef) {
		for _, c := range cs {
			out = append(out, c.ref)
		}
		return out
	}
	var out []*candidate
	for _, s := range retrieval.Fuse(refs(near), refs(words)) {
		out = append(out, &candidate{ref: s.Item, doc: f.seen[s.Item].doc, score: s.Score})
	}
	sortByScore(out)
	return out[:min(f.q.K, len(out))], nil
}

// first returns the k best of two answers to one question.
func first(k int, a, b []*candidate) []*candidate {
	out, met := slices.Clone(a), map[retrieval.PassageRef]bool{}
	for _, c := range a {
		met[c.ref] = true
	}
	for _, c := range b {
		if !met[c.ref] {
			out = append(out, c)
		}
	}
	sortByScore(out)
	return out[:min(k, len(out))]
}

// sortByScore sorts, best first, ties by document id, then passage.
func sortByScore(cs []*candidate) {
	slices.SortFunc(cs, func(a, b *candidate) int {
		return cmp.Or(cmp.Compare(b.score, a.score), strings.Compare(a.doc, b.doc), cmp.Compare(a.ref.N, b.ref.N), cmp.Compare(a.ref.Doc, b.ref.Doc))
	})
}

func (f *finder) ask(ctx context.Context, a ask) ([]hit, error) {
	a.class, a.filter = f.c.names.class, f.filter
	return f.x.server.search(ctx, a)
}

// judge returns the candidates among hits, each once, in the order of the hits.
func (f *finder) judge(ctx context.Context, hits []hit) ([]*candidate, error) {
	f.missing = false
	var refs, fresh []retrieval.PassageRef
	met := map[retrieval.PassageRef]bool{}
	for _, h := range hits {
		ref, ours := f.c.names.ref(h.id)
		switch {
		case !ours:
			f.fell[Foreign]++
		case f.c.isCanary(ref):
			retrieval.CanarySang(ctx)
		case !met[ref]:
			met[ref] = true
			refs = append(refs, ref)
			// One without a row is looked up at every asking: it may be on its
			// way in, and by the next asking alone what there is of its document.
			if f.seen[ref] == nil || f.seen[ref].gone {
				fresh = append(fresh, ref)
			}
		}
	}
	const atOnce = 500
	for part := range slices.Chunk(fresh, atOnce) {
		ps, err := f.x.source.Known(ctx, f.c.id, part)
		if err != nil {
			return nil, err
		}
		if len(ps) != len(part) {
			return nil, faultOf("the gateway's own passages cannot be had")
		}
		f.weigh(ps, part)
	}
	var out []*candidate
	for _, ref := range refs {
		if c := f.seen[ref]; c.ok {
			out = append(out, c)
		}
	}
	return out, nil
}

// weigh judges passages as the gateway knows them, and remembers them by the
// refs they were asked for by, when there are any.
func (f *finder) weigh(ps []retrieval.IndexPassage, refs []retrieval.PassageRef) []*candidate {
	claims, ok := make([]consent.Claim, len(ps)), make([]bool, len(ps))
	for i := range ps {
		if ps[i].Vector != nil {
			claims[i] = consent.Claim{Rule: f.q.Rule, People: ps[i].People()}
		}
	}
	f.p.Recheck(claims, ok)
	var out []*candidate
	for i := range ps {
		p := &ps[i]
		c := &candidate{doc: p.Head.DocID, ref: p.Head.Ref}
		met := false
		if refs != nil {
			c.ref = refs[i]
			met = f.seen[c.ref] != nil
			f.seen[c.ref] = c
		}
		why := reasons
		switch {
		case len(p.Vector) != f.c.shape.Dimensions:
			why, c.gone = Gone, true
			f.missing = f.missing || !met
		case !ok[i]:
			why = Refused
		case !f.q.Admits(p, f.p.Now()):
			why = Hidden
		default:
			c.ok = true
			c.score = retrieval.Cosine(f.q.Vector, p.Vector)
			f.seen[c.ref] = c
			out = append(out, c)
		}
		if why != reasons && refs != nil && !met {
			f.fell[why]++
		}
	}
	return out
}

// report counts what fell, and says so without names.
func (f *finder) report() {
	for i, n := range f.fell {
		if n > 0 {
			f.x.dropped[i].Add(n)
			f.x.count(reasonNames[i], n)
			if i == Foreign || i == Hidden {
				f.x.log.Warn("the index returned what it should not", "reason", reasonNames[i], "count", n)
			} else {
				f.x.log.Debug("hits of the index dropped", "reason", reasonNames[i], "count", n)
			}
		}
	}
}
