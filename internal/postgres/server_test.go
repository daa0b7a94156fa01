package postgres

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/testpg"
)

// eventually tries until f succeeds; that takes moments, and a minute is for ever.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	var err error
	for until := time.Now().Add(time.Minute); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	t.Fatalf("%s after a minute: %v", what, err)
}

func TestAKilledServerIsAnOutageAndLosesNothingAcknowledged(t *testing.T) {
	s := testpg.Start(t)
	db := open(t, s.URL("postgres"), Options{})
	prepare(t, db)
	for round := range 2 {
		var acknowledged atomic.Uint64
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					var mine consent.Position
					err := appendBatch(db, func(h consent.Head) consent.Batch {
						mine = h.Position + 1
						return consent.Batch{Rows: []consent.Row{{Position: mine, Subject: 5, RecordedAt: h.Now}}}
					})
					if err != nil {
						if !errors.Is(err, consent.ErrUnavailable) {
							t.Errorf("error is %v, not ErrUnavailable", err)
						}
						return
					}
					for old := acknowledged.Load(); old < uint64(mine) && !acknowledged.CompareAndSwap(old, uint64(mine)); old = acknowledged.Load() {
					}
				}
			})
		}
		for acknowledged.Load() < 40 {
			time.Sleep(time.Millisecond)
		}
		s.Kill()
		wg.Wait()
		if _, err := db.Head(t.Context(), "t"); !errors.Is(err, consent.ErrUnavailable) || !errors.Is(err, ErrUnreachable) {
			t.Errorf("head without a server: error is %v", err)
		}
		if err := s.Restart(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "no head", func() error { _, err := db.Head(t.Context(), "t"); return err })
		if got := ledgerHead(t, db); uint64(got) < acknowledged.Load() {
			t.Errorf("round %d: head %d, though %d was acknowledged", round, got, acknowledged.Load())
		}
		n := consent.Position(0)
		if err := db.Rows(t.Context(), "t", 0, func(r consent.Row) error { n++; return nil }); err != nil || n != ledgerHead(t, db) {
			t.Errorf("%d entries, head %d, error %v", n, ledgerHead(t, db), err)
		}
		eventually(t, "no append", func() error { return appendOne(db) })
	}
}

// A write that meets the end of the server between lock and commit has not
// happened; connections left over cost nobody an error when it is back.
func TestAServerThatEndsInsideAWrite(t *testing.T) {
	s := testpg.Start(t)
	end := ""
	at := func(op string) error {
		if op == end {
			end = ""
			s.Kill()
			return s.Restart()
		}
		return nil
	}
	db := open(t, s.URL("postgres"), Options{Fault: at})
	prepare(t, db)
	for _, step := range []string{"prepare", "tx.commit"} {
		end = step
		calls := 0
		err := appendBatch(db, func(h consent.Head) consent.Batch {
			calls++
			if err := at("prepare"); err != nil {
				t.Error(err)
			}
			return consent.Batch{Rows: []consent.Row{{Position: h.Position + 1}}}
		})
		if !errors.Is(err, consent.ErrUnavailable) || !errors.Is(err, ErrUnreachable) {
			t.Errorf("%s: error is %v", step, err)
		}
		if calls != 1 { // COMMIT may have been heard: only the caller may repeat
			t.Errorf("%s: prepare was called %d times", step, calls)
		}
	}
	end = "tx.commit"
	if err := db.SetVaultID(t.Context(), []byte("id")); !errors.Is(err, ErrUnreachable) {
		t.Errorf("a write that reads nothing: error is %v", err)
	}
	for _, write := range []func(*DB) error{appendOne, commitOne} {
		ledgerHead(t, db)
		s.Kill()
		if err := s.Restart(); err != nil {
			t.Fatal(err)
		}
		if err := write(db); err != nil {
			t.Error(err)
		}
	}
	if got := ledgerHead(t, db); got != 2 {
		t.Errorf("head is %d, want 2", got)
	}
}

// Sessions keep the setting they were accepted with.
func TestAReloadDoesNotMakeCommitsWeaker(t *testing.T) {
	s := testpg.Start(t)
	db := open(t, s.URL("postgres"), Options{})
	prepare(t, db)
	var got string
	err := db.reading(t.Context(), "test", func(se *session) error { // a session that is there before
		s.Exec(t, "postgres", "ALTER SYSTEM SET synchronous_commit = off", "SELECT pg_reload_conf()")
		eventually(t, "not refused", func() error {
			other, err := Open(t.Context(), s.URL("postgres"), Options{})
			if err == nil {
				other.Close()
				return errFault
			}
			return nil
		})
		_, err := se.one(t.Context(), `SELECT current_setting('synchronous_commit')`, nil, &got)
		return err
	})
	if err != nil || got != "on" {
		t.Errorf("synchronous_commit is %q in a session that began with on; error %v", got, err)
	}
}

// One pair of servers: what follows is refused, what follows synchronously is
// waited for, and a failover keeps what was acknowledged.
func TestReplication(t *testing.T) {
	primary := testpg.Start(t)
	db := open(t, primary.URL("postgres"), Options{})
	prepare(t, db)
	if db.SynchronousReplication() {
		t.Error("replication is synchronous without a standby")
	}
	standby := primary.Standby(t)
	if _, err := Open(t.Context(), standby.URL("postgres"), Options{}); !errors.Is(err, ErrNotPrimary) {
		t.Errorf("a standby: error is %v, want ErrNotPrimary", err)
	}
	headOfAStandby(t, primary, standby)

	primary.Exec(t, "postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
	either := strings.Replace(primary.URL("postgres"), "@", "@"+strings.Split(strings.Split(standby.URL(""), "@")[1], "/")[0]+",", 1)
	both := open(t, either, Options{}) // the standby is named first, and passed over
	if !both.SynchronousReplication() {
		t.Error("replication is not synchronous")
	}
	if err := appendOne(both); err != nil {
		t.Fatal(err)
	}

	standby.Kill()
	still, done := waits(func() {
		err := appendOne(both)
		if !errors.Is(err, ErrUnreplicated) || !errors.Is(err, consent.ErrUnavailable) {
			t.Errorf("told to wait no longer: error is %v, want ErrUnreplicated", err)
		}
	})
	if !still {
		t.Error("an append did not wait for the standby")
	}
	primary.Exec(t, "postgres", "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
	<-done
	if err := standby.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := appendOne(both); err != nil {
		t.Fatal(err)
	}
	acknowledged := ledgerHead(t, both)

	primary.Kill()
	if _, err := both.Head(t.Context(), "t"); !errors.Is(err, consent.ErrUnavailable) {
		t.Errorf("between two primaries: error is %v", err)
	}
	standby.Exec(t, "postgres", "SELECT pg_promote()")
	eventually(t, "no head", func() error { _, err := both.Head(t.Context(), "t"); return err })
	if got := ledgerHead(t, both); got != acknowledged {
		t.Errorf("head %d after the failover, %d was acknowledged", got, acknowledged)
	}
}

// headOfAStandby reads the head over connections that came to lead to a standby.
func headOfAStandby(t *testing.T, primary, standby *testpg.Server) {
	t.Helper()
	db := open(t, primary.URL("postgres"), Options{})
	c, err := pgxpool.ParseConfig(standby.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	led, err := pgxpool.NewWithConfig(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	own := db.readers
	db.readers = led
	if _, err := db.Head(t.Context(), "t"); !errors.Is(err, ErrNotPrimary) || !errors.Is(err, consent.ErrUnavailable) {
		t.Errorf("the head of a standby: error is %v", err)
	}
	db.readers = own
	led.Close()
}
