package gateway_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
	"github.com/assent-gateway/assent/training"
)

func hold(t *testing.T, g *gateway.Gateway, id string) {
	t.Helper()
	if _, err := g.Erasure.Hold(context.Background(), gateway.DefaultTenant, id, "a court asked"); err != nil {
		t.Error(err)
	}
}

func release(t *testing.T, g *gateway.Gateway, id string) {
	t.Helper()
	if _, err := g.Erasure.Release(context.Background(), gateway.DefaultTenant, id); err != nil {
		t.Error(err)
	}
}

// What was found of suspected mentions is kept when the erasure is held and released
// between the look and its being noted: the person's key is gone afterwards, and
// nobody can look again.
func TestAHoldLosesNoSuspectedMention(t *testing.T) {
	t.Parallel()
	g, then := atStep(t, openGateway, gateway.Config{}, "erasure.after.mentions")
	mentionsStart(t, g)
	id := erase(t, g, "ada").ID
	f := func() { hold(t, g, id); release(t, g, id) }
	then.Store(&f)
	e := ended(t, g, id)
	if e.State != erasure.Completed || e.Gathered.Suspected != 3 || len(waiting(t, g, id)) != 3 {
		t.Errorf("%v, %d suspected, waiting %+v", e.State, e.Gathered.Suspected, waiting(t, g, id))
	}
}

// One that is held while the step runs that deletes nothing can be taken back.
func TestAHoldBeforeAnythingIsDeletedCanBeTakenBack(t *testing.T) {
	t.Parallel()
	g, then := atStep(t, openGateway, gateway.Config{}, "erasure.after.resolve")
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	makeCollection(t, g, "c", retrieval.Spec{})
	store(t, g, "c", owned(t, "one", "ada"))
	id := erase(t, g, "ada").ID
	f := func() { hold(t, g, id) }
	then.Store(&f)
	if e := carry(t, g, id); e.State != erasure.Held || g.LiveDocuments(t) != 1 {
		t.Fatalf("%v, %d documents", e.State, g.LiveDocuments(t))
	}
	if e, err := g.Erasure.Cancel(t.Context(), gateway.DefaultTenant, id); err != nil || e.State != erasure.Cancelled {
		t.Errorf("taken back: %v, %v", e.State, err)
	}
	if n := len(find(t, g, "c", "server")); n != 1 {
		t.Errorf("%d hits", n)
	}
}

// A hold on a document that comes when another erasure of it has passed its first
// look, and has not deleted it yet, keeps it.
func TestAHoldThatComesLateKeepsItsDocument(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open opener) {
		clock := newClock()
		g, then := atStep(t, open, gateway.Config{Now: clock.Now}, "erasure.after.joint")
		say(t, g, consent.Granted, []string{"ada"}, rag, emb)
		makeCollection(t, g, "c", retrieval.Spec{})
		store(t, g, "c", owned(t, "kept", "ada"))
		held, id := eraseDocument(t, g, "c", "kept"), erase(t, g, "ada").ID
		f := func() { hold(t, g, held) }
		then.Store(&f)
		if e := carry(t, g, id); g.LiveDocuments(t) != 1 || !states(e)["waiting_for_hold"] {
			t.Fatalf("%v, %v, %d documents", e.State, states(e), g.LiveDocuments(t))
		}
		release(t, g, held)
		clock.move(1)
		for _, one := range []string{id, held} {
			if e := ended(t, g, one); e.State != erasure.Completed {
				t.Errorf("%v", e.State)
			}
		}
		if n := g.LiveDocuments(t); n != 0 {
			t.Errorf("%d documents", n)
		}
	})
}

