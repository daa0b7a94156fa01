package sqlite

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/credential"
	"github.com/assent-gateway/assent/internal/translog"
	"github.com/assent-gateway/assent/retrieval"
)

var tenant = credential.TenantRow{ID: "t", CreatedAt: 1}

func appendBatch(db *DB, make func(consent.Head) consent.Batch) error {
	return db.Append(context.Background(), "t", func(h consent.Head) (consent.Batch, error) { return make(h), nil })
}

func appendOne(db *DB) error {
	return appendBatch(db, func(h consent.Head) consent.Batch {
		return consent.Batch{Rows: []consent.Row{{Position: h.Position + 1, RecordedAt: h.Now, Subject: 5}}}
	})
}

// commitOne commits a document of one passage under a number of its own.
func commitOne(db *DB) error {
	num := retrieval.DocNum(rand.Int64())
	d := retrieval.DocRow{Num: num, Collection: 1, Passages: 1, Owners: []consent.SubjectNum{5}}
	for i := range d.Lookup {
		d.Lookup[i] = byte(rand.Uint32())
	}
	parts := []retrieval.PartRow{{Ref: retrieval.PassageRef{Doc: num}, Sealed: []byte("part")}}
	return commit(db, retrieval.Intake{Docs: []retrieval.DocRow{d}, Heads: parts, Bodies: parts})
}

func commit(db *DB, in retrieval.Intake) error {
	_, _, err := db.Commit(context.Background(), "t", nil, func(consent.Head) (retrieval.Intake, error) { return in, nil })
	return err
}

func ledgerHead(t testing.TB, db *DB) consent.Position {
	t.Helper()
	h, err := db.Head(context.Background(), "t")
	if err != nil {
		t.Fatal(err)
	}
	return h.Position
}

func TestFilesAreTheirOwnersAlone(t *testing.T) {
	old := syscall.Umask(0) // other tests of this package do not run meanwhile: none of those is parallel
	defer syscall.Umask(old)
	path := filepath.Join(t.TempDir(), "a?b#c%20d") // a path is not a URL
	db := open(t, path, Options{})
	prepare(t, db)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		st, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != 0o600 {
			t.Errorf("mode of %q is %v", suffix, st.Mode().Perm())
		}
	}
	for _, suffix := range []string{"", "-wal"} {
		if err := os.Chmod(path+suffix, 0o640); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), path, Options{}); !errors.Is(err, ErrMode) {
			t.Errorf("readable by the group: error is %v", err)
		}
		if err := os.Chmod(path+suffix, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSettingsHoldOnEveryConnection(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "db"), Options{})
	check := func(who string, c interface {
		query(context.Context, string, []any) (rowser, error)
	}, want map[string]string) {
		t.Helper()
		for pragma, w := range want {
			var got string
			rows, err := c.query(t.Context(), "PRAGMA "+pragma, nil)
			if err != nil || !rows.Next() || rows.Scan(&got) != nil {
				t.Fatal(pragma, err)
			}
			rows.Close()
			if got != w {
				t.Errorf("%s: %s is %s, want %s", who, pragma, got, w)
			}
		}
	}
	common := map[string]string{"page_size": "8192", "journal_mode": "wal", "synchronous": "2", "secure_delete": "1",
		"foreign_keys": "1", "temp_store": "2", "mmap_size": "0", "busy_timeout": "5000", "trusted_schema": "0"}
	check("writer", asRowser{&tx{c: db.writer}}, common)
	common["query_only"] = "1"
	check("reader", asRowser{db.readers}, common)
}

// rowser is what the check needs of *sql.Rows.
type rowser interface {
	Next() bool
	Scan(...any) error
	Close() error
}

type asRowser struct{ source }

func (a asRowser) query(ctx context.Context, q string, args []any) (rowser, error) {
	return a.source.query(ctx, q, args)
}

func TestTheVaultsIDIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db := open(t, path, Options{})
	if id, err := db.VaultID(t.Context()); id != nil || err != nil {
		t.Fatalf("id %x, error %v before any was set", id, err)
	}
	for _, want := range []string{"first\x00", "second"} {
		if err := db.SetVaultID(t.Context(), []byte(want)); err != nil {
			t.Fatal(err)
		}
		if id, err := db.VaultID(t.Context()); string(id) != want || err != nil {
			t.Errorf("id %x, error %v", id, err)
		}
	}
}

