package sqlite

import (
	"context"
	"embed"
	"io/fs"
	"strconv"
	"strings"
)

// migrations are this program's, numbered from 1 by their names' first four
// digits, without gaps.
//
//go:embed migrations/*.sql
var migrations embed.FS

const migrationsDir = "migrations"

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

// migrate applies what the file lacks, forward only, all in one transaction:
// a crash leaves the schema of before or of after. It refuses a file that has
// a migration this program does not know.
func (db *DB) migrate(ctx context.Context, from fs.FS) error {
	list, err := readMigrations(from)
	if err != nil {
		return err
	}
	return db.transact(ctx, "migrate", func(x *tx) error {
		applied, err := x.applied(ctx)
		if err != nil {
			return err
		}
		if len(applied) > len(list) {
			return &failure{doing: "migrate: the file was made by a newer version", kind: ErrSchema}
		}
		for i, name := range applied {
			if name != list[i].name {
				return &failure{doing: "migrate: the file has other migrations", kind: ErrSchema}
			}
		}
		if len(applied) == len(list) {
			return errNothing
		}
		for _, m := range list[len(applied):] {
			if err := x.c.run(m.sql); err != nil {
				return fail("apply migration "+m.name, err)
			}
			if _, err := x.change(`INSERT INTO schema_migrations (number, name, applied_at) VALUES (?, ?, ?)`,
				m.number, m.name, db.clock()); err != nil {
				return err
			}
		}
		return nil
	})
}

// applied returns the names of the file's migrations, making the table that
// records them in a new file.
func (x *tx) applied(ctx context.Context) ([]string, error) {
	var tables, ours int
	if _, err := one(ctx, x, x.doing, `SELECT count(*), coalesce(sum(name = 'schema_migrations'), 0) FROM sqlite_schema WHERE type = 'table'`,
		nil, into(&tables), into(&ours)); err != nil {
		return nil, err
	}
	if ours == 0 {
		if tables > 0 {
			return nil, &failure{doing: "migrate: the file is another program's", kind: ErrSchema}
		}
		return nil, fail(x.doing, x.c.run(`CREATE TABLE schema_migrations (
			number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, applied_at INTEGER NOT NULL) STRICT`))
	}
	var names []string
	err := each(ctx, x, x.doing, `SELECT number, name FROM schema_migrations ORDER BY number`, nil, func(read scan) error {
		var n int
		var name string
		if err := read(into(&n), &name); err != nil {
			return err
		}
		if names = append(names, name); n != len(names) {
			return &failure{doing: "migrate: the file's migrations have a gap", kind: ErrSchema}
		}
		return nil
	})
	return names, err
}
