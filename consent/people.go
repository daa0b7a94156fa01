package consent

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/assent-gateway/assent/internal/seal"
)

// A Roster is the people of an ingest: their numbers, and rows for those whom
// nobody named before, which the ingest commits with its documents.
type Roster struct {
	nums map[Subject]SubjectNum
	rows map[SubjectNum]*newcomer
}

// Num returns a person's number; 0 for one the roster does not hold.
func (r *Roster) Num(s Subject) SubjectNum { return r.nums[s] }

// Rows returns the rows of those among nums that must be made, and marks them
// as used.
func (r *Roster) Rows(nums []SubjectNum) []SubjectRow {
	var out []SubjectRow
	for _, num := range nums {
		if n := r.rows[num]; n != nil && !n.used {
			n.used = true
			out = append(out, n.row)
		}
	}
	return out
}

// Overtaken reports whether somebody of a roster who was to be made is somebody else
// by now, by what the gateway has applied: suppressed, when nobody knew them yet, or
// known by an identifier that was given to them meanwhile. No row stands in the way
// of theirs, so that an ingest asks under its locks, after Judge, and begins anew.
func (l *Ledger) Overtaken(id TenantID, r *Roster) bool {
	l.mu.RLock()
	t := l.tenants[id]
	l.mu.RUnlock()
	if t == nil {
		return false
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	for num, n := range r.rows {
		if now := t.resolve(n.who); now != 0 && now != num {
			return true
		}
	}
	return false
}

// Reset forgets which rows were used: a transaction is tried again.
func (r *Roster) Reset() {
	for _, n := range r.rows {
		n.used = false
	}
}

// Roster finds people, and makes durable keys for those who are new. Every
// Roster is ended by Settle.
func (l *Ledger) Roster(ctx context.Context, id TenantID, who []Subject) (*Roster, error) {
	t, err := l.tenant(ctx, id)
	if err != nil {
		return nil, err
	}
	fresh := map[Subject]*newcomer{}
	r := &Roster{nums: make(map[Subject]SubjectNum, len(who)), rows: map[SubjectNum]*newcomer{}}
	for _, s := range who {
		num, err := l.known(ctx, t, s)
		if err != nil {
			return nil, asUnavailable(err)
		}
		if num == 0 {
			fresh[s] = nil
			continue
		}
		r.nums[s] = num
	}
	if err := l.makeKeys(ctx, t, fresh); err != nil {
		return nil, err
	}
	for s, n := range fresh {
		r.nums[s], r.rows[n.row.Num] = n.row.Num, n
	}
	return r, nil
}

// Settle ends a roster: of its new people those that a transaction made
// become known, the keys of the others are destroyed. An outcome that is not
// known counts as committed: the next start wipes what no row names.
func (l *Ledger) Settle(id TenantID, r *Roster, outcome Outcome) {
	l.mu.RLock()
	t := l.tenants[id]
	l.mu.RUnlock()
	if t == nil {
		return
	}
	var unused []seal.Ref
	t.mu.Lock()
	for _, n := range r.rows {
		if outcome == Committed && n.used {
			t.addSubject(n.row)
		} else if outcome != Unknown || !n.used {
			unused = append(unused, n.row.Key)
		}
	}
	t.mu.Unlock()
	l.discard(unused)
}

// An Outcome says what became of a transaction.
type Outcome uint8

// The outcomes.
const (
	RolledBack Outcome = iota
	Committed
	Unknown
)

// RecordParent returns the key that wraps a document's record key: one that
// is lost when the key of any of its people is. nil is for documents about
// nobody. r holds people who are not made yet; it may be nil.
func (l *Ledger) RecordParent(ctx context.Context, id TenantID, people []SubjectNum, r *Roster) (*seal.Key, error) {
	if len(people) == 0 {
		return nil, nil
	}
	t, err := l.tenant(ctx, id)
	if err != nil {
		return nil, err
	}
	nums := slices.Clone(people)
	slices.Sort(nums)
	nums = slices.Compact(nums)
	keys := make([]seal.Key, len(nums))
	for i, num := range nums {
		if r != nil && r.rows[num] != nil {
			keys[i] = r.rows[num].key
			continue
		}
		who, err := l.meet(ctx, t, num)
		if err != nil {
			return nil, err
		}
		if who.version == markedVersion {
			keys[i] = seal.NewKey() // suppressed meanwhile: Judge refuses what would be sealed
			continue
		}
		if keys[i], err = l.vault.SubjectKey(who.key); err != nil {
			if !errors.Is(err, ErrKeyGone) {
				err = fmt.Errorf("%w: open a person's key", ErrUnavailable)
			}
			return nil, err
		}
	}
	k := seal.Combine("assent record parent", keys...)
	return &k, nil
}

// PeopleKeys names the keys of people, as far as the tenant knows them.
func (l *Ledger) PeopleKeys(ctx context.Context, id TenantID, people []SubjectNum) ([]seal.Ref, error) {
	t, err := l.tenant(ctx, id)
	if err != nil {
		return nil, err
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	refs := make([]seal.Ref, 0, len(people))
	for _, num := range people {
		if who, ok := t.who[num]; ok {
			refs = append(refs, who.key)
		}
	}
	return refs, nil
}

// meet returns what is known of a person, from memory or, of one whom only the
// database has heard of yet, from there: what an ingest stored is found before
// its new people are settled. ErrNoPerson when there is nobody.
func (l *Ledger) meet(ctx context.Context, t *tenant, num SubjectNum) (subjectRef, error) {
	t.mu.RLock()
	who, ok := t.who[num]
	t.mu.RUnlock()
	if ok {
		return who, nil
	}
	rows, err := l.store.SubjectsBy(ctx, t.id, []SubjectNum{num})
	switch {
	case err != nil:
		return subjectRef{}, asUnavailable(err)
	case len(rows) != 1:
		return subjectRef{}, ErrNoPerson
	case rows[0].Num != num || !t.vouched(&rows[0]):
		return subjectRef{}, ErrTampered
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.addSubject(rows[0])
	return t.who[num], nil
}

// Find returns a person's number; 0 for one the tenant does not know.
func (l *Ledger) Find(ctx context.Context, id TenantID, s Subject) (SubjectNum, error) {
	t, err := l.tenant(ctx, id)
	if err != nil {
		return 0, err
	}
	num, err := l.known(ctx, t, s)
	if err != nil {
		return 0, asUnavailable(err)
	}
	return num, nil
}

// Judge decides again under an ingest's locks: head is the ledger's as read
// there, so that a revocation which overtook the ingest wins. For each list of
// owners it returns the first decision that refuses embedding, or one that
// allows; empty lists are for documents about nobody and allowed.
func (l *Ledger) Judge(ctx context.Context, id TenantID, head Head, rule Rule, docs []People) ([]Decision, error) {
	t, err := l.tenant(ctx, id)
	if err != nil {
		return nil, err
	}
	if head.Replayed != t.replayed {
		return nil, ErrReplayed
	}
	if err := l.catchUp(ctx, t, head.Position); err != nil {
		return nil, asUnavailable(err)
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	out := make([]Decision, len(docs))
	for i, d := range docs {
		out[i] = t.judge(rule, d, head.Now)
		l.watch.Decided(out[i].Reason)
	}
	return out, nil
}

// judge decides whether a document may be embedded at all. The caller holds
// the lock.
func (t *tenant) judge(rule Rule, d People, now Time) Decision {
	if d.Nobody {
		return Decision{Allowed: true, Reason: ReasonGranted}
	}
	q := Question{Purpose: Embedding, Default: rule.Default, Now: now}
	var room [2][8]Verdict // most documents have fewer people
	owners, mentions := room[0][:0], room[1][:0]
	var no Decision
	weigh := func(num SubjectNum, owner bool) Verdict {
		dec := t.rules.decide(t.state(num), q)
		var v Verdict
		switch {
		case dec.Allowed:
			return Allow
		case dec.Reason == ReasonSuppressed:
			v = Block | Erased
		case dec.Reason.blocks():
			v = Block
		}
		if no.Reason == "" && (owner || v&Block != 0 || rule.Mentions == MustPermit) {
			no = dec
		}
		return v
	}
	for _, num := range d.Owners {
		owners = append(owners, weigh(num, true))
	}
	for _, num := range d.Mentions {
		mentions = append(mentions, weigh(num, false))
	}
	if rule.Permits(owners, mentions) {
		return Decision{Allowed: true, Reason: ReasonGranted}
	}
	if no.Reason == "" {
		no.Reason = ReasonUnresolved // no owner at all
	}
	no.Allowed = false
	return no
}

// PersonSecret returns a secret of a person for one use, derived from their
// key: it dies with it. ErrKeyGone, ErrNoPerson.
func (l *Ledger) PersonSecret(ctx context.Context, id TenantID, num SubjectNum, label string) (seal.Key, error) {
	t, err := l.tenant(ctx, id)
	if err != nil {
		return seal.Key{}, err
	}
	t.mu.RLock()
	who, ok := t.who[num]
	t.mu.RUnlock()
	if !ok {
		return seal.Key{}, ErrNoPerson
	}
	key, err := l.vault.SubjectKey(who.key)
	if err != nil {
		if !errors.Is(err, ErrKeyGone) {
			err = fmt.Errorf("%w: open a person's key", ErrUnavailable)
		}
		return seal.Key{}, err
	}
	return seal.Derive(key, label), nil
}
