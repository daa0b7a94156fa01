package sqlite

import (
	"context"
	"fmt"
	"slices"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

var _ retrieval.Condemning = (*DB)(nil)

// What an erasure may be about; ?2 is the limit. Ids are chosen first, so that
// a document of many people counts once, and rows are read by them: the planner,
// left to itself, goes through the whole table for every page, ended versions and
// all, which was a third of a large erasure. Those of a tenant ascend as positions
// do, so that a page begins behind the id of the last version of the one before.
const (
	behind       = `coalesce((SELECT b.id FROM documents b WHERE b.tenant = ?1 AND b.num = ?9), 0)`
	condemnedWho = `SELECT p.doc AS id FROM document_subjects p CROSS JOIN documents c ON c.id = p.doc
		WHERE p.subject = ?3 AND p.doc > ` + behind + ` AND c.tenant = ?1 AND c.to_pos = 0 AND c.decided_at < ?4 AND c.from_pos > ?8
		GROUP BY p.doc ORDER BY p.doc LIMIT ?2`
	condemnedWhat = `SELECT c.id FROM documents c INDEXED BY documents_live WHERE c.tenant = ?1 AND c.to_pos = 0 AND c.decided_at < ?4 AND c.from_pos > ?8
		AND c.id > ` + behind + ` AND c.collection = ?5 ORDER BY c.id LIMIT ?2`
	condemnedOne = `SELECT c.id FROM documents c INDEXED BY documents_lookup WHERE c.tenant = ?1 AND c.to_pos = 0 AND c.decided_at < ?4 AND c.from_pos > ?8
		AND c.collection = ?5 AND c.lookup = ?6 ORDER BY c.id LIMIT ?2`
	condemnedSource = `SELECT c.id FROM documents c INDEXED BY documents_source WHERE c.tenant = ?1 AND c.to_pos = 0 AND c.decided_at < ?4 AND c.from_pos > ?8
		AND c.id > ` + behind + ` AND c.source = ?7 AND (?5 = 0 OR c.collection = ?5) AND (?6 IS NULL OR c.lookup = ?6) ORDER BY c.id LIMIT ?2`
	condemnedAge = `SELECT c.id FROM documents c INDEXED BY documents_retained WHERE c.tenant = ?1 AND c.to_pos = 0 AND c.decided_at < ?4 AND c.from_pos > ?8
		AND c.retain_until <> 0 AND c.retain_until <= ?5 ORDER BY c.id LIMIT ?2`
)

const condemnedQuery = `SELECT d.id, d.num, d.collection, d.lookup, d.digest, d.source, d.key_slot, d.key_id, d.personal,
	d.retain_until, d.passages, d.decided_at, d.from_pos, d.to_pos, d.sealed, s.role, s.subject
	FROM (%s) w CROSS JOIN documents d ON d.id = w.id LEFT JOIN document_subjects s ON s.doc = d.id` + docOrder

// Condemned implements retrieval.Condemning.
func (db *DB) Condemned(ctx context.Context, t consent.TenantID, w retrieval.Which, limit int) ([]retrieval.DocRow, error) {
	args := []any{t, max(limit, 1), w.Subject, w.Before, w.Collection, orNull(w.Lookup), orNull(w.Source), w.After, w.Behind}
	ids := condemnedWhat
	switch {
	case w.Subject != 0:
		ids = condemnedWho
	case w.ExpiredAt != 0:
		ids, args[4], args = condemnedAge, w.ExpiredAt, args[:8]
	case w.Source != [32]byte{}:
		ids = condemnedSource
	case w.Lookup != [32]byte{}:
		ids, args = condemnedOne, args[:8]
	}
	return db.docs(ctx, "find condemned documents", fmt.Sprintf(condemnedQuery, ids), args...)
}

func orNull(mac [32]byte) []byte {
	if mac == [32]byte{} {
		return nil
	}
	return mac[:]
}

// Heads implements retrieval.Condemning.
func (db *DB) Heads(ctx context.Context, t consent.TenantID, refs []retrieval.PassageRef) ([]retrieval.PartRow, error) {
	const doing = "read heads"
	if len(refs) == 0 {
		return nil, nil
	}
	pairs := make([][2]int64, len(refs))
	for i, r := range refs {
		pairs[i] = [2]int64{int64(r.Doc), int64(r.N)}
	}
	slices.SortFunc(pairs, func(a, b [2]int64) int { return slices.Compare(a[:], b[:]) })
	var found []retrieval.PartRow
	err := db.reading(doing, func() error {
		return each(ctx, db.readers, doing, `SELECT d.num, r.value ->> 1, h.sealed
			FROM json_each(?2) r
			CROSS JOIN documents d ON d.tenant = ?1 AND d.num = r.value ->> 0 AND d.to_pos = 0
			CROSS JOIN heads h ON h.id = (d.id << 20) + (r.value ->> 1)
			WHERE r.value ->> 1 < 1 << 20`, []any{t, list(slices.Compact(pairs))}, func(read scan) error {
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
		_, err := x.change(`DELETE FROM document_subjects WHERE subject = ? AND doc IN
			(SELECT d.id FROM document_subjects s JOIN documents d ON d.id = s.doc
			WHERE s.subject = ?1 AND d.tenant = ? AND d.to_pos <> 0 AND d.decided_at < ?)`, int64(num), string(t), int64(before))
		return err
	})
}
