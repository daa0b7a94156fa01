package postgres

import (
	"context"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
)

var _ erasure.Store = (*DB)(nil)

const erasureColumns = `id, name, state, open, version, position, created_at, due_at, key_slot, key_id, sealed, archive, archive_until, receipt`

func erasureDst(e *consent.ErasureRow) []any {
	return []any{&e.ID, fixed(e.Name[:]), into(&e.State), &e.Open, into(&e.Version), into(&e.Position), into(&e.Created),
		into(&e.Due), into(&e.Key.Slot), fixed(e.Key.ID[:]), &e.Sealed, &e.Archive, into(&e.ArchiveUntil), &e.Receipt}
}

// putErasures adds erasures of version 1, and replaces the version before of others.
func (b *batch) putErasures(t consent.TenantID, rows []consent.ErasureRow) {
	for i := range rows {
		e := &rows[i]
		if e.Version == 1 {
			b.exec(all(1, consent.ErrErasureOpen), `INSERT INTO erasures (tenant, `+erasureColumns+`)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT DO NOTHING`,
				t, e.ID, e.Name[:], int16(e.State), e.Open, int64(e.Version), int64(e.Position), int64(e.Created), int64(e.Due),
				int64(e.Key.Slot), e.Key.ID[:], e.Sealed, e.Archive, int64(e.ArchiveUntil), e.Receipt)
			continue
		}
		b.exec(all(1, consent.ErrErasureChanged), `UPDATE erasures SET state = $3, open = $4, version = $5, position = $6, due_at = $7,
			key_slot = $8, key_id = $9, sealed = $10, archive = $11, archive_until = $12, receipt = $13
			WHERE tenant = $1 AND id = $2 AND version = $5 - 1`,
			t, e.ID, int16(e.State), e.Open, int64(e.Version), int64(e.Position), int64(e.Due),
			int64(e.Key.Slot), e.Key.ID[:], e.Sealed, e.Archive, int64(e.ArchiveUntil), e.Receipt)
	}
}

// rekey replaces the rows of people who are there.
func (b *batch) rekey(t consent.TenantID, rows []consent.SubjectRow) {
	for i := range rows {
		s := &rows[i]
		b.exec(all(1, consent.ErrNoPerson), `UPDATE subjects SET lookup = $3, lookup_version = $4, key_slot = $5, key_id = $6, sealed = $7
			WHERE tenant = $1 AND num = $2`,
			t, int64(s.Num), s.Lookup[:], int16(s.LookupVersion), int64(s.Key.Slot), s.Key.ID[:], s.Sealed)
	}
}

// ChangeErasure implements erasure.Store.
func (db *DB) ChangeErasure(ctx context.Context, t consent.TenantID, row consent.ErasureRow) error {
	return db.write(ctx, "change an erasure", func(x *tx) error {
		if row.Version < 2 {
			return consent.ErrErasureChanged
		}
		b := x.batch()
		b.putErasures(t, []consent.ErasureRow{row})
		return b.send()
	})
}

// HoldErasure implements erasure.Store.
func (db *DB) HoldErasure(ctx context.Context, t consent.TenantID, id string, holder [16]byte, lease time.Duration) (mine bool, err error) {
	err = db.write(ctx, "hold an erasure", func(x *tx) error {
		b := x.batch()
		b.exec(func(n int64) error { mine = n == 1; return nil }, `UPDATE erasures SET holder = $3, held_until = coalesce($5::bigint, `+clockSQL+`) + $4
			WHERE tenant = $1 AND id = $2 AND open AND (holder = $3 OR held_until <= coalesce($5::bigint, `+clockSQL+`))`,
			t, id, holder[:], lease.Nanoseconds(), db.instead())
		return b.send()
	})
	return mine && err == nil, err
}

func (db *DB) erasures(ctx context.Context, doing, where string, args ...any) ([]consent.ErasureRow, error) {
	var found []consent.ErasureRow
	err := db.reading(ctx, doing, func(s *session) error {
		found = nil
		return s.each(ctx, `SELECT `+erasureColumns+` FROM erasures WHERE `+where, args, func(read scan) error {
			var e consent.ErasureRow
			err := read(erasureDst(&e)...)
			found = append(found, e)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Erasure implements erasure.Store.
func (db *DB) Erasure(ctx context.Context, t consent.TenantID, id string) (consent.ErasureRow, bool, error) {
	found, err := db.erasures(ctx, "read an erasure", `tenant = $1 AND id = $2`, t, id)
	if err != nil || len(found) == 0 {
		return consent.ErasureRow{}, false, err
	}
	return found[0], true, nil
}

// OpenErasure implements erasure.Store.
func (db *DB) OpenErasure(ctx context.Context, t consent.TenantID, name [32]byte) (consent.ErasureRow, bool, error) {
	found, err := db.erasures(ctx, "look an erasure up", `tenant = $1 AND name = $2 AND open`, t, name[:])
	if err != nil || len(found) == 0 {
		return consent.ErasureRow{}, false, err
	}
	return found[0], true, nil
}

// Erasures implements erasure.Store.
func (db *DB) Erasures(ctx context.Context, t consent.TenantID, p erasure.Page) ([]consent.ErasureRow, error) {
	return db.erasures(ctx, "list erasures", `tenant = $1 AND ($2 = 0 OR state = $2) AND (open OR NOT $3)
		AND (created_at, id) > ($4, $5) ORDER BY created_at, id LIMIT $6`,
		t, int16(p.State), p.OpenOnly, int64(p.After.Created), p.After.ID, max(p.Limit, 0))
}