// A step that somebody else ran as well, whose lease was lost, is counted once, and
// what the other wrote is not written over.
func TestAStepThatWasOvertakenIsCountedOnce(t *testing.T) {
	t.Parallel()
	g, then := atStep(t, openGateway, gateway.Config{}, "erasure.after.documents")
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	makeCollection(t, g, "c", retrieval.Spec{})
	store(t, g, "c", owned(t, "one", "ada"), owned(t, "two", "ada"), owned(t, "three", "ada"))
	id := erase(t, g, "ada").ID
	f := func() { // another runs the step, which finds nothing, and then stops
		ctx, cancel := context.WithCancel(t.Context())
		deps := g.Erasure.Deps
		deps.Step = func(name string) {
			if name == "erasure.before.mentions" {
				cancel()
			}
		}
		if _, err := erasure.NewService(deps).Carry(ctx, gateway.DefaultTenant, id); !errors.Is(err, context.Canceled) && err != nil {
			t.Log(err)
		}
	}
	then.Store(&f)
	e := ended(t, g, id)
	wantPurged(t, e)
	for _, r := range e.Targets {
		if r.Name == "catalogue" && r.Deleted != 3 {
			t.Errorf("%d counted, want 3", r.Deleted)
		}
	}
}

// A document under the id of one whose erasure is open is not what that is about:
// who asks for its erasure is not told that it is under way, and it is unreachable
// when the answer is there. Who then asks once more, asks for the same.
func TestAnIDThatIsUsedAgainIsErasedAgain(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open opener) {
		g := open(t, gateway.Config{ErasuresByHand: true})
		say(t, g, consent.Granted, []string{"ada"}, rag, emb)
		makeCollection(t, g, "c", retrieval.Spec{})
		store(t, g, "c", owned(t, "one", "ada"), owned(t, "two", "ada"))
		first := eraseDocument(t, g, "c", "one")
		if again := eraseDocument(t, g, "c", "one"); again != first {
			t.Errorf("the same while it is open: %s, want %s", again, first)
		}
		store(t, g, "c", owned(t, "one", "ada"))
		if n := len(find(t, g, "c", "server")); n != 2 {
			t.Fatalf("%d hits before", n)
		}
		second := eraseDocument(t, g, "c", "one")
		if n := len(find(t, g, "c", "server")); n != 1 || second == first {
			t.Errorf("%d hits after the second request, %s after %s", n, second, first)
		}
		if third := eraseDocument(t, g, "c", "one"); third != second {
			t.Errorf("the third request: %s, want %s", third, second)
		}
		for _, id := range []string{first, second} {
			if e := ended(t, g, id); e.State != erasure.Completed {
				t.Errorf("%s: %v", id, e.State)
			}
			if again := eraseDocument(t, g, "c", "one"); id == first && again != second || id == second && again == second {
				t.Errorf("asked when %s has ended: %s", id, again)
			}
		}
		if n := g.LiveDocuments(t); n != 1 {
			t.Errorf("%d documents", n)
		}
	})
}

// However many erasures of the same id are open, as where a recipient is silent or a
// rebuild is waited for: whoever asks is answered when what is there is unreachable.
func TestAnIDThatIsUsedOverAndOverIsErasedEachTime(t *testing.T) {
	t.Parallel()
	g := openGateway(t, gateway.Config{ErasuresByHand: true})
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	makeCollection(t, g, "c", retrieval.Spec{})
	asked := map[string]bool{}
	for n := range 8 {
		store(t, g, "c", owned(t, "one", "ada"))
		id := eraseDocument(t, g, "c", "one")
		if hits := len(find(t, g, "c", "server")); hits != 0 || asked[id] {
			t.Errorf("request %d: %d hits, known %v", n+1, hits, asked[id])
		}
		if again := eraseDocument(t, g, "c", "one"); again != id {
			t.Errorf("request %d once more: %s, want %s", n+1, again, id)
		}
		asked[id] = true
	}
	for id := range asked {
		if e := ended(t, g, id); e.State != erasure.Completed {
			t.Errorf("%v", e.State)
		}
	}
	if n := g.LiveDocuments(t); n != 0 {
		t.Errorf("%d documents", n)
	}
}

