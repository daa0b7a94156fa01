package postgres

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
		b := x.batch()
		b.one(consent.ErrUnknownTenant, `SELECT 1 FROM corpus_heads WHERE tenant = $1`, []any{t}, new(int))
		b.clock()
		if err := b.send(); err != nil {
			return err
		}
		b = x.batch()
		b.exec(all(len(nums), retrieval.ErrConflict), `INSERT INTO outside_documents (tenant, num, collection, state, until)
			SELECT $1, num, $3, 0, $4 FROM unnest($2::bigint[]) AS n (num)
			WHERE NOT EXISTS (SELECT FROM documents d WHERE d.tenant = $1 AND d.num = n.num)
			ON CONFLICT DO NOTHING`, t, ints(nums), int64(c), int64(x.now)+int64(lease))
		return b.send()
	})
}

// place ends the reservations of new versions; retired ones are owed.
func (b *batch) place(t consent.TenantID, in retrieval.Intake, retired []storedDoc) {
	if !in.Outside {
		return
	}
	if n := len(in.Docs); n > 0 {
		nums := make([]int64, n)
		for i := range in.Docs {
			nums[i] = int64(in.Docs[i].Num)
		}
		b.exec(all(n, retrieval.ErrConflict), `DELETE FROM outside_documents
			WHERE tenant = $1 AND num = ANY ($2) AND state = 0 AND until > $3`, t, nums, int64(b.x.now))
	}
	if n := len(retired); n > 0 {
		nums, in := make([]int64, n), make([]int64, n)
		for i := range retired {
			nums[i], in[i] = int64(retired[i].Num), int64(retired[i].Collection)
		}
		b.exec(nil, `INSERT INTO outside_documents (tenant, num, collection, state, until)
			SELECT $1, num, collection, 1, 0 FROM unnest($2::bigint[], $3::bigint[]) AS r (num, collection)`, t, nums, in)
	}
}

// Debts implements retrieval.Outside.
func (db *DB) Debts(ctx context.Context, t consent.TenantID, limit int) (debts []retrieval.Debt, err error) {
	err = db.write(ctx, "read debts", func(x *tx) error {
		debts = nil
		b := x.batch()
		b.clock()
		if err := b.send(); err != nil {
			return err
		}
		b = x.batch()
		b.exec(nil, `UPDATE outside_documents SET state = 1 WHERE tenant = $1 AND state = 0 AND until <= $2`, t, int64(x.now))
		b.each(func(read scan) error {
			var d retrieval.Debt
			err := read(into(&d.Num), into(&d.Collection))
			debts = append(debts, d)
			return err
		}, `SELECT num, collection FROM outside_documents WHERE tenant = $1 AND state = 1 LIMIT $2`, t, limit)
		return b.send()
	})
	if err != nil {
		return nil, err
	}
	return debts, nil
}

// Settle implements retrieval.Outside.
func (db *DB) Settle(ctx context.Context, t consent.TenantID, nums []retrieval.DocNum) error {
	return db.write(ctx, "settle debts", func(x *tx) error {
		b := x.batch()
		b.exec(nil, `DELETE FROM outside_documents WHERE tenant = $1 AND num = ANY ($2) AND state = 1`, t, ints(nums))
		return b.send()
	})
}

