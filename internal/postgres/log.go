package postgres

import (
	"bytes"
	"context"
	"math"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/translog"
)

var _ translog.Store = (*DB)(nil)

// LogCheckpoint implements translog.Store.
func (db *DB) LogCheckpoint(ctx context.Context, t consent.TenantID) (checkpoint []byte, err error) {
	err = db.reading(ctx, "read the newest checkpoint", func(s *session) error {
		_, err := s.one(ctx, `SELECT checkpoint FROM log_heads WHERE tenant = $1`, []any{t}, &checkpoint)
		return err
	})
	return checkpoint, ledgerError(err)
}

// AdvanceLog implements translog.Store. Writers of one tenant wait for each
// other on the tenant's row; the checkpoint is read by a statement of its own,
// begun when that lock was had.
func (db *DB) AdvanceLog(ctx context.Context, t consent.TenantID, old, checkpoint []byte, nodes []translog.Node) error {
	return ledgerError(db.write(ctx, "advance the log", func(x *tx) error {
		var id string
		var current []byte
		b := x.batch()
		b.one(consent.ErrUnknownTenant, `SELECT id FROM tenants WHERE id = $1 FOR NO KEY UPDATE`, []any{t}, &id)
		b.one(nil, `SELECT checkpoint FROM log_heads WHERE tenant = $1`, []any{t}, &current)
		if err := b.send(); err != nil {
			return err
		}
		if !bytes.Equal(current, old) {
			return translog.ErrConflict
		}
		b = x.batch()
		levels, indexes, hashes := make([]int16, len(nodes)), make([]int64, len(nodes)), make([][]byte, len(nodes))
		for i, n := range nodes {
			levels[i], indexes[i], hashes[i] = int16(n.Level), int64(n.Index), n.Hash[:]
		}
		b.exec(nil, `INSERT INTO log_nodes (tenant, level, idx, hash)
			SELECT $1, * FROM unnest($2::int2[], $3::int8[], $4::bytea[])
			ON CONFLICT (tenant, level, idx) DO UPDATE SET hash = excluded.hash`, t, levels, indexes, hashes)
		b.exec(nil, `INSERT INTO log_heads (tenant, checkpoint) VALUES ($1, $2)
			ON CONFLICT (tenant) DO UPDATE SET checkpoint = excluded.checkpoint`, t, checkpoint)
		return b.send()
	}))
}

// LogHashes implements translog.Store.
func (db *DB) LogHashes(ctx context.Context, t consent.TenantID, level uint8, index uint64, n int) (hashes []translog.Hash, err error) {
	if n < 1 || index > math.MaxInt64/2 {
		return nil, nil
	}
	query, args := `SELECT idx, hash FROM log_nodes WHERE tenant = $1 AND idx >= $2 AND level = $4 ORDER BY idx LIMIT $3`,
		[]any{t, int64(index), int64(n), int16(level)}
	if level == 0 {
		query, args = `SELECT position - 1, leaf FROM ledger WHERE tenant = $1 AND position > $2 ORDER BY position LIMIT $3`, args[:3]
	}
	err = db.reading(ctx, "read nodes of the log", func(s *session) error {
		hashes = nil
		gap := false
		return s.each(ctx, query, args, func(read scan) error {
			var at int64
			var h []byte
			if err := read(&at, &h); err != nil {
				return err
			}
			if gap = gap || uint64(at) != index+uint64(len(hashes)) || len(h) != len(translog.Hash{}); !gap {
				hashes = append(hashes, translog.Hash(h))
			}
			return nil
		})
	})
	if err != nil {
		return nil, ledgerError(err)
	}
	return hashes, nil
}

// LogEntries implements translog.Store.
func (db *DB) LogEntries(ctx context.Context, t consent.TenantID, after consent.Position, n int) (rows []consent.Row, err error) {
	if n < 1 || after > math.MaxInt64/2 {
		return nil, nil
	}
	err = db.reading(ctx, "read entries for the log", func(s *session) error {
		rows = nil
		return s.each(ctx, `SELECT `+rowColumns+` FROM ledger WHERE tenant = $1 AND position > $2 ORDER BY position LIMIT $3`,
			[]any{t, int64(after), int64(n)}, func(read scan) error {
				var r consent.Row
				err := read(rowDst(&r)...)
				rows = append(rows, r)
				return err
			})
	})
	if err != nil {
		return nil, ledgerError(err)
	}
	return rows, nil
}
