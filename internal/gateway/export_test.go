package gateway

import (
	"context"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/retrieval"
)

// CorpusHead is the default tenant's.
func (g *Gateway) CorpusHead(ctx context.Context) retrieval.CorpusPosition {
	p, err := g.db.CorpusHead(ctx, DefaultTenant)
	if err != nil {
		panic(err)
	}
	return p
}

// DestroyPersonsKey destroys a person's key in the vault, as an erasure will.
func (g *Gateway) DestroyPersonsKey(ctx context.Context, who consent.Subject) error {
	num, err := g.Ledger.Find(ctx, DefaultTenant, who)
	if err != nil {
		return err
	}
	rows, err := g.db.SubjectsBy(ctx, DefaultTenant, []consent.SubjectNum{num})
	if err != nil {
		return err
	}
	refs := []seal.Ref{rows[0].Key}
	return g.vault.Consent().Destroy(refs...)
}

// VaultDirOf is where a gateway's vault is.
func VaultDirOf(g *Gateway) string { return g.vault.Dir() }

// DroppedByIndex is how many hits of the index outside did not count, by
// weaviate's reasons.
func (g *Gateway) DroppedByIndex() [4]int64 { return g.index.index.Dropped() }

// ApplyVerdicts does rounds of the applier until nothing is left to apply.
func (g *Gateway) ApplyVerdicts(ctx context.Context, t consent.TenantID) error {
	for {
		n, err := g.index.index.ApplyVerdicts(ctx, t)
		if err != nil || n == 0 {
			return err
		}
	}
}

// Reconcile walks over everything in Weaviate.
func (g *Gateway) Reconcile(ctx context.Context, t consent.TenantID) (int, error) {
	return g.index.index.Reconcile(ctx, t)
}

// ObjectsInWeaviate counts what Weaviate holds of a collection of the default tenant.
func (g *Gateway) ObjectsInWeaviate(ctx context.Context, name string) (int, error) {
	c, err := g.Retrieval.Collection(ctx, retrieval.Caller{Tenant: DefaultTenant}, name)
	if err != nil {
		return 0, err
	}
	return g.index.index.Count(ctx, c.ID)
}
