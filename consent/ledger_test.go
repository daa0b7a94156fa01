package consent_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/credential"
	"github.com/assent-gateway/assent/internal/sqlite"
	"github.com/assent-gateway/assent/internal/vault"
)

const tenant = consent.TenantID("t1")

// rig is a ledger on a real SQLite file and a real vault, with a database
// clock that the test turns.
type rig struct {
	t      testing.TB
	dir    string
	clock  atomic.Int64
	ledger *consent.Ledger
	db     *sqlite.DB
	vault  *vault.Vault

	dbFault, vaultFault atomic.Pointer[func(string) error]
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir()}
	r.clock.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	v, err := vault.Create(filepath.Join(r.dir, "vault"), vault.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	r.open()
	if _, err := r.ledger.EnterPolicy(t.Context(), tenant, nil); err != nil {
		t.Fatal(err)
	}
	return r
}

func fault(p *atomic.Pointer[func(string) error]) func(string) error {
	return func(op string) error {
		if f := p.Load(); f != nil {
			return (*f)(op)
		}
		return nil
	}
}

func (r *rig) open() {
	r.t.Helper()
	if err := r.tryOpen(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) tryOpen() (err error) {
	r.t.Helper()
	must := func(err error) {
		if err != nil {
			r.t.Fatal(err)
		}
	}
	if r.vault == nil {
		r.vault, err = vault.Open(filepath.Join(r.dir, "vault"), vault.Options{Fault: fault(&r.vaultFault)})
		must(err)
		must(r.vault.AddTenant(string(tenant)))
		r.t.Cleanup(func() { r.close() })
	}
	r.db, err = sqlite.Open(r.t.Context(), filepath.Join(r.dir, "assent.db"), sqlite.Options{
		Now:   func() time.Time { return time.Unix(0, r.clock.Load()) },
		Fault: fault(&r.dbFault),
	})
	must(err)
	if err := r.db.AddTenant(r.t.Context(), credential.TenantRow{ID: tenant}, nil, nil); !errors.Is(err, credential.ErrExists) {
		must(err)
	}
	r.ledger = consent.NewLedger(r.db, r.vault.Consent(), consent.Options{})
	return r.ledger.Open(r.t.Context(), tenant)
}

func (r *rig) close() {
	if r.db != nil {
		r.db.Close()
	}
	if r.vault != nil {
		r.vault.Close()
	}
	r.db, r.vault = nil, nil
}

func (r *rig) advance(d time.Duration) { r.clock.Add(int64(d)) }

func entry(who, typ string, status consent.Status) consent.Entry {
	s, err := consent.ParseSubject(who)
	if err != nil {
		panic(err)
	}
	ct, err := consent.ParseType(typ)
	if err != nil {
		panic(err)
	}
	return consent.Entry{Subject: s, Type: ct, Status: status, Audit: consent.Audit{Source: "test", IP: "192.0.2.7"}}
}

func (r *rig) record(e consent.Entry) consent.Recorded {
	r.t.Helper()
	out, err := r.ledger.Record(r.t.Context(), tenant, []consent.Entry{e}, consent.Once{})
	if err != nil {
		r.t.Fatal(err)
	}
	if out[0].Err != nil {
		r.t.Fatal(out[0].Err)
	}
	return out[0].Recorded
}

func (r *rig) reason(who, purpose string) consent.Reason {
	r.t.Helper()
	s, _ := consent.ParseSubject(who)
	a, err := r.ledger.Decide(r.t.Context(), tenant, []consent.Subject{s}, consent.Question{Purpose: purpose})
	if err != nil {
		r.t.Fatal(err)
	}
	return a.Decisions[0].Reason
}

// verdict is what an index would be told: through a permit's masks.
func (r *rig) verdict(who, purpose string) consent.Verdict {
	r.t.Helper()
	s, _ := consent.ParseSubject(who)
	num, err := r.ledger.Find(r.t.Context(), tenant, s)
	if err != nil {
		r.t.Fatal(err)
	}
	p, err := r.ledger.Permit(r.t.Context(), tenant, purpose)
	if err != nil {
		r.t.Fatal(err)
	}
	var v consent.Verdict
	p.Sync("", new(consent.Cursor), func(unknown consent.Verdict) { v = unknown }, func(n consent.SubjectNum, got consent.Verdict) {
		if n == num {
			v = got
		}
	})
	ok := []bool{false}
	p.Recheck([]consent.Claim{{People: consent.People{Owners: []consent.SubjectNum{num}}}}, ok)
	if ok[0] != (v&consent.Allow != 0) {
		r.t.Errorf("the second gate says %v, the mask %v", ok[0], v)
	}
	return v
}

const rag, emb = "rag_retrieval_v1.0", "embedding_v1.0"

func TestRepeatsAreEqualToTheCurrentStateNotToAnOlderEntry(t *testing.T) {
	r := newRig(t)
	first := r.record(entry("ada", rag, consent.Revoked))
	second := r.record(entry("ada", rag, consent.Granted))
	third := r.record(entry("ada", rag, consent.Revoked))
	if !first.New || !second.New || !third.New || third.Position != first.Position+2 {
		t.Errorf("revoke, grant, revoke: %+v %+v %+v; want three entries", first, second, third)
	}
	r.advance(time.Hour)
	again := r.record(entry("ada", rag, consent.Revoked))
	if again.New || again.Position != third.Position || again.RecordedAt != third.RecordedAt {
		t.Errorf("a repeat: %+v, want that of %+v and no new entry", again, third)
	}
	moved := entry("ada", rag, consent.Revoked)
	moved.Jurisdiction = "DE"
	if got := r.record(moved); !got.New {
		t.Error("another jurisdiction is no repeat")
	}
	r.advance(time.Minute)
	later := entry("ada", rag, consent.Revoked)
	later.ActedAt = consent.Time(r.clock.Load())
	if got := r.record(later); !got.New {
		t.Error("a refusal at a later time of its own raises the bar for late grants: no repeat")
	}
	expiring := entry("bob", rag, consent.Granted)
	expiring.ExpiresAt = consent.Time(r.clock.Load()) + consent.Time(time.Hour)
	r.record(expiring)
	if got := r.record(expiring); got.New {
		t.Error("the same grant with the same expiry is a repeat")
	}
	expiring.ExpiresAt += consent.Time(time.Hour)
	if got := r.record(expiring); !got.New {
		t.Error("a grant that renews validity is a new entry")
	}
}

func TestRepeatsWithinOneBatch(t *testing.T) {
	r := newRig(t)
	batch := []consent.Entry{entry("ada", rag, consent.Granted), entry("ada", rag, consent.Granted), entry("ada", rag, consent.Revoked), entry("ada", rag, consent.Granted)}
	out, err := r.ledger.Record(t.Context(), tenant, batch, consent.Once{})
	if err != nil {
		t.Fatal(err)
	}
	var isNew []bool
	for _, o := range out {
		isNew = append(isNew, o.New)
	}
	if diff := cmp.Diff([]bool{true, false, true, true}, isNew); diff != "" {
		t.Error(diff)
	}
	if out[1].Position != out[0].Position || out[3].Position != out[0].Position+2 {
		t.Errorf("positions %d %d %d %d", out[0].Position, out[1].Position, out[2].Position, out[3].Position)
	}
}

func TestExpiryIsJudgedByTheDatabasesClock(t *testing.T) {
	r := newRig(t)
	for _, typ := range []string{rag, emb} {
		e := entry("ada", typ, consent.Granted)
		e.ExpiresAt = consent.Time(r.clock.Load()) + consent.Time(time.Hour)
		r.record(e)
	}
	if r.reason("ada", "rag_retrieval") != consent.ReasonGranted || r.verdict("ada", "rag_retrieval") != consent.Allow {
		t.Error("not granted before its expiry, though only the database's clock counts")
	}
	r.advance(time.Hour - 1)
	if r.verdict("ada", "rag_retrieval") != consent.Allow {
		t.Error("expired a nanosecond early")
	}
	r.advance(1)
	if got := r.reason("ada", "rag_retrieval"); got != consent.ReasonExpired {
		t.Errorf("at its expiry: %s", got)
	}
	if r.verdict("ada", "rag_retrieval") != 0 {
		t.Error("the mask still permits what expired")
	}
	r.advance(-2 * time.Hour)
	if r.verdict("ada", "rag_retrieval") != 0 {
		t.Error("a clock that goes back brings an expired grant back")
	}
}

func TestFutureTimestampIsRefusedNeverClamped(t *testing.T) {
	r := newRig(t)
	e := entry("ada", rag, consent.Granted)
	e.ActedAt = consent.Time(r.clock.Load()) + 1
	out, err := r.ledger.Record(t.Context(), tenant, []consent.Entry{e}, consent.Once{})
	if err != nil {
		t.Fatal(err)
	}
	var input *consent.InputError
	if !errors.As(out[0].Err, &input) || input.Field != "timestamp" {
		t.Errorf("got %+v, want an InputError of timestamp", out[0])
	}
	head, _ := r.ledger.Head(t.Context(), tenant)
	if head.Position != 1 {
		t.Errorf("something was recorded: head %d", head.Position)
	}
}

func TestBadEntryLeavesItsBatchAlone(t *testing.T) {
	r := newRig(t)
	out, err := r.ledger.Record(t.Context(), tenant, []consent.Entry{
		entry("ada", rag, consent.Granted), entry("ada", "profiling_v1.0", consent.Granted),
		entry("bob", "rag_retrieval_v9.0", consent.Granted), entry("bob", "rag_retrieval_v9.0", consent.Denied),
	}, consent.Once{})
	if err != nil {
		t.Fatal(err)
	}
	if out[0].Err != nil || out[1].Err == nil || out[2].Err == nil || out[3].Err != nil {
		t.Errorf("got %+v; want stored, unknown purpose, unpublished version, and a refusal of any version", out)
	}
}

func TestConcurrentWritersLeaveNoGapAndTheJournalHasEveryEntry(t *testing.T) {
	r := newRig(t)
	const writers, each = 16, 40
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[consent.Position]bool{}
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				status := consent.Granted
				if i%2 == 1 {
					status = consent.Revoked
				}
				got, err := r.ledger.Record(context.Background(), tenant, []consent.Entry{entry(fmt.Sprintf("u%d", w), rag, status)}, consent.Once{})
				if err != nil || got[0].Err != nil || !got[0].New {
					t.Errorf("writer %d: %v %+v", w, err, got)
					return
				}
				mu.Lock()
				if seen[got[0].Position] {
					t.Errorf("position %d twice", got[0].Position)
				}
				seen[got[0].Position] = true
				mu.Unlock()
				if want := map[consent.Status]consent.Reason{consent.Granted: consent.ReasonGranted, consent.Revoked: consent.ReasonRevoked}[status]; r.reason(fmt.Sprintf("u%d", w), "rag_retrieval") != want {
					t.Errorf("writer %d does not read its own write", w)
				}
			}
		})
	}
	wg.Wait()
	for p := consent.Position(2); p <= writers*each+1; p++ {
		if !seen[p] {
			t.Fatalf("position %d is missing", p)
		}
	}
	r.checkJournal()
	r.db.Close()
	r.open()
	r.checkJournal()
}

