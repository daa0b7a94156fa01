package postgres

import (
	"context"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

var _ retrieval.Condemning = (*DB)(nil)

// What an erasure may be about.
const (
	condemnedWho = docSelect + `d.tenant = $1 AND d.to_pos = 0 AND d.decided_at < $2 AND d.from_pos > $3
		AND d.id IN (SELECT s.doc FROM document_subjects s WHERE s.subject = $5) ORDER BY d.id LIMIT $4`
	condemnedWhat = docSelect + `d.tenant = $1 AND d.to_pos = 0 AND d.decided_at < $2 AND d.from_pos > $3
		AND d.collection = $5 AND ($6::bytea IS NULL OR d.lookup = $6) ORDER BY d.id LIMIT $4`
	condemnedSource = docSelect + `d.tenant || '' = $1 AND d.to_pos = 0 AND d.decided_at < $2 AND d.from_pos > $3
		AND d.source = $6 AND ($5::bigint = 0 OR d.collection = $5) ORDER BY d.id LIMIT $4`
	condemnedAge = docSelect + `d.tenant || '' = $1 AND d.to_pos = 0 AND d.decided_at < $2 AND d.from_pos > $3
		AND d.retain_until <> 0 AND d.retain_until <= $5 ORDER BY d.id LIMIT $4`
)

// Condemned implements retrieval.Condemning.
func (db *DB) Condemned(ctx context.Context, t consent.TenantID, w retrieval.Which, limit int) ([]retrieval.DocRow, error) {
	const doing = "find condemned documents"
	before, after, limit64 := int64(w.Before), int64(w.After), int64(max(limit, 1))
	switch {
	case w.Subject != 0:
		return db.docs(ctx, doing, condemnedWho, t, before, after, limit64, int64(w.Subject))
	case w.ExpiredAt != 0:
		return db.docs(ctx, doing, condemnedAge, t, before, after, limit64, int64(w.ExpiredAt))
	case w.Source != [32]byte{}:
		return db.docs(ctx, doing, condemnedSource, t, before, after, limit64, int64(w.Collection), w.Source[:])
	}
	return db.docs(ctx, doing, condemnedWhat, t, before, after, limit64, int64(w.Collection), orNull(w.Lookup))
}

func orNull(mac [32]byte) []byte {
	if mac == [32]byte{} {
		return nil
	}
	return mac[:]
}

// Heads implements retrieval.Condemning.
func (db *DB) Heads(ctx context.Context, t consent.TenantID, refs []retrieval.PassageRef) ([]retrieval.PartRow, error) {
	if len(refs) == 0 {
		return nil, nil
	}
	docs, ns := make([]int64, len(refs)), make([]int64, len(refs))
	for i, r := range refs {
		docs[i], ns[i] = int64(r.Doc), int64(r.N)
	}
	var found []retrieval.PartRow
	err := db.reading(ctx, "read heads", func(s *session) error {
		found = nil
		return s.each(ctx, `SELECT d.num, r.n, h.sealed
			FROM (SELECT DISTINCT * FROM unnest($2::bigint[], $3::bigint[]) AS r (num, n)) r
			JOIN documents d ON d.tenant = $1 AND d.num = r.num AND d.to_pos = 0
			JOIN heads h ON h.id = (d.id << 20) + r.n
			WHERE r.n < 1 << 20`, []any{t, docs, ns}, func(read scan) error {
			var p retrieval.PartRow
			err := read(into(&p.Ref.Doc), into(&p.Ref.N), &p.Sealed)
			found = append(found, p)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Unlink implements retrieval.Condemning.
func (db *DB) Unlink(ctx context.Context, t consent.TenantID, num consent.SubjectNum, before consent.Position) error {
	return db.write(ctx, "unlink a person", func(x *tx) error {
		b := x.batch()
		b.exec(nil, `DELETE FROM document_subjects s USING documents d WHERE s.subject = $2 AND d.id = s.doc
			AND d.tenant = $1 AND d.to_pos <> 0 AND d.decided_at < $3`, t, int64(num), int64(before))
		return b.send()
	})
}

// Purge implements retrieval.Condemning. What a server of several gateways
// deleted lies in its pages and logs until it vacuums and recycles them, which
// nobody waits for here: there, keys are what is purged.
func (db *DB) Purge(ctx context.Context) error {
	return db.reading(ctx, "purge", func(*session) error { return nil })
}

// Linked counts links between a person and versions decided before a
// position, live or ended. It is for verification, and shares no query with
// what deletes.
func (db *DB) Linked(ctx context.Context, t consent.TenantID, num consent.SubjectNum, before consent.Position) (n int, err error) {
	err = db.reading(ctx, "count a person's documents", func(s *session) error {
		_, err := s.one(ctx, `SELECT count(*) FROM document_subjects link, documents doc
			WHERE doc.id = link.doc AND link.subject = $1 AND doc.decided_at < $2 AND doc.tenant = $3`,
			[]any{int64(num), int64(before), t}, into(&n))
		return err
	})
	return n, err
}

// Traces counts what is left of versions: live rows, sealed columns, heads and
// bodies, by their numbers.
func (db *DB) Traces(ctx context.Context, t consent.TenantID, nums []retrieval.DocNum) (n int, err error) {
	err = db.reading(ctx, "look for traces of documents", func(s *session) error {
		_, err := s.one(ctx, `SELECT coalesce(sum((v.to_pos = 0)::int + num_nonnulls(lookup, digest, source, key_id, sealed)
				+ (SELECT count(*) FROM heads WHERE heads.id >= v.id * 1048576 AND heads.id < (v.id + 1) * 1048576)
				+ (SELECT count(*) FROM bodies WHERE bodies.id >= v.id * 1048576 AND bodies.id < (v.id + 1) * 1048576)), 0)::bigint
			FROM documents v WHERE v.tenant = $1 AND v.num = ANY ($2)`, []any{t, ints(nums)}, into(&n))
		return err
	})
	return n, err
}

// Named reports whether a person's row has this lookup.
func (db *DB) Named(ctx context.Context, t consent.TenantID, lookup [32]byte) (found bool, err error) {
	err = db.reading(ctx, "look for a person's row", func(s *session) error {
		found, err = s.one(ctx, `SELECT num FROM subjects WHERE tenant = $1 AND lookup = $2 LIMIT 1`,
			[]any{t, lookup[:]}, into(new(int64)))
		return err
	})
	return found, err
}
