package consent

import (
	"context"
	"errors"
	"time"
)

// defaultGrace is how long data is kept that nobody permits any more, where the
// policy does not say.
const defaultGrace = 30 * 24 * time.Hour

// ErrPermitted: what was to be deleted because nobody permits it any more, is
// permitted, held, or erased by somebody else meanwhile.
var ErrPermitted = errors.New("consent: it is not for this reason to be deleted any more")

// A Storage is a stored document, as far as it decides how long it is kept.
type Storage struct {
	Claim
	Piece
}

// An End says what of a document nobody permits any more, for longer than the
// policy's grace.
type End uint8

// The ends.
const (
	StillPermitted End = iota
	// EndedVectors: embedding is not permitted; another purpose is.
	EndedVectors
	// EndedStorage: no purpose of the policy is.
	EndedStorage
)

// grace is how long what nobody permits is kept.
func (p *Policy) grace() Time {
	if p.WithdrawalGrace == "" {
		return Time(defaultGrace)
	}
	d, _ := ParseDuration(p.WithdrawalGrace) // checked when it was read
	return Time(d)
}

// since reports since when a person does not permit a purpose, by what they
// said and by the database's clock; false while they do, and where what stands
// in the way is no wish that it end: a restriction asks to keep, a suppression
// has an erasure of its own, and what was lost in a restore is asked for again.
// blocks as in Reason.
func (r *rules) since(s *state, purpose string, def Jurisdiction, now Time) (at Time, blocks, ended bool) {
	d := r.decide(s, Question{Purpose: purpose, Default: def, Now: now})
	if d.Allowed {
		return 0, false, false
	}
	var p purposeState
	if s != nil && s.about(purpose) != nil {
		p = *s.about(purpose)
	}
	switch {
	case p.lost:
		return 0, false, false
	case d.Reason == ReasonDenied, d.Reason == ReasonRevoked, d.Reason == ReasonObjection:
		return p.current.recorded, true, true
	case d.Reason == ReasonExpired, d.Reason == ReasonStaleVersion, d.Reason == ReasonNoRecord:
	default:
		return 0, false, false
	}
	own := def
	if s != nil && s.jurisdiction != "" {
		own = s.jurisdiction
	}
	at = max(r.changed, p.current.recorded, p.restriction.recorded)
	for _, g := range p.grants {
		if until := g.expires(r.policy.rule(purpose, own).validity); until <= now {
			at = max(at, until)
		}
	}
	return at, false, true
}

// end judges a document. Whose refusal is not older than the grace counts as
// permitting still. The caller holds the lock.
func (t *tenant) end(d Storage, now Time) End {
	p := t.rules.policy
	if p == nil || d.People.Nobody || len(d.People.Owners) == 0 {
		return StillPermitted
	}
	for _, people := range [][]SubjectNum{d.People.Owners, d.People.Mentions} {
		for _, num := range people {
			q := Question{Purpose: Embedding, Default: d.Rule.Default, Now: now}
			if t.rules.decide(t.state(num), q).Reason == ReasonSuppressed {
				return StillPermitted // their erasure says what becomes of it, and whether it is held
			}
		}
	}
	for id, r := range t.removals {
		if (r.done == 0 || t.waits[id] != 0) && d.DecidedAt < r.at && r.covers(d.Piece) {
			return StillPermitted // it is being erased, or held
		}
	}
	if t.keeps(d, Embedding, now) {
		return StillPermitted
	}
	for purpose := range p.Purposes {
		if t.keeps(d, purpose, now) {
			return EndedVectors
		}
	}
	return EndedStorage
}

// keeps reports whether a purpose permits a document, or did within the grace.
func (t *tenant) keeps(d Storage, purpose string, now Time) bool {
	grace := t.rules.policy.grace()
	weigh := func(nums []SubjectNum) (out []Verdict) {
		for _, num := range nums {
			v := Allow
			if at, blocks, ended := t.rules.since(t.state(num), purpose, d.Rule.Default, now); ended && at <= now-grace {
				if v = 0; blocks {
					v = Block
				}
			}
			out = append(out, v)
		}
		return out
	}
	return d.Rule.Permits(weigh(d.People.Owners), weigh(d.People.Mentions))
}

// Ends judges documents by the newest state and the database's clock.
func (l *Ledger) Ends(ctx context.Context, id TenantID, docs []Storage) ([]End, error) {
	t, head, err := l.fresh(ctx, id)
	if err != nil {
		return nil, err
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	out := make([]End, len(docs))
	for i, d := range docs {
		out[i] = t.end(d, head.Now)
	}
	return out, nil
}

// Withdrawn returns the people who do not permit embedding any more, where they
// are or in one of some jurisdictions, for longer than the grace: whose documents
// are to be looked at.
func (l *Ledger) Withdrawn(ctx context.Context, id TenantID, where []Jurisdiction) ([]SubjectNum, error) {
	t, head, err := l.fresh(ctx, id)
	if err != nil {
		return nil, err
	}
	t.mu.RLock()
	everyone := make([]SubjectNum, 0, len(t.who))
	for num := range t.who {
		everyone = append(everyone, num)
	}
	t.mu.RUnlock()
	const atOnce = 4096 // so that nobody waits for the lock
	var out []SubjectNum
	for len(everyone) > 0 {
		some := everyone[:min(atOnce, len(everyone))]
		everyone = everyone[len(some):]
		t.mu.RLock()
		for _, num := range some {
			if t.rules.policy != nil && t.withdrew(num, where, head.Now) {
				out = append(out, num)
			}
		}
		t.mu.RUnlock()
	}
	return out, nil
}

func (t *tenant) withdrew(num SubjectNum, where []Jurisdiction, now Time) bool {
	grace := t.rules.policy.grace()
	for _, def := range where {
		if at, _, ended := t.rules.since(t.state(num), Embedding, def, now); ended && at <= now-grace {
			return true
		}
	}
	return false
}
