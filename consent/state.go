package consent

import (
	"slices"
	"unique"
)

// state is what the ledger says about one person: a fold over their entries
// in the order of positions. Only apply changes it.
type state struct {
	num          SubjectNum
	ord          uint32 // index in masks
	jurisdiction Jurisdiction
	gone         bool       // erased: nothing leads here any more, and nobody comes back as them
	newest       Position   // of what the person said
	mark         SubjectNum // who came back after an erasure: the mark it left
	suppressed   bool       // erased; a later grant lets the person return, per purpose
	suppressedAt Time
	// condemned: the key that the person had is destroyed or about to be, and
	// they have said nothing since.
	condemned     bool
	suppressedPos Position
	erasure       string         // id of the newest suppression
	before        *state         // without the newest suppression, for the case that it is lifted
	purposes      []purposeState // few: a scan is faster than a map, and lies together
}

// purposeState is what a person said about one purpose, across its versions.
type purposeState struct {
	name        string
	current     effective // newest effective granted, denied, revoked or objected
	restriction effective // newest effective restricted or unrestricted

	refusal      Status // the current refusal; StatusNone when there is none
	refused      bool   // there was ever one: silence no longer permits
	refusedAt    Time   // the newest refusal's time; a grant not later than it is late
	restricted   bool
	restrictedAt Time    // the newest restriction's time; an unrestricted not later than it is late
	returned     bool    // granted after a suppression
	lost         bool    // what was said last is lost: nothing repeats it
	grants       []grant // since the newest refusal, one a version
}

// effective is an entry that changed something.
type effective struct {
	position Position
	recorded Time
	status   Status
	typ      Type
	at       Time // when the person acted, or when it was recorded
	explicit Time // the explicit expiry
	until    Time // the expiry it has by itself and by its type
}

type grant struct {
	typ   Type
	at    Time
	until Time // its own expiry and its type's validity; 0 is never
}

// about returns what the person said about a purpose; nil when nothing.
func (s *state) about(purpose string) *purposeState {
	for i := range s.purposes {
		if s.purposes[i].name == purpose {
			return &s.purposes[i]
		}
	}
	return nil
}

// purpose is about, for what is to be said: good until the next call.
func (s *state) purpose(name string) *purposeState {
	if p := s.about(name); p != nil {
		return p
	}
	// One text for all people, which stays in a cache.
	s.purposes = append(s.purposes, purposeState{name: unique.Make(name).Value()})
	return &s.purposes[len(s.purposes)-1]
}

// clone copies a state deeply: a batch tries its entries on copies.
func (s *state) clone() *state {
	c := *s
	if s.before != nil {
		c.before = s.before.clone()
	}
	c.purposes = slices.Clone(s.purposes)
	for i := range c.purposes {
		p := &c.purposes[i]
		p.grants = slices.Clone(p.grants)
	}
	return &c
}

// apply folds one entry in. It reports whether the entry changed anything: a
// late grant does not.
func (s *state) apply(row Row, reg *registry) bool {
	switch row.Kind {
	case KindErasure:
		s.suppress(row)
		return true
	case KindLost:
		s.lose(row)
		return true
	case KindLift:
		s.lift()
		return true
	case KindConsent:
		s.condemned = false
	default:
		return false
	}
	if s.before != nil {
		s.before.apply(row, reg)
	}
	p := s.purpose(row.Type.Purpose)
	e := entryOf(row, reg)
	switch {
	case row.Status.Refusal():
		p.refusal, p.refused = row.Status, true
		p.refusedAt = max(p.refusedAt, e.at)
		p.grants = nil
		p.current = e
	case row.Status == Granted:
		// Late and replayed grants never win. One without a time of its own
		// is ordered by position alone.
		if row.ActedAt != 0 && (p.refused && row.ActedAt <= p.refusedAt || s.suppressed && row.ActedAt <= s.suppressedAt) {
			return false
		}
		p.refusal = StatusNone
		p.returned = s.suppressed
		p.grant(grant{e.typ, e.at, e.until})
		p.current = e
	case row.Status == Restricted:
		p.restricted = true
		p.restrictedAt = max(p.restrictedAt, e.at)
		p.restriction = e
	case row.Status == Unrestricted:
		// It widens what may be done, so a late one loses as well.
		if row.ActedAt != 0 && p.restricted && row.ActedAt <= p.restrictedAt {
			return false
		}
		p.restricted = false
		p.restriction = e
	default:
		return false
	}
	p.lost = false
	if row.Jurisdiction != "" {
		s.jurisdiction = row.Jurisdiction
	}
	return true
}

