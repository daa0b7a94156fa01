package sqlite

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"

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
func refColumns(r *training.ManifestRow) (slot, id any) {
	if r.Key.IsZero() {
		return nil, nil
	}
	return int64(r.Key.Slot), r.Key.ID[:]
}

// AddManifest implements training.Manifests.
func (db *DB) AddManifest(ctx context.Context, t consent.TenantID, row training.ManifestRow, remember []consent.Remembered) error {
	return db.write(ctx, "add a manifest", func(x *tx) error {
		if _, err := x.corpusHead(ctx, t); err != nil {
			return err // an unknown tenant
		}
		if err := x.remember(t, remember); err != nil {
			return err
		}
		slot, id := refColumns(&row)
		return x.insert(training.ErrConflict, `INSERT INTO manifests (tenant, id, state, holder, inputs, key_slot, key_id, created_at, sealed)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, string(t), row.ID, int64(row.State), row.Holder, row.Inputs[:], slot, id, int64(row.CreatedAt), row.Sealed)
	})
}

// SaveManifest implements training.Manifests.
func (db *DB) SaveManifest(ctx context.Context, t consent.TenantID, row, was training.ManifestRow) error {
	return db.write(ctx, "save a manifest", func(x *tx) error {
		slot, id := refColumns(&row)
		oldSlot, oldID := refColumns(&was)
		n, err := x.change(`UPDATE manifests SET state = ?, inputs = ?, key_slot = ?, key_id = ?, sealed = ? WHERE tenant = ? AND id = ?
			AND (state = ? AND key_slot IS ? AND key_id IS ? OR sealed = ?)`,
			int64(row.State), row.Inputs[:], slot, id, row.Sealed, string(t), row.ID, int64(was.State), oldSlot, oldID, row.Sealed)
		if err != nil || n > 0 {
			return err
		}
		if n, err = x.change(`UPDATE manifests SET id = id WHERE tenant = ? AND id = ?`, string(t), row.ID); err == nil && n == 0 {
			return training.ErrNotFound
		}
		return cmp.Or(err, training.ErrConflict)
	})
}

func (db *DB) manifests(ctx context.Context, doing, query string, args ...any) (found []training.ManifestRow, err error) {
	err = db.reading(doing, func() error {
		return each(ctx, db.readers, doing, query, args, func(read scan) error {
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
	rows, err := db.manifests(ctx, "read a manifest", `SELECT `+manifestColumns+` FROM manifests m WHERE m.tenant = ? AND m.id = ?`, string(t), id)
	if err != nil || len(rows) == 0 {
		return row, false, err
	}
	return rows[0], true, nil
}

// ManifestsLike implements training.Manifests.
func (db *DB) ManifestsLike(ctx context.Context, t consent.TenantID, inputs [32]byte) ([]training.ManifestRow, error) {
	return db.manifests(ctx, "find manifests of the same inputs", `SELECT `+manifestColumns+` FROM manifests m
		WHERE m.tenant = ? AND m.inputs = ? AND m.state = ? ORDER BY m.created_at DESC, m.id`, string(t), inputs[:], int64(training.Ready))
}

// Unfinished implements training.Manifests.
func (db *DB) Unfinished(ctx context.Context, holder string, s training.State) (held []training.Held, err error) {
	const doing = "find unfinished manifests"
	err = db.reading(doing, func() error {
		return each(ctx, db.readers, doing, `SELECT m.tenant, `+manifestColumns+` FROM manifests m
			WHERE m.state = ? AND m.holder = ? ORDER BY m.created_at, m.id`, []any{int64(s), holder}, func(read scan) error {
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
	return db.write(ctx, "save a part of a manifest", func(x *tx) error {
		_, err := x.change(`INSERT INTO manifest_parts (tenant, manifest, part, sealed) VALUES (?1, ?2, ?3, ?4)
			ON CONFLICT (tenant, manifest, part) DO UPDATE SET sealed = ?4`, string(t), id, int64(p.Part), p.Sealed)
		return err
	})
}

// Parts implements training.Manifests.
func (db *DB) Parts(ctx context.Context, t consent.TenantID, id string) (parts []training.PartRow, err error) {
	const doing = "read the parts of a manifest"
	err = db.reading(doing, func() error {
		return each(ctx, db.readers, doing, `SELECT part, sealed FROM manifest_parts WHERE tenant = ? AND manifest = ? ORDER BY part`,
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

// DropParts implements training.Manifests.
func (db *DB) DropParts(ctx context.Context, t consent.TenantID, id string) error {
	return db.write(ctx, "forget the parts of a manifest", func(x *tx) error {
		_, err := x.change(`DELETE FROM manifest_parts WHERE tenant = ? AND manifest = ?`, string(t), id)
		return err
	})
}

// AddMembers implements training.Lineage.
func (db *DB) AddMembers(ctx context.Context, t consent.TenantID, id string, who []consent.SubjectNum) error {
	return db.write(ctx, "record the people of a manifest", func(x *tx) error {
		// Together: one statement a person was a twentieth of a large build.
		for some := range slices.Chunk(who, 10_000) {
			list, err := json.Marshal(some)
			if err != nil {
				return err
			}
			if _, err := x.change(`INSERT INTO manifest_subjects (tenant, subject, manifest) SELECT ?, value, ? FROM json_each(?)
				WHERE true ON CONFLICT DO NOTHING`, string(t), id, string(list)); err != nil {
				return err
			}
		}
		return nil
	})
}

// ManifestsOf implements training.Lineage.
func (db *DB) ManifestsOf(ctx context.Context, t consent.TenantID, who consent.SubjectNum) ([]training.ManifestRow, error) {
	return db.manifests(ctx, "find the manifests of a person", `SELECT `+manifestColumns+` FROM manifest_subjects s
		JOIN manifests m ON m.tenant = s.tenant AND m.id = s.manifest
		WHERE s.tenant = ? AND s.subject = ? ORDER BY m.created_at, m.id`, string(t), int64(who))
}

const runColumns = `manifest, lookup, position, sealed`

func runDst(r *training.RunRow) []any {
	return []any{&r.Manifest, fixed(r.Lookup[:]), into(&r.Position), &r.Sealed}
}

// AddRun implements training.Lineage.
func (db *DB) AddRun(ctx context.Context, t consent.TenantID, r training.RunRow) (row training.RunRow, made bool, err error) {
	err = db.write(ctx, "bind a run", func(x *tx) error {
		n, err := x.change(`INSERT INTO manifest_runs (tenant, manifest, lookup, position, sealed) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT DO NOTHING`, string(t), r.Manifest, r.Lookup[:], int64(r.Position), r.Sealed)
		if made = n == 1; err != nil {
			return err
		}
		_, err = one(ctx, x, x.doing, `SELECT `+runColumns+` FROM manifest_runs WHERE tenant = ? AND manifest = ? AND lookup = ?`,
			[]any{string(t), r.Manifest, r.Lookup[:]}, runDst(&row)...)
		return err
	})
	return row, made, err
}

// RunsOf implements training.Lineage.
func (db *DB) RunsOf(ctx context.Context, t consent.TenantID, id string) (runs []training.RunRow, err error) {
	const doing = "read the runs of a manifest"
	err = db.reading(doing, func() error {
		return each(ctx, db.readers, doing, `SELECT `+runColumns+` FROM manifest_runs WHERE tenant = ? AND manifest = ?
			ORDER BY position, lookup`, []any{string(t), id}, func(read scan) error {
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
