package postgres

import "context"

// An EventRow is what one tenant's ledger is to be told of the vault.
type EventRow struct {
	ID, Tenant, Event string
	// Of a replay: positions, inclusive, and how many entries are lost, and of
	// how many of these nobody knows whose they are.
	First, Last   uint64
	Lost, Unknown int
}

// Events returns what ledgers are to be told of, oldest first.
func (v *Vault) Events(ctx context.Context) (rows []EventRow, err error) {
	err = v.db.reading(ctx, "read the vault's events", func(s *session) error {
		return s.each(ctx, eventsSQL, nil, func(read scan) error {
			r, err := readEvent(read)
			rows = append(rows, r)
			return err
		})
	})
	return rows, err
}

const eventsSQL = `SELECT id, tenant, event, first, last, lost, unknown FROM events ORDER BY seq`

func readEvent(read scan) (r EventRow, err error) {
	err = read(&r.ID, &r.Tenant, &r.Event, into(&r.First), into(&r.Last), into(&r.Lost), into(&r.Unknown))
	return r, err
}

// Tell puts on the list what add makes of it, and changes what add returns of
// what is there: whoever else tells waits. add may be called again.
func (v *Vault) Tell(ctx context.Context, add func(there []EventRow) []EventRow) error {
	return v.db.write(ctx, "store events of the vault", func(x *tx) error {
		var there []EventRow
		b := x.batch()
		b.exec(nil, `SELECT FROM vault FOR UPDATE`)
		b.each(func(read scan) error {
			r, err := readEvent(read)
			there = append(there, r)
			return err
		}, eventsSQL)
		if err := b.send(); err != nil {
			return err
		}
		b = x.batch()
		for _, r := range add(there) {
			b.exec(nil, `INSERT INTO events (id, tenant, event, first, last, lost, unknown) VALUES ($1, $2, $3, $4, $5, $6, $7)
				ON CONFLICT (id, tenant) DO UPDATE SET first = excluded.first, last = excluded.last,
				lost = excluded.lost, unknown = excluded.unknown`,
				r.ID, r.Tenant, r.Event, int64(r.First), int64(r.Last), int64(r.Lost), int64(r.Unknown))
		}
		return b.send()
	})
}

// Told takes a tenant off an event's list.
func (v *Vault) Told(ctx context.Context, id, tenant string) error {
	return v.db.write(ctx, "take an event off the vault's list", func(x *tx) error {
		b := x.batch()
		b.exec(nil, `DELETE FROM events WHERE id = $1 AND tenant = $2`, id, tenant)
		return b.send()
	})
}
