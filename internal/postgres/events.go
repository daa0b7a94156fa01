package postgres

import (
	"context"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/events"
)

var _ events.Store = (*DB)(nil)

// Cursor implements events.Store.
func (db *DB) Cursor(ctx context.Context, t consent.TenantID, sink string) (at consent.Position, found bool, err error) {
	err = db.reading(ctx, "read a cursor", func(s *session) (err error) {
		found, err = s.one(ctx, `SELECT position FROM event_cursors WHERE tenant = $1 AND sink = $2`, []any{t, sink}, into(&at))
		return err
	})
	return at, found && err == nil, err
}

// StartCursor implements events.Store.
func (db *DB) StartCursor(ctx context.Context, t consent.TenantID, sink string, at consent.Position) error {
	if _, found, err := db.Cursor(ctx, t, sink); found || err != nil {
		return err
	}
	return db.one(ctx, "start a cursor", nil, `INSERT INTO event_cursors (tenant, sink, position) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, t, sink, int64(at))
}

// one writes by a single statement.
func (db *DB) one(ctx context.Context, doing string, then func(int64) error, query string, args ...any) error {
	return db.write(ctx, doing, func(x *tx) error {
		b := x.batch()
		b.exec(then, query, args...)
		return b.send()
	})
}

// Advance implements events.Store.
func (db *DB) Advance(ctx context.Context, t consent.TenantID, sink string, from, to consent.Position, stale []events.Stale) (moved bool, err error) {
	err = db.write(ctx, "advance a cursor", func(x *tx) error {
		b := x.batch()
		b.exec(func(n int64) error { moved = n == 1; return nil },
			`UPDATE event_cursors SET position = $4 WHERE tenant = $1 AND sink = $2 AND position = $3`, t, sink, int64(from), int64(to))
		if err := b.send(); err != nil || !moved || len(stale) == 0 {
			return err
		}
		b = x.batch()
		for _, s := range stale {
			b.exec(nil, `INSERT INTO event_stale (tenant, manifest, position) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, t, s.Manifest, int64(s.Position))
		}
		return b.send()
	})
	return moved && err == nil, err
}

// HoldCursor implements events.Store.
func (db *DB) HoldCursor(ctx context.Context, t consent.TenantID, sink string, holder [16]byte, lease time.Duration) (at consent.Position, mine bool, err error) {
	err = db.write(ctx, "hold a cursor", func(x *tx) error {
		mine = false
		b := x.batch()
		b.each(func(read scan) error {
			mine = true
			return read(into(&at))
		}, `UPDATE event_cursors SET holder = $3, held_until = coalesce($5::bigint, `+clockSQL+`) + $4
			WHERE tenant = $1 AND sink = $2 AND (holder = $3 OR held_until <= coalesce($5::bigint, `+clockSQL+`)) RETURNING position`,
			t, sink, holder[:], lease.Nanoseconds(), db.instead())
		return b.send()
	})
	return at, mine && err == nil, err
}

// DropCursor implements events.Store.
func (db *DB) DropCursor(ctx context.Context, t consent.TenantID, sink string) error {
	return db.one(ctx, "drop a cursor", nil, `DELETE FROM event_cursors WHERE tenant = $1 AND sink = $2`, t, sink)
}

// StaleAt implements events.Store.
func (db *DB) StaleAt(ctx context.Context, t consent.TenantID, after, upTo consent.Position) (found []events.Stale, err error) {
	err = db.reading(ctx, "read stale manifests", func(s *session) error {
		found = nil
		return s.each(ctx, `SELECT manifest, position FROM event_stale WHERE tenant = $1 AND position > $2 AND position <= $3
			ORDER BY position, manifest`, []any{t, int64(after), int64(upTo)}, func(read scan) error {
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
		b := x.batch()
		b.each(func(read scan) error { return read(&made) }, `INSERT INTO processors (tenant, name, version, sealed) VALUES ($1, $2, 1, $3)
			ON CONFLICT (tenant, name) DO UPDATE SET version = processors.version + 1, sealed = $3 RETURNING xmax = 0`, t, name, sealed)
		return b.send()
	})
	return made && err == nil, err
}

// Processors implements events.Store.
func (db *DB) Processors(ctx context.Context, t consent.TenantID) (found []events.ProcessorRow, err error) {
	err = db.reading(ctx, "list processors", func(s *session) error {
		found = nil
		return s.each(ctx, `SELECT name, version, sealed FROM processors WHERE tenant = $1 ORDER BY name`, []any{t}, func(read scan) error {
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
	return db.one(ctx, "drop a processor", nil, `DELETE FROM processors WHERE tenant = $1 AND name = $2`, t, name)
}
