package credential

import (
	"context"

	"github.com/assent-gateway/assent/consent"
)

// keyEvent is the sealed part of an entry about a key. It holds no secret and
// no hash of one, and nothing that people choose but the names of purposes and
// namespaces: of a list of collections only its length.
type keyEvent struct {
	Event       string   `json:"event"` // created | revoked
	Key         string   `json:"key"`
	By          string   `json:"by"` // id of the key that asked
	Scopes      []string `json:"scopes,omitempty"`
	Purposes    *lists   `json:"purposes,omitempty"`
	Namespaces  *lists   `json:"namespaces,omitempty"`
	Collections *int     `json:"collections,omitempty"` // absent: all
	ExpiresAt   string   `json:"expires_at,omitempty"`
}

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
		Event: "created", Key: row.ID, By: by, Scopes: g.Scopes.Names(), Purposes: listed(g.Purposes),
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
