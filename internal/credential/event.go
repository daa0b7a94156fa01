package credential

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/assent-gateway/assent/consent"
)

// keyEvent is the sealed part of an entry about a key. It holds no secret and
// no hash of one, and nothing that people choose but the names of purposes and
// namespaces: of a list of collections only its length.
type keyEvent struct {
	Event       string   `json:"event"`
	Key         string   `json:"key"`
	By          string   `json:"by"` // id of the key that asked, or byStart
	Scopes      []string `json:"scopes,omitempty"`
	Purposes    *lists   `json:"purposes,omitempty"`
	Namespaces  *lists   `json:"namespaces,omitempty"`
	Collections *int     `json:"collections,omitempty"` // absent: all
	ExpiresAt   string   `json:"expires_at,omitempty"`
}

// What the events of keys say.
const (
	eventCreated = "created"
	eventRevoked = "revoked"
	// byStart: a start entered what a crash had left out; who asked is not known.
	byStart = "start"
)

var errEvent = errors.New("credential: an entry about a key cannot be read")

// lists is a list of which absent is all and empty none.
type lists []string

func listed(names []string) *lists {
	if names == nil {
		return nil
	}
	l := append(lists{}, names...)
	return &l
}

func created(row KeyRow, by string, g Grant) keyEvent {
	e := keyEvent{
		Event: eventCreated, Key: row.ID, By: by, Scopes: g.Scopes.Names(), Purposes: listed(g.Purposes),
		Namespaces: listed(g.Namespaces), ExpiresAt: row.ExpiresAt.String(),
	}
	if g.Collections != nil {
		n := len(g.Collections)
		e.Collections = &n
	}
	return e
}

// enter records an event of a key.
func (s *Service) enter(ctx context.Context, t consent.TenantID, e keyEvent) error {
	if s.ledger == nil {
		return nil
	}
	_, err := s.ledger.Enter(ctx, t, consent.Note{Kind: consent.KindKey, Body: e})
	return err
}

// Reconcile makes a tenant's keys and its ledger agree about revocations, at a
// start: a key that was revoked while its entry could not be made is entered;
// one that the ledger says is revoked, and the store not, as in data put back
// from a backup, is revoked. The ledger is open, and nobody is served yet.
func (s *Service) Reconcile(ctx context.Context, t consent.TenantID) error {
	if s.ledger == nil {
		return nil
	}
	entered := map[string]bool{}
	err := s.ledger.Notes(ctx, t, consent.KindKey, func(_ consent.Position, plain []byte) error {
		var e keyEvent
		if json.Unmarshal(plain, &e) != nil {
			return errEvent
		}
		if e.Event == eventRevoked {
			entered[e.Key] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	rows, err := s.store.Keys(ctx, t)
	if err != nil {
		return unavailable(err)
	}
	for _, row := range rows {
		switch revoked := row.RevokedAt != 0; {
		case revoked && !entered[row.ID]:
			err = s.enter(ctx, t, keyEvent{Event: eventRevoked, Key: row.ID, By: byStart})
		case !revoked && entered[row.ID]:
			if err = s.store.RevokeKey(ctx, t, row.ID); err != nil {
				err = unavailable(err)
			}
			s.forget()
		}
		if err != nil {
			return err
		}
	}
	return nil
}
