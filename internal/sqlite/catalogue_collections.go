package sqlite

import (
	"cmp"
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
	const doing = "read collections"
	var rows []retrieval.CollectionRow
	err := db.reading(doing, func() error {
		return each(ctx, db.readers, doing, `SELECT `+collectionColumns+` FROM collections WHERE tenant = ? ORDER BY id`,
			[]any{t}, func(read scan) error {
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
	const doing = "look a collection up"
	var c retrieval.CollectionRow
	var found bool
	err := db.reading(doing, func() (err error) {
		found, err = one(ctx, db.readers, doing, `SELECT `+collectionColumns+` FROM collections
			WHERE tenant = ? AND lookup = ?`, []any{t, lookup[:]}, collectionDst(&c)...)
		return err
	})
	if err != nil {
		return retrieval.CollectionRow{}, false, err
	}
	return c, found, nil
}

// PutCollection implements retrieval.Catalogue.
func (db *DB) PutCollection(ctx context.Context, t consent.TenantID, row retrieval.CollectionRow, was []byte, remember []consent.Remembered) error {
	return db.write(ctx, "store a collection", func(x *tx) error {
		if _, err := x.corpusHead(ctx, t); err != nil {
			return err
		}
		if err := x.remember(t, remember); err != nil {
			return err
		}
		if err := x.putCollection(t, row, was); err != nil {
			return err
		}
		return x.prune()
	})
}

func (x *tx) putCollection(t consent.TenantID, row retrieval.CollectionRow, was []byte) error {
	if len(was) == 0 {
		return x.insert(retrieval.ErrConflict, `INSERT INTO collections (tenant, id, lookup, sealed) VALUES (?, ?, ?, ?)`,
			t, row.ID, row.Lookup[:], row.Sealed)
	}
	r, err := x.exec(`UPDATE collections SET lookup = ?, sealed = ? WHERE tenant = ? AND id = ? AND sealed = ?`,
		row.Lookup[:], row.Sealed, t, row.ID, was)
	if isUnique(err) {
		return retrieval.ErrConflict
	}
	if err != nil {
		return fail(x.doing, err)
	}
	if n, err := r.RowsAffected(); n == 0 || err != nil {
		return cmp.Or(fail(x.doing, err), retrieval.ErrConflict)
	}
	return nil
}

// DropCollection implements retrieval.Catalogue. The row goes with the call
// that retires the last live version, or finds none. A limit below 1 is 1.
func (db *DB) DropCollection(ctx context.Context, t consent.TenantID, c retrieval.CollectionID, limit int) ([]retrieval.DocRow, error) {
	limit = max(limit, 1)
	var retired []retrieval.DocRow
	err := db.write(ctx, "drop a collection", func(x *tx) error {
		head, err := x.corpusHead(ctx, t)
		if err != nil {
			return err
		}
		var nums []retrieval.DocNum // one more than the limit shows whether any is left
		err = each(ctx, x, x.doing, `SELECT num FROM documents WHERE tenant = ? AND collection = ? AND to_pos = 0 LIMIT ?`,
			[]any{t, c, limit + 1}, func(read scan) error {
				var n retrieval.DocNum
				err := read(into(&n))
				nums = append(nums, n)
				return err
			})
		if err != nil {
			return err
		}
		if retired, head, err = x.retire(ctx, t, nums[:min(limit, len(nums))], head); err != nil {
			return err
		}
		if len(nums) <= limit {
			for _, table := range []string{`collections WHERE tenant = ? AND id`, `outside_people WHERE tenant = ? AND collection`} {
				if _, err := x.change(`DELETE FROM `+table+` = ?`, t, c); err != nil {
					return err
				}
			}
		}
		return x.setCorpusHead(t, head)
	})
	if err != nil {
		return nil, err
	}
	return retired, nil
}
