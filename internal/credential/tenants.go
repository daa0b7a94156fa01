package credential

import (
	"context"
	"errors"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// A Tenant is an isolated customer.
type Tenant struct {
	ID        consent.TenantID
	Name      Name
	CreatedAt consent.Time
}

// CreateTenant makes a tenant and its admin key, whose secret it returns. The
// vault must have the tenant's keys already: a crash in between leaves keys
// that no tenant uses. ErrExists.
func (s *Service) CreateTenant(ctx context.Context, id consent.TenantID, name Name) (secret string, err error) {
	if name == (Name{}) {
		return "", invalid("name", "is required")
	}
	now, err := s.store.Now(ctx)
	if err != nil {
		return "", unavailable(err)
	}
	admin, err := ParseName("admin")
	if err != nil {
		return "", err
	}
	row, secret, err := s.row(id, NewKeyID(), Everything(admin), now, 0)
	if err != nil {
		return "", err
	}
	sealedName := seal.Seal(s.seal(), []byte(name.Reveal()), tenantAAD(id))
	err = s.store.AddTenant(ctx, TenantRow{ID: id, CreatedAt: now, Sealed: sealedName}, []KeyRow{row}, nil)
	switch {
	case errors.Is(err, ErrExists):
		return "", err
	case err != nil:
		return "", unavailable(err)
	}
	return secret, nil
}

// Tenants returns every tenant.
func (s *Service) Tenants(ctx context.Context) ([]Tenant, error) {
	rows, err := s.store.Tenants(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	out := make([]Tenant, len(rows))
	for i, row := range rows {
		out[i] = Tenant{ID: row.ID, CreatedAt: row.CreatedAt}
		if len(row.Sealed) == 0 {
			continue // the gateway's own first tenant has no name
		}
		plain, err := seal.Open(s.seal(), row.Sealed, tenantAAD(row.ID))
		if err != nil {
			return nil, unavailable(errGrant)
		}
		if out[i].Name, err = ParseName(string(plain)); err != nil {
			return nil, unavailable(errGrant)
		}
	}
	return out, nil
}

func tenantAAD(id consent.TenantID) []byte { return append([]byte("assent tenant\x00"), id...) }
