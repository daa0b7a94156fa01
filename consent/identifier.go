package consent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/assent-gateway/assent/internal/seal"
)

// An entry that gives a person another identifier has it sealed under the
// person's key, and nothing else that leads there. identifierEvent is the body of
// one from before there were links, under the tenant's key: Mark is what the
// identifier is recognised by, Sealed the identifier under the person's key.
type identifierEvent struct {
	Mark   [32]byte `json:"mark"`
	Sealed []byte   `json:"sealed"`
}

// Identify gives a person another identifier: whoever comes with it is that
// person, for consent, ingest and erasure alike. One that the person has
// already changes nothing (New is false); ErrIdentifierTaken when it is
// another person's. A person whom nobody knows is made.
func (l *Ledger) Identify(ctx context.Context, id TenantID, who, identifier Subject) (Recorded, error) {
	w := &write{subject: who, alone: true}
	w.build = func(now Time, p Position) (Row, any, error) {
		return Row{Kind: KindIdentifier, RecordedAt: now, Position: p}, identifier, nil
	}
	if err := l.submit(ctx, id, []*write{w}); err != nil {
		return Recorded{}, err
	}
	return w.result.Recorded, w.result.Err
}

func (b *builder) addIdentifier(ctx context.Context, w *write, row Row, body any) error {
	identifier, _ := body.(Subject)
	num, key, _, err := b.person(w.subject)
	if err != nil {
		return err
	}
	taken, err := b.l.known(ctx, b.t, identifier)
	switch {
	case err != nil:
		return err
	case taken == num || identifier == w.subject:
		return nil
	case taken != 0:
		return &refusal{ErrIdentifierTaken}
	}
	b.t.mu.RLock()
	full := len(b.t.aliases[num]) >= maxAliases
	b.t.mu.RUnlock()
	if full {
		return &InputError{"identifier", "is one more than a person may have"}
	}
	row.Sealed = seal.Seal(key, []byte(identifier.Reveal()), rowAAD(b.t.id, row.Position))
	b.pads[num] = padOf(key)
	row.Subject = num
	row.sign(b.t.keys.MAC)
	b.batch.Free = append(b.batch.Free, b.t.lookup(identifier)) // no row of theirs would stand in an ingest's way
	b.rows = append(b.rows, row)
	b.adopt(b.newcomer(w.subject, num))
	w.result.Recorded = Recorded{New: true, Position: row.Position, RecordedAt: row.RecordedAt}
	return nil
}

// maxAliases is how many further identifiers a person may have: the marks of all
// go into one entry when they are erased.
const maxAliases = 1000

// applyIdentifier folds another identifier in. The caller holds mu.
func (t *tenant) applyIdentifier(row Row, body func() ([]byte, error), show *shown) error {
	who, known := t.who[row.Subject]
	if !known {
		return fmt.Errorf("%w: an entry about nobody the ledger knows", ErrTampered)
	}
	s := t.spoke(row)
	t.refreshAll(s)
	if show == nil {
		var ev identifierEvent
		plain, err := body()
		if err != nil || json.Unmarshal(plain, &ev) != nil {
			return fmt.Errorf("%w: an identifier", ErrTampered)
		}
		t.byMark[ev.Mark] = marked{num: row.Subject}
		s.condemned = false // they were given a new key
		return nil
	}
	if show.gone {
		return nil
	}
	t.aliases[row.Subject] = append(t.aliases[row.Subject], show.alias)
	if who.version == lookupVersion {
		t.byLookup[show.alias] = row.Subject
	}
	return nil
}

// Identifiers returns every identifier of a person that can still be read.
func (l *Ledger) Identifiers(ctx context.Context, id TenantID, num SubjectNum) ([]Subject, error) {
	t, _, err := l.fresh(ctx, id)
	if err != nil {
		return nil, err
	}
	rows, err := l.store.SubjectsBy(ctx, id, []SubjectNum{num})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	row := rows[0]
	if !t.vouched(&row) {
		return nil, ErrTampered
	}
	key, err := l.vault.SubjectKey(row.Key)
	if errors.Is(err, ErrKeyGone) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: open a person's key", ErrUnavailable)
	}
	var out []Subject
	take := func(box, aad []byte) {
		if plain, err := seal.Open(key, box, aad); err == nil {
			if s, err := ParseSubject(string(plain)); err == nil {
				out = append(out, s)
			}
		}
	}
	take(row.box(), subjectAAD(id, num))
	entries, err := l.store.History(ctx, id, num, 0, maxIdentifiers)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.Kind != KindIdentifier {
			continue
		}
		box := e.Sealed
		var ev identifierEvent
		plain, err := t.body(e)()
		if err == nil && json.Unmarshal(plain, &ev) == nil {
			box = ev.Sealed
		}
		take(box, rowAAD(id, e.Position))
	}
	return out, nil
}

// maxIdentifiers bounds how far back a person's further identifiers are read.
const maxIdentifiers = 100_000