// Held implements retrieval.Outside.
func (db *DB) Held(ctx context.Context, t consent.TenantID, nums []retrieval.DocNum) (held []retrieval.DocNum, err error) {
	if len(nums) == 0 {
		return nil, nil
	}
	err = db.reading(ctx, "read what may be outside", func(s *session) error {
		return s.each(ctx, `SELECT num FROM documents WHERE tenant = $1 AND num = ANY ($2) AND NOT to_pos > 0
			UNION SELECT num FROM outside_documents WHERE tenant = $1 AND num = ANY ($2) AND state = 0 AND until > coalesce($3, `+clockSQL+`)`,
			[]any{t, ints(nums), db.instead()}, func(read scan) error {
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

// docsOf goes from people to their documents; the limit is over documents.
const docsOf = docSelect + `d.id IN (SELECT v.id FROM documents v
	WHERE v.id IN (SELECT doc FROM document_subjects WHERE subject = ANY ($3))
	AND v.tenant = $1 AND v.collection = $2 AND NOT v.to_pos > 0 AND v.num > $4 ORDER BY v.num LIMIT $5) ORDER BY d.num`

// DocsOf implements retrieval.Outside.
func (db *DB) DocsOf(ctx context.Context, t consent.TenantID, c retrieval.CollectionID, people []consent.SubjectNum, after retrieval.DocNum, limit int) ([]retrieval.DocRow, error) {
	if len(people) == 0 {
		return nil, nil
	}
	return db.docs(ctx, "read documents of people", docsOf, t, int64(c), ints(people), int64(after), limit)
}

// Beliefs implements retrieval.Outside.
func (db *DB) Beliefs(ctx context.Context, t consent.TenantID, after uint64) (out []retrieval.Belief, err error) {
	err = db.reading(ctx, "read beliefs", func(s *session) error {
		return s.each(ctx, `SELECT collection, subject, seq, verdicts FROM outside_people WHERE tenant = $1 AND seq > $2 ORDER BY seq`,
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

// Believe implements retrieval.Outside. The head's lock makes sequence numbers
// become visible in their order, so that a reader with a cursor misses none.
func (db *DB) Believe(ctx context.Context, t consent.TenantID, holder string, beliefs []retrieval.Belief) error {
	return db.write(ctx, "store beliefs", func(x *tx) error {
		var seq, until int64
		b := x.batch()
		b.one(retrieval.ErrConflict, `SELECT seq, until FROM outside_heads WHERE tenant = $1 AND holder = $2 FOR UPDATE`, []any{t, holder}, &seq, &until)
		b.clock()
		if err := b.send(); err != nil {
			return err
		}
		if until <= int64(x.now) {
			return retrieval.ErrConflict
		}
		n := len(beliefs)
		in, who, seqs, verdicts := make([]int64, n), make([]int64, n), make([]int64, n), make([][]byte, n)
		for i, p := range beliefs {
			in[i], who[i], seqs[i], verdicts[i] = int64(p.Collection), int64(p.Subject), seq+int64(i)+1, p.Verdicts
		}
		b = x.batch()
		b.exec(nil, `INSERT INTO outside_people (tenant, collection, subject, seq, verdicts)
			SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[])
			ON CONFLICT (tenant, collection, subject) DO UPDATE SET seq = excluded.seq, verdicts = excluded.verdicts`, t, in, who, seqs, verdicts)
		b.exec(nil, `UPDATE outside_heads SET seq = $2 WHERE tenant = $1`, t, seq+int64(n))
		return b.send()
	})
}

// Elect implements retrieval.Outside.
func (db *DB) Elect(ctx context.Context, t consent.TenantID, holder string, lease time.Duration) (elected bool, err error) {
	err = db.write(ctx, "elect", func(x *tx) error {
		b := x.batch()
		b.one(consent.ErrUnknownTenant, `SELECT 1 FROM corpus_heads WHERE tenant = $1`, []any{t}, new(int))
		b.clock()
		if err := b.send(); err != nil {
			return err
		}
		b = x.batch()
		b.exec(func(n int64) error { elected = n == 1; return nil }, `INSERT INTO outside_heads (tenant, seq, holder, until) VALUES ($1, 0, $2, $3)
			ON CONFLICT (tenant) DO UPDATE SET holder = $2, until = $3 WHERE outside_heads.holder = $2 OR outside_heads.until <= $4`,
			t, holder, int64(x.now)+int64(lease), int64(x.now))
		return b.send()
	})
	return elected && err == nil, err
}
