package postgres

import (
	"context"
	"embed"
	"io/fs"
	"strconv"
	"strings"
)

// migrations are this program's, numbered from 1 by their names' first four
// digits, without gaps; numbers and names are those of internal/sqlite.
//
//go:embed migrations/*.sql
var migrations embed.FS

const migrationsDir = "migrations"

// migrationLock is the advisory lock of migrating: "assent" in ASCII.
const migrationLock int64 = 0x617373656e74

// A migration is one numbered file of SQL.
type migration struct {
	number int
	name   string // e.g. "0001_init"
	sql    string
}

// readMigrations lists the migrations of a file system in order.
func readMigrations(from fs.FS) ([]migration, error) {
	entries, err := fs.ReadDir(from, migrationsDir) // sorted by name
	if err != nil {
		return nil, fail("read migrations", err)
	}
	var list []migration
	for i, e := range entries {
		name, isSQL := strings.CutSuffix(e.Name(), ".sql")
		digits, _, _ := strings.Cut(name, "_")
		n, err := strconv.Atoi(digits)
		if !isSQL || err != nil || n != i+1 {
			return nil, &failure{doing: "read migrations: numbers must run from 0001 without gaps", kind: ErrSchema}
		}
		text, err := fs.ReadFile(from, migrationsDir+"/"+e.Name())
		if err != nil {
			return nil, fail("read migrations", err)
		}
		list = append(list, migration{n, name, string(text)})
	}
	return list, nil
}

// migrate applies what the database lacks, forward only, all in one
// transaction: a crash leaves the schema of before or of after, and of several
// gateways that start at once one does it while the others wait. It refuses a
// database that has a migration this program does not know.
func (db *DB) migrate(ctx context.Context, from fs.FS) error {
	list, err := readMigrations(from)
	if err != nil {
		return err
	}
	return db.write(ctx, "migrate", func(x *tx) error {
		applied, err := x.applied()
		if err != nil {
			return err
		}
		if len(applied) > len(list) {
			return &failure{doing: "migrate: the database was made by a newer version", kind: ErrSchema}
		}
		for i, name := range applied {
			if name != list[i].name {
				return &failure{doing: "migrate: the database has other migrations", kind: ErrSchema}
			}
		}
		if len(applied) == len(list) {
			return errNothing
		}
		for _, m := range list[len(applied):] {
			if _, err := x.c.PgConn().Exec(x.ctx, m.sql).ReadAll(); err != nil {
				return fail("apply migration "+m.name, err)
			}
			b := x.batch()
			b.exec(nil, `INSERT INTO schema_migrations (number, name, applied_at) VALUES ($1, $2, $3)`, m.number, m.name, int64(x.now))
			if err := b.send(); err != nil {
				return err
			}
		}
		return nil
	})
}

// applied takes the lock and returns the names of the database's migrations,
// making the table that records them in an empty schema.
func (x *tx) applied() ([]string, error) {
	b := x.batch()
	b.exec(nil, `SET LOCAL lock_timeout TO 0`) // another gateway's migration may take its time
	b.exec(nil, `SELECT pg_advisory_xact_lock($1)`, migrationLock)
	b.clock()
	var tables, ours int
	b.one(nil, `SELECT count(*), count(*) FILTER (WHERE tablename = 'schema_migrations')
		FROM pg_tables WHERE schemaname = current_schema()`, nil, into(&tables), into(&ours))
	if err := b.send(); err != nil {
		return nil, err
	}
	b = x.batch()
	switch {
	case ours > 0:
	case tables > 0:
		return nil, &failure{doing: "migrate: the schema is another program's", kind: ErrSchema}
	default:
		b.exec(nil, `CREATE TABLE schema_migrations
			(number integer PRIMARY KEY, name text COLLATE "C" NOT NULL UNIQUE, applied_at bigint NOT NULL)`)
		return nil, b.send()
	}
	var names []string
	b.each(func(read scan) error {
		var n int
		var name string
		if err := read(into(&n), &name); err != nil {
			return err
		}
		if names = append(names, name); n != len(names) {
			return &failure{doing: "migrate: the database's migrations have a gap", kind: ErrSchema}
		}
		return nil
	}, `SELECT number, name FROM schema_migrations ORDER BY number`)
	return names, b.send()
}
