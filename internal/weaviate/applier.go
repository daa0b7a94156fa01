package weaviate

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// Paces of the applier. A property is written only while so much of the lease
// is left that the write ends within it: one that another holder's could follow
// would spoil what is believed.
const (
	applyEvery   = time.Second
	applyLease   = 30 * time.Second
	markPatience = 5 * time.Second
	peopleAtOnce = 64  // whose change is under way at once
	docsAtOnce   = 256 // read at once
	marksAtOnce  = 8   // written side by side
)

// applier is what the background work of an Index keeps.
type applier struct {
	holder string // of leases
	woken  chan struct{}
	turn   chan struct{} // one round at a time

	mu     sync.Mutex
	rested map[retrieval.CollectionID]rest
	quiet  map[consent.TenantID]time.Time // until when nothing is written
}

// rest is as of what a collection had nothing left to apply.
type rest string

func newApplier() applier {
	return applier{
		holder: rand.Text(), woken: make(chan struct{}, 1), turn: make(chan struct{}, 1),
		rested: map[retrieval.CollectionID]rest{}, quiet: map[consent.TenantID]time.Time{},
	}
}

// wake makes the next round begin soon.
func (a *applier) wake() {
	select {
	case a.woken <- struct{}{}:
	default:
	}
}

// Run applies until ctx ends. An error of a round is logged and tried again.
func (x *Index) Run(ctx context.Context) error {
	ticker := time.NewTicker(applyEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-x.applier.woken:
		}
		for _, t := range x.tenants() {
			if _, err := x.ApplyVerdicts(ctx, t); err != nil && !errors.Is(err, errQuiet) && !errors.Is(err, errMoved) && ctx.Err() == nil {
				x.log.Warn("permissions outside lag behind: searches are slower, not wrong")
			}
		}
		select { // what wakes all the time is not heard more often than this
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (x *Index) tenants() []consent.TenantID {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var out []consent.TenantID
	for _, c := range x.collections {
		out = append(out, c.shape.Tenant)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// ApplyVerdicts does one round for a tenant: it applies whatever the ledger
// judges otherwise than is believed, and judges what is new. It reports how
// many properties it wrote. Where another gateway holds the lease it does
// nothing.
func (x *Index) ApplyVerdicts(ctx context.Context, t consent.TenantID) (written int, err error) {
	select {
	case x.applier.turn <- struct{}{}:
		defer func() { <-x.applier.turn }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	x.applier.mu.Lock()
	quiet := time.Now().Before(x.applier.quiet[t])
	x.applier.mu.Unlock()
	if quiet {
		return 0, errQuiet
	}
	ctx, end := x.begin(ctx)
	defer func() { end(err) }()
	r := &applyRound{x: x, t: t}
	if elected, err := r.elect(ctx); err != nil || !elected {
		return 0, err
	}
	if err := x.source.Refresh(ctx, t); err != nil {
		return 0, err
	}
	purposes, _, err := x.ledger.Purposes(ctx, t)
	if err != nil {
		return 0, err
	}
	r.purposes = purposes
	for _, c := range x.of(t) {
		r.c = c
		for _, in := range c.all() {
			if err := r.settleNew(ctx, c, in); err != nil {
				return r.written, err
			}
		}
		if err := r.settleChanged(ctx, c); err != nil {
			return r.written, err
		}
	}
	return r.written, nil
}

type applyRound struct {
	x        *Index
	t        consent.TenantID
	purposes []string
	until    time.Time // writes begin before
	written  int
	c        *collection // that is worked on
}

func (r *applyRound) elect(ctx context.Context) (bool, error) {
	began := time.Now()
	elected, err := r.x.outside.Elect(ctx, r.t, r.x.applier.holder, applyLease)
	r.until = began.Add(applyLease - 3*markPatience)
	return elected, err
}

var (
	errLease = errors.New("weaviate: another gateway applies")
	errQuiet = errors.New("weaviate: a write without an answer is waited for")
)

// hush keeps every gateway from writing for as long as Weaviate may take to
// carry out a write that had no answer: one that came after a newer one would
// put an older property in its place, and nobody would know. What the round had
// opened stays open meanwhile, and searches do not rely on it.
func (r *applyRound) hush(ctx context.Context) {
	_, _ = r.elect(context.WithoutCancel(ctx)) // nobody else either; who is not elected does not write
	r.x.applier.mu.Lock()
	defer r.x.applier.mu.Unlock()
	r.x.applier.quiet[r.t] = time.Now().Add(applyLease)
}

// renew keeps the lease while it is long enough, and takes it anew when not.
func (r *applyRound) renew(ctx context.Context) error {
	if time.Now().Before(r.until) {
		return nil
	}
	elected, err := r.elect(ctx)
	if err == nil && !elected {
		err = errLease
	}
	if err != nil {
		return err
	}
	return r.unmoved(ctx)
}

// verdicts asks the ledger anew and returns everyone's verdict for each purpose.
func (r *applyRound) verdicts(ctx context.Context, c *collection) (map[string]*book, error) {
	out := map[string]*book{}
	for _, purpose := range r.purposes {
		p, err := r.x.ledger.Permit(ctx, r.t, purpose)
		if err != nil {
			return nil, err
		}
		b := r.x.book(p, c.shape.Rule.Default)
		b.mu.Unlock()
		out[purpose] = b
	}
	return out, nil
}

// profile is what is to be believed of a person by the books.
func (r *applyRound) profile(books map[string]*book, rule consent.Rule, who consent.SubjectNum) belief {
	out := ruleName(rule)
	for _, purpose := range r.purposes {
		b := books[purpose]
		b.mu.Lock()
		out += shortName([]byte(purpose)) + string([]byte{byte(b.of(who))})
		b.mu.Unlock()
	}
	return belief(out)
}

// settleNew judges objects that no round has seen: their people become known
// with their present verdicts, which no object but new ones reflects yet; then
// the objects get what follows.
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
		for part := range slices.Chunk(refs, docsAtOnce) {
			known, err := r.x.source.Known(ctx, c.id, part)
			if err != nil {
				return err
			}
			known = slices.DeleteFunc(known, func(p retrieval.IndexPassage) bool { return p.Vector == nil }) // not live, or not yet
			if err := r.meet(ctx, c, known); err != nil {
				return err
			}
			if err := r.apply(ctx, c, known, nil, in); err != nil {
				return err
			}
		}
		if len(hits) < most || r.written == before {
			return nil
		}
	}
}

// meet makes people known of whom nothing is believed.
func (r *applyRound) meet(ctx context.Context, c *collection, ps []retrieval.IndexPassage) error {
	m, err := r.x.mind(ctx, r.t)
	if err != nil {
		return err
	}
	in := m.in(c.id)
	fresh := map[consent.SubjectNum]bool{}
	for i := range ps {
		for _, who := range slices.Concat(ps[i].Owners, ps[i].Mentions) {
			if _, known := in.people[who]; !known {
				fresh[who] = true
			}
		}
	}
	m.mu.Unlock()
	if len(fresh) == 0 {
		return nil
	}
	books, err := r.verdicts(ctx, c)
	if err != nil {
		return err
	}
	var out []retrieval.Belief
	for who := range fresh {
		out = append(out, retrieval.Belief{Collection: c.id, Subject: who, Verdicts: []byte(r.profile(books, c.shape.Rule, who))})
	}
	return r.believe(ctx, out)
}

func (r *applyRound) believe(ctx context.Context, b []retrieval.Belief) error {
	if err := r.renew(ctx); err != nil {
		return err
	}
	return r.x.outside.Believe(ctx, r.t, r.x.applier.holder, b)
}

// settleChanged applies the verdicts of people of whom something else is
// believed, some at a time: their belief is opened, the ledger asked anew, their
// objects changed, the new belief written. A crash in between leaves open
// beliefs, which searches do not rely on and the next round settles.
func (r *applyRound) settleChanged(ctx context.Context, c *collection) error {
	for {
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
}

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
	opened := make([]retrieval.Belief, len(who))
	for i, num := range who {
		opened[i] = retrieval.Belief{Collection: c.id, Subject: num}
	}
	if err := r.believe(ctx, opened); err != nil {
		return err
	}
	// Only now: whoever changes later is met by searches that know of the opening.
	books, err := r.verdicts(ctx, c)
	if err != nil {
		return err
	}
	profiles := make(map[consent.SubjectNum]belief, len(who))
	for _, num := range who {
		profiles[num] = r.profile(books, c.shape.Rule, num)
	}
	for after := retrieval.DocNum(0); ; {
		rows, err := r.x.outside.DocsOf(ctx, r.t, c.id, who, after, docsAtOnce)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			break
		}
		after = rows[len(rows)-1].Num
		if err := r.apply(ctx, c, passagesOf(rows), profiles, c.all()...); err != nil {
			return err
		}
	}
	for i, num := range who {
		opened[i].Verdicts = []byte(profiles[num])
	}
	return r.believe(ctx, opened)
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

// apply writes the property of passages, as it follows from the profiles given
// and from what is believed of everyone else. One with a person of whom nothing
// is believed is new, and waits for settleNew; so does, with people outside
// profiles whose belief is open, one that their own settlement comes to.
func (r *applyRound) apply(ctx context.Context, c *collection, ps []retrieval.IndexPassage, profiles map[consent.SubjectNum]belief, into ...names) error {
	m, err := r.x.mind(ctx, r.t)
	if err != nil {
		return err
	}
	type write struct {
		class, object string
		marks         []string
	}
	var writes []write
	for i := range ps {
		for _, in := range into {
			if marks, ok := r.marks(c, in, m.in(c.id), &ps[i], profiles); ok {
				writes = append(writes, write{in.class, in.object(ps[i].Head.Ref), marks})
			}
		}
	}
	m.mu.Unlock()
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

// marks is the property of a passage: a mark for each purpose that its people
// permit by what is believed.
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
