package gateway

import (
	"context"
	"crypto/rand"
	"strings"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/credential"
)

// CreateTenant makes a tenant that can be used when it returns: its keys are
// in the vault, its ledger is open and has a policy. It returns the secret of
// the tenant's admin key, which nothing keeps. A crash in between leaves keys
// of a tenant that is not there, or a tenant that the next start opens.
func (g *Gateway) CreateTenant(ctx context.Context, name credential.Name) (consent.TenantID, string, error) {
	id := consent.TenantID("t" + strings.ToLower(rand.Text())[:16])
	if err := g.vault.AddTenant(ctx, string(id)); err != nil {
		return "", "", err
	}
	secret, err := g.Credentials.CreateTenant(ctx, id, name) // opens the ledger, too
	return id, secret, err
}
