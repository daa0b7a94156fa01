package credential

import (
	"context"
	"errors"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// NewKeyID returns a fresh key's id, for Create, so that what is remembered of
// the request can name it.
func NewKeyID() string { return randomID("key-") }

// Create makes a key in the maker's tenant and returns its secret, which
// nothing keeps. The maker needs Admin, and holds all that g grants. remember
// is committed with the key; consent.ErrRemembered when it is there already.
func (s *Service) Create(ctx context.Context, by Key, id string, g Grant, expires consent.Time, remember []consent.Remembered) (secret string, err error) {
	if !by.Scopes.Has(Admin) {
		return "", ErrForbidden
	}
	if err := g.check(&by); err != nil {
		return "", err
	}
	now, err := s.store.Now(ctx)
	if err != nil {
		return "", unavailable(err)
	}
	if expires != 0 && expires <= now {
		return "", invalid("expires_at", "does not lie in the future")
	}
	if by.ExpiresAt != 0 && (expires == 0 || expires > by.ExpiresAt) {
		return "", invalid("expires_at", "is later than that of the key which makes it")
	}
	row, secret, err := s.row(by.Tenant, id, g, now, expires)
	if err != nil {
		return "", err
	}
	if err := s.enter(ctx, by.Tenant, created(row, by.ID, g)); err != nil {
		return "", err
	}
	// A crash here leaves an entry about a key that never was: nobody was told
	// its secret.
	err = s.store.AddKey(ctx, row, remember)
	if errors.Is(err, consent.ErrRemembered) || errors.Is(err, ErrExists) || errors.Is(err, ErrNotFound) {
		return "", err
	}
	if err != nil {
		return "", unavailable(err)
	}
	return secret, nil
}

func (s *Service) row(t consent.TenantID, id string, g Grant, now, expires consent.Time) (KeyRow, string, error) {
	secret := NewSecret()
	row := KeyRow{ID: id, Tenant: t, Hash: s.hash(secret), CreatedAt: now, ExpiresAt: expires}
	plain, err := g.encode(expires)
	if err != nil {
		return KeyRow{}, "", err
	}
	row.Sealed = seal.Seal(s.seal(), plain, keyAAD(t, id, row.Hash))
	return row, secret, nil
}

// List returns the keys of the caller's tenant, oldest first, revoked ones
// too. It needs Admin.
func (s *Service) List(ctx context.Context, by Key) ([]Key, error) {
	if !by.Scopes.Has(Admin) {
		return nil, ErrForbidden
	}
	rows, err := s.store.Keys(ctx, by.Tenant)
	if err != nil {
		return nil, unavailable(err)
	}
	keys := make([]Key, len(rows))
	for i, row := range rows {
		if keys[i], err = s.open(row); err != nil {
			return nil, unavailable(err)
		}
	}
	return keys, nil
}

// Revoke ends a key of the caller's tenant: when it returns, the key is
// refused, and its ledger says so. One that is absent is ErrNotFound, one
// revoked before stays so. It needs Admin.
//
// A revocation does not wait for the ledger: the key is refused first. A crash
// before the entry, or a ledger that cannot be written, leaves a revoked key
// without one, and an error or no answer: a repeat makes the entry, and may
// make it twice; without a repeat the next start makes it (Reconcile).
func (s *Service) Revoke(ctx context.Context, by Key, id string) error {
	if !by.Scopes.Has(Admin) {
		return ErrForbidden
	}
	err := s.store.RevokeKey(ctx, by.Tenant, id)
	s.forget() // after an error too: it may have happened
	if err != nil && !errors.Is(err, ErrNotFound) {
		return unavailable(err)
	}
	if err != nil {
		return err
	}
	return s.enter(ctx, by.Tenant, keyEvent{Event: eventRevoked, Key: id, By: by.ID})
}
