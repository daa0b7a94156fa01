package retrieval

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/assent-gateway/assent/consent"
)

// ErrIndex: the index outside failed, or answered what makes no sense.
var ErrIndex = errors.New("retrieval: the index cannot be reached or gave no usable answer")

// lease is how long a version may be on its way into an index outside. Within
// it nobody takes away what the index holds of the version; after it the
// version can no longer become live, and whatever arrives is swept.
const lease = time.Minute

// Outside is what a catalogue keeps for an index outside the gateway's memory,
// shared by all gateways of a deployment. Implementations: internal/sqlite,
// internal/postgres; the suite is internal/storetest. Times are the database's.
//
// A version's number is reserved before any of it goes out. Commit with
// Intake.Outside ends the reservation and makes it live, or, when the lease
// has ended, is ErrConflict. What is retired by such a commit, and a
// reservation whose lease ended, is a debt until Settle says that the index
// was asked and has nothing of it.
type Outside interface {
	// Reserve notes versions on their way out. A number that is known already
	// is ErrConflict.
	Reserve(ctx context.Context, t consent.TenantID, c CollectionID, nums []DocNum, lease time.Duration) error

	// Debts returns at most limit debts, any order. A reservation that it
	// returns can no longer be committed.
	Debts(ctx context.Context, t consent.TenantID, limit int) ([]Debt, error)

	// Settle forgets debts; those it does not know are fine.
	Settle(ctx context.Context, t consent.TenantID, nums []DocNum) error

	// Held returns those of the numbers that are live, or reserved within their
	// lease: what an index outside may hold. Any order.
	Held(ctx context.Context, t consent.TenantID, nums []DocNum) ([]DocNum, error)

	// DocsOf returns at most limit live versions of a collection that any of
	// the people owns or is mentioned in, with numbers above after, ascending.
	DocsOf(ctx context.Context, t consent.TenantID, c CollectionID, people []consent.SubjectNum, after DocNum, limit int) ([]DocRow, error)

	// Beliefs returns what changed after a sequence number, ascending.
	Beliefs(ctx context.Context, t consent.TenantID, after uint64) ([]Belief, error)

	// Believe stores beliefs, each under the next sequence number of t, in one
	// transaction, durable when it returns. ErrConflict when holder does not
	// hold the lease that Elect gives.
	Believe(ctx context.Context, t consent.TenantID, holder string, b []Belief) error

	// Elect gives the tenant's lease to holder, or renews it, unless another
	// holds it; false then.
	Elect(ctx context.Context, t consent.TenantID, holder string, lease time.Duration) (bool, error)
}

// A Debt is a version that an index outside may still hold though no catalogue
// row says that it lives.
type Debt struct {
	Num        DocNum
	Collection CollectionID
}

// A Belief is which verdicts of a person the properties in an index outside
// reflect, in all objects of the collection that are not new there. Verdicts is
// the adapter's own form; empty while a change is under way.
type Belief struct {
	Collection CollectionID
	Subject    consent.SubjectNum
	Seq        uint64 // set by the store
	Verdicts   []byte
}

// A Refiller is an index outside that can have back what it has lost: it was
// emptied, or put back from before some of it came.
type Refiller interface {
	// Refill makes the index hold every live passage of a collection, which are
	// so many, and reports how many it lacked.
	Refill(ctx context.Context, c CollectionID, passages int) (int, error)
}

// refill looks, before a tenant is served, that the index outside has not lost
// what its collections held so far: its answers would lack it, and claim not to.
func (l *loader) refill(ctx context.Context) error {
	index, can := l.Index.(Refiller)
	if l.Outside == nil || !can {
		return nil
	}
	for c, passages := range l.held {
		if col, _ := l.shelf.get(c); col == nil || !col.pinned() {
			continue
		}
		n, err := index.Refill(ctx, c, passages)
		if err != nil {
			return err
		}
		if n > 0 {
			l.Log.Warn("the index outside had lost passages: they were put back", "count", n)
		}
	}
	return nil
}

