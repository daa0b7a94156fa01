package postgres

import (
	"context"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

var _ retrieval.Catalogue = (*DB)(nil)

const collectionColumns = `id, lookup, sealed`

func collectionDst(c *retrieval.CollectionRow) []any {
	return []any{into(&c.ID), fixed(c.Lookup[:]), &c.Sealed}
}

// Collections implements retrieval.Catalogue.
func (db *DB) Collections(ctx context.Context, t consent.TenantID) ([]retrieval.CollectionRow, error) {
	var rows []retrieval.CollectionRow
	err := db.reading(ctx, "read collections", func(s *session) error {
		return s.each(ctx, `SELECT `+collectionColumns+` FROM collections WHERE tenant = $1 ORDER BY id`, []any{t}, func(read scan) error {
			var c retrieval.CollectionRow
			err := read(collectionDst(&c)...)
			rows = append(rows, c)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// CollectionByLookup implements retrieval.Catalogue.
func (db *DB) CollectionByLookup(ctx context.Context, t consent.TenantID, lookup [32]byte) (retrieval.CollectionRow, bool, error) {
	var c retrieval.CollectionRow
	var found bool
	err := db.reading(ctx, "look a collection up", func(s *session) (err error) {
		found, err = s.one(ctx, `SELECT `+collectionColumns+` FROM collections WHERE tenant = $1 AND lookup = $2`,
			[]any{t, lookup[:]}, collectionDst(&c)...)
		return err
	})
	if err != nil {
		return retrieval.CollectionRow{}, false, err
	}
	return c, found, nil
}

// PutCollection implements retrieval.Catalogue. Like every change of a
// tenant's catalogue it holds the corpus head, which orders it with drops.
func (db *DB) PutCollection(ctx context.Context, t consent.TenantID, row retrieval.CollectionRow, was []byte, remember []consent.Remembered) error {
	return db.write(ctx, "store a collection", func(x *tx) error {
		var head retrieval.CorpusPosition
		b := x.batch()
		b.lockCorpus(t, &head)
		b.clock()
		if err := b.send(); err != nil {
			return err
		}
		b = x.batch()
		b.remember(t, remember)
		b.free(t, row)
		if len(was) == 0 {
			b.exec(all(1, retrieval.ErrConflict), `INSERT INTO collections (tenant, id, lookup, sealed) VALUES ($1, $2, $3, $4)
				ON CONFLICT (tenant, id) DO NOTHING`, t, int64(row.ID), row.Lookup[:], row.Sealed)
		} else {
			b.exec(all(1, retrieval.ErrConflict), `UPDATE collections SET lookup = $3, sealed = $4
				WHERE tenant = $1 AND id = $2 AND sealed = $5`, t, int64(row.ID), row.Lookup[:], row.Sealed, was)
		}
		b.shelfChanged(t)
		return b.send()
	})
}

// free adds the check that no other collection has the lookup. The corpus head
// is held, so none takes it meanwhile.
func (b *batch) free(t consent.TenantID, row retrieval.CollectionRow) {
	b.exec(all(0, retrieval.ErrConflict), `SELECT FROM collections WHERE tenant = $1 AND lookup = $2 AND id <> $3`,
		t, row.Lookup[:], int64(row.ID))
}

// shelfChanged tells every gateway to read the tenant's collections again. The
// corpus head is held.
func (b *batch) shelfChanged(t consent.TenantID) {
	b.exec(nil, `UPDATE corpus_heads SET shelf = shelf + 1 WHERE tenant = $1`, t)
}

// replaceCollection adds the replacement of a collection's row, which must be there.
func (b *batch) replaceCollection(t consent.TenantID, row *retrieval.CollectionRow) {
	if row == nil {
		return
	}
	b.free(t, *row)
	b.exec(all(1, retrieval.ErrConflict), `UPDATE collections SET lookup = $3, sealed = $4 WHERE tenant = $1 AND id = $2`,
		t, int64(row.ID), row.Lookup[:], row.Sealed)
	b.shelfChanged(t)
}

// DropCollection implements retrieval.Catalogue. The row goes with the call
// that retires the last live version, or finds none. A limit below 1 is 1.
func (db *DB) DropCollection(ctx context.Context, t consent.TenantID, c retrieval.CollectionID, limit int) ([]retrieval.DocRow, error) {
	limit = max(limit, 1)
	var retired []retrieval.DocRow
	err := db.write(ctx, "drop a collection", func(x *tx) error {
		var head retrieval.CorpusPosition
		b := x.batch()
		b.lockCorpus(t, &head)
		var live []storedDoc // one more than the limit shows whether any is left
		b.docs(&live, docsIn, t, int64(c), limit+1)
		if err := b.send(); err != nil {
			return err
		}
		b = x.batch()
		if len(live) <= limit {
			b.exec(nil, `DELETE FROM collections WHERE tenant = $1 AND id = $2`, t, int64(c))
			b.shelfChanged(t)
			b.exec(nil, `DELETE FROM outside_people WHERE tenant = $1 AND collection = $2`, t, int64(c))
		}
		live = live[:min(limit, len(live))]
		b.retire(live, head)
		b.setCorpusHead(t, head, head+retrieval.CorpusPosition(len(live)))
		retired = rowsOf(live)
		return b.send()
	})
	if err != nil {
		return nil, err
	}
	return retired, nil
}
