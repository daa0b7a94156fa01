package postgres

import (
	"context"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/training"
)

// AddRunNote implements training.Lineage.
func (db *DB) AddRunNote(ctx context.Context, t consent.TenantID, n training.RunRow) error {
	return db.change(ctx, "record something about a run", func(made int64) error {
		if made == 0 {
			return training.ErrNotFound
		}
		return nil
	}, `INSERT INTO manifest_run_notes (tenant, manifest, lookup, position, sealed)
		SELECT tenant, manifest, lookup, $4, $5 FROM manifest_runs WHERE tenant = $1 AND manifest = $2 AND lookup = $3
		ON CONFLICT (tenant, manifest, position) DO UPDATE SET sealed = $5`, t, n.Manifest, n.Lookup[:], int64(n.Position), n.Sealed)
}

// RunNotesOf implements training.Lineage.
func (db *DB) RunNotesOf(ctx context.Context, t consent.TenantID, id string) (notes []training.RunRow, err error) {
	err = db.reading(ctx, "read what was recorded about runs", func(s *session) error {
		notes = nil
		return s.each(ctx, `SELECT `+runColumns+` FROM manifest_run_notes WHERE tenant = $1 AND manifest = $2
			ORDER BY position`, []any{t, id}, func(read scan) error {
			var n training.RunRow
			err := read(runDst(&n)...)
			notes = append(notes, n)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return notes, nil
}