// place puts new versions into an index outside, where nobody finds them until
// their rows are live: reserved first, so that what a crash leaves is swept.
// It returns those that the ledger still permits after their reservation: so
// whatever of a person goes out after their suppression was reserved before it,
// and has arrived, or never will, when OutsideBy says.
func (in *intake) place(ctx context.Context, jobs []*job) ([]*job, error) {
	in.placed = nil
	if in.Outside == nil || len(jobs) == 0 {
		return jobs, nil
	}
	nums := make([]DocNum, len(jobs))
	for i, j := range jobs {
		nums[i] = j.row.Num
	}
	err := in.Outside.Reserve(ctx, in.caller.Tenant, in.col.ID, nums, lease)
	all := jobs
	if err == nil {
		in.Step("outside.reserved") // a crash from here on leaves objects without a row: swept when the lease has ended
		// An insert that outlives its lease would be swept or refused anyway.
		sent, cancel := context.WithTimeout(ctx, lease/2)
		defer cancel()
		if jobs, err = in.stillPermitted(sent, jobs); err == nil {
			err = in.whereto(ctx)
		}
		if err == nil {
			var ch Change
			for _, j := range jobs {
				ch.Add = append(ch.Add, j.index...)
			}
			err = in.Index.Apply(sent, in.col.ID, ch)
		}
	}
	if err != nil {
		in.discard(all)
		return nil, err
	}
	in.Step("outside.placed")
	return jobs, nil
}

// stillPermitted refuses what the ledger refuses by now.
func (in *intake) stillPermitted(ctx context.Context, jobs []*job) (kept []*job, err error) {
	_, head, err := in.current(ctx, in.caller.Tenant)
	if err != nil {
		return nil, err
	}
	decisions, err := in.judge(ctx, head, jobs)
	if err != nil {
		return nil, err
	}
	var refused []*job
	for i, j := range jobs {
		if decisions[i].Allowed {
			kept = append(kept, j)
			continue
		}
		in.refuse(j, decisions[i])
		refused = append(refused, j)
	}
	in.discard(refused)
	return kept, nil
}

// OutsideBy is when whatever was on its way into an index outside at a time, by
// the database's clock, has arrived or been given up: a sweep that begins later
// takes away what is left of it.
func OutsideBy(t consent.Time) consent.Time { return t + consent.Time(lease) }

// withdraw takes retired versions out of an index outside, where the second
// gate no longer lets them through. What fails stays a debt. The head is read
// after the commit that retired them, so that they are taken out of every
// generation that began before it; what begins later never has them.
func (s *Service) withdraw(ctx context.Context, t consent.TenantID, c CollectionID, nums []DocNum) error {
	if len(nums) == 0 {
		return nil
	}
	if err := s.Refresh(ctx, t); err != nil {
		return err
	}
	if err := s.Index.Apply(ctx, c, Change{Remove: nums}); err != nil {
		return err
	}
	s.Step("outside.withdrawn") // a crash here: the debt is paid again
	return s.Outside.Settle(ctx, t, nums)
}

// debtBatch is how many debts are paid at once.
const debtBatch = 500

// Sweep pays a tenant's debts: it takes out of an index outside what is retired
// or was never committed, and reports how many versions that were.
func (s *Service) Sweep(ctx context.Context, t consent.TenantID) (int, error) {
	if s.Outside == nil {
		return 0, nil
	}
	paid := 0
	for {
		debts, err := s.Outside.Debts(ctx, t, debtBatch)
		if err != nil || len(debts) == 0 {
			return paid, err
		}
		// Brought up after the debts were read: a collection that is not on the
		// shelf then was dropped, with all that the index had of it. One that
		// another gateway made since must not be taken for that.
		if err := s.Refresh(ctx, t); err != nil {
			return paid, err
		}
		of := map[CollectionID][]DocNum{}
		for _, d := range debts {
			of[d.Collection] = append(of[d.Collection], d.Num)
		}
		for c, nums := range of {
			if err := s.withdraw(ctx, t, c, nums); err != nil {
				return paid, err
			}
			paid += len(nums)
		}
		if len(debts) < debtBatch {
			return paid, nil
		}
	}
}

