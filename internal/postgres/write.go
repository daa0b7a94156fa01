package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/assent-gateway/assent/consent"
)

const (
	// attempts bounds how often a transaction is tried that others stood against.
	attempts = 6
	// commitPatience bounds COMMIT, which waits for a standby where one is
	// synchronous. Its outcome is not known after it.
	commitPatience = 30 * time.Second
	// rollbackPatience bounds ROLLBACK; a connection that does not is closed.
	rollbackPatience = 5 * time.Second
)

// A tx is a write transaction in progress.
type tx struct {
	*session
	db   *DB
	ctx  context.Context
	now  consent.Time // the database's clock, read under the locks
	then func()       // after COMMIT; may be nil
}

// errNothing ends a write that found nothing to do: it is rolled back, and
// write returns nil.
var errNothing = errors.New("nothing to write")

// write runs f in a transaction. An error of f rolls back and is returned as
// it is; after a conflict with another transaction, f is called again.
//
// A crash before COMMIT returns leaves all or nothing, and the caller was told
// neither; the server's WAL decides when it starts again.
func (db *DB) write(ctx context.Context, doing string, f func(*tx) error) error {
	for attempt := 1; ; attempt++ {
		if err := db.fault("tx.begin"); err != nil {
			return faulted(doing, err)
		}
		var x *tx
		err := db.on(ctx, db.writers, doing, func(s *session) error {
			x = &tx{session: s, db: db, ctx: ctx}
			return x.run(f)
		})
		if x == nil || !x.conflict || attempt == attempts {
			return err
		}
		select {
		case <-time.After(rand.N(time.Millisecond << attempt)):
		case <-ctx.Done():
			return fail(doing, ctx.Err())
		}
	}
}

func (x *tx) run(f func(*tx) error) (err error) {
	defer x.rollback() // does nothing after COMMIT; also when f panics
	if err := f(x); err != nil {
		if err == errNothing {
			return nil
		}
		return err
	}
	if err := x.ctx.Err(); err != nil {
		return fail(x.doing, err)
	}
	if err := x.db.fault("tx.commit"); err != nil {
		return faulted(x.doing, err)
	}
	if err := x.commit(); err != nil {
		return err
	}
	if err := x.db.fault("tx.committed"); err != nil {
		return faulted(x.doing, err)
	}
	if x.then != nil {
		x.then()
	}
	return nil
}

func faulted(doing string, err error) error {
	return &failure{doing: doing, kind: ErrOther, cause: err}
}

// commit does not end early with its caller: a COMMIT that was sent happens.
//
// The server answers "committed" with a warning when it was told to wait for
// its standby no longer. What the standby lacks, a failover undoes: that is no
// acknowledgement.
func (x *tx) commit() error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.ctx), commitPatience)
	defer cancel()
	notes := x.c.PgConn().CustomData()
	delete(notes, warned)
	tag, err := x.c.Exec(ctx, "COMMIT")
	if err != nil {
		return x.fail(err)
	}
	if notes[warned] != nil {
		return &failure{doing: x.doing, kind: ErrUnreplicated}
	}
	if tag.String() != "COMMIT" { // ROLLBACK: a statement had failed
		return &failure{doing: x.doing, kind: ErrOther}
	}
	return nil
}

func (x *tx) rollback() {
	if x.c.IsClosed() || x.c.PgConn().TxStatus() == 'I' {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.ctx), rollbackPatience)
	defer cancel()
	_, _ = x.c.Exec(ctx, "ROLLBACK") // when it fails, Release closes the connection
}
