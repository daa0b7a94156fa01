package consent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/assent-gateway/assent/internal/seal"
)

// builder prepares one transaction. It may be asked more than once.
type builder struct {
	l       *Ledger
	t       *tenant
	fresh   map[Subject]*newcomer
	again   map[SubjectNum]*newcomer // people whose key is condemned
	linking *newcomer                // of a suppression: the key of its link
	pads    map[SubjectNum][32]byte  // see journal.go
	rows    []Row
	batch   Batch
	tried   map[SubjectNum]*state // people as the batch leaves them
	rules   rules
	refused error
	// recalled is the newest position of what the writes only repeat.
	recalled Position
}

// rolledBack returns the keys of everyone the batch would have made.
func (b *builder) rolledBack() []seal.Ref {
	refs := make([]seal.Ref, 0, len(b.fresh)+len(b.again))
	for _, n := range b.made() {
		refs = append(refs, n.row.Key)
	}
	return refs
}

// unused returns the keys of those whom the batch did not make after all.
func (b *builder) unused() []seal.Ref {
	var refs []seal.Ref
	for _, n := range b.made() {
		if !n.used {
			refs = append(refs, n.row.Key)
		}
	}
	return refs
}

// made lists everyone whom keys were made for.
func (b *builder) made() []*newcomer {
	all := slices.AppendSeq(slices.Collect(maps.Values(b.fresh)), maps.Values(b.again))
	if b.linking != nil {
		all = append(all, b.linking)
	}
	return all
}

// reach brings memory to the head. Under its lock nobody is ahead of it but who
// has read data that was there before it was put back from a backup: its next
// positions are in the journal already, of other entries.
func (b *builder) reach(ctx context.Context, head Head) error {
	b.t.mu.RLock()
	applied := b.t.applied
	b.t.mu.RUnlock()
	switch {
	case head.Replayed != b.t.replayed:
		return ErrReplayed
	case head.Position < applied:
		return ErrHeadBackwards
	}
	return b.l.catchUp(ctx, b.t, head.Position)
}

// prepare judges each write by the state that the ones before it leave.
func (b *builder) prepare(ctx context.Context, head Head, writes []*write) (Batch, error) {
	if err := b.reach(ctx, head); err != nil {
		b.refused = err
		return Batch{}, err
	}
	b.rows, b.batch, b.tried = nil, Batch{}, map[SubjectNum]*state{}
	for _, n := range b.made() {
		n.used = false
	}
	b.t.mu.RLock()
	b.rules = b.t.rules
	b.t.mu.RUnlock()
	b.recalled = 0
	remembered := map[[32]byte]*write{}
	for _, w := range writes {
		err := b.add(ctx, w, head, remembered)
		var input *InputError
		var refused *refusal
		switch {
		case err == nil:
		case errors.As(err, &input), errors.As(err, &refused), errors.Is(err, ErrKeyMismatch):
			w.result = Result{Err: err}
		default:
			b.refused = err
			return Batch{}, err
		}
	}
	b.batch.Rows = b.rows
	return b.batch, nil
}

func (b *builder) add(ctx context.Context, w *write, head Head, remembered map[[32]byte]*write) error {
	w.result, w.repeated = Result{}, false
	if w.once != (Once{}) {
		if first := remembered[w.once.Key]; first != nil { // two of one batch
			if first.once.Body != w.once.Body {
				return ErrKeyMismatch
			}
			w.result, w.repeated = first.result, true
			return nil
		}
		outcome, found, err := b.l.recall(ctx, b.t, w.once)
		if err != nil {
			return err
		}
		if found {
			if err := json.Unmarshal(outcome, &w.result.Recorded); err != nil {
				return fmt.Errorf("%w: a remembered outcome", ErrTampered)
			}
			w.repeated = true
			b.recalled = max(b.recalled, w.result.Position)
			return nil
		}
	}
	position := head.Position + Position(len(b.rows)) + 1
	row, body, err := w.build(head.Now, position)
	if err != nil {
		return err
	}
	switch row.Kind {
	case KindConsent:
		err = b.addConsent(w, row, body, head.Now)
	case KindErasure, KindRemoval, KindHold, KindLift, KindErased:
		err = b.addErasure(ctx, w, row, body)
	case KindIdentifier:
		err = b.addIdentifier(ctx, w, row, body)
	default:
		err = b.addOther(w, row, body)
	}
	if err != nil {
		return err
	}
	if w.once != (Once{}) {
		remembered[w.once.Key] = w
	}
	return b.remember(w, head.Now)
}

