package sqlite

import (
	"context"

	"github.com/assent-gateway/assent/consent"
)

var _ consent.Store = (*DB)(nil)

// Head answers from memory what was committed last: this process alone writes
// the file, and Append publishes the head before it returns.
func (db *DB) Head(ctx context.Context, t consent.TenantID) (consent.Head, error) {
	const doing = "read the ledger's head"
	var h consent.Head
	err := db.reading(doing, func() error {
		m, known, edits := db.heads.get(t)
		if !known {
			var err error
			if m, err = readMark(ctx, db.readers, doing, t); err != nil {
				return err
			}
			db.heads.keep(t, m, edits)
		}
		h = m.at(db.clock())
		return nil
	})
	return h, ledgerError(err)
}

// Append implements consent.Store. prepare is called once, inside the write
// transaction, which nothing else can be in; it must not write through the DB.
func (db *DB) Append(ctx context.Context, t consent.TenantID, prepare func(consent.Head) (consent.Batch, error)) error {
	var refused error
	err := db.write(ctx, "append entries", func(x *tx) error {
		m, err := readMark(ctx, x, x.doing, t)
		if err != nil {
			return err
		}
		b, err := prepare(m.at(db.clock()))
		if err != nil {
			refused = err
			return err
		}
		if len(b.Subjects)+len(b.Rekey)+len(b.Rows)+len(b.Remember)+len(b.Erasures) == 0 {
			return errNothing
		}
		if err := x.unnamed(ctx, t, b.Free); err != nil {
			return err
		}
		return x.append(t, m, b)
	})
	if refused != nil {
		return refused
	}
	return ledgerError(err)
}

func (x *tx) append(t consent.TenantID, m mark, b consent.Batch) error {
	for i, r := range b.Rows {
		if r.Position != m.position+consent.Position(i)+1 {
			return &failure{doing: "append entries: positions do not continue the head", kind: ErrOther}
		}
	}
	if err := x.remember(t, b.Remember); err != nil {
		return err
	}
	if err := x.addSubjects(t, b.Subjects); err != nil {
		return err
	}
	if err := x.rekey(t, b.Rekey); err != nil {
		return err
	}
	if err := x.putErasures(t, b.Erasures); err != nil {
		return err
	}
	for i := range b.Rows {
		if err := x.addRow(t, &b.Rows[i]); err != nil {
			return err
		}
		m.recorded = max(m.recorded, b.Rows[i].RecordedAt)
	}
	if len(b.Rows) > 0 {
		m.position += consent.Position(len(b.Rows))
		if _, err := x.change(`UPDATE tenants SET ledger_head = ? WHERE id = ?`, m.position, t); err != nil {
			return err
		}
	}
	x.published = func() { x.db.heads.publish(t, m) }
	return x.prune()
}

func (x *tx) addRow(t consent.TenantID, r *consent.Row) error {
	_, err := x.change(`INSERT INTO ledger (tenant, position, kind, subject, purpose, major, minor, status,
		jurisdiction, acted_at, recorded_at, expires_at, sealed, leaf, mac)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		string(t), int64(r.Position), int64(r.Kind), int64(r.Subject), r.Type.Purpose, int64(r.Type.Major),
		int64(r.Type.Minor), int64(r.Status), string(r.Jurisdiction), int64(r.ActedAt), int64(r.RecordedAt),
		int64(r.ExpiresAt), r.Sealed, r.Leaf[:], r.MAC[:])
	return err
}

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
	const doing = "read entries"
	var refused error
	err := db.reading(doing, func() error {
		var r consent.Row
		dst := rowDst(&r)
		return each(ctx, db.readers, doing, `SELECT `+rowColumns+` FROM ledger
			WHERE tenant = ? AND position > ? ORDER BY position`, []any{t, after}, func(read scan) error {
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

// History implements consent.Store.
func (db *DB) History(ctx context.Context, t consent.TenantID, s consent.SubjectNum, before consent.Position, limit int) ([]consent.Row, error) {
	const doing = "read a history"
	var rows []consent.Row
	if limit < 1 || s == 0 {
		return nil, nil // also: LIMIT -1 would be no limit
	}
	if before == 0 {
		before = 1<<63 - 1
	}
	err := db.reading(doing, func() error {
		return each(ctx, db.readers, doing, `SELECT `+rowColumns+` FROM ledger
			WHERE tenant = ? AND subject = ? AND subject <> 0 AND position < ?
			ORDER BY position DESC LIMIT ?`, []any{t, s, before, limit}, func(read scan) error {
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
