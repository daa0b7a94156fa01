package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

var errFault = errors.New("fault")

// A write is followed through a fault at each durable step; then the answers of
// the running gateway, of the file reopened, and of the file as a crash at that
// step would leave it must agree about what happened.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		op       string
		happened bool
	}{{"tx.begin", false}, {"tx.commit", false}, {"tx.committed", true}} {
		for name, w := range map[string]struct {
			write func(*DB) error
			done  func(*testing.T, *DB) bool
		}{
			"append": {appendOne, func(t *testing.T, db *DB) bool { return ledgerHead(t, db) == 2 }},
			"commit": {commitOne, func(t *testing.T, db *DB) bool {
				p, err := db.CorpusHead(t.Context(), "t")
				if err != nil {
					t.Fatal(err)
				}
				return p == 2
			}},
		} {
			t.Run(name+" with a fault at "+c.op, func(t *testing.T) {
				dir := t.TempDir()
				armed := false
				db := open(t, filepath.Join(dir, "db"), Options{Fault: func(op string) error {
					if !armed || op != c.op {
						return nil
					}
					crash(t, dir)
					return errFault
				}})
				prepare(t, db)
				ledgerHead(t, db) // is in memory now
				armed = true
				err := w.write(db)
				armed = false
				if !errors.Is(err, errFault) {
					t.Fatalf("error is %v", err)
				}
				if name == "append" && !errors.Is(err, consent.ErrUnavailable) {
					t.Errorf("error is %v, not ErrUnavailable", err)
				}
				for what, other := range map[string]*DB{"running": db, "after a crash": open(t, filepath.Join(dir, "crash", "db"), Options{})} {
					if got := w.done(t, other); got != c.happened {
						t.Errorf("%s: happened is %v, want %v", what, got, c.happened)
					}
				}
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
				db = open(t, filepath.Join(dir, "db"), Options{})
				if got := w.done(t, db); got != c.happened {
					t.Errorf("reopened: happened is %v, want %v", got, c.happened)
				}
				if err := appendOne(db); err != nil { // and it goes on
					t.Error(err)
				}
			})
		}
	}
}

// crash copies the files as they are, as a crash at this moment would leave them.
func crash(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "crash"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"db", "db-wal"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "crash", name), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// prepare makes tenant t with one entry, a collection and one document.
func prepare(t testing.TB, db *DB) {
	t.Helper()
	err := db.AddTenant(t.Context(), tenant, nil, nil)
	if err == nil {
		err = db.PutCollection(t.Context(), "t", retrieval.CollectionRow{ID: 1, Lookup: [32]byte{1}}, nil, nil)
	}
	if err == nil {
		err = appendOne(db)
	}
	if err == nil {
		err = commitOne(db)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestADiskThatIsFullIsToldAndTheWriteLeavesNothing(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "db"), Options{})
	prepare(t, db)
	if err := db.writer.run("PRAGMA max_page_count = 40"); err != nil {
		t.Fatal(err)
	}
	err := appendBatch(db, func(h consent.Head) consent.Batch {
		return consent.Batch{Rows: []consent.Row{{Position: h.Position + 1, Sealed: make([]byte, 1<<20)}}}
	})
	if !errors.Is(err, ErrFull) || !errors.Is(err, consent.ErrUnavailable) {
		t.Errorf("error is %v, want ErrFull", err)
	}
	if err := appendOne(db); err != nil {
		t.Error(err)
	}
	if got := ledgerHead(t, db); got != 2 {
		t.Errorf("head is %d, want 2", got)
	}
}

// A connection that does not come out of its transaction is given up.
func TestARollbackThatFailsCostsTheConnectionOnly(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "db"), Options{})
	prepare(t, db)
	err := appendBatch(db, func(consent.Head) consent.Batch {
		db.writer.discard() // as if the file system had gone
		return consent.Batch{Rows: []consent.Row{{Position: 2}}}
	})
	if !errors.Is(err, consent.ErrUnavailable) {
		t.Errorf("error is %v", err)
	}
	if err := appendOne(db); err != nil {
		t.Error(err)
	}
	if got := ledgerHead(t, db); got != 2 {
		t.Errorf("head is %d, want 2", got)
	}
}

// Also an error of this database that prepare met elsewhere is prepare's own.
func TestAnErrorOfTheCallersCallbackIsNotOurs(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "db"), Options{})
	prepare(t, db)
	own := fail("test", errFault)
	for name, got := range map[string]error{
		"append": db.Append(t.Context(), "t", func(consent.Head) (consent.Batch, error) { return consent.Batch{}, own }),
		"rows":   db.Rows(t.Context(), "t", 0, func(consent.Row) error { return own }),
	} {
		if got != own {
			t.Errorf("%s: error is %v", name, got)
		}
	}
}
