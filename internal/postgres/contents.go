package postgres

import (
	"context"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/training"
)

var _ training.Contents = (*DB)(nil)

// PutDocuments implements training.Contents.
func (db *DB) PutDocuments(ctx context.Context, t consent.TenantID, id string, p training.PartRow) error {
	return db.change(ctx, "record the documents of a manifest", nil, `INSERT INTO manifest_documents (tenant, manifest, part, sealed) VALUES ($1, $2, $3, $4)
		ON CONFLICT (tenant, manifest, part) DO UPDATE SET sealed = $4`, t, id, int64(p.Part), p.Sealed)
}

// DocumentsOf implements training.Contents.
func (db *DB) DocumentsOf(ctx context.Context, t consent.TenantID, id string) (parts []training.PartRow, err error) {
	err = db.reading(ctx, "read the documents of a manifest", func(s *session) error {
		parts = nil
		return s.each(ctx, `SELECT part, sealed FROM manifest_documents WHERE tenant = $1 AND manifest = $2 ORDER BY part`, []any{t, id}, func(read scan) error {
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
	return db.manifests(ctx, "read manifests", `SELECT `+manifestColumns+` FROM manifests m WHERE m.tenant = $1 ORDER BY m.created_at, m.id`, t)
}

// AddErased implements training.Contents.
func (db *DB) AddErased(ctx context.Context, t consent.TenantID, of string, docs []int64) error {
	return db.change(ctx, "note erased documents", nil, `INSERT INTO erased_documents (tenant, of, num)
		SELECT $1, $2, unnest($3::bigint[]) ON CONFLICT DO NOTHING`, t, of, docs)
}

// Erased implements training.Contents.
func (db *DB) Erased(ctx context.Context, t consent.TenantID, of string) (docs []int64, err error) {
	err = db.reading(ctx, "read erased documents", func(s *session) error {
		docs = nil
		return s.each(ctx, `SELECT num FROM erased_documents WHERE tenant = $1 AND of = $2 ORDER BY num`, []any{t, of}, func(read scan) error {
			var num int64
			err := read(into(&num))
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
	return db.change(ctx, "forget erased documents", nil, `DELETE FROM erased_documents WHERE tenant = $1 AND of = $2`, t, of)
}
