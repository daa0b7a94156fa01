package testpg

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Database makes an empty database and returns its URL. It goes with the
// server: dropping it would make the server write out all it has.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := s.name("database")
	s.Exec(t, "postgres", "CREATE DATABASE "+name)
	return s.URL(name)
}

// Schema makes an empty schema in a database shared with others, and returns
// the URL of connections that see nothing else. It costs a fiftieth of a
// database; notifications and advisory locks are shared.
func (s *Server) Schema(t testing.TB) string {
	t.Helper()
	name := s.name("schema")
	s.Exec(t, "postgres", "CREATE SCHEMA "+name)
	return s.URL("postgres") + "&search_path=" + name
}

func (s *Server) name(what string) string {
	s.making.Lock()
	defer s.making.Unlock()
	s.made++
	return fmt.Sprint(what, s.made)
}

// Exec runs statements in a database, each in a transaction of its own, as
// the superuser.
func (s *Server) Exec(t testing.TB, database string, statements ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c, err := pgx.Connect(ctx, s.URL(database))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	for _, sql := range statements {
		if _, err := c.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
}
