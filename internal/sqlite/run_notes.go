package sqlite

import (
	"context"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/training"
)

// AddRunNote implements training.Lineage.
func (db *DB) AddRunNote(ctx context.Context, t consent.TenantID, n training.RunRow) error {
	return db.write(ctx, "record something about a run", func(x *tx) error {
		made, err := x.change(`INSERT INTO manifest_run_notes (tenant, manifest, lookup, position, sealed)
			SELECT tenant, manifest, lookup, ?4, ?5 FROM manifest_runs WHERE tenant = ?1 AND manifest = ?2 AND lookup = ?3
			ON CONFLICT (tenant, manifest, position) DO UPDATE SET sealed = ?5`, string(t), n.Manifest, n.Lookup[:], int64(n.Position), n.Sealed)
		if err == nil && made == 0 {
			err = training.ErrNotFound
		}
		return err
	})
}

// RunNotesOf implements training.Lineage.
func (db *DB) RunNotesOf(ctx context.Context, t consent.TenantID, id string) (notes []training.RunRow, err error) {
	const doing = "read what was recorded about runs"
	err = db.reading(doing, func() error {
		return each(ctx, db.readers, doing, `SELECT `+runColumns+` FROM manifest_run_notes WHERE tenant = ? AND manifest = ?
			ORDER BY position`, []any{string(t), id}, func(read scan) error {
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
