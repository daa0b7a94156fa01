package postgres

import (
	"cmp"
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

const (
	livePage  = 500  // versions read at a time
	liveParts = 4000 // passages whose heads are read at a time
)

// headsLive reads the heads of versions by their ids; in which order is left
// to the server, which would sort in files.
const headsLive = `SELECT h.id, h.sealed FROM unnest($1::bigint[]) AS d (id)
	CROSS JOIN LATERAL (SELECT id, sealed FROM heads WHERE id BETWEEN d.id << 20 AND (d.id << 20) + 1048575 LIMIT 1048576) h`

// Live implements retrieval.Catalogue. Versions come in the order of ingest,
// in pages over one snapshot.
func (db *DB) Live(ctx context.Context, t consent.TenantID, f func(retrieval.DocRow, []retrieval.PartRow) error) error {
	return db.streaming(ctx, "read live documents", func(s *session) error {
		tx, err := s.c.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
		if err != nil {
			return s.fail(err)
		}
		defer tx.Rollback(ctx)
		for last := int64(0); ; {
			docs, err := s.docs(ctx, docsLive, t, last, livePage)
			if err != nil || len(docs) == 0 {
				return err
			}
			last = docs[len(docs)-1].id
			for len(docs) > 0 {
				n := upTo(docs, liveParts)
				if err := s.giveLive(ctx, docs[:n], f); err != nil {
					return err
				}
				docs = docs[n:]
			}
		}
	})
}

// upTo is how many versions have at most so many passages together; one at least.
func upTo(docs []storedDoc, passages int) int {
	n := 0
	for n < len(docs) && passages >= int(docs[n].Passages) {
		passages -= int(docs[n].Passages)
		n++
	}
	return max(n, 1)
}

// giveLive reads the heads of versions and gives both away.
func (s *session) giveLive(ctx context.Context, docs []storedDoc, f func(retrieval.DocRow, []retrieval.PartRow) error) error {
	ids, at := make([]int64, len(docs)), make(map[int64]int, len(docs))
	for i, d := range docs {
		ids[i], at[d.id] = d.id, i
	}
	parts := make([][]retrieval.PartRow, len(docs))
	err := s.each(ctx, headsLive, []any{ids}, func(read scan) error {
		var id int64
		var p retrieval.PartRow
		if err := read(&id, &p.Sealed); err != nil {
			return err
		}
		i := at[id>>partBits]
		p.Ref = retrieval.PassageRef{Doc: docs[i].Num, N: uint32(id & partMask)}
		parts[i] = append(parts[i], p)
		return nil
	})
	if err != nil {
		return err
	}
	for i, d := range docs {
		slices.SortFunc(parts[i], func(a, b retrieval.PartRow) int { return byRef(a.Ref, b.Ref) })
		if err := f(d.DocRow, parts[i]); err != nil {
			return err
		}
	}
	return nil
}

func byRef(a, b retrieval.PassageRef) int {
	return cmp.Or(cmp.Compare(a.Doc, b.Doc), cmp.Compare(a.N, b.N))
}
