package postgres

import (
	"errors"
	"fmt"
	"testing"

	"github.com/assent-gateway/assent/consent"
)

// A write is followed through a fault at each durable step; then the answers
// of this gateway and of another must agree about what happened.
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
			"commit": {commitOne, func(t *testing.T, db *DB) bool { return corpusHead(t, db) == 2 }},
		} {
			t.Run(name+" with a fault at "+c.op, func(t *testing.T) {
				url := database(t)
				armed := false
				db := open(t, url, Options{Fault: func(op string) error {
					if !armed || op != c.op {
						return nil
					}
					return errFault
				}})
				prepare(t, db)
				armed = true
				err := w.write(db)
				armed = false
				if !errors.Is(err, errFault) {
					t.Fatalf("error is %v", err)
				}
				if name == "append" && !errors.Is(err, consent.ErrUnavailable) {
					t.Errorf("error is %v, not ErrUnavailable", err)
				}
				for what, other := range map[string]*DB{"this gateway": db, "another": open(t, url, Options{})} {
					if got := w.done(t, other); got != c.happened {
						t.Errorf("%s: happened is %v, want %v", what, got, c.happened)
					}
				}
				if err := appendOne(db); err != nil { // and it goes on
					t.Error(err)
				}
			})
		}
	}
}

// A trigger stands against the first entries as a concurrent transaction
// would; its sequence counts what is rolled back, too.
func TestConflictsAreTriedAgainAndNotForEver(t *testing.T) {
	for _, code := range []string{"40001", "40P01"} {
		for _, c := range []struct{ conflicts, calls int }{{2, 3}, {attempts - 1, attempts}, {attempts, attempts}} {
			t.Run(fmt.Sprintf("%s %d times", code, c.conflicts), func(t *testing.T) {
				url := database(t)
				db := open(t, url, Options{})
				prepare(t, db)
				shared.Exec(t, nameOf(url), `CREATE SEQUENCE tries`, fmt.Sprintf(`CREATE FUNCTION stand() RETURNS trigger LANGUAGE plpgsql AS
					$$ BEGIN IF nextval('tries') <= %d THEN RAISE EXCEPTION USING ERRCODE = '%s'; END IF; RETURN NEW; END $$`, c.conflicts, code),
					`CREATE TRIGGER stand BEFORE INSERT ON ledger FOR EACH ROW EXECUTE FUNCTION stand()`)
				calls := 0
				err := appendBatch(db, func(h consent.Head) consent.Batch {
					calls++
					return consent.Batch{Rows: []consent.Row{{Position: h.Position + 1}}}
				})
				if calls != c.calls {
					t.Errorf("prepare was called %d times, want %d", calls, c.calls)
				}
				if c.conflicts < attempts {
					if err != nil || ledgerHead(t, db) != 2 {
						t.Errorf("head %d, error %v", ledgerHead(t, db), err)
					}
				} else if !errors.Is(err, ErrBusy) || !errors.Is(err, consent.ErrUnavailable) || ledgerHead(t, db) != 1 {
					t.Errorf("head %d, error %v, want ErrBusy", ledgerHead(t, db), err)
				}
			})
		}
	}
}