// stubborn is a reviewer that cannot redact what it says, as where an embedder does not
// answer.
type stubborn struct {
	erasure.Reviewer
	cannot func(what []byte) bool
}

func (r stubborn) Redact(ctx context.Context, t consent.TenantID, what []byte) error {
	if r.cannot(what) {
		return erasure.ErrUnavailable
	}
	return r.Reviewer.Redact(ctx, t, what)
}

// A redaction that failed before it wrote anything leaves every decision open, and
// what is decided then is what is done.
func TestAfterAFailedRedactionSomethingElseCanBeDecided(t *testing.T) {
	t.Parallel()
	g := openGateway(t, gateway.Config{ErasuresByHand: true})
	mentionsStart(t, g)
	ctx, tenant := t.Context(), gateway.DefaultTenant
	id := ended(t, g, erase(t, g, "ada").ID).ID
	list := waiting(t, g, id)
	deps := g.Erasure.Deps
	deps.Reviewer = stubborn{deps.Reviewer, func([]byte) bool { return true }}
	fails := erasure.NewService(deps)
	for _, doc := range []string{"a", "c", "d"} {
		if err := fails.Review(ctx, tenant, id, list[doc].N, erasure.ActRedact, "test"); !errors.Is(err, erasure.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	for doc, a := range map[string]erasure.Action{"a": erasure.ActRemove, "c": erasure.ActIgnore, "d": erasure.ActRedact} {
		if err := g.Erasure.Review(ctx, tenant, id, list[doc].N, a, "test"); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
	if left := waiting(t, g, id); len(left) != 0 {
		t.Errorf("still waiting: %+v", left)
	}
	var docs []string
	for _, h := range find(t, g, "c", "server") {
		if docs = append(docs, h.DocumentID); h.DocumentID == "c" && h.Title != "To ada@example.org" {
			t.Errorf("what may stay was redacted: %q", h.Title)
		}
	}
	if slices.Contains(docs, "a") || !slices.Contains(docs, "c") || !slices.Contains(docs, "d") {
		t.Errorf("found %q", docs)
	}
}

// What fails in the middle of a redaction, as when its client goes, does not wait for a
// start: the next sweep goes on with it, whatever becomes of others.
func TestASweepGoesOnWithRedactions(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	g, then := atStep(t, openGateway, gateway.Config{}, "redact.written")
	mentionsStart(t, g)
	tenant := gateway.DefaultTenant
	id := ended(t, g, erase(t, g, "ada").ID).ID
	g.Erasure.GoOn(t.Context(), tenant) // at the first sweep
	list := waiting(t, g, id)
	deps := g.Erasure.Deps
	first := true
	deps.Reviewer = stubborn{deps.Reviewer, func([]byte) bool { return first }}
	svc := erasure.NewService(deps)
	if err := svc.Review(t.Context(), tenant, id, list["a"].N, erasure.ActRedact, "test"); err == nil {
		t.Fatal("redacted")
	}
	first = false
	f := func() { cancel() }
	then.Store(&f)
	if err := svc.Review(ctx, tenant, id, list["d"].N, erasure.ActRedact, "test"); err == nil {
		t.Fatal("ended")
	}
	deps.Reviewer = stubborn{g.Erasure.Deps.Reviewer, func([]byte) bool { f := first; first = false; return f }}
	svc.Reviewer, first = deps.Reviewer, true
	svc.GoOn(t.Context(), tenant)
	all := func() (docs int) {
		es, err := g.Erasure.List(t.Context(), tenant, erasure.Page{Limit: 9})
		if err != nil {
			t.Fatal(err)
		}
		return len(es) - 1
	}
	if n := all(); n != 1 {
		t.Errorf("%d erasures of old versions after a sweep in which one redaction failed, want the other's", n)
	}
	svc.GoOn(t.Context(), tenant)
	if n := all(); n != 2 || len(waiting(t, g, id)) != 1 {
		t.Errorf("%d erasures after the next, waiting %+v", n, waiting(t, g, id))
	}
}

// An embedder that is waited for, by a redaction that is gone on with, keeps nobody's
// erasure from being carried out.
func TestErasuresDoNotWaitForRedactions(t *testing.T) {
	t.Parallel()
	g := openGateway(t, gateway.Config{ErasuresByHand: true})
	mentionsStart(t, g)
	id := ended(t, g, erase(t, g, "ada").ID).ID
	deps := g.Erasure.Deps
	ctx, cancel := context.WithCancel(t.Context())
	waits := make(chan struct{})
	cannot := func([]byte) bool { return true }
	deps.Reviewer = stubborn{deps.Reviewer, func(what []byte) bool { return cannot(what) }}
	svc := erasure.NewService(deps)
	if err := svc.Review(ctx, gateway.DefaultTenant, id, waiting(t, g, id)["a"].N, erasure.ActRedact, "test"); err == nil {
		t.Fatal("redacted")
	}
	cannot = func([]byte) bool { close(waits); <-ctx.Done(); return true }
	svc.Serve(gateway.DefaultTenant)
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		_ = svc.Run(ctx)
	}()
	defer func() { cancel(); <-ran }()
	<-waits
	say(t, g, consent.Granted, []string{"bob"}, rag, emb)
	next := erase(t, g, "bob").ID
	for until := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		e, err := g.Erasure.Get(t.Context(), gateway.DefaultTenant, next)
		if err != nil || time.Now().After(until) {
			t.Fatalf("%v, %v", e.State, err)
		}
		if e.State == erasure.Completed {
			return
		}
	}
}

// A redaction that panicked is gone on with, too.
func TestAfterAPanicASweepGoesOnWithRedactions(t *testing.T) {
	t.Parallel()
	g := openGateway(t, gateway.Config{ErasuresByHand: true})
	mentionsStart(t, g)
	id := ended(t, g, erase(t, g, "ada").ID).ID
	deps := g.Erasure.Deps
	cannot := func([]byte) bool { return true }
	deps.Reviewer = stubborn{deps.Reviewer, func(what []byte) bool { return cannot(what) }}
	svc := erasure.NewService(deps)
	if err := svc.Review(t.Context(), gateway.DefaultTenant, id, waiting(t, g, id)["a"].N, erasure.ActRedact, "test"); err == nil {
		t.Fatal("redacted")
	}
	cannot = func([]byte) bool { panic("in a reviewer") }
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		svc.GoOn(t.Context(), gateway.DefaultTenant)
	}()
	cannot = func([]byte) bool { return false }
	svc.GoOn(t.Context(), gateway.DefaultTenant)
	if left := waiting(t, g, id); len(left) != 2 {
		t.Errorf("waiting %+v", left)
	}
}

