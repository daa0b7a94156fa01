package httpapi

import (
	"context"
	"log/slog"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/credential"
	"github.com/assent-gateway/assent/internal/translog"
	"github.com/assent-gateway/assent/retrieval"
)

// Deps are what the HTTP interface is made of. All but Log are required.
type Deps struct {
	Ledger      *consent.Ledger
	Retrieval   *retrieval.Service
	Credentials *credential.Service
	Erasure     *erasure.Service
	Tenants     TenantMaker
	Tree        *translog.Log
	// PublicLog lets everybody read the log of every tenant.
	PublicLog bool
	// Ready says whether the gateway may serve, and why not.
	Ready func(context.Context) error
	// Log is one of internal/logging: what is not on its list is dropped.
	Log *slog.Logger
	// Outages are errors of adapters that mean a dependency failed: 503.
	Outages []error
}

// A TenantMaker makes tenants.
type TenantMaker interface {
	// CreateTenant makes a tenant that can be used when it returns: its keys
	// are in the vault, its ledger is open and has a policy. It returns the
	// secret of the tenant's admin key, which nothing keeps.
	CreateTenant(ctx context.Context, name credential.Name) (id consent.TenantID, secret string, err error)
}
