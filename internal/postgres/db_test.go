package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/translog"
	"github.com/assent-gateway/assent/retrieval"
)

// After Close every method fails: the ledger's as unavailable.
func TestAClosedDatabaseAnswersNothing(t *testing.T) {
	db := open(t, database(t), Options{})
	prepare(t, db)
	for range 2 {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	ledger, log := reflect.TypeFor[consent.Store](), reflect.TypeFor[translog.Store]()
	v := reflect.ValueOf(db)
	for i := range v.NumMethod() {
		name := v.Type().Method(i).Name
		if name == "Close" || name == "SynchronousReplication" {
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
	url := database(t)
	db := open(t, url, Options{})
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
	if got := ledgerHead(t, open(t, url, Options{})); got != 2 {
		t.Errorf("head is %d, want 2", got)
	}
}

// A driver's text can quote what was being written; ours never does.
func TestErrorsHoldNoData(t *testing.T) {
	db := open(t, database(t), Options{})
	prepare(t, db)
	const marked = "ada@example.org"
	_, refused, err := db.SubjectByLookup(t.Context(), "t\x00"+marked, [32]byte{}) // no text of the server's
	if refused || err == nil {
		t.Error("a NUL was taken")
	}
	late, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	_, lateErr := db.CorpusHead(late, "t")
	for _, err := range []error{err, lateErr, fail("test", fmt.Errorf("%s: %w", marked, io.EOF)),
		fail("test", fmt.Errorf("%s: %w", marked, &failure{doing: "connect", kind: ErrNotPrimary})),
		fail("test", &pgconn.PgError{Code: "23505", Message: marked, Detail: "Key (id)=(" + marked + ")"})} {
		if err == nil || strings.Contains(err.Error(), "ada") {
			t.Errorf("error is %v", err)
		}
	}
	if !errors.Is(lateErr, context.DeadlineExceeded) {
		t.Errorf("error is %v", lateErr)
	}
}

func TestKindsOfFailures(t *testing.T) {
	for code, want := range map[string]error{"40001": ErrBusy, "40P01": ErrBusy, "55P03": ErrBusy, "53100": ErrFull, "53300": ErrBusy,
		"57P01": ErrUnreachable, "08006": ErrUnreachable, "25006": ErrNotPrimary, "28P01": ErrRefused, "42501": ErrRefused,
		"XX001": ErrCorrupt, "23514": ErrOther} {
		if got := fail("test", &pgconn.PgError{Code: code}); !errors.Is(got, want) {
			t.Errorf("%s: error is %v, want %v", code, got, want)
		}
	}
}

// The suite moves a clock of its own; this is the server's.
func TestTheClockIsTheServers(t *testing.T) {
	db := open(t, database(t), Options{})
	prepare(t, db)
	before := consent.TimeOf(time.Now()) - 1000 // the server counts microseconds
	h, err := db.Head(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	now, err := db.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	after := consent.TimeOf(time.Now())
	for _, got := range []consent.Time{h.Now, now} {
		if got < before || got > after {
			t.Errorf("the clock shows %v between %v and %v", got, before, after)
		}
	}
	key := consent.Remembered{Key: [32]byte{1}}
	for _, at := range []consent.Time{after, after - 2*remembering} {
		key.Key[0]++
		key.At = at
		if err := appendBatch(db, func(consent.Head) consent.Batch { return consent.Batch{Remember: []consent.Remembered{key}} }); err != nil {
			t.Fatal(err)
		}
		if _, found, err := db.Recall(t.Context(), "t", key.Key); found != (at == after) || err != nil {
			t.Errorf("of %v: found %v, error %v", at, found, err)
		}
	}
}

func TestTheVaultsIDIsKept(t *testing.T) {
	db := open(t, database(t), Options{})
	if id, err := db.VaultID(t.Context()); id != nil || err != nil {
		t.Fatalf("id %x, error %v before any was set", id, err)
	}
	for _, id := range []string{"first\x00", "second"} { // the first is kept
		if err := db.SetVaultID(t.Context(), []byte(id)); err != nil {
			t.Fatal(err)
		}
		if id, err := db.VaultID(t.Context()); string(id) != "first\x00" || err != nil {
			t.Errorf("id %x, error %v", id, err)
		}
	}
}

// Who gives up while waiting for a lock is told at once, and leaves nothing.
func TestAWriteThatWaitsEndsWithItsContext(t *testing.T) {
	db := open(t, database(t), Options{})
	prepare(t, db)
	err := appendBatch(db, func(h consent.Head) consent.Batch {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		began := time.Now()
		err := db.Append(ctx, "t", func(consent.Head) (consent.Batch, error) { return consent.Batch{}, errFault })
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, consent.ErrUnavailable) || time.Since(began) > 5*time.Second {
			t.Errorf("after %v: error is %v", time.Since(began), err)
		}
		return consent.Batch{Rows: []consent.Row{{Position: h.Position + 1}}}
	})
	if err != nil {
		t.Error(err)
	}
	if got := ledgerHead(t, db); got != 2 {
		t.Errorf("head is %d, want 2", got)
	}
}

func TestOldOutcomesAreClearedAwayInBoundedSteps(t *testing.T) {
	now := consent.Time(1 << 60)
	db := open(t, database(t), Options{Now: func() time.Time { return now.Time() }})
	prepare(t, db)
	put := func(n int, round byte) {
		var many []consent.Remembered
		for i := range n {
			many = append(many, consent.Remembered{Key: [32]byte{byte(i), round}})
		}
		if err := appendBatch(db, func(consent.Head) consent.Batch { return consent.Batch{Remember: many} }); err != nil {
			t.Fatal(err)
		}
	}
	put(200, 0)
	now += 2 * remembering
	for round := 1; round <= 5; round++ {
		put(1, byte(round))
		want := max(0, 200-round*(pruneLimit+2)) + round
		var left int
		err := db.reading(t.Context(), "test", func(s *session) error {
			_, err := s.one(t.Context(), `SELECT count(*) FROM remembered`, nil, into(&left))
			return err
		})
		if err != nil || left != want {
			t.Fatalf("round %d: %d outcomes are left, want %d, error %v", round, left, want, err)
		}
	}
}

// Plans are looked at before the server knows anything of the tables, and after.
func TestPlansUseTheIndexesAndSortNoBoxes(t *testing.T) {
	db := open(t, database(t), Options{})
	prepare(t, db)
	var refs []retrieval.PassageRef
	for range 10 {
		refs = append(refs, fill(t, db, "t")...)
		if err := appendRows(db, "t", 500); err != nil {
			t.Fatal(err)
		}
	}
	some := []int64{int64(refs[0].Doc), int64(refs[1].Doc)}
	for _, known := range []bool{false, true} {
		if known {
			shared.Exec(t, db.single.Database, "ANALYZE")
		}
		for query, c := range map[string]struct {
			args  []any
			index string
		}{
			docsByNum:    {[]any{"t", some}, "documents_num"},
			docsByLookup: {[]any{"t", 1, [][]byte{make([]byte, 32)}}, "documents_lookup"},
			docsLive:     {[]any{"t", 0, livePage}, "documents_live"},
			headsLive:    {[]any{some}, "heads_pkey"},
			bodiesSQL:    {[]any{"t", some, []int64{0, 0}}, "documents_num"},
			historySQL:   {[]any{"t", 5, int64(9999), 10}, "ledger_subject"},
		} {
			var plan []string
			err := db.reading(t.Context(), "explain", func(s *session) error {
				return s.each(t.Context(), "EXPLAIN "+query, c.args, func(read scan) error {
					plan = append(plan, "")
					return read(&plan[len(plan)-1])
				})
			})
			text := strings.Join(plan, "\n")
			if err != nil || !strings.Contains(text, c.index) || strings.Contains(text, "Seq Scan") || strings.HasPrefix(text, "Sort") {
				t.Errorf("analysed %v: error %v\n%s\n%s", known, err, query, text)
			}
		}
	}
}
