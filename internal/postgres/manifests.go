package postgres

import (
	"context"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/training"
)

var (
	_ training.Manifests = (*DB)(nil)
	_ training.Lineage   = (*DB)(nil)
)

const manifestColumns = `m.id, m.state, m.holder, m.inputs, m.key_slot, m.key_id, m.created_at, m.sealed`

func manifestDst(r *training.ManifestRow) []any {
	return []any{&r.ID, into(&r.State), &r.Holder, fixed(r.Inputs[:]), into(&r.Key.Slot), fixed(r.Key.ID[:]), into(&r.CreatedAt), &r.Sealed}
}

// refColumns are slot and id of a manifest's key, NULL when it has none.
func refColumns(r *training.ManifestRow) (slot *int64, id []byte) {
	if r.Key.IsZero() {
		return nil, nil
	}
	s := int64(r.Key.Slot)
	return &s, r.Key.ID[:]
}

// AddManifest implements training.Manifests.
func (db *DB) AddManifest(ctx context.Context, t consent.TenantID, row training.ManifestRow, remember []consent.Remembered) error {
	return db.write(ctx, "add a manifest", func(x *tx) error {
		b := x.batch()
		var id string
		b.one(consent.ErrUnknownTenant, `SELECT id FROM tenants WHERE id = $1`, []any{t}, &id)
		b.clock()
		if err := b.send(); err != nil {
			return err
		}
		b = x.batch()
		b.remember(t, remember)
		slot, key := refColumns(&row)
		b.exec(all(1, training.ErrConflict), `INSERT INTO manifests (tenant, id, state, holder, inputs, key_slot, key_id, created_at, sealed)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING`,
			t, row.ID, int16(row.State), row.Holder, row.Inputs[:], slot, key, int64(row.CreatedAt), row.Sealed)
		return b.send()
	})
}

// SaveManifest implements training.Manifests.
func (db *DB) SaveManifest(ctx context.Context, t consent.TenantID, row, was training.ManifestRow) error {
	slot, key := refColumns(&row)
	oldSlot, oldKey := refColumns(&was)
	return db.write(ctx, "save a manifest", func(x *tx) error {
		b, saved := x.batch(), int64(0)
		b.exec(func(n int64) error { saved = n; return nil }, `UPDATE manifests SET state = $3, inputs = $4, key_slot = $5, key_id = $6, sealed = $7
			WHERE tenant = $1 AND id = $2 AND (state = $8 AND key_slot IS NOT DISTINCT FROM $9 AND key_id IS NOT DISTINCT FROM $10 OR sealed = $7)`,
			t, row.ID, int16(row.State), row.Inputs[:], slot, key, row.Sealed, int16(was.State), oldSlot, oldKey)
		b.exec(func(n int64) error {
			switch {
			case n == 0:
				return training.ErrNotFound
			case saved == 0:
				return training.ErrConflict
			}
			return nil
		}, `UPDATE manifests SET id = id WHERE tenant = $1 AND id = $2`, t, row.ID)
		return b.send()
	})
}

// change writes with one statement.
func (db *DB) change(ctx context.Context, doing string, then func(int64) error, query string, args ...any) error {
	return db.write(ctx, doing, func(x *tx) error {
		b := x.batch()
		b.exec(then, query, args...)
		return b.send()
	})
}

