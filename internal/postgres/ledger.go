package postgres

import (
	"context"
	"math"

	"github.com/assent-gateway/assent/consent"
)

var _ consent.Store = (*DB)(nil)

const rowColumns = `position, kind, subject, purpose, major, minor, status, jurisdiction,
	acted_at, recorded_at, expires_at, sealed, leaf, mac`

// rowDst are the destinations of rowColumns.
func rowDst(r *consent.Row) []any {
	return []any{into(&r.Position), into(&r.Kind), into(&r.Subject), &r.Type.Purpose, into(&r.Type.Major),
		into(&r.Type.Minor), into(&r.Status), (*string)(&r.Jurisdiction), into(&r.ActedAt), into(&r.RecordedAt),
		into(&r.ExpiresAt), &r.Sealed, fixed(r.Leaf[:]), fixed(r.MAC[:])}
}

// Rows implements consent.Store.
func (db *DB) Rows(ctx context.Context, t consent.TenantID, after consent.Position, f func(consent.Row) error) error {
	var refused error
	err := db.streaming(ctx, "read entries", func(s *session) error {
		var r consent.Row
		dst := rowDst(&r)
		return s.each(ctx, `SELECT `+rowColumns+` FROM ledger WHERE tenant = $1 AND position > $2 ORDER BY position`,
			[]any{t, bound(after)}, func(read scan) error {
				if err := read(dst...); err != nil {
					return err
				}
				refused = f(r)
				return refused
			})
	})
	if refused != nil {
		return refused
	}
	return ledgerError(err)
}

// historySQL names the index's condition, so that it can be used.
const historySQL = `SELECT ` + rowColumns + ` FROM ledger
	WHERE tenant = $1 AND subject = $2 AND subject <> 0 AND position < $3 ORDER BY position DESC LIMIT $4`

// History implements consent.Store.
func (db *DB) History(ctx context.Context, t consent.TenantID, s consent.SubjectNum, before consent.Position, limit int) ([]consent.Row, error) {
	if limit < 1 || s == 0 {
		return nil, nil
	}
	if before == 0 {
		before = math.MaxInt64
	}
	var rows []consent.Row
	err := db.reading(ctx, "read a history", func(se *session) error {
		return se.each(ctx, historySQL, []any{t, int64(s), bound(before), limit}, func(read scan) error {
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

// bound is a position as the columns hold it; none is higher.
func bound(p consent.Position) int64 { return int64(min(p, math.MaxInt64)) }