// checkJournal compares every row of the ledger with the vault's journal.
func (r *rig) checkJournal() {
	r.t.Helper()
	n := consent.Position(0)
	err := r.db.Rows(r.t.Context(), tenant, 0, func(row consent.Row) error {
		n++
		leaf, ok, err := r.vault.Leaf(string(tenant), uint64(row.Position))
		if err != nil || !ok || leaf != row.Leaf || row.Position != n {
			r.t.Errorf("position %d: journal %v %v, or a gap", row.Position, ok, err)
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	if consent.Position(r.vault.Head(string(tenant))) != n {
		r.t.Errorf("journal head %d, ledger %d", r.vault.Head(string(tenant)), n)
	}
}

func TestClosedDatabaseMeansNo(t *testing.T) {
	r := newRig(t)
	r.record(entry("ada", rag, consent.Granted))
	r.db.Close()
	if _, err := r.ledger.Permit(t.Context(), tenant, "rag_retrieval"); !errors.Is(err, consent.ErrUnavailable) {
		t.Errorf("permit with the database closed: %v", err)
	}
	ada, _ := consent.ParseSubject("ada")
	if _, err := r.ledger.Decide(t.Context(), tenant, []consent.Subject{ada}, consent.Question{Purpose: "rag_retrieval"}); !errors.Is(err, consent.ErrUnavailable) {
		t.Errorf("decision with the database closed: %v", err)
	}
	if out, err := r.ledger.Record(t.Context(), tenant, []consent.Entry{entry("ada", rag, consent.Revoked)}, consent.Once{}); err == nil && !errors.Is(out[0].Err, consent.ErrUnavailable) {
		t.Errorf("write with the database closed: %v %+v", err, out)
	}
}

// Every step of a write fails, and fails although it happened. Afterwards the
// ledger either has the entry in database, journal and memory, or in none, and
// what it lacks it mends by itself.
func TestFailureAtEveryStep(t *testing.T) {
	for _, op := range []string{
		"slots.write", "slots.sync", "slots.synced", "tx.begin", "tx.commit", "tx.committed",
		"journal.write", "journal.sync", "journal.synced",
	} {
		for _, reopen := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s reopened %v", op, reopen), func(t *testing.T) {
				r := newRig(t)
				r.record(entry("ada", rag, consent.Granted))
				failing := func(got string) error {
					if got == op {
						return errors.New("fault")
					}
					return nil
				}
				r.dbFault.Store(&failing)
				r.vaultFault.Store(&failing)
				// A newcomer, so that slots are written too; and a revocation.
				for _, e := range []consent.Entry{entry("bob", rag, consent.Granted), entry("ada", rag, consent.Revoked)} {
					out, err := r.ledger.Record(t.Context(), tenant, []consent.Entry{e}, consent.Once{})
					if err == nil {
						err = out[0].Err
					}
					if err == nil && !(e.Status == consent.Revoked && op[:5] == "slots") {
						t.Fatal("acknowledged though a step failed")
					}
					if err != nil && !errors.Is(err, consent.ErrUnavailable) {
						t.Fatalf("error %v, want unavailable", err)
					}
				}
				r.dbFault.Store(nil)
				r.vaultFault.Store(nil)
				if reopen {
					r.close()
					r.open()
				}
				got := r.record(entry("ada", rag, consent.Revoked))
				if r.reason("ada", "rag_retrieval") != consent.ReasonRevoked || got.Position == 0 {
					t.Errorf("after the fault: %+v, %s", got, r.reason("ada", "rag_retrieval"))
				}
				r.record(entry("bob", rag, consent.Granted))
				r.checkJournal()
				r.close()
				r.open()
				if r.reason("ada", "rag_retrieval") != consent.ReasonRevoked || r.reason("bob", "rag_retrieval") != consent.ReasonGranted {
					t.Error("lost after reopening")
				}
				r.checkJournal()
			})
		}
	}
}

