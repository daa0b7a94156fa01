package consent_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
)

func (r *rig) recordAll(entries ...consent.Entry) (out []consent.Recorded) {
	for _, e := range entries {
		out = append(out, r.record(e))
	}
	return out
}

// backup copies the database; what it returns closes the rig, puts the copy
// back and opens it.
func (r *rig) backup() (restore func()) {
	r.t.Helper()
	path := filepath.Join(r.dir, "assent.db")
	if err := r.db.Checkpoint(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	old, err := os.ReadFile(path)
	if err != nil {
		r.t.Fatal(err)
	}
	return func() {
		r.t.Helper()
		r.close()
		for _, tail := range []string{"-wal", "-shm"} {
			if err := os.Remove(path + tail); err != nil && !errors.Is(err, os.ErrNotExist) {
				r.t.Fatal(err)
			}
		}
		if err := os.WriteFile(path, old, 0o600); err != nil {
			r.t.Fatal(err)
		}
		if err := r.tryOpen(); consent.Why(err) != consent.Why(consent.ErrBehindJournal) {
			r.t.Fatalf("an old copy opens: %v", err)
		}
	}
}

// replay brings the ledger back.
func (r *rig) replay() consent.Gap {
	r.t.Helper()
	gap, err := r.ledger.Gap(r.t.Context(), tenant)
	if err == nil {
		err = r.ledger.Replay(r.t.Context(), tenant)
	}
	if err == nil {
		err = r.ledger.Open(r.t.Context(), tenant)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return gap
}

// What a lost grant said cannot be known, so that nothing older stands in for
// it: not an older grant, whose end may be later, nor silence, nor the
// jurisdiction that a grant states, which decides over other purposes and is
// therefore never lost.
func TestNothingStandsInForALostGrant(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	in := func(e consent.Entry, where consent.Jurisdiction) consent.Entry { e.Jurisdiction = where; return e }
	until := func(e consent.Entry) consent.Entry {
		e.ExpiresAt = consent.Time(r.clock.Load() + int64(time.Hour))
		return e
	}
	r.recordAll(
		entry("shorter", rag, consent.Granted), entry("kept", rag, consent.Granted),
		in(entry("mover", rag, consent.Granted), "US-CA"), entry("lifted", rag, consent.Granted),
		entry("lifted", rag, consent.Restricted), entry("refuser", rag, consent.Revoked),
	)
	restore := r.backup()
	r.recordAll(
		until(entry("shorter", rag, consent.Granted)),  // lost
		in(entry("mover", emb, consent.Granted), "DE"), // whole
		entry("lifted", rag, consent.Unrestricted),     // lost
		entry("refuser", rag, consent.Granted),         // lost
		entry("newcomer", rag, consent.Granted),        // lost
		entry("newcomer", emb, consent.Denied),         // whole
	)
	restore()
	if gap := r.replay(); gap != (consent.Gap{From: 8, To: 13, Lost: 4}) {
		t.Errorf("gap %+v", gap)
	}
	for _, c := range []struct {
		who, purpose string
		where        consent.Jurisdiction
		want         consent.Reason
	}{
		{"shorter", "rag_retrieval", "", consent.ReasonNoRecord},
		{"shorter", "rag_retrieval", "US-CA", consent.ReasonNoRecord},
		{"kept", "rag_retrieval", "", consent.ReasonGranted},
		{"mover", "model_training", "US-CA", consent.ReasonNoRecord}, // in Germany by now
		{"mover", "embedding", "", consent.ReasonGranted},
		{"lifted", "rag_retrieval", "", consent.ReasonRestricted},
		{"refuser", "rag_retrieval", "", consent.ReasonRevoked},
		{"newcomer", "rag_retrieval", "US-CA", consent.ReasonNoRecord},
		{"newcomer", "embedding", "", consent.ReasonDenied},
	} {
		a, err := r.ledger.Decide(t.Context(), tenant, []consent.Subject{entry(c.who, rag, 0).Subject}, consent.Question{Purpose: c.purpose, Default: c.where})
		if err != nil || a.Decisions[0].Reason != c.want {
			t.Errorf("%s, %s, %s: %v %v, want %s", c.who, c.purpose, c.where, a.Decisions, err, c.want)
		}
	}
	// Said again, nothing of it is a repeat; and all of it holds after a start.
	again := r.recordAll(entry("shorter", rag, consent.Granted), entry("refuser", rag, consent.Revoked), entry("lifted", rag, consent.Restricted))
	for i, res := range again {
		if !res.New {
			t.Errorf("number %d counts as a repeat of what is lost", i)
		}
	}
	r.close()
	r.open()
}

// What is left of a lost entry is vouched for by its MAC, since its leaf is of
// what is gone: an editor of the database can neither change who is asked again
// nor lose anything more.
func TestALostEntryIsVouchedFor(t *testing.T) {
	t.Parallel()
	for _, edit := range []string{
		"UPDATE ledger SET subject = 0 WHERE kind = 0", "UPDATE ledger SET purpose = 'embedding' WHERE kind = 0",
		"UPDATE ledger SET status = 6 WHERE kind = 0", "UPDATE ledger SET kind = 0 WHERE status = 3",
		"UPDATE ledger SET kind = 0, subject = 0, sealed = NULL, mac = (SELECT mac FROM ledger WHERE kind = 0) WHERE status = 3",
		"UPDATE ledger SET leaf = zeroblob(32) WHERE kind = 0",
	} {
		r := newRig(t)
		r.record(entry("a", rag, consent.Granted))
		restore := r.backup()
		r.recordAll(entry("b", rag, consent.Granted), entry("a", rag, consent.Revoked))
		restore()
		r.replay()
		r.close()
		raw, err := sql.Open("sqlite", filepath.Join(r.dir, "assent.db"))
		if err != nil {
			t.Fatal(err)
		}
		done, err := raw.Exec(edit)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := done.RowsAffected(); err != nil || n != 1 {
			t.Fatalf("%s changed %d rows", edit, n)
		}
		raw.Close()
		if err := r.tryOpen(); !errors.Is(err, consent.ErrTampered) {
			t.Errorf("%s: %v", edit, err)
		}
	}
}

// A journal from before there were marks has nothing of grants: they come back
// as leaves of nobody.
func TestAJournalWithoutMarksIsReplayed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.record(entry("a", rag, consent.Granted))
	restore := r.backup()
	r.recordAll(entry("b", rag, consent.Granted), entry("a", rag, consent.Revoked))
	restore()
	l := consent.NewLedger(r.db, unmarked{r.vault.Consent()}, consent.Options{})
	gap, err := l.Gap(t.Context(), tenant)
	if err != nil || gap != (consent.Gap{From: 3, To: 4, Lost: 1, Unknown: 1}) {
		t.Fatalf("%+v %v", gap, err)
	}
	if err := errors.Join(l.Replay(t.Context(), tenant), l.Open(t.Context(), tenant)); err != nil {
		t.Fatal(err)
	}
	r.close()
	r.open()
}

// unmarked is a vault whose journal knows no marks.
type unmarked struct{ consent.Vault }

func (v unmarked) ReadJournal(t consent.TenantID, p consent.Position) (consent.JournalRecord, error) {
	rec, err := v.Vault.ReadJournal(t, p)
	if len(rec.Payload) < 130 {
		rec.Payload = nil
	}
	return rec, err
}
