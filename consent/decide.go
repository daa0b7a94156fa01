package consent

import "time"

// A Reason says why a decision is what it is. Clients treat one they do not
// know as denial.
type Reason string

// The reasons, in the order in which the first that applies is given.
const (
	ReasonUnavailable    Reason = "ledger_unavailable"
	ReasonUnresolved     Reason = "subject_unresolved"
	ReasonPurposeUnknown Reason = "purpose_unknown"
	ReasonPolicyUnknown  Reason = "policy_unknown"
	ReasonSuppressed     Reason = "suppressed"
	ReasonRestricted     Reason = "restricted"
	ReasonDenied         Reason = "denied"
	ReasonRevoked        Reason = "revoked"
	ReasonObjection      Reason = "objection"
	ReasonGPC            Reason = "gpc"
	ReasonGranted        Reason = "granted"
	ReasonDefaultAllow   Reason = "default_allow"
	ReasonExpired        Reason = "expired"
	ReasonStaleVersion   Reason = "stale_version"
	ReasonNoRecord       Reason = "no_record"
)

// blocks reports whether the reason is a person's own no, or one said for
// them: what blocks even where silence does not.
func (r Reason) blocks() bool {
	switch r {
	case ReasonSuppressed, ReasonRestricted, ReasonDenied, ReasonRevoked, ReasonObjection, ReasonGPC, ReasonUnresolved:
		return true
	}
	return false
}

// A Decision says whether a person's data may be used for a purpose.
type Decision struct {
	Allowed     bool
	Reason      Reason
	Type        Type   // the consent type relied on, or the one to ask for; zero if none
	LawfulBasis string // of the rule that was applied; "" if none was
	Until       Time   // when time alone may change the decision; 0 is never
}

// A Question is what a decision is asked about.
type Question struct {
	Purpose string
	Default Jurisdiction // where the person's own is not known: the collection's
	Tighten Jurisdiction // the request's: may only make it stricter
	Signals Signals
	Now     Time // the ledger database's clock
}

// Signals are what the person's browser said with the request.
type Signals struct{ GPC bool }

// rules is what a decision is judged by besides a person's state.
type rules struct {
	policy   *Policy // nil: none is in force
	registry registry
	changed  Time // when the newest policy or consent type was entered
}

// decide is the one place where consent is judged. It is a function of its
// arguments. s may be nil: a person with no entries.
func (r *rules) decide(s *state, q Question) Decision {
	own := q.Default
	if s != nil && s.jurisdiction != "" {
		own = s.jurisdiction
	}
	d := r.decideIn(s, q, own)
	if d.Allowed && q.Tighten != "" {
		if strict := r.decideIn(s, q, q.Tighten); !strict.Allowed {
			return strict
		} else if strict.Until != 0 && (d.Until == 0 || strict.Until < d.Until) {
			d.Until = strict.Until
		}
	}
	return d
}

func (r *rules) decideIn(s *state, q Question, j Jurisdiction) Decision {
	if r.policy == nil {
		return Decision{Reason: ReasonPolicyUnknown}
	}
	if _, ok := r.policy.Purposes[q.Purpose]; !ok {
		return Decision{Reason: ReasonPurposeUnknown}
	}
	rule := r.policy.rule(q.Purpose, j)
	d := Decision{LawfulBasis: rule.LawfulBasis, Type: r.registry.current[q.Purpose]}
	var p *purposeState
	if s != nil {
		p = s.about(q.Purpose)
	}
	if s != nil && (s.gone || s.suppressed && (p == nil || !p.returned)) {
		d.Reason = ReasonSuppressed
		return d
	}
	if p == nil {
		p = &purposeState{}
	}
	switch {
	case p.restricted:
		d.Reason = ReasonRestricted
		return d
	case p.refusal == Denied:
		d.Reason = ReasonDenied
		return d
	case p.refusal == Revoked:
		d.Reason = ReasonRevoked
		return d
	case p.refusal == Objected:
		d.Reason = ReasonObjection
		return d
	case q.Signals.GPC && denies(rule, "gpc"):
		d.Reason = ReasonGPC
		return d
	}
	lapsed, stale := false, false
	for _, g := range p.grants {
		until := g.expires(rule.validity)
		switch {
		case !r.registry.counts(g.typ):
			stale = true
		case until != 0 && q.Now >= until:
			lapsed = true
		case !d.Allowed || d.Until != 0 && (until == 0 || until > d.Until):
			// The grant that lasts longest is the one relied on.
			d.Allowed, d.Reason, d.Type, d.Until = true, ReasonGranted, g.typ, until
		}
	}
	switch {
	case d.Allowed:
	case rule.Mode == OptOut && !p.refused && !(s != nil && s.suppressed):
		d.Allowed, d.Reason = true, ReasonDefaultAllow
	case lapsed:
		d.Reason = ReasonExpired
	case stale:
		d.Reason = ReasonStaleVersion
	default:
		d.Reason = ReasonNoRecord
	}
	return d
}

// limited reports whether a grant for a purpose has a validity by law where
// the person is, or could be as long as nobody recorded where.
func (r *rules) limited(purpose string, j Jurisdiction) bool {
	if j != "" {
		return r.policy.rule(purpose, j).validity != 0
	}
	for _, f := range r.policy.Frameworks {
		rule, ok := f.Purposes[purpose]
		if !ok {
			rule = f.Default
		}
		if rule.validity != 0 {
			return true
		}
	}
	return false
}

func denies(r PurposeRule, signal string) bool {
	for _, s := range r.Signals {
		if s == signal {
			return true
		}
	}
	return false
}

// verdict is a decision for a purpose and for embedding, as masks keep it,
// and when time alone may change it.
func (r *rules) verdict(s *state, purpose string, def Jurisdiction, now Time) (Verdict, Time) {
	d := r.decide(s, Question{Purpose: purpose, Default: def, Now: now})
	e := d
	if purpose != Embedding {
		e = r.decide(s, Question{Purpose: Embedding, Default: def, Now: now})
	}
	var v Verdict
	switch {
	case d.Allowed && e.Allowed:
		v = Allow
	case d.Reason.blocks() || e.Reason.blocks():
		v = Block
	}
	if d.Reason == ReasonSuppressed || e.Reason == ReasonSuppressed {
		v |= Erased
	}
	until := d.Until
	if e.Until != 0 && (until == 0 || e.Until < until) {
		until = e.Until
	}
	return v, until
}

// expires returns when the grant ends: its own expiry, its type's validity or
// the rule's, whichever comes first; 0 is never.
func (g grant) expires(rule time.Duration) Time {
	until := g.until
	if rule != 0 {
		if byRule := g.at + Time(rule); until == 0 || byRule < until {
			until = byRule
		}
	}
	return until
}