func TestAlteredRowsAreNoticed(t *testing.T) {
	for name, edit := range map[string]string{
		"a status":           `UPDATE ledger SET status = 1 WHERE position = 3`,
		"a subject":          `UPDATE ledger SET subject = (SELECT subject FROM ledger WHERE position = 2) WHERE position = 3`,
		"a time":             `UPDATE ledger SET recorded_at = recorded_at + 1 WHERE position = 3`,
		"a sealed part":      `UPDATE ledger SET sealed = zeroblob(length(sealed)) WHERE position = 3`,
		"a missing entry":    `DELETE FROM ledger WHERE position = 2`,
		"a missing tail":     `DELETE FROM ledger WHERE position = 3`,
		"entries exchanged":  `UPDATE ledger SET position = 5 - position WHERE position IN (2, 3)`,
		"a row moved to end": `UPDATE ledger SET position = 4 WHERE position = 3`,
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.record(entry("ada", rag, consent.Granted))
			r.record(entry("bob", rag, consent.Revoked))
			r.db.Close()
			raw, err := sql.Open("sqlite", filepath.Join(r.dir, "assent.db"))
			if err != nil {
				t.Fatal(err)
			}
			if name == "entries exchanged" {
				for _, q := range []string{"UPDATE ledger SET position = 99 WHERE position = 2", "UPDATE ledger SET position = 2 WHERE position = 3", "UPDATE ledger SET position = 3 WHERE position = 99"} {
					if _, err := raw.Exec(q); err != nil {
						t.Fatal(err)
					}
				}
			} else if _, err := raw.Exec(edit); err != nil {
				t.Fatal(err)
			}
			raw.Close()
			if err := r.tryOpen(); !errors.Is(err, consent.ErrUnavailable) {
				t.Fatalf("opened an altered ledger: %v", err)
			}
			if _, err := r.ledger.Permit(t.Context(), tenant, "rag_retrieval"); !errors.Is(err, consent.ErrUnavailable) {
				t.Errorf("permit from an altered ledger: %v", err)
			}
		})
	}
}