// After Close every method fails: the ledger's as unavailable.
func TestAClosedDatabaseAnswersNothing(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "db"), Options{})
	prepare(t, db)
	ledgerHead(t, db)
	for range 2 {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	ledger, log := reflect.TypeFor[consent.Store](), reflect.TypeFor[translog.Store]()
	v := reflect.ValueOf(db)
	for i := range v.NumMethod() {
		name := v.Type().Method(i).Name
		if name == "Close" {
			continue
		}
		m := v.Method(i)
		args := make([]reflect.Value, m.Type().NumIn())
		for j := range args {
			args[j] = reflect.Zero(m.Type().In(j))
			if m.Type().In(j) == reflect.TypeFor[context.Context]() {
				args[j] = reflect.ValueOf(t.Context())
			}
			if k := args[j].Kind(); k == reflect.Slice { // not the answer to an empty question
				args[j] = reflect.MakeSlice(m.Type().In(j), 1, 1)
			}
			if k := args[j].Kind(); k == reflect.Int64 || k == reflect.Int {
				args[j] = reflect.ValueOf(int64(1)).Convert(m.Type().In(j))
			}
		}
		out := m.Call(args)
		err, _ := out[len(out)-1].Interface().(error)
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s: error is %v, want ErrClosed", name, err)
		}
		_, ofLedger := ledger.MethodByName(name)
		if _, ofLog := log.MethodByName(name); ofLog {
			ofLedger = true
		}
		if ofLedger != errors.Is(err, consent.ErrUnavailable) {
			t.Errorf("%s: error is %v; a method of the ledger: %v", name, err, ofLedger)
		}
	}
}

func TestCloseWaitsForAWriteAndTheWritesReadsFail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db := open(t, path, Options{})
	prepare(t, db)
	inside, closed := make(chan bool), make(chan error)
	go func() {
		<-inside
		closed <- db.Close()
	}()
	err := db.Append(t.Context(), "t", func(h consent.Head) (consent.Batch, error) {
		inside <- true
		for { // until Close has begun
			if _, err := db.Head(t.Context(), "t"); err != nil {
				if !errors.Is(err, ErrClosed) {
					t.Error(err)
				}
				return consent.Batch{Rows: []consent.Row{{Position: h.Position + 1}}}, nil
			}
		}
	})
	if err != nil {
		t.Error(err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if got := ledgerHead(t, open(t, path, Options{})); got != 2 {
		t.Errorf("head is %d, want 2", got)
	}
}

func TestCloseWaitsForAStream(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "db"), Options{})
	prepare(t, db)
	for range 5 {
		if err := appendOne(db); err != nil {
			t.Fatal(err)
		}
	}
	closed := make(chan error, 1)
	rows := 0
	err := db.Rows(t.Context(), "t", 0, func(consent.Row) error {
		if rows++; rows > 1 {
			return nil
		}
		go func() { closed <- db.Close() }()
		for _, err := db.Head(t.Context(), "t"); err == nil; { // until Close has begun
			_, err = db.Head(t.Context(), "t")
		}
		select {
		case <-closed:
			t.Error("Close did not wait")
		case <-time.After(50 * time.Millisecond):
		}
		return nil
	})
	if err != nil || rows != 6 {
		t.Errorf("%d rows, error %v", rows, err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// A driver's text can quote what was being written; ours never does.
func TestErrorsHoldNoData(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "db"), Options{})
	prepare(t, db)
	const marked = "ada@example.org"
	rows, err := db.readers.query(t.Context(), `SELECT json('`+marked+`')`, nil)
	if err == nil {
		rows.Next()
		err = rows.Err()
	}
	ctx, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	_, late := db.CorpusHead(ctx, "t")
	for _, err := range []error{fail("test", err), fail("test", fmt.Errorf("%s: %w", marked, syscall.ENOSPC)), late,
		fail("open", &os.PathError{Op: "open", Path: marked, Err: syscall.EACCES})} {
		if err == nil || strings.Contains(err.Error(), "ada") {
			t.Errorf("error is %v", err)
		}
	}
	if !errors.Is(late, context.DeadlineExceeded) {
		t.Errorf("error is %v", late)
	}
}

func TestPlansUseTheIndexesAndSortNothing(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "db"), Options{})
	for query, n := range map[string]int{docsLive: 1, headsLive: 1, docsByNums: 2, docsByLookup: 3,
		fmt.Sprintf(condemnedQuery, condemnedWho): 9, fmt.Sprintf(condemnedQuery, condemnedWhat): 9, fmt.Sprintf(condemnedQuery, condemnedOne): 8,
		fmt.Sprintf(condemnedQuery, condemnedSource): 9, fmt.Sprintf(condemnedQuery, condemnedAge): 8,
		`SELECT ` + rowColumns + ` FROM ledger WHERE tenant = ? AND subject = ? AND subject <> 0 AND position < ? ORDER BY position DESC LIMIT 1`: 3} {
		args := []any{"t", "[1]", "[1]", "", "", "", "", "", ""}[:n]
		err := each(t.Context(), db.readers, "explain", "EXPLAIN QUERY PLAN "+query, args, func(read scan) error {
			var a, b, c int
			var step string
			if err := read(&a, &b, &c, &step); err != nil {
				return err
			}
			if strings.HasPrefix(step, "SCAN d") || strings.HasPrefix(step, "SCAN h") || strings.HasPrefix(step, "SCAN s") ||
				strings.HasPrefix(step, "SCAN l") || strings.HasPrefix(step, "SCAN c") || strings.HasPrefix(step, "SCAN p") || strings.Contains(step, "TEMP B-TREE") && (query == docsLive || query == headsLive) {
				t.Errorf("%s\n%s", query, step)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}
