package sqlite

import (
	"context"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// docsAt reads versions by the order of ingest, live or ended. A page walks the
// table from its mark on: by any index the tenant's whole corpus would be
// sorted for every page.
const docsAt = `SELECT d.id, d.num, d.collection, d.lookup, d.digest, d.source, d.key_slot, d.key_id, d.personal,
	d.retain_until, d.passages, d.decided_at, d.from_pos, d.to_pos, d.sealed, s.role, s.subject
	FROM (SELECT id FROM documents NOT INDEXED WHERE id > ?4 AND tenant = ?1
		AND collection IN (SELECT value FROM json_each(?2)) AND from_pos <= ?3 AND (to_pos = 0 OR to_pos > ?3)
		ORDER BY id LIMIT ?5) p
	CROSS JOIN documents d ON d.id = p.id
	LEFT JOIN document_subjects s ON s.doc = d.id` + docOrder

// VersionsAt implements retrieval.Catalogue. The mark is the row's id.
func (db *DB) VersionsAt(ctx context.Context, t consent.TenantID, in []retrieval.CollectionID, at retrieval.CorpusPosition, after int64, limit int) ([]retrieval.Version, error) {
	const doing = "read versions at a position"
	ids := make([]int64, len(in))
	for i, c := range in {
		ids[i] = int64(c)
	}
	var found []retrieval.Version
	err := db.reading(doing, func() error {
		left := uint32(retrieval.MaxVersionParts)
		full := false
		err := eachDoc(ctx, db.readers, doing, docsAt, []any{t, list(ids), at, after, limit}, func(d storedDoc) error {
			if full = full || len(found) > 0 && d.Passages > left; !full {
				left -= min(d.Passages, left)
				found = append(found, retrieval.Version{DocRow: d.DocRow, Mark: d.id})
			}
			return nil
		})
		if err != nil {
			return err
		}
		return db.bodiesAt(ctx, doing, found)
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// bodiesAt adds to versions that are live their bodies.
func (db *DB) bodiesAt(ctx context.Context, doing string, versions []retrieval.Version) error {
	var live []int64
	where := map[int64]int{}
	for i := range versions {
		if v := &versions[i]; v.To == 0 {
			live, where[v.Mark] = append(live, v.Mark), i
		}
	}
	return each(ctx, db.readers, doing, `SELECT b.id, b.sealed FROM json_each(?) r
		CROSS JOIN bodies b ON b.id BETWEEN (r.value << 20) AND (r.value << 20) + 1048575`, []any{list(live)}, func(read scan) error {
		var id int64
		var p retrieval.PartRow
		if err := read(into(&id), &p.Sealed); err != nil {
			return err
		}
		v := &versions[where[id>>partBits]]
		p.Ref = retrieval.PassageRef{Doc: v.Num, N: uint32(id & partMask)}
		v.Bodies = append(v.Bodies, p)
		return nil
	})
}
