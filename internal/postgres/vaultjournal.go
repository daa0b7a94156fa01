package postgres

import (
	"bytes"
	"context"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/translog"
)

// A JournalRow is an entry of the journal, its payload sealed.
type JournalRow struct {
	Position consent.Position
	Leaf     [32]byte
	Kind     byte
	Payload  []byte
}

// JournalHead returns the newest position of a tenant's journal; 0 for none.
func (v *Vault) JournalHead(ctx context.Context, t consent.TenantID) (p consent.Position, err error) {
	err = v.db.reading(ctx, "read the journal's head", func(s *session) error {
		var standby bool
		_, err := s.one(ctx, `SELECT position, pg_is_in_recovery() FROM journal_heads WHERE tenant = $1`, []any{t}, into(&p), &standby)
		return s.orStandby(standby, err)
	})
	return p, err
}

// JournalRows returns at most n entries after a position, ascending.
func (v *Vault) JournalRows(ctx context.Context, t consent.TenantID, after consent.Position, n int) (rows []JournalRow, err error) {
	err = v.db.reading(ctx, "read the journal", func(s *session) error {
		return s.each(ctx, `SELECT position, leaf, kind, payload FROM journal WHERE tenant = $1 AND position > $2
			ORDER BY position LIMIT $3`, []any{t, bound(after), n}, func(read scan) error {
			var r JournalRow
			err := read(into(&r.Position), fixed(r.Leaf[:]), into(&r.Kind), &r.Payload)
			rows = append(rows, r)
			return err
		})
	})
	return rows, err
}

// JournalLeaves returns at most n leaves after a position, ascending.
func (v *Vault) JournalLeaves(ctx context.Context, t consent.TenantID, after consent.Position, n int) (leaves [][32]byte, err error) {
	err = v.db.reading(ctx, "read the journal's leaves", func(s *session) error {
		return s.each(ctx, `SELECT position, leaf FROM journal WHERE tenant = $1 AND position > $2
			ORDER BY position LIMIT $3`, []any{t, bound(after), n}, func(read scan) error {
			var p consent.Position
			var leaf [32]byte
			if err := read(into(&p), fixed(leaf[:])); err != nil {
				return err
			}
			if p != after+consent.Position(len(leaves))+1 {
				return errShape // the journal has no gaps
			}
			leaves = append(leaves, leaf)
			return nil
		})
	})
	return leaves, fail("read the journal's leaves", err)
}

// AppendJournal appends entries, ascending without a gap, as
// consent.Vault.AppendJournal says.
func (v *Vault) AppendJournal(ctx context.Context, t consent.TenantID, rows []JournalRow) error {
	if len(rows) == 0 {
		return nil
	}
	return v.db.write(ctx, "append to the journal", func(x *tx) error {
		var head consent.Position
		b := x.batch()
		b.one(consent.ErrUnknownTenant, `SELECT position FROM journal_heads WHERE tenant = $1 FOR UPDATE`, []any{t}, into(&head))
		if err := b.send(); err != nil {
			return err
		}
		first := rows[0].Position
		if first > head+1 {
			return consent.ErrJournalGap
		}
		known := min(int(head-(first-1)), len(rows))
		if err := x.sameLeaves(t, rows[:known]); err != nil {
			return err
		}
		if known == len(rows) {
			return errNothing
		}
		return x.appendJournal(t, rows[known:])
	})
}

// sameLeaves compares entries with those that the journal has.
func (x *tx) sameLeaves(t consent.TenantID, rows []JournalRow) error {
	if len(rows) == 0 {
		return nil
	}
	next := 0
	b := x.batch()
	b.each(func(read scan) error {
		var p consent.Position
		var leaf [32]byte
		if err := read(into(&p), fixed(leaf[:])); err != nil {
			return err
		}
		if p != rows[next].Position || leaf != rows[next].Leaf {
			return consent.ErrDiverged
		}
		next++
		return nil
	}, `SELECT position, leaf FROM journal WHERE tenant = $1 AND position BETWEEN $2 AND $3 ORDER BY position`,
		t, bound(rows[0].Position), bound(rows[len(rows)-1].Position))
	if err := b.send(); err != nil {
		return err
	}
	if next != len(rows) {
		return consent.ErrDiverged
	}
	return nil
}

func (x *tx) appendJournal(t consent.TenantID, rows []JournalRow) error {
	n := len(rows)
	positions, kinds := make([]int64, n), make([]int16, n)
	leaves, payloads := make([][]byte, n), make([][]byte, n)
	for i := range rows {
		r := &rows[i]
		if r.Position != rows[0].Position+consent.Position(i) {
			return consent.ErrJournalGap
		}
		positions[i], kinds[i], leaves[i], payloads[i] = int64(r.Position), int16(r.Kind), r.Leaf[:], r.Payload
	}
	b := x.batch()
	b.exec(nil, `INSERT INTO journal (tenant, position, leaf, kind, payload)
		SELECT $1, * FROM unnest($2::bigint[], $3::bytea[], $4::smallint[], $5::bytea[])`, t, positions, leaves, kinds, payloads)
	b.exec(nil, `UPDATE journal_heads SET position = $2 WHERE tenant = $1`, t, positions[n-1])
	return b.send()
}

// Checkpoint returns a tenant's newest checkpoint; nil when there is none.
func (v *Vault) Checkpoint(ctx context.Context, t consent.TenantID) (checkpoint []byte, err error) {
	err = v.db.reading(ctx, "read the vault's newest checkpoint", func(s *session) error {
		_, err := s.one(ctx, `SELECT checkpoint FROM checkpoints WHERE tenant = $1`, []any{t}, &checkpoint)
		return err
	})
	return checkpoint, err
}

// SetCheckpoint puts a checkpoint in place of old (nil: of none);
// translog.ErrConflict when the newest is another.
func (v *Vault) SetCheckpoint(ctx context.Context, t consent.TenantID, old, checkpoint []byte) error {
	return v.db.write(ctx, "store the vault's newest checkpoint", func(x *tx) error {
		var tenant string
		var current []byte
		b := x.batch()
		b.one(consent.ErrUnknownTenant, `SELECT tenant FROM keyrings WHERE tenant = $1 FOR NO KEY UPDATE`, []any{t}, &tenant)
		b.one(nil, `SELECT checkpoint FROM checkpoints WHERE tenant = $1`, []any{t}, &current)
		if err := b.send(); err != nil {
			return err
		}
		if !bytes.Equal(current, old) {
			return translog.ErrConflict
		}
		b = x.batch()
		b.exec(nil, `INSERT INTO checkpoints (tenant, checkpoint) VALUES ($1, $2)
			ON CONFLICT (tenant) DO UPDATE SET checkpoint = excluded.checkpoint`, t, checkpoint)
		return b.send()
	})
}
