package consent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// EnterPolicy puts a policy in force by an entry of the ledger, unless it is:
// an equal version must have the same digest (ErrPolicyConflict), a lower one
// changes nothing. It reports whether an entry was made. A nil policy enters
// the built-in one where a tenant has none.
func (l *Ledger) EnterPolicy(ctx context.Context, id TenantID, p *Policy) (entered bool, err error) {
	t, err := l.tenant(ctx, id)
	if err != nil {
		return false, err
	}
	fallback := p == nil
	if fallback {
		p = Builtin()
	}
	errAlready := errors.New("in force")
	w := &write{build: func(now Time, pos Position) (Row, any, error) {
		// Under the head lock, with memory at the head.
		t.mu.RLock()
		cur := t.rules.policy
		registry := t.rules.registry
		t.mu.RUnlock()
		switch {
		case cur == nil:
		case fallback || p.Version < cur.Version || p.digest == cur.digest:
			return Row{}, nil, &refusal{errAlready}
		case p.Version == cur.Version:
			return Row{}, nil, &refusal{ErrPolicyConflict}
		}
		for _, pub := range p.ConsentTypes {
			if old := registry.types[pub.parsed]; old != nil && !old.same(pub) {
				return Row{}, nil, &refusal{fmt.Errorf("%w: %s; give a new text a new version", ErrPublished, pub.Type)}
			}
		}
		return Row{Kind: KindPolicy, RecordedAt: now, Position: pos}, p.raw, nil
	}}
	if err := l.submit(ctx, id, []*write{w}); err != nil {
		return false, err
	}
	if errors.Is(w.result.Err, errAlready) {
		return false, nil
	}
	return w.result.Err == nil, w.result.Err
}

// refusal is an error of one write that leaves its batch alone.
type refusal struct{ error }

func (r *refusal) Unwrap() error { return r.error }

// Publish publishes a consent type. A version that is published with the same
// content is left as it is (created false); with another, ErrPublished.
func (l *Ledger) Publish(ctx context.Context, id TenantID, pub PublishedType, once Once) (created bool, at Position, err error) {
	t, err := l.tenant(ctx, id)
	if err != nil {
		return false, 0, err
	}
	if err := pub.check(); err != nil {
		return false, 0, &InputError{"", err.Error()} // texts of check hold no values
	}
	errAlready := errors.New("published")
	w := &write{once: once, build: func(now Time, pos Position) (Row, any, error) {
		t.mu.RLock()
		old := t.rules.registry.types[pub.parsed]
		policy := t.rules.policy
		t.mu.RUnlock()
		if old != nil && old.same(pub) {
			at = old.position
			return Row{}, nil, &refusal{errAlready}
		}
		if old != nil {
			return Row{}, nil, &refusal{ErrPublished}
		}
		if policy == nil {
			return Row{}, nil, fmt.Errorf("%w: no policy is in force", ErrUnavailable)
		}
		if _, ok := policy.Purposes[pub.parsed.Purpose]; !ok {
			return Row{}, nil, &InputError{"consent_type", "is of a purpose that the policy does not know"}
		}
		return Row{Kind: KindType, Type: pub.parsed, RecordedAt: now, Position: pos}, pub, nil
	}}
	if err := l.submit(ctx, id, []*write{w}); err != nil {
		return false, 0, err
	}
	if errors.Is(w.result.Err, errAlready) {
		return false, at, nil
	}
	return w.result.Err == nil, w.result.Position, w.result.Err
}

func decodeType(plain []byte) (PublishedType, error) {
	var p PublishedType
	if err := json.Unmarshal(plain, &p); err != nil {
		return p, err
	}
	return p, p.check()
}

// A Note is an entry about documents, keys, manifests or the tenant. But for
// manifests and runs, which hold nothing of anybody, it is sealed under the
// tenant's payload key.
type Note struct {
	Kind Kind // any but those about people, policies and consent types
	Body any  // JSON
}

// Enter records a note and returns its position.
func (l *Ledger) Enter(ctx context.Context, id TenantID, n Note) (Position, error) {
	return l.enter(ctx, id, n, false)
}

