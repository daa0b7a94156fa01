package sqlite

import (
	"context"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/events"
)

var _ events.Store = (*DB)(nil)

// Cursor implements events.Store.
func (db *DB) Cursor(ctx context.Context, t consent.TenantID, sink string) (at consent.Position, found bool, err error) {
	const doing = "read a cursor"
	err = db.reading(doing, func() (err error) {
		found, err = one(ctx, db.readers, doing, `SELECT position FROM event_cursors WHERE tenant = ? AND sink = ?`, []any{t, sink}, into(&at))
		return err
	})
	return at, found && err == nil, err
}

// StartCursor implements events.Store.
func (db *DB) StartCursor(ctx context.Context, t consent.TenantID, sink string, at consent.Position) error {
	if _, found, err := db.Cursor(ctx, t, sink); found || err != nil {
		return err
	}
	return db.write(ctx, "start a cursor", func(x *tx) error {
		_, err := x.change(`INSERT INTO event_cursors (tenant, sink, position) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, string(t), sink, int64(at))
		return err
	})
}

// Advance implements events.Store.
func (db *DB) Advance(ctx context.Context, t consent.TenantID, sink string, from, to consent.Position, stale []events.Stale) (moved bool, err error) {
	err = db.write(ctx, "advance a cursor", func(x *tx) error {
		n, err := x.change(`UPDATE event_cursors SET position = ? WHERE tenant = ? AND sink = ? AND position = ?`, int64(to), string(t), sink, int64(from))
		if err != nil {
			return err
		}
		if moved = n == 1; !moved {
			return errNothing
		}
		for _, s := range stale {
			if _, err := x.change(`INSERT INTO event_stale (tenant, manifest, position) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`,
				string(t), s.Manifest, int64(s.Position)); err != nil {
				return err
			}
		}
		return nil
	})
	return moved && err == nil, err
}

// HoldCursor implements events.Store.
func (db *DB) HoldCursor(ctx context.Context, t consent.TenantID, sink string, holder [16]byte, lease time.Duration) (at consent.Position, mine bool, err error) {
	err = db.write(ctx, "hold a cursor", func(x *tx) error {
		now := int64(db.clock())
		n, err := x.change(`UPDATE event_cursors SET holder = ?, held_until = ? WHERE tenant = ? AND sink = ? AND (holder = ? OR held_until <= ?)`,
			holder[:], now+lease.Nanoseconds(), string(t), sink, holder[:], now)
		mine = n == 1
		return err
	})
	if err != nil || !mine {
		return 0, false, err
	}
	return db.Cursor(ctx, t, sink)
}

// DropCursor implements events.Store.
func (db *DB) DropCursor(ctx context.Context, t consent.TenantID, sink string) error {
	return db.write(ctx, "drop a cursor", func(x *tx) error {
		_, err := x.change(`DELETE FROM event_cursors WHERE tenant = ? AND sink = ?`, string(t), sink)
		return err
	})
}

// StaleAt implements events.Store.
func (db *DB) StaleAt(ctx context.Context, t consent.TenantID, after, upTo consent.Position) (found []events.Stale, err error) {
	const doing = "read stale manifests"
	err = db.reading(doing, func() error {
		return each(ctx, db.readers, doing, `SELECT manifest, position FROM event_stale WHERE tenant = ? AND position > ? AND position <= ?
			ORDER BY position, manifest`, []any{t, after, upTo}, func(read scan) error {
			var s events.Stale
			err := read(&s.Manifest, into(&s.Position))
			found = append(found, s)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// PutProcessor implements events.Store.
func (db *DB) PutProcessor(ctx context.Context, t consent.TenantID, name string, sealed []byte) (made bool, err error) {
	err = db.write(ctx, "put a processor", func(x *tx) error {
		n, err := x.change(`UPDATE processors SET version = version + 1, sealed = ? WHERE tenant = ? AND name = ?`, sealed, string(t), name)
		if err != nil || n == 1 {
			return err
		}
		made = true
		_, err = x.change(`INSERT INTO processors (tenant, name, version, sealed) VALUES (?, ?, 1, ?)`, string(t), name, sealed)
		return err
	})
	return made && err == nil, err
}

// Processors implements events.Store.
func (db *DB) Processors(ctx context.Context, t consent.TenantID) (found []events.ProcessorRow, err error) {
	const doing = "list processors"
	err = db.reading(doing, func() error {
		return each(ctx, db.readers, doing, `SELECT name, version, sealed FROM processors WHERE tenant = ? ORDER BY name`, []any{t}, func(read scan) error {
			var p events.ProcessorRow
			err := read(&p.Name, into(&p.Version), &p.Sealed)
			found = append(found, p)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// DropProcessor implements events.Store.
func (db *DB) DropProcessor(ctx context.Context, t consent.TenantID, name string) error {
	return db.write(ctx, "drop a processor", func(x *tx) error {
		_, err := x.change(`DELETE FROM processors WHERE tenant = ? AND name = ?`, string(t), name)
		return err
	})
}
