package sqlite

import "context"

// parts are the tables whose ids say which version they belong to, and that
// nothing else ties to it.
var parts = []string{"heads", "bodies"}

// SweepParts implements retrieval.Condemning. It writes only where there is
// something to delete.
func (db *DB) SweepParts(ctx context.Context, after int64, limit int) (deleted int, mark int64, err error) {
	const doing = "sweep parts of no document"
	strays := map[string][]int64{}
	err = db.reading(doing, func() error {
		for _, table := range parts {
			looked, last := 0, int64(0)
			err := each(ctx, db.readers, doing, `SELECT p.id, d.id IS NULL FROM `+table+` p
				LEFT JOIN documents d ON d.id = p.id >> 20 AND d.to_pos = 0
				WHERE p.id > ? ORDER BY p.id LIMIT ?`, []any{after, limit}, func(read scan) error {
				var stray bool
				err := read(&last, &stray)
				looked++
				if stray {
					strays[table] = append(strays[table], last)
				}
				return err
			})
			if err != nil {
				return err
			}
			if looked == limit && (mark == 0 || last < mark) {
				mark = last // the table that is less far says where to go on
			}
		}
		return nil
	})
	if err != nil || len(strays) == 0 {
		return 0, mark, err
	}
	err = db.write(ctx, doing, func(x *tx) error {
		deleted = 0
		for table, ids := range strays {
			for _, id := range ids { // looked at again: a version may have come to it meanwhile
				n, err := x.change(`DELETE FROM `+table+` WHERE id = ?1
					AND NOT EXISTS (SELECT 1 FROM documents WHERE id = ?1 >> 20 AND to_pos = 0)`, id)
				if err != nil {
					return err
				}
				deleted += int(n)
			}
		}
		return nil
	})
	return deleted, mark, err
}
