package consent

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/assent-gateway/assent/internal/seal"
)

// Permit asks the ledger for a purpose: the one way to a Permit. The answer is
// at least as new as everything acknowledged before the call, on any gateway.
func (l *Ledger) Permit(ctx context.Context, id TenantID, purpose string) (Permit, error) {
	ctx, end := l.watch.Begin(ctx, StepPermit)
	t, head, err := l.fresh(ctx, id)
	end(err)
	if err != nil {
		return Permit{}, err
	}
	t.mu.RLock()
	policy := t.rules.policy
	t.mu.RUnlock()
	if policy == nil {
		return Permit{}, fmt.Errorf("%w: no policy is in force", ErrUnavailable)
	}
	if _, ok := policy.Purposes[purpose]; !ok {
		return Permit{}, ErrPurposeUnknown
	}
	return Permit{t: t, purpose: purpose, at: head}, nil
}

// An Answer is a list of decisions and the state they were made from.
type Answer struct {
	Position     Position
	PolicyDigest string
	Decisions    []Decision // in the order asked
}

// Decide judges people for a purpose. A zero Subject is one whose identifier
// could not be read: subject_unresolved.
func (l *Ledger) Decide(ctx context.Context, id TenantID, who []Subject, q Question) (Answer, error) {
	t, head, err := l.fresh(ctx, id)
	if err != nil {
		return Answer{}, err
	}
	q.Now = head.Now
	t.mu.RLock()
	defer t.mu.RUnlock()
	a := Answer{Position: t.applied, Decisions: make([]Decision, len(who))}
	if t.rules.policy != nil {
		a.PolicyDigest = t.rules.policy.digest
	}
	for i, s := range who {
		if s.IsZero() {
			a.Decisions[i] = Decision{Reason: ReasonUnresolved}
		} else {
			_, st := t.find(s)
			a.Decisions[i] = t.rules.decide(st, q)
		}
		l.watch.Decided(a.Decisions[i].Reason)
	}
	return a, nil
}

// A Standing is what the ledger says about one person and consent type.
type Standing struct {
	Type        Type
	Status      Status
	At          Time // when the person acted, or when it was recorded
	Position    Position
	ExpiresAt   Time
	Decision    Decision
	Reconsent   bool // a later version asks anew
	Restriction bool // the person is restricted for the purpose
}

// Standings returns where a person stands, by consent type; empty for someone
// the ledger does not know.
func (l *Ledger) Standings(ctx context.Context, id TenantID, who Subject) (Position, []Standing, error) {
	t, head, err := l.fresh(ctx, id)
	if err != nil {
		return 0, nil, err
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	_, s := t.find(who)
	if s == nil {
		return t.applied, nil, nil
	}
	var out []Standing
	for i := range s.purposes {
		p := &s.purposes[i]
		d := t.rules.decide(s, Question{Purpose: p.name, Now: head.Now})
		add := func(e effective) {
			out = append(out, Standing{
				Type: e.typ, Status: e.status, At: e.at, Position: e.position, ExpiresAt: e.until,
				Decision: d, Reconsent: d.Reason == ReasonStaleVersion, Restriction: p.restricted,
			})
		}
		// Of every version that was granted since the last refusal one line,
		// and one for what is newest.
		for _, g := range p.grants {
			if g.typ != p.current.typ || p.current.status != Granted {
				add(effective{typ: g.typ, status: Granted, at: g.at, until: g.until})
			}
		}
		if p.current.status != StatusNone {
			add(p.current)
		}
		if p.restricted {
			add(p.restriction)
		}
	}
	slices.SortFunc(out, func(a, b Standing) int {
		return cmp.Or(cmp.Compare(a.Type.Purpose, b.Type.Purpose), cmp.Compare(a.Type.Major, b.Type.Major),
			cmp.Compare(a.Type.Minor, b.Type.Minor), cmp.Compare(a.Position, b.Position))
	})
	return t.applied, out, nil
}

// A Past is an entry of a person's history.
type Past struct {
	Row
	Audit  Audit
	Sealed bool // the key is gone: the audit can no longer be read
}

// History returns at most limit of a person's entries with a position below
// before (0: from the newest), newest first.
func (l *Ledger) History(ctx context.Context, id TenantID, who Subject, before Position, limit int) ([]Past, error) {
	t, _, err := l.fresh(ctx, id)
	if err != nil {
		return nil, err
	}
	t.mu.RLock()
	num := t.resolve(who)
	ref := t.who[num].key
	t.mu.RUnlock()
	if num == 0 {
		return nil, nil
	}
	rows, err := l.store.History(ctx, id, num, before, limit)
	if err != nil {
		return nil, asUnavailable(err)
	}
	key, keyErr := l.vault.SubjectKey(ref)
	out := make([]Past, len(rows))
	for i, row := range rows {
		if err := l.genuine(t, &row); err != nil {
			return nil, err
		}
		out[i] = Past{Row: row, Sealed: true}
		if keyErr != nil {
			continue
		}
		plain, err := seal.Open(key, row.Sealed, rowAAD(id, row.Position))
		if err == nil && json.Unmarshal(plain, &out[i].Audit) == nil {
			out[i].Sealed = false
		}
	}
	return out, nil
}

// Types returns every published consent type, by purpose and version.
func (l *Ledger) Types(ctx context.Context, id TenantID) ([]PublishedType, error) {
	t, _, err := l.fresh(ctx, id)
	if err != nil {
		return nil, err
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.rules.registry.sorted(), nil
}

// Purposes returns the purposes of the policy in force and its digest.
func (l *Ledger) Purposes(ctx context.Context, id TenantID) (purposes []string, digest string, err error) {
	t, _, err := l.fresh(ctx, id)
	if err != nil {
		return nil, "", err
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.rules.policy == nil {
		return nil, "", nil
	}
	for name := range t.rules.policy.Purposes {
		purposes = append(purposes, name)
	}
	slices.Sort(purposes)
	return purposes, t.rules.policy.digest, nil
}
