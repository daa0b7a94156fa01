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

// CreateTenant makes a tenant, opens its ledger, enters its admin key there and
// makes that, and returns the key's secret. The vault must have the tenant's
// keys already. ErrExists. A crash leaves, step by step: keys that no tenant
// uses; a tenant without a key, or whose ledger speaks of one that never was.
// Nobody can use such a tenant, and it holds nothing.
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
	err = s.store.AddTenant(ctx, TenantRow{ID: id, CreatedAt: now, Sealed: sealedName}, nil, nil)
	switch {
	case errors.Is(err, ErrExists):
		return "", err
	case err != nil:
		return "", unavailable(err)
	}
	if s.openLedger != nil {
		if err := s.openLedger(ctx, id); err != nil {
			return "", err
		}
	}
	if err := s.enter(ctx, id, created(row, BootstrapID, Everything(admin))); err != nil {
		return "", err
	}
	if err := s.store.AddKey(ctx, row, nil); err != nil {
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