// EnterNext records a note, unless one of its kind stands after last: what the
// caller decided by is not all there is then (ErrOvertaken). Kinds are those of
// Notes.
func (l *Ledger) EnterNext(ctx context.Context, id TenantID, n Note, last Position) error {
	t, err := l.tenant(ctx, id)
	if err != nil {
		return err
	}
	w := &write{build: func(now Time, pos Position) (Row, any, error) {
		t.mu.RLock() // under the head lock, with memory at the head
		there := t.notes[n.Kind]
		overtaken := len(there) > 0 && there[len(there)-1] > last
		t.mu.RUnlock()
		if overtaken {
			return Row{}, nil, &refusal{ErrOvertaken}
		}
		return Row{Kind: n.Kind, RecordedAt: now, Position: pos}, n.Body, nil
	}}
	if err := l.submit(ctx, id, []*write{w}); err != nil {
		return err
	}
	return w.result.Err
}

// Begin records a note as the first entry of a ledger; where there is one, by
// whichever gateway, it does nothing.
func (l *Ledger) Begin(ctx context.Context, id TenantID, n Note) error {
	_, err := l.enter(ctx, id, n, true)
	if errors.Is(err, errBegun) {
		return nil
	}
	return err
}

var errBegun = errors.New("consent: the ledger has entries")

func (l *Ledger) enter(ctx context.Context, id TenantID, n Note, first bool) (Position, error) {
	switch n.Kind {
	case KindAttestation, KindOwners, KindKey, KindTenant, KindRestore, KindVault, KindRun, KindRemedy:
	default:
		return 0, errors.New("consent: not a kind of note")
	}
	w := &write{build: func(now Time, pos Position) (Row, any, error) {
		if first && pos != 1 {
			return Row{}, nil, &refusal{errBegun}
		}
		return Row{Kind: n.Kind, RecordedAt: now, Position: pos}, n.Body, nil
	}}
	if err := l.submit(ctx, id, []*write{w}); err != nil {
		return 0, err
	}
	return w.result.Position, w.result.Err
}

// Notes calls f with every note of a kind, oldest first: its position and its
// JSON. Kinds are KindKey, KindRestore and KindVault.
func (l *Ledger) Notes(ctx context.Context, id TenantID, kind Kind, f func(Position, []byte) error) error {
	t, _, err := l.fresh(ctx, id)
	if err != nil {
		return err
	}
	t.mu.RLock()
	at := slices.Clone(t.notes[kind])
	t.mu.RUnlock()
	for _, p := range at {
		err := l.store.Rows(ctx, id, p-1, func(row Row) error {
			if err := l.genuine(t, &row); err != nil {
				return err
			}
			if row.Position != p || row.Kind != kind {
				return ErrTampered
			}
			plain, err := t.body(row)()
			if err != nil {
				return fmt.Errorf("%w: open an entry of the tenant", ErrTampered)
			}
			if err := f(p, plain); err != nil {
				return err
			}
			return errEnough
		})
		if !errors.Is(err, errEnough) {
			return cmp.Or(err, error(ErrTampered)) // nil: the entry is gone
		}
	}
	return nil
}

// EnterIf records a note about something that was judged under permits for a
// purpose, unless still refuses. still is called under the head's lock with a
// permit at the head: between it and the entry, nobody says anything. It must
// be short, and may be called again; its error is returned as it is.
func (l *Ledger) EnterIf(ctx context.Context, id TenantID, n Note, purpose string, once Once, still func(Permit) error) (Recorded, error) {
	t, err := l.tenant(ctx, id)
	if err != nil {
		return Recorded{}, err
	}
	if !n.Kind.clear() {
		return Recorded{}, errors.New("consent: not a kind of note that is entered on a condition")
	}
	w := &write{once: once, build: func(now Time, pos Position) (Row, any, error) {
		t.mu.Lock()
		t.advance(now)
		t.mu.Unlock()
		if err := still(Permit{t: t, purpose: purpose, at: Head{Position: pos - 1, Now: now}}); err != nil {
			return Row{}, nil, &refusal{err}
		}
		return Row{Kind: n.Kind, RecordedAt: now, Position: pos}, n.Body, nil
	}}
	if err := l.submit(ctx, id, []*write{w}); err != nil {
		return Recorded{}, err
	}
	return w.result.Recorded, w.result.Err
}
