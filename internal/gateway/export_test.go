package gateway

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/retrieval"
)

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
	return g.vault.Destroy(refs...)
}

// Entry returns a row of the default tenant's ledger.
func (g *Gateway) Entry(t testing.TB, p consent.Position) (row consent.Row, ok bool) {
	t.Helper()
	stop := errors.New("enough")
	err := g.db.Rows(context.Background(), DefaultTenant, p-1, func(r consent.Row) error {
		row, ok = r, true
		return stop
	})
	if err != nil && !errors.Is(err, stop) {
		t.Fatal(err)
	}
	return row, ok
}

// Leftovers are probe material and controls that should be gone.
func (g *Gateway) Leftovers(t testing.TB) []string {
	t.Helper()
	left, err := g.vault.Probes()
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{g.cfg.DataDir, g.cfg.VaultDir} {
		found, err := filepath.Glob(filepath.Join(dir, "erasure-control-*"))
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, found...)
	}
	return left
}

// Cascade runs an erasure's steps, without verification.
func (g *Gateway) Cascade(ctx context.Context, id string) error {
	o, err := g.Erasure.Order(ctx, DefaultTenant, id)
	if err != nil {
		return err
	}
	for _, step := range g.cascade() {
		if step.Name == "files" {
			continue
		}
		for more := true; more; {
			if _, more, err = step.Run(ctx, o); err != nil {
				return err
			}
		}
	}
	return nil
}

// EndErasure closes an erasure's row, so that the person can be erased again.
func (g *Gateway) EndErasure(ctx context.Context, id string) error {
	row, _, err := g.db.Erasure(ctx, DefaultTenant, id)
	if err != nil {
		return err
	}
	row.Version++
	row.Open, row.State = false, uint8(erasure.Completed)
	return g.db.ChangeErasure(ctx, DefaultTenant, row)
}

// LiveDocuments counts the documents of the default tenant.
func (g *Gateway) LiveDocuments(t testing.TB) (n int) {
	t.Helper()
	if err := g.db.Live(context.Background(), DefaultTenant, func(retrieval.DocRow, []retrieval.PartRow) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}
