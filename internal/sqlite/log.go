package sqlite

import (
	"bytes"
	"context"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/translog"
)

var _ translog.Store = (*DB)(nil)

// LogCheckpoint implements translog.Store.
func (db *DB) LogCheckpoint(ctx context.Context, t consent.TenantID) (checkpoint []byte, err error) {
	const doing = "read the newest checkpoint"
	err = db.reading(doing, func() error {
		_, err := one(ctx, db.readers, doing, `SELECT checkpoint FROM log_heads WHERE tenant = ?`, []any{t}, &checkpoint)
		return err
	})
	return checkpoint, ledgerError(err)
}

// AdvanceLog implements translog.Store.
func (db *DB) AdvanceLog(ctx context.Context, t consent.TenantID, old, checkpoint []byte, nodes []translog.Node) error {
	return ledgerError(db.write(ctx, "advance the log", func(x *tx) error {
		var current []byte
		known, err := one(ctx, x, x.doing, `SELECT h.checkpoint FROM tenants t
			LEFT JOIN log_heads h ON h.tenant = t.id WHERE t.id = ?`, []any{t}, &current)
		switch {
		case err != nil:
			return err
		case !known:
			return consent.ErrUnknownTenant
		case !bytes.Equal(current, old):
			return translog.ErrConflict
		}
		for _, n := range nodes {
			if _, err := x.change(`INSERT INTO log_nodes (tenant, level, idx, hash) VALUES (?, ?, ?, ?)
				ON CONFLICT (tenant, level, idx) DO UPDATE SET hash = excluded.hash`,
				string(t), int64(n.Level), int64(n.Index), n.Hash[:]); err != nil {
				return err
			}
		}
		_, err = x.change(`INSERT INTO log_heads (tenant, checkpoint) VALUES (?, ?)
			ON CONFLICT (tenant) DO UPDATE SET checkpoint = excluded.checkpoint`, t, checkpoint)
		return err
	}))
}

// LogHashes implements translog.Store.
func (db *DB) LogHashes(ctx context.Context, t consent.TenantID, level uint8, index uint64, n int) (hashes []translog.Hash, err error) {
	const doing = "read nodes of the log"
	if n < 1 || index > 1<<62 {
		return nil, nil
	}
	query, args := `SELECT idx, hash FROM log_nodes WHERE tenant = ? AND level = ? AND idx >= ? ORDER BY idx LIMIT ?`,
		[]any{string(t), int64(level), int64(index), int64(n)}
	if level == 0 {
		query, args = `SELECT position - 1, leaf FROM ledger WHERE tenant = ? AND position > ? ORDER BY position LIMIT ?`,
			[]any{string(t), int64(index), int64(n)}
	}
	err = db.reading(doing, func() error {
		gap := false
		return each(ctx, db.readers, doing, query, args, func(read scan) error {
			var at uint64
			var h translog.Hash
			err := read(into(&at), fixed(h[:]))
			if gap = gap || at != index+uint64(len(hashes)); !gap {
				hashes = append(hashes, h)
			}
			return err
		})
	})
	if err != nil {
		return nil, ledgerError(err)
	}
	return hashes, nil
}

// LogEntries implements translog.Store.
func (db *DB) LogEntries(ctx context.Context, t consent.TenantID, after consent.Position, n int) (rows []consent.Row, err error) {
	const doing = "read entries for the log"
	if n < 1 || after > 1<<62 {
		return nil, nil
	}
	err = db.reading(doing, func() error {
		return each(ctx, db.readers, doing, `SELECT `+rowColumns+` FROM ledger
			WHERE tenant = ? AND position > ? ORDER BY position LIMIT ?`, []any{t, after, n}, func(read scan) error {
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
