package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A session is a connection in use by one call.
type session struct {
	c        *pgx.Conn
	doing    string
	begun    bool          // a row was given away, or a write has begun: no other connection may go on
	stale    bool          // the connection is of no more use
	conflict bool          // another transaction stood against this one
	patience time.Duration // with each query; 0 is without end
	late     bool          // an answer did not come in it
}

// readPatience is how long an answer to one query of a read may take, rows and all: a
// server that is there and silent would keep whoever asks for ever.
const readPatience = time.Minute

// acquire takes a connection from a pool.
func (db *DB) acquire(ctx context.Context, from *pgxpool.Pool, doing string) (*pgxpool.Conn, error) {
	c, err := from.Acquire(ctx)
	if err == nil {
		return c, nil
	}
	if db.closed.Load() {
		return nil, &failure{doing: doing, kind: ErrClosed}
	}
	return nil, fail(doing, err)
}

// on runs f on a connection of a pool. Connections that a server left behind
// when it ended are found out by using them: then all of the pool are given
// up, and f gets one new one, unless it began to give results away.
func (db *DB) on(ctx context.Context, pool *pgxpool.Pool, doing string, f func(*session) error) error {
	for retried := false; ; retried = true {
		c, err := db.acquire(ctx, pool, doing)
		if err != nil {
			return err
		}
		s := &session{c: c.Conn(), doing: doing}
		err = func() error {
			defer func() { // also when f panics
				if s.stale {
					s.c.Close(ctx)
				}
				c.Release() // gives up a connection that is closed or in a transaction
			}()
			err := f(s)
			s.stale = s.stale || s.c.IsClosed() && ctx.Err() == nil
			return err
		}()
		if err == nil || !s.stale {
			return err
		}
		db.readers.Reset()
		db.writers.Reset()
		if s.begun || s.late || retried {
			return err
		}
	}
}

// reading runs a read from outside of any write.
func (db *DB) reading(ctx context.Context, doing string, f func(*session) error) error {
	return db.on(ctx, db.readers, doing, func(s *session) error {
		s.patience = readPatience
		return f(s)
	})
}

// streaming is reading for calls that hold their connection while a callback
// works: half of the readers stay free of them.
func (db *DB) streaming(ctx context.Context, doing string, f func(*session) error) error {
	if db.closed.Load() {
		return &failure{doing: doing, kind: ErrClosed}
	}
	select {
	case db.streams <- struct{}{}:
	case <-ctx.Done():
		return fail(doing, ctx.Err())
	}
	defer func() { <-db.streams }()
	return db.on(ctx, db.readers, doing, f)
}

// fail translates an error of the session's connection.
func (s *session) fail(err error) error {
	s.conflict = s.conflict || isConflict(err)
	if err != nil && s.c.IsClosed() && kindOf(err) == ErrOther {
		return &failure{doing: s.doing, kind: ErrUnreachable}
	}
	return fail(s.doing, err)
}

// orStandby ends a read that only a primary may answer; the next connection is
// asked anew which server takes writes.
func (s *session) orStandby(standby bool, err error) error {
	if err != nil || !standby {
		return err
	}
	s.begun, s.stale = false, true
	return &failure{doing: s.doing, kind: ErrNotPrimary}
}

// A scan reads the columns of the current row.
type scan func(dst ...any) error

// each calls f for every row of a query. Errors of scan and of the query are
// translated; f's own errors are returned as they are.
func (s *session) each(ctx context.Context, query string, args []any, f func(scan) error) error {
	if s.patience == 0 {
		return s.eachNow(ctx, query, args, f)
	}
	patient, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	err := s.eachNow(patient, query, args, f)
	if s.late = patient.Err() != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded); s.late {
		return &failure{doing: s.doing, kind: ErrBusy}
	}
	return err
}

func (s *session) eachNow(ctx context.Context, query string, args []any, f func(scan) error) error {
	rows, err := s.c.Query(ctx, query, args...)
	if err != nil {
		return s.fail(err)
	}
	defer rows.Close()
	return s.walk(rows, f)
}

func (s *session) walk(rows pgx.Rows, f func(scan) error) error {
	read := func(dst ...any) error { return s.fail(rows.Scan(dst...)) }
	for rows.Next() {
		s.begun = true
		if err := f(read); err != nil {
			return err
		}
	}
	return s.fail(rows.Err())
}

// one reads the only row of a query; false when there is none.
func (s *session) one(ctx context.Context, query string, args []any, dst ...any) (found bool, err error) {
	err = s.each(ctx, query, args, func(read scan) error {
		found = true
		return read(dst...)
	})
	return found, err
}

// errShape: a column holds what this package never writes there.
var errShape = errors.New("unexpected shape of a column")

// fixed is a destination for a MAC or key id of exactly its length; NULL is
// all zeros.
type fixed []byte

// ScanBytes implements pgtype.BytesScanner.
func (f fixed) ScanBytes(b []byte) error {
	clear(f)
	if b != nil && len(b) != len(f) {
		return errShape
	}
	copy(f, b)
	return nil
}

// integer is any that columns hold; they are all signed there.
type integer interface {
	~int64 | ~uint64 | ~uint32 | ~uint16 | ~uint8 | ~int
}

// into is a destination for an integer of any width; NULL is 0.
func into[T integer](p *T) pgtype.Int64Scanner { return number[T]{p} }

type number[T integer] struct{ p *T }

func (n number[T]) ScanInt64(v pgtype.Int8) error {
	*n.p = T(v.Int64)
	if int64(*n.p) != v.Int64 {
		return errShape
	}
	return nil
}

// ints are numbers as the driver's arrays take them.
func ints[T integer](values []T) []int64 {
	out := make([]int64, len(values))
	for i, v := range values {
		out[i] = int64(v)
	}
	return out
}
