package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/assent-gateway/assent/consent"
)

// Options of Open. The zero value is right outside of tests.
type Options struct {
	// Now is the database's clock; nil is the system's. SQLite runs in this
	// process, so its clock is the machine's.
	Now func() time.Time
	// Fault, when not nil, is called before and after durable steps of every
	// write: "tx.begin" before BEGIN, "tx.commit" before COMMIT, "tx.committed"
	// after it. An error there fails the write: at "tx.committed" it has
	// happened nevertheless.
	Fault func(op string) error
}

// readerConns bounds the readers' pool. Streams hold one connection each.
const readerConns = 8

// A DB is an open database. Its methods are safe for concurrent use.
type DB struct {
	path  string
	now   func() time.Time
	fault func(op string) error

	writers *sql.DB // one connection
	turn    chan struct{}
	writer  *conn // owned by the holder of the turn; nil after a failed ROLLBACK

	readers *pool
	heads   heads
	life    life
}

// Open opens the database file at path, making it when it is absent, and
// brings its schema up to date.
func Open(ctx context.Context, path string, o Options) (*DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fail("open database", err)
	}
	if err := makeFile(path); err != nil {
		return nil, err
	}
	db := &DB{path: path, now: o.Now, fault: o.Fault, turn: make(chan struct{}, 1)}
	db.life.idle = sync.NewCond(&db.life.mu)
	if db.now == nil {
		db.now = time.Now
	}
	if db.fault == nil {
		db.fault = func(string) error { return nil }
	}
	// 8 KiB hold a head of 384 dimensions several times and a body three times.
	// The page size works in a new file only, and before journal_mode.
	db.writers, err = openPool(path, 1, "page_size(8192)", "wal_autocheckpoint(4000)", "cache_size(-32000)")
	if err == nil {
		err = db.prepareFile(ctx)
	}
	var readers *sql.DB
	if err == nil {
		readers, err = openPool(path, readerConns, "cache_size(-4000)", "query_only(ON)")
	}
	if err != nil {
		if db.writer != nil {
			db.writer.close()
		}
		if db.writers != nil {
			db.writers.Close()
		}
		return nil, fail("open database", err)
	}
	db.readers = &pool{db: readers}
	return db, nil
}

// prepareFile checks settings and modes and migrates.
func (db *DB) prepareFile(ctx context.Context) error {
	if err := db.connect(ctx); err != nil {
		return err
	}
	if err := db.writer.checkSettings(ctx); err != nil {
		return err
	}
	if err := db.migrate(ctx, migrations); err != nil {
		return err
	}
	return checkModes(db.path)
}

// openPool opens connections with the settings that all of them share.
func openPool(path string, conns int, pragmas ...string) (*sql.DB, error) {
	pragmas = append([]string{"busy_timeout(5000)", "temp_store(MEMORY)"}, append(pragmas,
		"synchronous(FULL)", "secure_delete(ON)", "foreign_keys(ON)", "mmap_size(0)", "trusted_schema(OFF)")...)
	// The driver runs _pragma in alphabetic order and _journal_mode after them.
	q := url.Values{"_pragma": pragmas, "_journal_mode": {"WAL"}, "_dqs": {"0"}, "_defensive": {"1"}, "mode": {"rw"}}
	u := url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// makeFile makes the database file with mode 0600 whatever the umask. SQLite
// gives -wal and -shm the mode of the main file. A file that is there must
// have that mode already: who could read it until now is not known.
func makeFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return checkModes(path)
	}
	if err != nil {
		return fail("make database file", err)
	}
	defer f.Close()
	return fail("make database file", f.Chmod(0o600))
}

// checkModes refuses files that users other than the owner may touch.
func checkModes(path string) error {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		st, err := os.Stat(path + suffix)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fail("check file modes", err)
		}
		if st.Mode().Perm()&0o077 != 0 {
			return &failure{doing: "check file modes", kind: ErrMode}
		}
	}
	return nil
}

// clock is the database's clock.
func (db *DB) clock() consent.Time { return consent.TimeOf(db.now()) }

// Close waits for the calls in progress, truncates the WAL and closes the
// file. It may be called twice.
func (db *DB) Close() error {
	if !db.life.end() {
		return nil
	}
	db.turn <- struct{}{} // kept: no write follows
	readersErr := db.readers.close()
	err := db.truncateWAL(context.Background())
	if err == nil {
		err = fail("close database", readersErr)
	}
	if db.writer != nil {
		db.writer.close()
	}
	if e := db.writers.Close(); err == nil {
		err = fail("close database", e)
	}
	return err
}
