package sqlite

import (
	"context"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// Linked counts the links between a person and versions of documents decided
// before a position, live or ended. It is for verification, and shares no
// query with what deletes.
func (db *DB) Linked(ctx context.Context, t consent.TenantID, num consent.SubjectNum, before consent.Position) (n int, err error) {
	const doing = "count a person's documents"
	err = db.reading(doing, func() error {
		_, err := one(ctx, db.readers, doing, `SELECT count(*) FROM document_subjects AS link, documents AS doc
			WHERE doc.id = link.doc AND link.subject = ?1 AND doc.decided_at < ?2 AND doc.tenant = ?3`,
			[]any{int64(num), int64(before), string(t)}, into(&n))
		return err
	})
	return n, err
}

// Traces counts what is left of versions: live rows, sealed columns, heads and
// bodies, by their numbers.
func (db *DB) Traces(ctx context.Context, t consent.TenantID, nums []retrieval.DocNum) (n int, err error) {
	const doing = "look for traces of documents"
	err = db.reading(doing, func() error {
		_, err := one(ctx, db.readers, doing, `SELECT coalesce(sum(
				(to_pos = 0) + (lookup IS NOT NULL) + (digest IS NOT NULL) + (source IS NOT NULL) + (key_id IS NOT NULL) + (sealed IS NOT NULL)
				+ (SELECT count(*) FROM heads WHERE heads.id >= v.id * 1048576 AND heads.id < (v.id + 1) * 1048576)
				+ (SELECT count(*) FROM bodies WHERE bodies.id >= v.id * 1048576 AND bodies.id < (v.id + 1) * 1048576)), 0)
			FROM documents AS v WHERE v.tenant = ?1 AND v.num IN (SELECT value FROM json_each(?2))`,
			[]any{string(t), list(nums)}, into(&n))
		return err
	})
	return n, err
}

// Named reports whether any row of a person's holds this lookup, and whether
// the person's row names a key.
func (db *DB) Named(ctx context.Context, t consent.TenantID, lookup [32]byte) (found bool, err error) {
	const doing = "look for a person's row"
	err = db.reading(doing, func() error {
		found, err = one(ctx, db.readers, doing, `SELECT 1 FROM subjects WHERE tenant = ?1 AND lookup = ?2 LIMIT 1`,
			[]any{string(t), lookup[:]}, new(int))
		return err
	})
	return found, err
}
