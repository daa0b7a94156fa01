package sqlite

import (
	"context"
	"database/sql"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// headsLive reads the heads of live versions in the order of docsLive. The
// joins are CROSS so that documents_live drives: then every table is read
// front to back.
const headsLive = `SELECT h.id, h.sealed
	FROM documents d INDEXED BY documents_live
	CROSS JOIN heads h ON h.id BETWEEN (d.id << 20) AND (d.id << 20) + 1048575
	WHERE d.tenant = ? AND d.to_pos = 0 ORDER BY d.id, h.id`

// Live implements retrieval.Catalogue. Versions come in the order of ingest.
// Two cursors over one snapshot are merged, so that a version's columns are
// not read again for each of its heads.
func (db *DB) Live(ctx context.Context, t consent.TenantID, f func(retrieval.DocRow, []retrieval.PartRow) error) error {
	const doing = "read live documents"
	return db.reading(doing, func() error {
		tx, err := db.readers.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
		if err != nil {
			return fail(doing, err)
		}
		defer tx.Rollback()
		snap := snapshot{db.readers, tx}
		heads, err := openHeads(ctx, snap, doing, t)
		if err != nil {
			return err
		}
		defer heads.rows.Close()
		return eachDoc(ctx, snap, doing, docsLive, []any{t}, func(d storedDoc) error {
			parts, err := heads.of(d)
			if err != nil {
				return err
			}
			return f(d.DocRow, parts)
		})
	})
}

// A headCursor walks over the heads of live versions.
type headCursor struct {
	rows   *sql.Rows
	doing  string
	dst    []any
	id     int64 // of the head in hand; 0 when there is none
	sealed []byte
}

func openHeads(ctx context.Context, from source, doing string, t consent.TenantID) (*headCursor, error) {
	rows, err := from.query(ctx, headsLive, []any{t})
	if err != nil {
		return nil, fail(doing, err)
	}
	c := &headCursor{rows: rows, doing: doing}
	c.dst = []any{into(&c.id), &c.sealed}
	if err := c.next(); err != nil {
		rows.Close()
		return nil, err
	}
	return c, nil
}

func (c *headCursor) next() error {
	c.id = 0
	if c.rows.Next() {
		return fail(c.doing, c.rows.Scan(c.dst...))
	}
	return fail(c.doing, c.rows.Err())
}

// of returns the heads of the next version.
func (c *headCursor) of(d storedDoc) ([]retrieval.PartRow, error) {
	var parts []retrieval.PartRow
	for c.id>>partBits == d.id {
		if parts == nil {
			parts = make([]retrieval.PartRow, 0, min(d.Passages, 1024))
		}
		parts = append(parts, retrieval.PartRow{Ref: retrieval.PassageRef{Doc: d.Num, N: uint32(c.id & partMask)}, Sealed: c.sealed})
		if err := c.next(); err != nil {
			return nil, err
		}
	}
	if c.id != 0 && c.id>>partBits < d.id { // would shift every head after it
		return nil, &failure{doing: c.doing, kind: ErrCorrupt}
	}
	return parts, nil
}