// lose folds in what a restore left of a grant or an unrestriction. What it
// said of expiry and version is not known, so that no older grant may stand in
// for it, and silence does not either: the person is asked again. A refusal or
// restriction that it ended stands.
func (s *state) lose(row Row) {
	s.condemned = false // whoever acted after an erasure has another key
	if s.before != nil {
		s.before.lose(row)
	}
	p := s.purpose(row.Type.Purpose)
	p.lost = true
	if row.Status != Granted {
		return
	}
	p.refused, p.grants = true, nil
	if p.refusal == StatusNone {
		p.current = effective{}
	}
}

// grant keeps one grant a version: the newest.
func (p *purposeState) grant(g grant) {
	for i := range p.grants {
		if p.grants[i].typ == g.typ {
			p.grants[i] = g
			return
		}
	}
	p.grants = append(p.grants, g)
}

func (s *state) suppress(row Row) {
	s.before = nil
	s.before = s.clone()
	s.suppressed, s.condemned, s.suppressedPos = true, true, row.Position
	s.suppressedAt = max(s.suppressedAt, row.RecordedAt, row.ActedAt)
	for i := range s.purposes {
		p := &s.purposes[i]
		p.grants, p.returned = nil, false
	}
}

// lift takes the newest suppression back.
func (s *state) lift() {
	if was := s.before; was != nil {
		was.num, was.ord = s.num, s.ord
		*s = *was
	}
}

func entryOf(row Row, reg *registry) effective {
	e := effective{position: row.Position, recorded: row.RecordedAt, status: row.Status, typ: row.Type, at: row.ActedAt, explicit: row.ExpiresAt, until: row.ExpiresAt}
	if e.at == 0 {
		e.at = row.RecordedAt
	}
	if t := reg.types[row.Type]; t != nil && t.validity != 0 && row.Status == Granted {
		if byType := e.at + Time(t.validity); e.until == 0 || byType < e.until {
			e.until = byType
		}
	}
	return e
}

// repeats returns the entry that a new one would only repeat: the effective
// one of the same person and purpose with the same status, type, jurisdiction
// and expiry. A refusal with a later time of its own says something new: it
// raises the bar for late grants.
func (s *state) repeats(row Row, r *rules) (effective, bool) {
	reg := &r.registry
	p := s.about(row.Type.Purpose)
	if p == nil || p.lost || row.Kind != KindConsent {
		return effective{}, false
	}
	cur := p.current
	if row.Status == Restricted || row.Status == Unrestricted {
		cur = p.restriction
	} else if s.suppressed && !p.returned && row.Status == Granted {
		return effective{}, false // what was granted before the erasure is void
	}
	e := entryOf(row, reg)
	switch {
	case cur.status != row.Status || cur.typ != row.Type || cur.until != e.until:
		return effective{}, false
	case row.Jurisdiction != "" && row.Jurisdiction != s.jurisdiction:
		return effective{}, false
	case row.Status != Granted && row.ActedAt > cur.at:
		return effective{}, false
	case row.Status == Granted && e.at > cur.at && r.limited(row.Type.Purpose, s.jurisdiction):
		return effective{}, false // it renews a validity that the law counts
	}
	return cur, true
}