func TestIdempotencyKey(t *testing.T) {
	r := newRig(t)
	once, err := r.ledger.OnceOf(t.Context(), tenant, "key1", "POST /v1/consent", "k", []byte("body"))
	if err != nil {
		t.Fatal(err)
	}
	send := func(o consent.Once, e consent.Entry) consent.Result {
		t.Helper()
		out, err := r.ledger.Record(t.Context(), tenant, []consent.Entry{e}, o)
		if err != nil {
			t.Fatal(err)
		}
		return out[0]
	}
	first := send(once, entry("ada", rag, consent.Revoked))
	r.record(entry("ada", rag, consent.Granted))
	again := send(once, entry("ada", rag, consent.Revoked))
	if diff := cmp.Diff(first.Recorded, again.Recorded); diff != "" {
		t.Error(diff)
	}
	if r.reason("ada", "rag_retrieval") != consent.ReasonGranted {
		t.Error("a repeated request was applied again")
	}
	other, _ := r.ledger.OnceOf(t.Context(), tenant, "key1", "POST /v1/consent", "k", []byte("another"))
	if got := send(other, entry("ada", rag, consent.Revoked)); !errors.Is(got.Err, consent.ErrKeyMismatch) {
		t.Errorf("the same key with another body: %+v", got)
	}
	r.close()
	r.open()
	if diff := cmp.Diff(first.Recorded, send(once, entry("ada", rag, consent.Revoked)).Recorded); diff != "" {
		t.Error("after a restart: " + diff)
	}
	// By itself, for writes of other kinds.
	alone, _ := r.ledger.OnceOf(t.Context(), tenant, "key1", "PUT /v1/collections", "k", nil)
	if err := r.ledger.RememberNow(t.Context(), tenant, alone, []byte("outcome")); err != nil {
		t.Fatal(err)
	}
	if got, found, err := r.ledger.Recall(t.Context(), tenant, alone); err != nil || !found || string(got) != "outcome" {
		t.Errorf("recalled %q %v %v", got, found, err)
	}
}

