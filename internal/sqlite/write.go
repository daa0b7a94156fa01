package sqlite

import (
	"context"
	"database/sql"
	"errors"
)

// A tx is the write transaction in progress.
type tx struct {
	db        *DB
	c         *conn
	doing     string
	published func() // after COMMIT, before the next write begins; may be nil
}

// errNothing ends a write that found nothing to do: it is rolled back, and
// write returns nil.
var errNothing = errors.New("nothing to write")

// write runs f in a transaction, alone. An error of f rolls back and is
// returned as it is.
//
// A crash before COMMIT returns leaves all or nothing, and the caller was told
// neither; SQLite's WAL decides at the next Open.
func (db *DB) write(ctx context.Context, doing string, f func(*tx) error) (err error) {
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
	if err := ctx.Err(); err != nil {
		return fail(doing, err)
	}
	return db.transact(ctx, doing, f)
}

// transact is write for the holder of the turn.
func (db *DB) transact(ctx context.Context, doing string, f func(*tx) error) error {
	if err := db.fault("tx.begin"); err != nil {
		return faulted(doing, err)
	}
	if err := db.connect(ctx); err != nil {
		return err
	}
	if err := db.writer.run("BEGIN IMMEDIATE"); err != nil {
		return fail(doing, err)
	}
	open := true
	defer func() { // also when f panics
		if open {
			db.rollback()
		}
	}()
	x := &tx{db: db, c: db.writer, doing: doing}
	if err := f(x); err != nil {
		if err == errNothing {
			return nil
		}
		return err
	}
	if err := ctx.Err(); err != nil {
		return fail(doing, err)
	}
	if err := db.fault("tx.commit"); err != nil {
		return faulted(doing, err)
	}
	if err := db.writer.run("COMMIT"); err != nil {
		// Whether the WAL has the commit is not known here.
		db.heads.forget()
		return fail(doing, err)
	}
	open = false
	if err := db.fault("tx.committed"); err != nil {
		db.heads.forget()
		return faulted(doing, err)
	}
	if x.published != nil {
		x.published()
	}
	return nil
}

func faulted(doing string, err error) error {
	return &failure{doing: doing, kind: ErrOther, cause: err}
}

// rollback ends the transaction. After a failed COMMIT there may be none any
// more; a connection that cannot say so is given up.
func (db *DB) rollback() {
	err := db.writer.run("ROLLBACK")
	if err == nil {
		return
	}
	var inTx bool
	// BEGIN fails inside a transaction: the question and its answer.
	if e := db.writer.run("BEGIN"); e != nil {
		inTx = true
	} else if e := db.writer.run("ROLLBACK"); e != nil {
		inTx = true
	}
	if inTx {
		db.writer.discard()
		db.writer = nil
	}
}

// exec runs one statement of the transaction.
func (x *tx) exec(query string, args ...any) (sql.Result, error) {
	s, err := x.c.stmt(query)
	if err != nil {
		return nil, fail(x.doing, err)
	}
	return s.Exec(args...)
}

// change runs a statement that concerns nobody's uniqueness and returns how
// many rows it touched.
func (x *tx) change(query string, args ...any) (int64, error) {
	r, err := x.exec(query, args...)
	if err != nil {
		return 0, fail(x.doing, err)
	}
	n, err := r.RowsAffected()
	return n, fail(x.doing, err)
}

// insert runs a statement that must not meet a row with the same key; if it
// does, the answer is taken.
func (x *tx) insert(taken error, query string, args ...any) error {
	_, err := x.exec(query, args...)
	if isUnique(err) {
		return taken
	}
	return fail(x.doing, err)
}

func (x *tx) query(_ context.Context, query string, args []any) (*sql.Rows, error) {
	s, err := x.c.stmt(query)
	if err != nil {
		return nil, err
	}
	return s.Query(args...)
}