func (db *DB) manifests(ctx context.Context, doing, query string, args ...any) (found []training.ManifestRow, err error) {
	err = db.reading(ctx, doing, func(s *session) error {
		found = nil
		return s.each(ctx, query, args, func(read scan) error {
			var r training.ManifestRow
			err := read(manifestDst(&r)...)
			found = append(found, r)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Manifest implements training.Manifests.
func (db *DB) Manifest(ctx context.Context, t consent.TenantID, id string) (row training.ManifestRow, found bool, err error) {
	rows, err := db.manifests(ctx, "read a manifest", `SELECT `+manifestColumns+` FROM manifests m WHERE m.tenant = $1 AND m.id = $2`, t, id)
	if err != nil || len(rows) == 0 {
		return row, false, err
	}
	return rows[0], true, nil
}

// ManifestsLike implements training.Manifests.
func (db *DB) ManifestsLike(ctx context.Context, t consent.TenantID, inputs [32]byte) ([]training.ManifestRow, error) {
	return db.manifests(ctx, "find manifests of the same inputs", `SELECT `+manifestColumns+` FROM manifests m
		WHERE m.tenant = $1 AND m.inputs = $2 AND m.state = $3 ORDER BY m.created_at DESC, m.id`, t, inputs[:], int16(training.Ready))
}

// Unfinished implements training.Manifests.
func (db *DB) Unfinished(ctx context.Context, holder string, state training.State) (held []training.Held, err error) {
	err = db.reading(ctx, "find unfinished manifests", func(s *session) error {
		held = nil
		return s.each(ctx, `SELECT m.tenant, `+manifestColumns+` FROM manifests m
			WHERE m.state = $1 AND m.holder = $2 ORDER BY m.created_at, m.id`, []any{int16(state), holder}, func(read scan) error {
			var h training.Held
			err := read(append([]any{(*string)(&h.Tenant)}, manifestDst(&h.Row)...)...)
			held = append(held, h)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return held, nil
}

// PutPart implements training.Manifests.
func (db *DB) PutPart(ctx context.Context, t consent.TenantID, id string, p training.PartRow) error {
	return db.change(ctx, "save a part of a manifest", nil, `INSERT INTO manifest_parts (tenant, manifest, part, sealed) VALUES ($1, $2, $3, $4)
		ON CONFLICT (tenant, manifest, part) DO UPDATE SET sealed = $4`, t, id, int64(p.Part), p.Sealed)
}

// Parts implements training.Manifests.
func (db *DB) Parts(ctx context.Context, t consent.TenantID, id string) (parts []training.PartRow, err error) {
	err = db.reading(ctx, "read the parts of a manifest", func(s *session) error {
		parts = nil
		return s.each(ctx, `SELECT part, sealed FROM manifest_parts WHERE tenant = $1 AND manifest = $2 ORDER BY part`, []any{t, id}, func(read scan) error {
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

// DropParts implements training.Manifests.
func (db *DB) DropParts(ctx context.Context, t consent.TenantID, id string) error {
	return db.change(ctx, "forget the parts of a manifest", nil, `DELETE FROM manifest_parts WHERE tenant = $1 AND manifest = $2`, t, id)
}

// AddMembers implements training.Lineage.
func (db *DB) AddMembers(ctx context.Context, t consent.TenantID, id string, who []consent.SubjectNum) error {
	return db.change(ctx, "record the people of a manifest", nil, `INSERT INTO manifest_subjects (tenant, subject, manifest)
		SELECT $1, unnest($2::bigint[]), $3 ON CONFLICT DO NOTHING`, t, ints(who), id)
}

// ManifestsOf implements training.Lineage.
func (db *DB) ManifestsOf(ctx context.Context, t consent.TenantID, who consent.SubjectNum) ([]training.ManifestRow, error) {
	return db.manifests(ctx, "find the manifests of a person", `SELECT `+manifestColumns+` FROM manifest_subjects s
		JOIN manifests m ON m.tenant = s.tenant AND m.id = s.manifest
		WHERE s.tenant = $1 AND s.subject = $2 ORDER BY m.created_at, m.id`, t, int64(who))
}

const runColumns = `manifest, lookup, position, sealed`

func runDst(r *training.RunRow) []any {
	return []any{&r.Manifest, fixed(r.Lookup[:]), into(&r.Position), &r.Sealed}
}

// AddRun implements training.Lineage. The second statement is begun when the
// first has waited for whoever binds the same run.
func (db *DB) AddRun(ctx context.Context, t consent.TenantID, r training.RunRow) (row training.RunRow, made bool, err error) {
	err = db.write(ctx, "bind a run", func(x *tx) error {
		b := x.batch()
		b.exec(func(n int64) error { made = n == 1; return nil }, `INSERT INTO manifest_runs (tenant, manifest, lookup, position, sealed)
			VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`, t, r.Manifest, r.Lookup[:], int64(r.Position), r.Sealed)
		b.one(training.ErrNotFound, `SELECT `+runColumns+` FROM manifest_runs WHERE tenant = $1 AND manifest = $2 AND lookup = $3`,
			[]any{t, r.Manifest, r.Lookup[:]}, runDst(&row)...)
		return b.send()
	})
	return row, made, err
}

// RunsOf implements training.Lineage.
func (db *DB) RunsOf(ctx context.Context, t consent.TenantID, id string) (runs []training.RunRow, err error) {
	err = db.reading(ctx, "read the runs of a manifest", func(s *session) error {
		runs = nil
		return s.each(ctx, `SELECT `+runColumns+` FROM manifest_runs WHERE tenant = $1 AND manifest = $2
			ORDER BY position, lookup`, []any{t, id}, func(read scan) error {
			var r training.RunRow
			err := read(runDst(&r)...)
			runs = append(runs, r)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return runs, nil
}