// A failed manifest whose record does not open keeps nobody's erasure from its end:
// nobody can say what it holds, so it goes.
func TestAFailedManifestThatDoesNotOpenIsErased(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	var full atomic.Bool
	g := openGateway(t, gateway.Config{DataDir: dir, ErasuresByHand: true, Training: gateway.TrainingConfig{Workers: 1, FileFault: func(op string) error {
		if full.Load() && op == "file.write" {
			return syscall.ENOSPC
		}
		return nil
	}}, Step: func(step string) {
		if step == "merged" {
			full.Store(true)
		}
	}})
	makeCollection(t, g, "a", retrieval.Spec{})
	say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb, trn)
	put(t, g, caller, "a", retrieval.Document{ID: "ada's", Owners: people(t, "ada")}, retrieval.Document{ID: "bob's", Owners: people(t, "bob")})
	m, err := g.Training.Create(t.Context(), trainer, training.NewID(), linkable(), nil)
	must(t, err)
	m = awaitFailed(t, g, m.ID)
	full.Store(false)
	db, err := sql.Open("sqlite", filepath.Join(dir, "assent.db"))
	must(t, err)
	defer db.Close()
	if _, err := db.Exec(`UPDATE manifests SET sealed = x'00' WHERE id = ?`, m.ID); err != nil {
		t.Fatal(err)
	}
	wantPurged(t, ended(t, g, erase(t, g, "ada").ID))
	if !g.FileKeyOf(t.Context(), m.ID).IsZero() {
		t.Error("its key is named")
	}
}

