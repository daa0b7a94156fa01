package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

func TestUnknownSchemasAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change string
		want   error
	}{
		"a newer migration":   {`INSERT INTO schema_migrations SELECT max(number) + 1, '9999_future', 1 FROM schema_migrations`, ErrSchema},
		"another migration":   {`UPDATE schema_migrations SET name = '0001_other' WHERE number = 1`, ErrSchema},
		"a gap":               {`UPDATE schema_migrations SET number = 999 WHERE number = 2`, ErrSchema},
		"another program's":   {`DROP TABLE schema_migrations`, ErrSchema},
		"not even a database": {"", ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "db")
			db := open(t, path, Options{})
			if c.change != "" {
				if err := db.writer.run(c.change); err != nil {
					t.Fatal(err)
				}
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			if c.change == "" {
				if err := os.WriteFile(path, []byte(strings.Repeat("secret ", 9999)), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			before, _ := os.ReadFile(path)
			if _, err := Open(t.Context(), path, Options{}); !errors.Is(err, c.want) {
				t.Errorf("error is %v, want %v", err, c.want)
			}
			if after, _ := os.ReadFile(path); string(before) != string(after) {
				t.Error("the file was changed")
			}
		})
	}
}

func TestMigrationsGoForwardAndKeepTheData(t *testing.T) {
	own, err := readMigrations(migrations)
	if err != nil {
		t.Fatal(err)
	}
	later := fstest.MapFS{}
	for _, m := range own {
		later["migrations/"+m.name+".sql"] = &fstest.MapFile{Data: []byte(m.sql)}
	}
	more, again := fmt.Sprintf("migrations/%04d_more.sql", len(own)+1), fmt.Sprintf("migrations/%04d_again.sql", len(own)+2)
	later[more] = &fstest.MapFile{Data: []byte(`CREATE TABLE more (x INTEGER) STRICT; INSERT INTO more SELECT position FROM ledger;`)}
	later[again] = &fstest.MapFile{Data: []byte(`ALTER TABLE more ADD COLUMN y INTEGER; UPDATE more SET y = x + 1;`)}
	db := open(t, filepath.Join(t.TempDir(), "db"), Options{})
	prepare(t, db)
	broken := fstest.MapFS{again: {Data: []byte(`CREATE TABLE y (z); no SQL;`)}}
	for name, f := range later {
		if broken[name] == nil {
			broken[name] = f
		}
	}
	if err := db.migrate(t.Context(), broken); err == nil {
		t.Fatal("a broken migration was applied")
	}
	for range 2 { // the second has nothing to do
		if err := db.migrate(t.Context(), later); err != nil {
			t.Fatal(err)
		}
	}
	var y, names int
	if _, err := one(t.Context(), db.readers, "test", `SELECT y, (SELECT count(*) FROM schema_migrations) FROM more`, nil, into(&y), into(&names)); err != nil {
		t.Fatal(err)
	}
	if y != 2 || names != len(own)+2 || ledgerHead(t, db) != 1 {
		t.Errorf("y = %d, %d migrations, head %d", y, names, ledgerHead(t, db))
	}
	if err := db.migrate(t.Context(), migrations); !errors.Is(err, ErrSchema) {
		t.Errorf("back to an older program: error is %v", err)
	}
	if _, err := readMigrations(fstest.MapFS{"migrations/0002_x.sql": {}}); !errors.Is(err, ErrSchema) {
		t.Errorf("a gap in the program's own: error is %v", err)
	}
}
