package consent

import (
	"context"
	"errors"
	"fmt"
)

// ErrPast: the position asked for lies beyond the ledger's head, or before
// what a Fold has folded already.
var ErrPast = errors.New("consent: no such position to look back to")

// A Fold is a tenant's ledger as it stood at a position. It decides by the
// time of the entry there, so that the same position always decides the same.
// It permits nothing: what leaves the gateway is judged at the head as well.
// A Fold keeps every person's state and nothing of the rows; it is for one
// goroutine.
type Fold struct {
	l    *Ledger
	live *tenant
	past *tenant
}

// Fold returns a tenant's empty ledger, to be advanced.
func (l *Ledger) Fold(ctx context.Context, id TenantID) (*Fold, error) {
	t, err := l.tenant(ctx, id)
	if err != nil {
		return nil, err
	}
	past := newTenant(id, t.keys)
	past.loading = true
	return &Fold{l: l, live: t, past: past}, nil
}

// Position is how far the ledger is folded.
func (f *Fold) Position() Position { return f.past.applied }

// Time is when the newest entry folded was recorded.
func (f *Fold) Time() Time { return f.past.recorded }

// PolicyDigest is of the policy in force at the position; "" for none.
func (f *Fold) PolicyDigest() string {
	if f.past.rules.policy == nil {
		return ""
	}
	return f.past.rules.policy.digest
}

// Advance folds on to a position. Every entry is checked as at a start.
func (f *Fold) Advance(ctx context.Context, to Position) error {
	head, err := f.l.Head(ctx, f.live.id)
	if err != nil {
		return err
	}
	if to > head.Position || to < f.past.applied {
		return ErrPast
	}
	if to == f.past.applied {
		return nil
	}
	err = f.l.store.Rows(ctx, f.live.id, f.past.applied, func(row Row) error {
		if row.Position > to {
			return errEnough
		}
		if err := f.l.genuine(f.live, &row); err != nil {
			return err
		}
		return f.past.apply(row, f.past.body(row), f.meet(&row))
	})
	if err != nil && !errors.Is(err, errEnough) {
		return asUnavailable(err)
	}
	if f.past.applied != to {
		return fmt.Errorf("%w: entries are missing", ErrTampered)
	}
	return nil
}

// meet makes the past know a person by number, and by what an erasure left; nothing
// is sealed there.
func (f *Fold) meet(row *Row) *shown {
	f.live.mu.RLock()
	defer f.live.mu.RUnlock()
	if who := f.live.who[row.Subject]; row.Subject != 0 {
		f.past.who[row.Subject] = subjectRef{lookup: who.lookup, version: who.version}
	}
	if row.Kind == KindIdentifier {
		return &shown{gone: true}
	}
	if s := f.live.suppressedAt[row.Position]; s != nil && !s.key.IsZero() {
		return &shown{link: s.link, gone: s.link.num == 0}
	}
	return nil
}

// A Judge decides about documents as the ledger stood at a Fold's position,
// for one purpose. It is of no use once the Fold advances.
type Judge struct {
	f       *Fold
	purpose string
	said    map[judged]weighed
}

type judged struct {
	num SubjectNum
	def Jurisdiction
}

type weighed struct {
	verdict  Verdict
	decision Decision // the one that refuses, or that of the purpose
}

// Judge returns a judge; ErrPurposeUnknown when the policy of then did not
// know the purpose, ErrPast when no policy was in force.
func (f *Fold) Judge(purpose string) (*Judge, error) {
	switch p := f.past.rules.policy; {
	case p == nil:
		return nil, ErrPast
	default:
		if _, ok := p.Purposes[purpose]; !ok {
			return nil, ErrPurposeUnknown
		}
	}
	return &Judge{f: f, purpose: purpose, said: map[judged]weighed{}}, nil
}

// A Judgement says whether a document could be used, and on what that rests.
type Judgement struct {
	Allowed bool
	Reason  Reason   // when not: of the first person who stands against it
	Types   []Type   // consent types relied on, one an owner who granted
	Bases   []string // lawful bases relied on, one an owner who permits
}

// Decide judges a document by its people, for the purpose and for embedding.
func (j *Judge) Decide(rule Rule, who People) Judgement {
	if who.Nobody {
		return Judgement{Allowed: true}
	}
	var out Judgement
	var owners, mentions []Verdict
	object := func(w weighed) {
		if out.Reason == "" {
			out.Reason = w.decision.Reason
		}
	}
	for _, num := range who.Owners {
		w := j.weigh(num, rule.Default)
		owners = append(owners, w.verdict)
		if w.verdict&Allow == 0 {
			object(w)
			continue
		}
		if w.decision.Reason == ReasonGranted {
			out.Types = append(out.Types, w.decision.Type)
		}
		out.Bases = append(out.Bases, w.decision.LawfulBasis)
	}
	for _, num := range who.Mentions {
		w := j.weigh(num, rule.Default)
		mentions = append(mentions, w.verdict)
		if w.verdict&Block != 0 || rule.Mentions == MustPermit && w.verdict&Allow == 0 {
			object(w)
		}
	}
	if rule.Permits(owners, mentions) {
		out.Allowed, out.Reason = true, ""
		return out
	}
	if out.Reason == "" {
		out.Reason = ReasonUnresolved // no owner at all
	}
	return Judgement{Reason: out.Reason}
}

func (j *Judge) weigh(num SubjectNum, def Jurisdiction) weighed {
	k := judged{num, def}
	w, ok := j.said[k]
	if ok {
		return w
	}
	t := j.f.past
	s := t.state(num)
	w.verdict, _ = t.rules.verdict(s, j.purpose, def, t.recorded)
	w.decision = t.rules.decide(s, Question{Purpose: j.purpose, Default: def, Now: t.recorded})
	if w.decision.Allowed && w.verdict&Allow == 0 {
		w.decision = t.rules.decide(s, Question{Purpose: Embedding, Default: def, Now: t.recorded})
	}
	j.said[k] = w
	return w
}
