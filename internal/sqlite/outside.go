package sqlite

import (
	"context"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

var _ retrieval.Outside = (*DB)(nil)

// Reserve implements retrieval.Outside.
func (db *DB) Reserve(ctx context.Context, t consent.TenantID, c retrieval.CollectionID, nums []retrieval.DocNum, lease time.Duration) error {
	return db.write(ctx, "reserve versions", func(x *tx) error {
		if _, err := x.corpusHead(ctx, t); err != nil {
			return err
		}
		until := int64(db.clock()) + int64(lease)
		for _, num := range nums {
			n, err := x.change(`INSERT INTO outside_documents (tenant, num, collection, state, until)
				SELECT ?1, ?2, ?3, 0, ?4 WHERE NOT EXISTS (SELECT 1 FROM documents WHERE tenant = ?1 AND num = ?2)
				ON CONFLICT DO NOTHING`, string(t), int64(num), int64(c), until)
			if err != nil || n != 1 {
				return orConflict(err)
			}
		}
		return nil
	})
}

// place ends the reservations of new versions; retired ones are owed.
func (x *tx) place(t consent.TenantID, in retrieval.Intake, retired []retrieval.DocRow) error {
	if !in.Outside {
		return nil
	}
	now := int64(x.db.clock())
	for i := range in.Docs {
		n, err := x.change(`DELETE FROM outside_documents WHERE tenant = ? AND num = ? AND state = 0 AND until > ?`,
			string(t), int64(in.Docs[i].Num), now)
		if err != nil || n != 1 {
			return orConflict(err)
		}
	}
	for i := range retired {
		_, err := x.change(`INSERT INTO outside_documents (tenant, num, collection, state, until) VALUES (?, ?, ?, 1, 0)`,
			string(t), int64(retired[i].Num), int64(retired[i].Collection))
		if err != nil {
			return err
		}
	}
	return nil
}

// Debts implements retrieval.Outside.
func (db *DB) Debts(ctx context.Context, t consent.TenantID, limit int) (debts []retrieval.Debt, err error) {
	err = db.write(ctx, "read debts", func(x *tx) error {
		ended, err := x.change(`UPDATE outside_documents SET state = 1 WHERE tenant = ? AND state = 0 AND until <= ?`, string(t), int64(db.clock()))
		if err != nil {
			return err
		}
		err = each(ctx, x, x.doing, `SELECT num, collection FROM outside_documents WHERE tenant = ? AND state = 1 LIMIT ?`,
			[]any{t, limit}, func(read scan) error {
				var d retrieval.Debt
				err := read(into(&d.Num), into(&d.Collection))
				debts = append(debts, d)
				return err
			})
		if err == nil && ended == 0 {
			return errNothing
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return debts, nil
}

// Settle implements retrieval.Outside.
func (db *DB) Settle(ctx context.Context, t consent.TenantID, nums []retrieval.DocNum) error {
	return db.write(ctx, "settle debts", func(x *tx) error {
		for _, num := range nums {
			if _, err := x.change(`DELETE FROM outside_documents WHERE tenant = ? AND num = ? AND state = 1`, string(t), int64(num)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Held implements retrieval.Outside.
func (db *DB) Held(ctx context.Context, t consent.TenantID, nums []retrieval.DocNum) (held []retrieval.DocNum, err error) {
	const doing = "read what may be outside"
	if len(nums) == 0 {
		return nil, nil
	}
	err = db.reading(doing, func() error {
		return each(ctx, db.readers, doing, `SELECT d.num FROM json_each(?2) r CROSS JOIN documents d ON d.tenant = ?1 AND d.num = r.value AND d.to_pos = 0
			UNION SELECT o.num FROM json_each(?2) r CROSS JOIN outside_documents o ON o.tenant = ?1 AND o.num = r.value AND o.state = 0 AND o.until > ?3`,
			[]any{t, list(nums), int64(db.clock())}, func(read scan) error {
				var n retrieval.DocNum
				err := read(into(&n))
				held = append(held, n)
				return err
			})
	})
	if err != nil {
		return nil, err
	}
	return held, nil
}

// docsOf finds the numbers first: the subjects' index leads to them.
const docsOf = docQuery + `documents_num LEFT JOIN document_subjects s ON s.doc = d.id
	WHERE d.tenant = ?1 AND d.to_pos = 0 AND d.num IN (
		SELECT DISTINCT v.num FROM json_each(?3) r CROSS JOIN document_subjects p ON p.subject = r.value
		CROSS JOIN documents v ON v.id = p.doc AND v.tenant = ?1 AND v.to_pos = 0 AND v.collection = ?2 AND v.num > ?4
		ORDER BY v.num LIMIT ?5)
	ORDER BY d.num, s.role, s.ordinal`

// DocsOf implements retrieval.Outside.
func (db *DB) DocsOf(ctx context.Context, t consent.TenantID, c retrieval.CollectionID, people []consent.SubjectNum, after retrieval.DocNum, limit int) ([]retrieval.DocRow, error) {
	if len(people) == 0 {
		return nil, nil
	}
	return db.docs(ctx, "read documents of people", docsOf, t, c, list(people), after, limit)
}

// Beliefs implements retrieval.Outside.
func (db *DB) Beliefs(ctx context.Context, t consent.TenantID, after uint64) (out []retrieval.Belief, err error) {
	const doing = "read beliefs"
	err = db.reading(doing, func() error {
		return each(ctx, db.readers, doing, `SELECT collection, subject, seq, verdicts FROM outside_people WHERE tenant = ? AND seq > ? ORDER BY seq`,
			[]any{t, int64(after)}, func(read scan) error {
				var b retrieval.Belief
				err := read(into(&b.Collection), into(&b.Subject), into(&b.Seq), &b.Verdicts)
				out = append(out, b)
				return err
			})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Believe implements retrieval.Outside.
func (db *DB) Believe(ctx context.Context, t consent.TenantID, holder string, beliefs []retrieval.Belief) error {
	return db.write(ctx, "store beliefs", func(x *tx) error {
		var seq int64
		found, err := one(ctx, x, x.doing, `SELECT seq FROM outside_heads WHERE tenant = ? AND holder = ? AND until > ?`,
			[]any{t, holder, int64(db.clock())}, &seq)
		if err != nil || !found {
			return orConflict(err)
		}
		for _, b := range beliefs {
			seq++
			_, err := x.change(`INSERT INTO outside_people (tenant, collection, subject, seq, verdicts) VALUES (?, ?, ?, ?, ?)
				ON CONFLICT (tenant, collection, subject) DO UPDATE SET seq = excluded.seq, verdicts = excluded.verdicts`,
				string(t), int64(b.Collection), int64(b.Subject), seq, b.Verdicts)
			if err != nil {
				return err
			}
		}
		_, err = x.change(`UPDATE outside_heads SET seq = ? WHERE tenant = ?`, seq, string(t))
		return err
	})
}

// Elect implements retrieval.Outside.
func (db *DB) Elect(ctx context.Context, t consent.TenantID, holder string, lease time.Duration) (bool, error) {
	elected := false
	err := db.write(ctx, "elect", func(x *tx) error {
		if _, err := x.corpusHead(ctx, t); err != nil {
			return err
		}
		now := int64(db.clock())
		n, err := x.change(`INSERT INTO outside_heads (tenant, seq, holder, until) VALUES (?1, 0, ?2, ?3)
			ON CONFLICT (tenant) DO UPDATE SET holder = ?2, until = ?3 WHERE holder = ?2 OR until <= ?4`,
			string(t), holder, now+int64(lease), now)
		elected = n == 1
		return err
	})
	return elected && err == nil, err
}
