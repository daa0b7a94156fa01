package postgres

import "context"

// PutProbe keeps the probe material of an erasure, in place of what it had.
func (v *Vault) PutProbe(ctx context.Context, id string, box []byte) error {
	return v.db.write(ctx, "store probe material", func(x *tx) error {
		b := x.batch()
		b.exec(nil, `INSERT INTO probes (id, box) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET box = excluded.box`, id, box)
		return b.send()
	})
}

// Probe returns the probe material of an erasure; nil when there is none.
func (v *Vault) Probe(ctx context.Context, id string) (box []byte, err error) {
	err = v.db.reading(ctx, "read probe material", func(s *session) error {
		_, err := s.one(ctx, `SELECT box FROM probes WHERE id = $1`, []any{id}, &box)
		return err
	})
	return box, err
}

// DropProbe deletes the probe material of an erasure; absent is fine.
func (v *Vault) DropProbe(ctx context.Context, id string) error {
	return v.db.write(ctx, "delete probe material", func(x *tx) error {
		b := x.batch()
		b.exec(nil, `DELETE FROM probes WHERE id = $1`, id)
		return b.send()
	})
}

// Probes lists the erasures that have material here.
func (v *Vault) Probes(ctx context.Context) (ids []string, err error) {
	err = v.db.reading(ctx, "list probe material", func(s *session) error {
		return s.each(ctx, `SELECT id FROM probes ORDER BY id`, nil, func(read scan) error {
			var id string
			err := read(&id)
			ids = append(ids, id)
			return err
		})
	})
	return ids, err
}

// EachSlot calls f with at most limit keys of a kind, in any order.
func (v *Vault) EachSlot(ctx context.Context, kind byte, limit int, f func(SlotRow) error) error {
	return v.db.streaming(ctx, "read keys", func(s *session) error {
		return s.each(ctx, `SELECT id, epoch, kind, wrapped FROM slots WHERE kind = $1 LIMIT $2`, []any{int16(kind), limit}, func(read scan) error {
			var r SlotRow
			if err := read(fixed(r.ID[:]), into(&r.Epoch), into(&r.Kind), &r.Wrapped); err != nil {
				return err
			}
			return f(r)
		})
	})
}