func TestPolicyIsAnEntryOfTheLedger(t *testing.T) {
	r := newRig(t)
	parse := func(version int, name string) *consent.Policy {
		p, err := consent.ParsePolicy(fmt.Appendf(nil, `{"version": %d, "name": %q, "purposes": {"embedding": {"title": "e"}, "rag_retrieval": {"title": "r"}},
			"consent_types": [], "frameworks": {"all": {"jurisdictions": ["DE"], "default": {"mode": "opt_out", "lawful_basis": "contract"}}}}`, version, name))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	enter := func(p *consent.Policy) (bool, error) { return r.ledger.EnterPolicy(t.Context(), tenant, p) }
	if ok, err := enter(parse(2, "two")); !ok || err != nil {
		t.Fatalf("a higher version: %v %v", ok, err)
	}
	if ok, err := enter(parse(2, "two")); ok || err != nil {
		t.Errorf("an equal version with the same digest: %v %v", ok, err)
	}
	if _, err := enter(parse(2, "other")); !errors.Is(err, consent.ErrPolicyConflict) {
		t.Errorf("an equal version with another digest: %v", err)
	}
	if ok, err := enter(parse(1, "one")); ok || err != nil {
		t.Errorf("a lower version: %v %v", ok, err)
	}
	if ok, err := enter(nil); ok || err != nil {
		t.Errorf("the built-in one over another: %v %v", ok, err)
	}
	e := entry("ada", rag, consent.Unrestricted)
	e.Jurisdiction = "DE"
	r.record(e)
	r.close()
	r.open()
	if got := r.reason("ada", "rag_retrieval"); got != consent.ReasonDefaultAllow {
		t.Errorf("after a restart, by the policy of the ledger: %s", got)
	}
	if got := r.reason("ada", "model_training"); got != consent.ReasonPurposeUnknown {
		t.Errorf("a purpose the new policy dropped: %s", got)
	}
}

func TestPublishedTypesNeverChange(t *testing.T) {
	r := newRig(t)
	pub := consent.PublishedType{Type: "RAG_retrieval_v2", Text: "New text.", Language: "en"}
	created, at, err := r.ledger.Publish(t.Context(), tenant, pub, consent.Once{})
	if err != nil || !created || at != 2 {
		t.Fatalf("publish: %v %d %v", created, at, err)
	}
	if created, again, err := r.ledger.Publish(t.Context(), tenant, pub, consent.Once{}); err != nil || created || again != at {
		t.Errorf("the same again: %v %d %v", created, again, err)
	}
	pub.Text = "Other text."
	if _, _, err := r.ledger.Publish(t.Context(), tenant, pub, consent.Once{}); !errors.Is(err, consent.ErrPublished) {
		t.Errorf("another text: %v", err)
	}
	r.record(entry("ada", rag, consent.Granted))
	if got := r.reason("ada", "rag_retrieval"); got != consent.ReasonStaleVersion {
		t.Errorf("a grant of the version before: %s", got)
	}
	_, standings, err := r.ledger.Standings(t.Context(), tenant, entry("ada", rag, consent.Granted).Subject)
	if err != nil || len(standings) != 1 || !standings[0].Reconsent {
		t.Errorf("standings %+v %v, want reconsent", standings, err)
	}
}

func TestHistoryNewestFirstAndPaged(t *testing.T) {
	r := newRig(t)
	for i := range 5 {
		r.record(entry("ada", rag, []consent.Status{consent.Granted, consent.Revoked}[i%2]))
		r.record(entry("bob", rag, []consent.Status{consent.Granted, consent.Revoked}[i%2]))
	}
	ada := entry("ada", rag, consent.Granted).Subject
	var positions []consent.Position
	for before := consent.Position(0); ; {
		page, err := r.ledger.History(t.Context(), tenant, ada, before, 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			positions = append(positions, e.Position)
			if e.Sealed || e.Audit.IP != "192.0.2.7" || e.Audit.Subject != "user:ada" {
				t.Errorf("audit at %d not opened", e.Position)
			}
		}
		before = page[len(page)-1].Position
	}
	if diff := cmp.Diff([]consent.Position{10, 8, 6, 4, 2}, positions); diff != "" {
		t.Error(diff)
	}
}

// A mask that was kept up to date entry by entry equals one made anew.
func TestMasksEqualDecisions(t *testing.T) {
	r := newRig(t)
	p, err := r.ledger.Permit(t.Context(), tenant, "rag_retrieval")
	if err != nil {
		t.Fatal(err)
	}
	type copyOf struct {
		unknown consent.Verdict
		of      map[consent.SubjectNum]consent.Verdict
	}
	sync := func(c *consent.Cursor, m *copyOf, def consent.Jurisdiction) {
		p.Sync(def, c, func(u consent.Verdict) { *m = copyOf{u, map[consent.SubjectNum]consent.Verdict{}} },
			func(n consent.SubjectNum, v consent.Verdict) { m.of[n] = v })
	}
	cursors := map[consent.Jurisdiction]*consent.Cursor{"": {}, "US-CA": {}}
	copies := map[consent.Jurisdiction]*copyOf{"": {}, "US-CA": {}}
	statuses := []consent.Status{consent.Granted, consent.Revoked, consent.Granted, consent.Denied, consent.Restricted, consent.Unrestricted, consent.Objected, consent.Granted}
	for i := range 200 {
		e := entry(fmt.Sprintf("u%d", i*7%13), []string{rag, emb, "model_training_v1.0"}[i%3], statuses[(i*5+i/7)%len(statuses)])
		if e.Status == consent.Granted && i%4 == 0 {
			e.ExpiresAt = consent.Time(r.clock.Load()) + consent.Time(time.Duration(i)*time.Minute)
		}
		if i%5 == 0 {
			e.Jurisdiction = []consent.Jurisdiction{"DE", "US-CA"}[i/5%2]
		}
		r.record(e)
		r.advance(time.Minute)
		if p, err = r.ledger.Permit(t.Context(), tenant, "rag_retrieval"); err != nil {
			t.Fatal(err)
		}
		for def, c := range cursors {
			if i%3 != 0 {
				sync(c, copies[def], def)
				var anew copyOf
				sync(new(consent.Cursor), &anew, def)
				for u := range 13 {
					num, _ := r.ledger.Find(t.Context(), tenant, entry(fmt.Sprintf("u%d", u), rag, consent.Granted).Subject)
					get := func(m *copyOf) consent.Verdict {
						if v, ok := m.of[num]; ok {
							return v
						}
						return m.unknown
					}
					want := consent.Verdict(0)
					allowed := true
					for _, purpose := range []string{"rag_retrieval", "embedding"} {
						a, err := r.ledger.Decide(t.Context(), tenant, []consent.Subject{entry(fmt.Sprintf("u%d", u), rag, consent.Granted).Subject}, consent.Question{Purpose: purpose, Default: def})
						if err != nil {
							t.Fatal(err)
						}
						allowed = allowed && a.Decisions[0].Allowed
					}
					if allowed {
						want = consent.Allow
					}
					if get(copies[def])&consent.Allow != want || get(&anew) != get(copies[def]) {
						t.Fatalf("entry %d, person %d, default %q: kept %v, anew %v, decided %v", i, u, def, get(copies[def]), get(&anew), want)
					}
				}
			}
		}
	}
}

// A permit from before does not outlive its ledger's closing.
func TestPermitOfAClosedLedgerPermitsNothing(t *testing.T) {
	r := newRig(t)
	r.record(entry("ada", rag, consent.Granted))
	r.record(entry("ada", emb, consent.Granted))
	p, err := r.ledger.Permit(t.Context(), tenant, "rag_retrieval")
	if err != nil {
		t.Fatal(err)
	}
	num, err := r.ledger.Find(t.Context(), tenant, entry("ada", rag, consent.Granted).Subject)
	if err != nil {
		t.Fatal(err)
	}
	claims, ok := []consent.Claim{{People: consent.People{Owners: []consent.SubjectNum{num}}}}, []bool{false}
	if p.Recheck(claims, ok); !ok[0] {
		t.Fatal("not permitted while the ledger is open")
	}
	failing := func(op string) error {
		if op == "journal.write" {
			return errors.New("fault")
		}
		return nil
	}
	r.vaultFault.Store(&failing)
	out, err := r.ledger.Record(t.Context(), tenant, []consent.Entry{entry("bob", rag, consent.Granted)}, consent.Once{})
	if err == nil && out[0].Err == nil {
		t.Fatal("acknowledged without the journal")
	}
	if p.Recheck(claims, ok); ok[0] {
		t.Error("permitted by a closed ledger")
	}
}

// Where the law limits a grant's validity, granting again renews it.
func TestGrantRenewsAValidityThatTheLawCounts(t *testing.T) {
	r := newRig(t)
	p, err := consent.ParsePolicy([]byte(`{"version": 1, "name": "short", "purposes": {"embedding": {"title": "e"}, "rag_retrieval": {"title": "r"}}, "consent_types": [],
		"frameworks": {"f": {"jurisdictions": ["DE"], "default": {"mode": "opt_in", "lawful_basis": "consent", "validity": "1h"}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.ledger.EnterPolicy(t.Context(), tenant, p); err != nil {
		t.Fatal(err)
	}
	e := entry("ada", rag, consent.Granted)
	e.Jurisdiction = "DE"
	r.record(e)
	r.advance(2 * time.Hour)
	if got := r.reason("ada", "rag_retrieval"); got != consent.ReasonExpired {
		t.Fatalf("after its validity: %s", got)
	}
	if got := r.record(e); !got.New || !got.Allowed {
		t.Errorf("granted again: %+v", got)
	}
}

func TestZeroPermitPermitsNothing(t *testing.T) {
	ok := []bool{true}
	consent.Permit{}.Recheck([]consent.Claim{{People: consent.People{Nobody: true}}}, ok)
	if ok[0] {
		t.Error("a zero permit let something through")
	}
}

// Claims of collections with other default jurisdictions are each judged by
// their own, in whatever order they come: a stranger may be used where silence
// permits, and nowhere else.
func TestRecheckJudgesEachClaimByItsOwnDefault(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p, err := r.ledger.Permit(t.Context(), tenant, "rag_retrieval")
	if err != nil {
		t.Fatal(err)
	}
	stranger := consent.People{Owners: []consent.SubjectNum{1}}
	defaults := []consent.Jurisdiction{"US-CA", "DE", "US-CA", "US-CA", "", "DE", "US-CA"}
	claims, ok := make([]consent.Claim, len(defaults)), make([]bool, len(defaults))
	for i, j := range defaults {
		claims[i] = consent.Claim{Rule: consent.Rule{Default: j}, People: stranger}
	}
	claims[2].People = consent.People{Nobody: true} // needs no mask; what comes after it does
	p.Recheck(claims, ok)
	for i, j := range defaults {
		if ok[i] != (j == "US-CA") {
			t.Errorf("claim %d, in %q: %v", i, j, ok[i])
		}
	}
}
