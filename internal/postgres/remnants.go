package postgres

import "context"

// parts are the tables whose ids say which version they belong to, and that
// nothing else ties to it.
var parts = []string{"heads", "bodies"}

// SweepParts implements retrieval.Condemning. It writes only where there is
// something to delete. A version and its parts come in one transaction, so that a
// statement sees both or neither.
func (db *DB) SweepParts(ctx context.Context, after int64, limit int) (deleted int, mark int64, err error) {
	const doing = "sweep parts of no document"
	strays := map[string][]int64{}
	err = db.reading(ctx, doing, func(s *session) error {
		clear(strays)
		mark = 0
		for _, table := range parts {
			looked, last := 0, int64(0)
			err := s.each(ctx, `SELECT p.id, d.id IS NULL FROM (SELECT id FROM `+table+` WHERE id > $1 ORDER BY id LIMIT $2) p
				LEFT JOIN documents d ON d.id = p.id >> 20 AND d.to_pos = 0 ORDER BY p.id`, []any{after, int64(limit)}, func(read scan) error {
				var stray bool
				err := read(into(&last), &stray)
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
		b := x.batch()
		for table, ids := range strays {
			b.exec(func(n int64) error { deleted += int(n); return nil }, `DELETE FROM `+table+` p WHERE p.id = ANY ($1)
				AND NOT EXISTS (SELECT FROM documents d WHERE d.id = p.id >> 20 AND d.to_pos = 0)`, ids)
		}
		return b.send()
	})
	return deleted, mark, err
}
