package postgres

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/fstest"
)

func TestUnknownSchemasAreRefused(t *testing.T) {
	for name, c := range map[string]string{
		"a newer migration": `INSERT INTO schema_migrations SELECT max(number) + 1, '9999_future', 1 FROM schema_migrations`,
		"another migration": `UPDATE schema_migrations SET name = '0001_other' WHERE number = 1`,
		"a gap":             `UPDATE schema_migrations SET number = 999 WHERE number = 2`,
		"another program's": `DROP TABLE schema_migrations`,
	} {
		t.Run(name, func(t *testing.T) {
			url := database(t)
			open(t, url, Options{}).Close()
			shared.Exec(t, nameOf(url), c)
			if _, err := Open(t.Context(), url, Options{}); !errors.Is(err, ErrSchema) {
				t.Errorf("error is %v, want ErrSchema", err)
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
	later[more] = &fstest.MapFile{Data: []byte(`CREATE TABLE more (x bigint); INSERT INTO more SELECT position FROM ledger;`)}
	later[again] = &fstest.MapFile{Data: []byte(`ALTER TABLE more ADD y bigint; UPDATE more SET y = x + 1;`)}
	db := open(t, database(t), Options{})
	prepare(t, db)
	broken := fstest.MapFS{again: {Data: []byte(`CREATE TABLE y (z int); no SQL;`)}}
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
	err = db.reading(t.Context(), "test", func(s *session) error {
		_, err := s.one(t.Context(), `SELECT y, (SELECT count(*) FROM schema_migrations) FROM more`, nil, into(&y), into(&names))
		return err
	})
	if err != nil || y != 2 || names != len(own)+2 || ledgerHead(t, db) != 1 {
		t.Errorf("y = %d, %d migrations, head %d, error %v", y, names, ledgerHead(t, db), err)
	}
	if err := db.migrate(t.Context(), migrations); !errors.Is(err, ErrSchema) {
		t.Errorf("back to an older program: error is %v", err)
	}
	if _, err := readMigrations(fstest.MapFS{"migrations/0002_x.sql": {}}); !errors.Is(err, ErrSchema) {
		t.Errorf("a gap in the program's own: error is %v", err)
	}
}

func TestGatewaysThatStartAtOnceMigrateOnce(t *testing.T) {
	url := database(t)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			db, err := Open(t.Context(), url, Options{Writers: 2, Readers: 2})
			if err != nil {
				t.Error(err)
				return
			}
			db.Close()
		})
	}
	wg.Wait()
}
