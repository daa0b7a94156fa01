package postgres

import (
	"context"
	"slices"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// docsAt reads versions by the order of ingest, live or ended. The tenant is
// asked for so that no index of it is used: a page walks from its mark on.
const docsAt = docSelect + `d.tenant || '' = $1 AND d.collection = ANY ($2) AND d.from_pos <= $3
	AND (d.to_pos = 0 OR d.to_pos > $3) AND d.id > $4 ORDER BY d.id LIMIT $5`

const bodiesAt = `SELECT b.id, b.sealed FROM unnest($1::bigint[]) AS d (id)
	CROSS JOIN LATERAL (SELECT id, sealed FROM bodies WHERE id BETWEEN d.id << 20 AND (d.id << 20) + 1048575 LIMIT 1048576) b`

// VersionsAt implements retrieval.Catalogue. The mark is the row's id.
func (db *DB) VersionsAt(ctx context.Context, t consent.TenantID, in []retrieval.CollectionID, at retrieval.CorpusPosition, after int64, limit int) (found []retrieval.Version, err error) {
	err = db.reading(ctx, "read versions at a position", func(s *session) error {
		found = nil
		docs, err := s.docs(ctx, docsAt, t, ints(in), int64(at), after, limit)
		if err != nil || len(docs) == 0 {
			return err
		}
		docs = docs[:upTo(docs, retrieval.MaxVersionParts)]
		var live []int64
		where := map[int64]int{}
		for i, d := range docs {
			found = append(found, retrieval.Version{DocRow: d.DocRow, Mark: d.id})
			if d.To == 0 {
				live, where[d.id] = append(live, d.id), i
			}
		}
		err = s.each(ctx, bodiesAt, []any{live}, func(read scan) error {
			var id int64
			var p retrieval.PartRow
			if err := read(&id, &p.Sealed); err != nil {
				return err
			}
			v := &found[where[id>>partBits]]
			p.Ref = retrieval.PassageRef{Doc: v.Num, N: uint32(id & partMask)}
			v.Bodies = append(v.Bodies, p)
			return nil
		})
		for i := range found {
			slices.SortFunc(found[i].Bodies, func(a, b retrieval.PartRow) int { return byRef(a.Ref, b.Ref) })
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}