// What is to be kept of a document for its other people is kept also where somebody
// held it when that was to be done: it is done afterwards.
func TestWhatIsHeldIsKeptForOthersAfterwards(t *testing.T) {
	t.Parallel()
	clock := newClock()
	g, then := atStep(t, openGateway, gateway.Config{Now: clock.Now}, "erasure.after.resolve")
	jointStart(t, g)
	held, id := eraseDocument(t, g, "kept", "named"), erase(t, g, "ada").ID
	f := func() { hold(t, g, held) }
	then.Store(&f)
	e := carry(t, g, id)
	if !states(e)["waiting_for_hold"] {
		t.Fatalf("%v, %v", e.State, states(e))
	}
	if _, err := g.Erasure.Cancel(t.Context(), gateway.DefaultTenant, held); err != nil {
		t.Fatal(err)
	}
	clock.move(1)
	if e := ended(t, g, id); e.State != erasure.Completed {
		t.Errorf("%v", e.State)
	}
	wantWithoutAda(t, g)
}

// What is committed is counted, also where the memory of the gateway could not be
// brought to it: the repeat does not find it.
func TestWhatIsErasedIsCountedWhereItCouldNotBeFollowed(t *testing.T) {
	t.Parallel()
	s := server(t)
	c := newCluster(t, s)
	name := c.data[strings.LastIndex(c.data, "/")+1:]
	name, _, _ = strings.Cut(name, "?")
	g, then := atStep(t, func(_ testing.TB, cfg gateway.Config) *gateway.Gateway { return c.open(cfg) }, gateway.Config{}, "erase.committed")
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	makeCollection(t, g, "c", retrieval.Spec{})
	store(t, g, "c", owned(t, "one", "ada"), owned(t, "two", "ada"))
	id := erase(t, g, "ada").ID
	f := func() { s.Exec(t, name, "ALTER TABLE documents RENAME TO unreadable") }
	then.Store(&f)
	if e := carry(t, g, id); e.State != erasure.Running || e.Attempts != 1 {
		t.Errorf("%v, %d attempts", e.State, e.Attempts)
	}
	s.Exec(t, name, "ALTER TABLE unreadable RENAME TO documents")
	e := ended(t, g, id)
	for _, r := range e.Targets {
		if r.Name == "catalogue" && r.Deleted != 2 {
			t.Errorf("%d counted, want 2", r.Deleted)
		}
	}
	if e.State != erasure.Completed {
		t.Errorf("%v", e.State)
	}
}

// What is written anew is counted, and its old keys go, also where the memory of the
// gateway could not be brought to it: the repeat does not find it.
func TestWhatIsKeptForOthersIsCountedWhereItCouldNotBeFollowed(t *testing.T) {
	t.Parallel()
	targets := func(e erasure.Erasure) map[string]uint64 {
		out := map[string]uint64{}
		for _, r := range e.Targets {
			out[r.Name] = r.Deleted
		}
		return out
	}
	whole := openGateway(t, gateway.Config{ErasuresByHand: true})
	jointStart(t, whole)
	want := targets(ended(t, whole, erase(t, whole, "ada").ID))

	s := server(t)
	c := newCluster(t, s)
	name := c.data[strings.LastIndex(c.data, "/")+1:]
	name, _, _ = strings.Cut(name, "?")
	g, then := atStep(t, func(_ testing.TB, cfg gateway.Config) *gateway.Gateway { return c.open(cfg) }, gateway.Config{}, "tx.committed")
	jointStart(t, g)
	id := erase(t, g, "ada").ID
	f := func() { s.Exec(t, name, "ALTER TABLE documents RENAME TO unreadable") }
	then.Store(&f)
	if e := carry(t, g, id); e.State != erasure.Running || e.Attempts != 1 {
		t.Fatalf("%v, %d attempts", e.State, e.Attempts)
	}
	s.Exec(t, name, "ALTER TABLE unreadable RENAME TO documents")
	e := ended(t, g, id)
	if e.State != erasure.Completed || e.Attempts > 1 {
		t.Errorf("%v after %d attempts", e.State, e.Attempts)
	}
	for name, n := range targets(e) {
		if n != want[name] {
			t.Errorf("%s: %d counted, want %d", name, n, want[name])
		}
	}
	wantWithoutAda(t, g)
}

