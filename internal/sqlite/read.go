package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"sync"
)

// A pool is the readers' connections; each query's statement is prepared once
// per connection.
type pool struct {
	db    *sql.DB
	mu    sync.Mutex
	stmts map[string]*sql.Stmt
}

func (p *pool) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	p.mu.Lock()
	s := p.stmts[query]
	p.mu.Unlock()
	if s != nil {
		return s, nil
	}
	made, err := p.db.PrepareContext(ctx, query) // may wait for a connection
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.stmts[query]; s != nil { // another call was faster
		made.Close()
		return s, nil
	}
	if p.stmts == nil {
		p.stmts = map[string]*sql.Stmt{}
	}
	p.stmts[query] = made
	return made, nil
}

func (p *pool) query(ctx context.Context, query string, args []any) (*sql.Rows, error) {
	s, err := p.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

func (p *pool) close() error {
	for _, s := range p.stmts {
		s.Close()
	}
	return p.db.Close()
}

// A snapshot is a read transaction: all its queries see the same commit.
type snapshot struct {
	p  *pool
	tx *sql.Tx
}

func (s snapshot) query(ctx context.Context, query string, args []any) (*sql.Rows, error) {
	st, err := s.p.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.tx.StmtContext(ctx, st).QueryContext(ctx, args...)
}

// A source answers queries: pool, snapshot or the write transaction.
type source interface {
	query(ctx context.Context, query string, args []any) (*sql.Rows, error)
}

// A scan reads the columns of the current row.
type scan func(dst ...any) error

// each calls f for every row of a query. Errors of scan and of the query are
// translated; f's own errors are returned as they are.
func each(ctx context.Context, from source, doing, query string, args []any, f func(scan) error) error {
	rows, err := from.query(ctx, query, args)
	if err != nil {
		return fail(doing, err)
	}
	defer rows.Close()
	read := func(dst ...any) error { return fail(doing, rows.Scan(dst...)) }
	for rows.Next() {
		if err := f(read); err != nil {
			return err
		}
	}
	return fail(doing, rows.Err())
}

// one reads the only row of a query; false when there is none.
func one(ctx context.Context, from source, doing, query string, args []any, dst ...any) (found bool, err error) {
	err = each(ctx, from, doing, query, args, func(read scan) error {
		found = true
		return read(dst...)
	})
	return found, err
}

// reading runs a read from outside of any write.
func (db *DB) reading(doing string, f func() error) error {
	if err := db.life.enter(doing); err != nil {
		return err
	}
	defer db.life.leave()
	return f()
}

// errShape: a column holds what this package never writes there.
var errShape = errors.New("unexpected shape of a column")

// fixed is a destination for a MAC or key id of exactly its length; NULL is
// all zeros.
type fixed []byte

func (f fixed) Scan(src any) error {
	clear(f)
	if src == nil {
		return nil
	}
	b, ok := src.([]byte)
	if !ok || len(b) != len(f) {
		return errShape
	}
	copy(f, b)
	return nil
}

// into is a destination for an integer of any width; NULL is 0. database/sql
// itself would go through text for all but int64.
func into[T ~int64 | ~uint64 | ~uint32 | ~uint16 | ~uint8 | ~int](p *T) sql.Scanner {
	return integer[T]{p}
}

type integer[T ~int64 | ~uint64 | ~uint32 | ~uint16 | ~uint8 | ~int] struct{ p *T }

func (i integer[T]) Scan(src any) error {
	v, ok := src.(int64)
	if !ok && src != nil {
		return errShape
	}
	*i.p = T(v)
	return nil
}
