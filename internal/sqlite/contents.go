package sqlite

import (
	"context"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/training"
)

var _ training.Contents = (*DB)(nil)

// PutDocuments implements training.Contents.
func (db *DB) PutDocuments(ctx context.Context, t consent.TenantID, id string, p training.PartRow) error {
	return db.write(ctx, "record the documents of a manifest", func(x *tx) error {
		_, err := x.change(`INSERT INTO manifest_documents (tenant, manifest, part, sealed) VALUES (?1, ?2, ?3, ?4)
			ON CONFLICT (tenant, manifest, part) DO UPDATE SET sealed = ?4`, string(t), id, int64(p.Part), p.Sealed)
		return err
	})
}

// DocumentsOf implements training.Contents.
func (db *DB) DocumentsOf(ctx context.Context, t consent.TenantID, id string) (parts []training.PartRow, err error) {
	const doing = "read the documents of a manifest"
	err = db.reading(doing, func() error {
		return each(ctx, db.readers, doing, `SELECT part, sealed FROM manifest_documents WHERE tenant = ? AND manifest = ? ORDER BY part`,
			[]any{string(t), id}, func(read scan) error {
				var p training.PartRow
				err := read(into(&p.Part), &p.Sealed)
				parts = append(parts, p)
				return err
			})
	})
	if err != nil {
		return nil, err
	}
	return parts, nil
}

// AllManifests implements training.Contents.
func (db *DB) AllManifests(ctx context.Context, t consent.TenantID) ([]training.ManifestRow, error) {
	return db.manifests(ctx, "read manifests", `SELECT `+manifestColumns+` FROM manifests m WHERE m.tenant = ? ORDER BY m.created_at, m.id`, string(t))
}

// AddErased implements training.Contents.
func (db *DB) AddErased(ctx context.Context, t consent.TenantID, of string, docs []int64) error {
	if len(docs) == 0 {
		return nil
	}
	return db.write(ctx, "note erased documents", func(x *tx) error {
		_, err := x.change(`INSERT INTO erased_documents (tenant, of, num)
			SELECT ?1, ?2, value FROM json_each(?3) WHERE true ON CONFLICT DO NOTHING`, string(t), of, list(docs))
		return err
	})
}

// Erased implements training.Contents.
func (db *DB) Erased(ctx context.Context, t consent.TenantID, of string) (docs []int64, err error) {
	const doing = "read erased documents"
	err = db.reading(doing, func() error {
		return each(ctx, db.readers, doing, `SELECT num FROM erased_documents WHERE tenant = ? AND of = ? ORDER BY num`, []any{string(t), of}, func(read scan) error {
			var num int64
			err := read(&num)
			docs = append(docs, num)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return docs, nil
}

// DropErased implements training.Contents.
func (db *DB) DropErased(ctx context.Context, t consent.TenantID, of string) error {
	return db.write(ctx, "forget erased documents", func(x *tx) error {
		_, err := x.change(`DELETE FROM erased_documents WHERE tenant = ? AND of = ?`, string(t), of)
		return err
	})
}
