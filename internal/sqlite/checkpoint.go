package sqlite

import "context"

// Checkpoint moves the WAL into the main file and truncates it: what was
// deleted before is then gone from both. ErrBusy when a reader holds it back.
func (db *DB) Checkpoint(ctx context.Context) error {
	const doing = "checkpoint"
	if err := db.life.enter(doing); err != nil {
		return err
	}
	defer db.life.leave()
	select {
	case db.turn <- struct{}{}:
	case <-ctx.Done():
		return fail(doing, ctx.Err())
	}
	defer func() { <-db.turn }()
	return db.truncateWAL(ctx)
}

// truncateWAL is Checkpoint for the holder of the turn.
func (db *DB) truncateWAL(ctx context.Context) error {
	const doing = "truncate the log"
	if err := db.connect(ctx); err != nil {
		return err
	}
	var busy, log, moved int
	row := db.writer.c.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	if err := row.Scan(&busy, &log, &moved); err != nil {
		return fail(doing, err)
	}
	if busy != 0 {
		return &failure{doing: doing, kind: ErrBusy}
	}
	return nil
}
