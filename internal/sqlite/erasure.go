package sqlite

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
func (x *tx) putErasures(t consent.TenantID, rows []consent.ErasureRow) error {
	for i := range rows {
		e := &rows[i]
		if e.Version == 1 {
			err := x.insert(consent.ErrErasureOpen, `INSERT INTO erasures (tenant, `+erasureColumns+`)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
				string(t), e.ID, e.Name[:], int64(e.State), e.Open, int64(e.Version), int64(e.Position), int64(e.Created), int64(e.Due),
				int64(e.Key.Slot), e.Key.ID[:], e.Sealed, e.Archive, int64(e.ArchiveUntil), e.Receipt)
			if err != nil {
				return err
			}
			continue
		}
		n, err := x.change(`UPDATE erasures SET state = ?, open = ?, version = ?, position = ?, due_at = ?, key_slot = ?, key_id = ?,
			sealed = ?, archive = ?, archive_until = ?, receipt = ? WHERE tenant = ? AND id = ? AND version = ?`,
			int64(e.State), e.Open, int64(e.Version), int64(e.Position), int64(e.Due), int64(e.Key.Slot), e.Key.ID[:],
			e.Sealed, e.Archive, int64(e.ArchiveUntil), e.Receipt, string(t), e.ID, int64(e.Version)-1)
		if err != nil {
			return err
		}
		if n != 1 {
			return consent.ErrErasureChanged
		}
	}
	return nil
}

// rekey replaces the rows of people who are there.
func (x *tx) rekey(t consent.TenantID, rows []consent.SubjectRow) error {
	for i := range rows {
		s := &rows[i]
		n, err := x.change(`UPDATE subjects SET lookup = ?, lookup_version = ?, key_slot = ?, key_id = ?, sealed = ?
			WHERE tenant = ? AND num = ?`,
			s.Lookup[:], int64(s.LookupVersion), int64(s.Key.Slot), s.Key.ID[:], s.Sealed, string(t), int64(s.Num))
		if err != nil {
			return err
		}
		if n != 1 {
			return consent.ErrNoPerson
		}
	}
	return nil
}

// ChangeErasure implements erasure.Store.
func (db *DB) ChangeErasure(ctx context.Context, t consent.TenantID, row consent.ErasureRow) error {
	return db.write(ctx, "change an erasure", func(x *tx) error {
		if row.Version < 2 {
			return consent.ErrErasureChanged
		}
		return x.putErasures(t, []consent.ErasureRow{row})
	})
}

// HoldErasure implements erasure.Store.
func (db *DB) HoldErasure(ctx context.Context, t consent.TenantID, id string, holder [16]byte, lease time.Duration) (mine bool, err error) {
	err = db.write(ctx, "hold an erasure", func(x *tx) error {
		now := int64(db.clock())
		n, err := x.change(`UPDATE erasures SET holder = ?, held_until = ? WHERE tenant = ? AND id = ? AND open = 1
			AND (holder = ? OR held_until <= ?)`, holder[:], now+lease.Nanoseconds(), string(t), id, holder[:], now)
		mine = n == 1
		return err
	})
	return mine && err == nil, err
}

func (db *DB) erasures(ctx context.Context, doing, where string, args ...any) ([]consent.ErasureRow, error) {
	var found []consent.ErasureRow
	err := db.reading(doing, func() error {
		return each(ctx, db.readers, doing, `SELECT `+erasureColumns+` FROM erasures WHERE `+where, args, func(read scan) error {
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
	found, err := db.erasures(ctx, "read an erasure", `tenant = ? AND id = ?`, t, id)
	if err != nil || len(found) == 0 {
		return consent.ErasureRow{}, false, err
	}
	return found[0], true, nil
}

// OpenErasure implements erasure.Store.
func (db *DB) OpenErasure(ctx context.Context, t consent.TenantID, name [32]byte) (consent.ErasureRow, bool, error) {
	found, err := db.erasures(ctx, "look an erasure up", `tenant = ? AND name = ? AND open = 1`, t, name[:])
	if err != nil || len(found) == 0 {
		return consent.ErasureRow{}, false, err
	}
	return found[0], true, nil
}

// Erasures implements erasure.Store.
func (db *DB) Erasures(ctx context.Context, t consent.TenantID, p erasure.Page) ([]consent.ErasureRow, error) {
	const doing = "list erasures"
	state, openOnly := int64(-1), 0
	if p.State != 0 {
		state = int64(p.State)
	}
	if p.OpenOnly {
		openOnly = 1
	}
	return db.erasures(ctx, doing, `tenant = ?1 AND (?2 = -1 OR state = ?2) AND open >= ?3
		AND (created_at, id) > (?4, ?5) ORDER BY created_at, id LIMIT ?6`,
		t, state, openOnly, p.After.Created, p.After.ID, max(p.Limit, 0))
}
