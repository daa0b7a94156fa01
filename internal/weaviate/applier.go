package weaviate

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"time"

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
	newAtOnce    = 128 // new passages that are judged at once
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
