package postgres

import (
	"github.com/jackc/pgx/v5"

	"github.com/assent-gateway/assent/consent"
)

// A batch is statements of a write that go to the server in one message and
// run one after the other, each seeing what was committed when it began.
type batch struct {
	x   *tx
	b   pgx.Batch
	own error // of a function of ours
}

// batch begins a batch; the first of a transaction begins that too.
func (x *tx) batch() *batch {
	b := &batch{x: x}
	if x.c.PgConn().TxStatus() == 'I' {
		b.b.Queue("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
	}
	return b
}

// exec adds a statement; then, when not nil, is given how many rows it touched.
func (b *batch) exec(then func(n int64) error, query string, args ...any) {
	b.b.Queue(query, args...).Query(func(rows pgx.Rows) error {
		rows.Close()
		if err := rows.Err(); err != nil {
			return b.x.fail(err)
		}
		if then != nil {
			b.own = then(rows.CommandTag().RowsAffected())
		}
		return b.own
	})
}

// each adds a query whose rows f is given.
func (b *batch) each(f func(scan) error, query string, args ...any) {
	b.b.Queue(query, args...).Query(func(rows pgx.Rows) error {
		return b.x.walk(rows, func(read scan) error {
			b.own = f(read)
			return b.own
		})
	})
}

// one adds a query of one row; absent is the error when there is none.
func (b *batch) one(absent error, query string, args []any, dst ...any) {
	b.b.Queue(query, args...).Query(func(rows pgx.Rows) error {
		found := false
		err := b.x.walk(rows, func(read scan) error {
			found = true
			return read(dst...)
		})
		if err == nil && !found {
			b.own = absent
			return absent
		}
		return err
	})
}

// clock adds the reading of the clock.
func (b *batch) clock() {
	b.each(func(read scan) error {
		var server consent.Time
		err := read(into(&server))
		b.x.now = b.x.db.clock(server)
		return err
	}, `SELECT `+clockSQL)
}

// send runs the batch. The first error, of a statement or of its function,
// ends it; a function's own comes back as it is.
func (b *batch) send() error {
	if len(b.b.QueuedQueries) == 0 {
		return nil
	}
	err := b.x.c.SendBatch(b.x.ctx, &b.b).Close()
	switch {
	case b.own != nil:
		return b.own
	case err != nil:
		return b.x.fail(err)
	}
	b.x.begun = true // from here no other connection may go on
	return nil
}

// all returns a check that a statement touched n rows: otherwise what kept
// one of them from being written is told.
func all(n int, otherwise error) func(int64) error {
	return func(touched int64) error {
		if touched != int64(n) {
			return otherwise
		}
		return nil
	}
}
