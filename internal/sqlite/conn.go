package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"strings"
)

// A conn is the writer's connection with its prepared statements.
type conn struct {
	c     *sql.Conn
	stmts map[string]*sql.Stmt
}

// connect opens the writer's connection unless it is open. The turn is held,
// or nobody else knows the DB yet.
func (db *DB) connect(ctx context.Context) error {
	if db.writer != nil {
		return nil
	}
	c, err := db.writers.Conn(ctx)
	if err != nil {
		return fail("connect", err)
	}
	db.writer = &conn{c, map[string]*sql.Stmt{}}
	return nil
}

func (c *conn) close() {
	for _, s := range c.stmts {
		s.Close()
	}
	clear(c.stmts)
	c.c.Close()
}

// discard closes the connection for good instead of giving it back.
// Its statements go first: the driver does not survive the other order.
func (c *conn) discard() {
	for _, s := range c.stmts {
		s.Close()
	}
	clear(c.stmts)
	_ = c.c.Raw(func(any) error { return driver.ErrBadConn })
	c.c.Close()
}

func (c *conn) run(query string) error {
	_, err := c.c.ExecContext(context.Background(), query)
	return err
}

func (c *conn) stmt(query string) (*sql.Stmt, error) {
	if s := c.stmts[query]; s != nil {
		return s, nil
	}
	s, err := c.c.PrepareContext(context.Background(), query)
	if err == nil {
		c.stmts[query] = s
	}
	return s, err
}

// checkSettings refuses to work with settings that lose data or leave it
// lying about, whatever made SQLite not take them.
func (c *conn) checkSettings(ctx context.Context) error {
	for pragma, want := range map[string]string{
		"journal_mode": "wal", "synchronous": "2", "secure_delete": "1",
		"foreign_keys": "1", "temp_store": "2",
	} {
		var got string
		if err := c.c.QueryRowContext(ctx, "PRAGMA "+pragma).Scan(&got); err != nil {
			return fail("check settings", err)
		}
		if !strings.EqualFold(got, want) {
			return &failure{doing: "check setting " + pragma, kind: ErrOther}
		}
	}
	return nil
}
