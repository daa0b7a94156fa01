package events

import (
	"context"
	"errors"
	"sync"

	"github.com/assent-gateway/assent/consent"
)

// Ledger is where events come from; consent.Ledger is one.
type Ledger interface {
	Changes(ctx context.Context, t consent.TenantID, after consent.Position, limit int) ([]consent.Change, consent.Position, error)
	News(ctx context.Context, t consent.TenantID) (<-chan struct{}, error)
}

// Names tells how the person of an erasure is named.
type Names interface {
	// Told returns what an event of an erasure's suppression says: scope and
	// framework, and the identifiers of its person as long as they can be named,
	// the one that was asked by first, always in the same order. Nothing is no
	// error.
	Told(ctx context.Context, t consent.TenantID, erasure string) (Told, error)
}

// Told is what recipients are told of an erasure.
type Told struct {
	Scope, Regulation string
	Names             []string
}

// Lineage knows which manifests hold a person, or documents.
type Lineage interface {
	Holding(ctx context.Context, t consent.TenantID, who consent.SubjectNum, purpose string, at consent.Position, when consent.Time) ([]string, error)
	// HoldingRemoved are those with rows of the documents that a removal is about;
	// it is asked before any of these is deleted.
	HoldingRemoved(ctx context.Context, t consent.TenantID, r consent.Removal, at consent.Position, when consent.Time) ([]string, error)
}

// A Stream derives the events of ledgers. It keeps nothing but what became
// stale when.
type Stream struct {
	Ledger  Ledger
	Names   Names
	Lineage Lineage
	Store   Store
	// Origin names a tenant's log: the source of its events.
	Origin func(consent.TenantID) (string, error)

	mu      sync.Mutex
	settled map[consent.TenantID]consent.Position
}

// Read returns the events of at most limit entries after a position, in order,
// and the position up to which it looked.
func (s *Stream) Read(ctx context.Context, t consent.TenantID, after consent.Position, limit int) ([]Event, consent.Position, error) {
	source, err := s.Origin(t)
	if err != nil {
		return nil, 0, err
	}
	changes, upTo, err := s.Ledger.Changes(ctx, t, after, limit)
	if err != nil || len(changes) == 0 {
		return nil, upTo, err
	}
	if err := s.Settle(ctx, t, upTo); err != nil {
		return nil, 0, err
	}
	stale, err := s.Store.StaleAt(ctx, t, after, upTo)
	if err != nil {
		return nil, 0, err
	}
	var out []Event
	for i := range changes {
		d := derivation{source: source, c: &changes[i]}
		of, err := s.derive(ctx, t, &d)
		if err != nil {
			return nil, 0, err
		}
		out = append(out, of...)
		for ; len(stale) > 0 && stale[0].Position == changes[i].Position; stale = stale[1:] {
			e, err := d.stale(stale[0].Manifest)
			if err != nil {
				return nil, 0, err
			}
			out = append(out, e)
		}
	}
	return out, upTo, nil
}

func (s *Stream) derive(ctx context.Context, t consent.TenantID, d *derivation) ([]Event, error) {
	var e Event
	var err error
	switch d.c.Kind {
	case consent.KindConsent:
		e, err = d.changed()
	case consent.KindErasure, consent.KindRemoval:
		var told Told
		if told, err = s.Names.Told(ctx, t, d.c.Erasure.ID); err == nil {
			state := d.c.Erasure.State
			if state == "" {
				state = "suppressed"
			}
			e, err = d.suppressed(state, d.c.Erasure.Scope, d.c.Erasure.Regulation, told.Names)
		}
	case consent.KindHold:
		if d.c.Erasure.Event != consent.EventApproved {
			return nil, nil
		}
		var told Told
		if told, err = s.Names.Told(ctx, t, d.c.Erasure.ID); err == nil {
			e, err = d.suppressed("suppressed", told.Scope, told.Regulation, told.Names)
		}
	case consent.KindLift, consent.KindErased:
		e, err = d.completed()
	default:
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return []Event{e}, nil
}

// Suppressed returns the event that tells of a suppression which is entered at a
// position: the bytes that Read gives for that entry.
func (s *Stream) Suppressed(t consent.TenantID, c consent.Change, told Told) ([]byte, error) {
	source, err := s.Origin(t)
	if err != nil {
		return nil, err
	}
	d := derivation{source: source, c: &c}
	e, err := d.suppressed("suppressed", told.Scope, told.Regulation, told.Names)
	return e.Event, err
}

// staleSink is the cursor up to which it is known which manifests became stale.
const staleSink = "manifest.stale"

// Settle finds out which manifests became stale up to a position, or the head
// where that comes first. Entries are
// looked at in order; whichever gateway finds one first moves the cursor with
// it. While none is found the cursor lags behind what each gateway knows, so
// that not every entry costs a write.
func (s *Stream) Settle(ctx context.Context, t consent.TenantID, upTo consent.Position) error {
	if s.known(t, 0) >= upTo {
		return nil
	}
	if err := s.Store.StartCursor(ctx, t, staleSink, 0); err != nil {
		return err
	}
	for {
		at, found, err := s.Store.Cursor(ctx, t, staleSink)
		if err != nil {
			return err
		}
		if !found {
			return errors.New("events: a cursor is missing")
		}
		from := s.known(t, at)
		if from >= upTo {
			return nil
		}
		stale, reached, err := s.look(ctx, t, from)
		if err != nil {
			return err
		}
		if reached == from {
			return nil // the ledger ends here: what came back of the erased is erased up to what is to come
		}
		if len(stale) > 0 || reached-at >= settleLag {
			moved, err := s.Store.Advance(ctx, t, staleSink, at, reached, stale)
			if err != nil {
				return err
			}
			if !moved {
				continue // another was faster: what it found stands
			}
		}
		s.known(t, reached)
	}
}

const (
	settlePage = 512
	settleLag  = 2 * settlePage
)

// known is up to where this process knows which manifests became stale, once it
// knows it up to a position.
func (s *Stream) known(t consent.TenantID, at consent.Position) consent.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.settled == nil {
		s.settled = map[consent.TenantID]consent.Position{}
	}
	s.settled[t] = max(s.settled[t], at)
	return s.settled[t]
}

// look returns what became stale by the next entries, and how far it looked.
func (s *Stream) look(ctx context.Context, t consent.TenantID, from consent.Position) (stale []Stale, reached consent.Position, err error) {
	changes, reached, err := s.Ledger.Changes(ctx, t, from, settlePage)
	if err != nil {
		return nil, 0, err
	}
	for i := range changes {
		ids, err := s.ends(ctx, t, &changes[i])
		if err != nil {
			return nil, 0, err
		}
		for _, id := range ids {
			stale = append(stale, Stale{id, changes[i].Position})
		}
	}
	return stale, reached, nil
}

// ends returns the manifests that an entry makes stale.
func (s *Stream) ends(ctx context.Context, t consent.TenantID, c *consent.Change) ([]string, error) {
	purpose := ""
	switch {
	case c.Kind == consent.KindErasure:
	case c.Kind == consent.KindRemoval:
		return s.Lineage.HoldingRemoved(ctx, t, c.Removal, c.Position, c.RecordedAt)
	case c.Kind == consent.KindConsent && (c.Status.Refusal() || c.Status == consent.Restricted):
		if purpose = c.Type.Purpose; purpose == consent.Embedding {
			purpose = "" // it is needed beside every purpose
		}
	default:
		return nil, nil
	}
	return s.Lineage.Holding(ctx, t, c.Person, purpose, c.Position, c.RecordedAt)
}