// addConsent judges an entry about a person: a repeat, or a new row.
func (b *builder) addConsent(w *write, row Row, body any, now Time) error {
	if err := b.checkType(row); err != nil {
		return err
	}
	num, key, s, err := b.person(w.subject)
	if err != nil {
		return err
	}
	if cur, ok := s.repeats(row, &b.rules); ok {
		w.result.Recorded = Recorded{Position: cur.position, RecordedAt: cur.recorded}
	} else {
		row.Subject = num
		if row.Sealed, err = sealBody(key, b.t.id, row.Position, body); err != nil {
			return err
		}
		if len(row.Sealed) > maxSealed {
			return &InputError{"", "is too large for an entry of the ledger"}
		}
		row.sign(b.t.keys.MAC)
		b.pads[num] = padOf(key)
		s.apply(row, &b.rules.registry)
		b.rows = append(b.rows, row)
		b.adopt(b.newcomer(w.subject, num))
		w.result.Recorded = Recorded{New: true, Position: row.Position, RecordedAt: row.RecordedAt}
	}
	d := b.rules.decide(s, Question{Purpose: row.Type.Purpose, Now: now})
	w.result.Allowed, w.result.Reason = d.Allowed, d.Reason
	return nil
}

// checkType refuses purposes that the policy does not know, and grants of
// texts that nobody published: a refusal is taken for any version.
func (b *builder) checkType(row Row) error {
	if b.rules.policy == nil {
		return fmt.Errorf("%w: no policy is in force", ErrUnavailable)
	}
	if _, ok := b.rules.policy.Purposes[row.Type.Purpose]; !ok {
		return &InputError{"consent_type", "is of a purpose that the policy does not know"}
	}
	if _, ok := b.rules.registry.types[row.Type]; !ok && row.Status == Granted {
		return &InputError{"consent_type", "was never published in this version"}
	}
	return nil
}

// addOther adds an entry of the tenant itself, sealed under its payload key
// unless what it says is for everyone (Kind.clear).
func (b *builder) addOther(w *write, row Row, body any) (err error) {
	if row.Kind.clear() {
		row.Sealed, err = json.Marshal(body)
	} else {
		row.Sealed, err = sealBody(b.t.keys.Payload, b.t.id, row.Position, body)
	}
	if err != nil {
		return err
	}
	if len(row.Sealed) > maxSealed {
		return &InputError{"", "is too large for an entry of the ledger"}
	}
	row.sign(b.t.keys.MAC)
	b.rows = append(b.rows, row)
	w.result.Recorded = Recorded{New: true, Position: row.Position, RecordedAt: row.RecordedAt}
	return nil
}

// person returns a copy of a person's state that the batch may change.
func (b *builder) person(who Subject) (SubjectNum, seal.Key, *state, error) {
	b.t.mu.RLock()
	num := b.t.resolve(who)
	ref, s, condemned := b.t.who[num].key, b.t.state(num), b.t.condemned(num)
	mark := b.t.who[num].version == markedVersion
	b.t.mu.RUnlock()
	if num == 0 || mark {
		n := b.fresh[who]
		if n == nil {
			return 0, seal.Key{}, nil, ErrSubjectExists
		}
		if b.tried[n.row.Num] == nil {
			b.tried[n.row.Num] = &state{num: n.row.Num}
			b.t.mu.RLock()
			b.t.inherit(b.tried[n.row.Num], n.row.Lookup)
			b.t.mu.RUnlock()
		}
		return n.row.Num, n.key, b.tried[n.row.Num], nil
	}
	if b.tried[num] == nil {
		if s == nil {
			s = &state{num: num}
		}
		b.tried[num] = s.clone()
	}
	if condemned {
		n := b.again[num]
		if n == nil {
			return 0, seal.Key{}, nil, ErrSubjectExists // condemned meanwhile: newcomers makes a key
		}
		return num, n.key, b.tried[num], nil
	}
	key, err := b.l.vault.SubjectKey(ref)
	if err != nil {
		return 0, seal.Key{}, nil, fmt.Errorf("%w: open a person's key", ErrUnavailable)
	}
	return num, key, b.tried[num], nil
}

// newcomer returns who is made, or made again, for an entry; nil for a person
// who has a key.
func (b *builder) newcomer(who Subject, num SubjectNum) *newcomer {
	if n := b.fresh[who]; n != nil && n.row.Num == num {
		return n
	}
	b.t.mu.RLock()
	defer b.t.mu.RUnlock()
	if b.t.condemned(num) {
		return b.again[num]
	}
	return nil
}

// adopt makes a newcomer part of the transaction.
func (b *builder) adopt(n *newcomer) {
	switch {
	case n == nil || n.used:
		return
	case n.again:
		b.batch.Rekey = append(b.batch.Rekey, n.row)
	default:
		b.batch.Subjects = append(b.batch.Subjects, n.row)
	}
	n.used = true
}

func (b *builder) remember(w *write, now Time) error {
	if w.once == (Once{}) {
		return nil
	}
	outcome, err := json.Marshal(w.result.Recorded)
	if err != nil {
		return err
	}
	b.batch.Remember = append(b.batch.Remember, b.l.remembered(b.t, w.once, outcome, now))
	return nil
}