// Known returns, in order, what the catalogue and the records' own keys say of
// passages, whatever an index says: document id, visibility, metadata, people,
// retention and unit vector. Of one that is not live in the collection, or does
// not open, it is the zero IndexPassage, whose Vector is nil.
func (s *Service) Known(ctx context.Context, c CollectionID, refs []PassageRef) ([]IndexPassage, error) {
	out := make([]IndexPassage, len(refs))
	t, ok := s.home(c)
	if !ok || len(refs) == 0 {
		return out, nil
	}
	sh, err := s.shelf(ctx, t)
	if err != nil {
		return nil, err
	}
	col, _ := sh.get(c)
	docs, parts, err := s.openRecords(ctx, t, refs)
	if err != nil {
		return nil, err
	}
	for i, ref := range refs {
		o, part := docs[ref.Doc], parts[ref]
		if o == nil || part.Sealed == nil || o.row.Collection != c {
			continue
		}
		b, err := s.openBody(t, o, part)
		if err != nil {
			continue
		}
		if b.Vector == nil {
			continue // it is in no index
		}
		memoOf(ctx).keep(o, ref, &b)
		out[i] = IndexPassage{
			Head:   Head{Ref: ref, DocID: o.meta.ID, Personal: !o.meta.Nobody, Visibility: o.meta.Visibility, Values: o.meta.Metadata},
			Owners: o.row.Owners, Mentions: o.row.Mentions, RetainUntil: o.row.RetainUntil, Vector: b.Vector,
		}
		if col != nil && col.Spec.Keyword {
			out[i].Text = embedText(o.meta.Title, b.Text)
		}
	}
	return out, nil
}

// Admits reports whether a query may find a passage as far as visibility,
// retention and filter say; consent is not among them.
func (q *Query) Admits(p *IndexPassage, now consent.Time) bool {
	meta := DocMeta{Visibility: p.Head.Visibility}
	return visible(&meta, q.Principal, p.Owners, q.PrincipalNum) &&
		(p.RetainUntil == 0 || p.RetainUntil > now) && q.Filter.Match(p.Head.Values)
}

// People are whom the passage's document is about.
func (p *IndexPassage) People() consent.People {
	return consent.People{Owners: p.Owners, Mentions: p.Mentions, Nobody: !p.Head.Personal}
}

// numsOf are the numbers of versions.
func numsOf(rows []DocRow) []DocNum {
	nums := make([]DocNum, len(rows))
	for i, r := range rows {
		nums[i] = r.Num
	}
	return slices.Clip(nums)
}

// EachKnown calls f with everything that Known would say of a collection, some
// passages at a time, in any order: an exact scan of what the gateway itself has.
// Of one that went since the scan began, or does not open, there is Head.Ref alone.
func (s *Service) EachKnown(ctx context.Context, c CollectionID, f func([]IndexPassage) error) error {
	t, ok := s.home(c)
	if !ok {
		return nil
	}
	const atOnce = 256
	var refs []PassageRef
	flush := func() error {
		known, err := s.Known(ctx, c, refs)
		if err != nil {
			return err
		}
		for i := range known {
			known[i].Head.Ref = refs[i]
		}
		refs = refs[:0]
		return f(known)
	}
	err := s.Catalogue.Live(ctx, t, func(row DocRow, _ []PartRow) error {
		if row.Collection != c {
			return nil
		}
		for n := range row.Passages {
			refs = append(refs, PassageRef{row.Num, n})
		}
		if len(refs) < atOnce {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}