// A deletion that the memory of the gateway could not follow leaves no key.
func TestADeletionThatCouldNotBeFollowedLeavesNoKey(t *testing.T) {
	t.Parallel()
	s := server(t)
	c := newCluster(t, s)
	database := func(url string) string {
		name, _, _ := strings.Cut(url[strings.LastIndex(url, "/")+1:], "?")
		return name
	}
	g, then := atStep(t, func(_ testing.TB, cfg gateway.Config) *gateway.Gateway { return c.open(cfg) }, gateway.Config{}, "tx.committed")
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	makeCollection(t, g, "c", retrieval.Spec{})
	s.Exec(t, database(c.vault), "CREATE TABLE before AS SELECT id FROM slots")
	store(t, g, "c", owned(t, "one", "ada"))
	f := func() { s.Exec(t, database(c.data), "ALTER TABLE documents RENAME TO unreadable") }
	then.Store(&f)
	if err := g.Retrieval.Delete(t.Context(), caller, "c", "one"); err == nil {
		t.Fatal("deleted")
	}
	s.Exec(t, database(c.data), "ALTER TABLE unreadable RENAME TO documents")
	if err := g.Retrieval.Delete(t.Context(), caller, "c", "one"); err != nil {
		t.Fatal(err)
	}
	s.Exec(t, database(c.vault), `DO $$ BEGIN
		IF EXISTS (SELECT id FROM slots EXCEPT SELECT id FROM before) THEN RAISE EXCEPTION 'a key is left'; END IF;
	END $$`)
}

// onceWrong is a checker that finds, the first time, something that is not there.
type onceWrong struct {
	erasure.Checker
	was *atomic.Bool
}

func (c onceWrong) Check(ctx context.Context, o erasure.Order) ([]erasure.Finding, []erasure.Probe, error) {
	found, probes, err := c.Checker.Check(ctx, o)
	if err == nil && c.was.CompareAndSwap(false, true) {
		found[0].Remaining = 1
	}
	return found, probes, err
}

// Where verification sends the cascade round again, a person is one person.
func TestAPersonIsCountedOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open opener) {
		clock, was := newClock(), atomic.Bool{}
		g := open(t, gateway.Config{ErasuresByHand: true, Now: clock.Now, WrapChecker: func(c erasure.Checker) erasure.Checker { return onceWrong{c, &was} }})
		say(t, g, consent.Granted, []string{"ada"}, rag, emb)
		makeCollection(t, g, "c", retrieval.Spec{})
		store(t, g, "c", owned(t, "one", "ada"))
		id := erase(t, g, "ada").ID
		if e := carry(t, g, id); e.State != erasure.Running {
			t.Fatalf("%v", e.State)
		}
		clock.move(1)
		e := ended(t, g, id)
		for _, r := range e.Targets {
			if (r.Name == "person" || r.Name == "catalogue") && r.Deleted != 1 {
				t.Errorf("%s: %d counted", r.Name, r.Deleted)
			}
		}
		if e.State != erasure.Completed {
			t.Errorf("%v", e.State)
		}
	})
}
