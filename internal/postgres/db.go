package postgres

import (
	"context"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/assent-gateway/assent/consent"
)

// Options of Open. The zero value is production's.
type Options struct {
	// Writers and Readers are the most connections kept for either; 0 is 8.
	Writers, Readers int
	// AllowParameterLogging overrides ErrLogsParameters.
	AllowParameterLogging bool

	// For tests. Now stands in for the database's clock. Fault is called
	// before and after durable steps of every write: "tx.begin" before BEGIN,
	// "tx.commit" before COMMIT, "tx.committed" after it. An error there fails
	// the write: at "tx.committed" it has happened nevertheless.
	Now   func() time.Time
	Fault func(op string) error
}

// A DB is an open database. Its methods are safe for concurrent use.
type DB struct {
	now   func() time.Time // nil: the server's clock
	fault func(op string) error

	writers *pgxpool.Pool
	readers *pgxpool.Pool
	streams chan struct{} // as many tokens as readers may be held by callbacks
	single  *pgx.ConnConfig
	waker   waker

	replicated atomic.Bool
	closed     atomic.Bool
}

// Open connects to the database that a URL (or key=value list) names, checks
// that the server is fit to keep a ledger, and brings the schema up to date.
// Several hosts may be named: the one that takes writes is used.
func Open(ctx context.Context, url string, o Options) (*DB, error) {
	return connect(ctx, url, o, migrations)
}

func connect(ctx context.Context, url string, o Options, schema fs.FS) (*DB, error) {
	const doing = "open database"
	db := &DB{now: o.Now, fault: o.Fault}
	if db.fault == nil {
		db.fault = func(string) error { return nil }
	}
	readers := orDefault(o.Readers)
	db.streams = make(chan struct{}, max(1, readers/2))
	var err error
	if db.writers, err = db.pool(url, orDefault(o.Writers), o, writerSettings); err != nil {
		return nil, fail(doing, err)
	}
	if db.readers, err = db.pool(url, readers, o, readerSettings); err != nil {
		db.writers.Close()
		return nil, fail(doing, err)
	}
	db.waker.send = db.notify
	db.single = db.readers.Config().ConnConfig
	if err := db.migrate(ctx, schema); err != nil {
		db.Close()
		return nil, fail(doing, err)
	}
	return db, nil
}

func orDefault(conns int) int {
	if conns < 1 {
		return 8
	}
	return conns
}

// SynchronousReplication reports whether a commit waits until a standby has it
// on its disk, as the newest connection found it. Without it, a failover may
// undo what was acknowledged: the limit that P2 names.
func (db *DB) SynchronousReplication() bool { return db.replicated.Load() }

// Close waits for the calls in progress and closes the connections. It may be
// called twice. A read that a write in progress makes fails with ErrClosed.
func (db *DB) Close() error {
	db.closed.Store(true)
	db.readers.Close() // waits for the reads in progress; those of a write come to an end
	db.writers.Close() // waits for the writes, and for what they notify
	return nil
}

// clockSQL is the server's clock in nanoseconds; it counts microseconds.
const clockSQL = `((extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000)`

// clock is the database's clock, given what the server says it is.
func (db *DB) clock(server consent.Time) consent.Time {
	if db.now != nil {
		return consent.TimeOf(db.now())
	}
	return server
}

// instead is the clock of a test as a parameter, for coalesce(…, clockSQL).
func (db *DB) instead() *int64 {
	if db.now == nil {
		return nil
	}
	t := int64(consent.TimeOf(db.now()))
	return &t
}
