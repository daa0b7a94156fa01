package gateway_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
)

// atOnce is the built-in policy without a grace worth the name.
func atOnce(t testing.TB) *consent.Policy {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "consent", "builtin.json"))
	if err != nil {
		t.Fatal(err)
	}
	raw = bytes.Replace(raw, []byte(`"version": 0,`), []byte(`"version": 1, "withdrawal_grace": "1ns",`), 1)
	p, err := consent.ParsePolicy(raw)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// sweep sweeps, carries out what that started and returns every erasure there is.
func sweep(t testing.TB, g *gateway.Gateway) []erasure.Erasure {
	t.Helper()
	g.Erasure.Sweep(t.Context(), gateway.DefaultTenant)
	rows, err := g.Erasure.List(t.Context(), gateway.DefaultTenant, erasure.Page{Limit: 99})
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		rows[i] = ended(t, g, rows[i].ID)
	}
	return rows
}

// owned is a document of some people.
func owned(t testing.TB, id string, who ...string) retrieval.Document {
	t.Helper()
	return retrieval.Document{ID: id, Owners: persons(t, who...), Text: "The server, said " + id + "."}
}

// What no purpose permits any more is erased by itself when the policy's grace
// is over, with a receipt; a grant meanwhile stops it.
func TestWithdrawalEndsStorageAfterTheGrace(t *testing.T) {
	t.Parallel()
	clock := newClock()
	g := openGateway(t, gateway.Config{ErasuresByHand: true, Now: clock.Now})
	say(t, g, consent.Granted, []string{"ada", "bob", "eve"}, rag, emb)
	makeCollection(t, g, "c", retrieval.Spec{})
	makeCollection(t, g, "any", retrieval.Spec{Joint: consent.AnyOwner})
	store(t, g, "c", owned(t, "ada's", "ada"), owned(t, "bob's", "bob"), owned(t, "eve's", "eve"), owned(t, "both", "ada", "bob"))
	store(t, g, "any", owned(t, "either", "ada", "bob"))
	say(t, g, consent.Revoked, []string{"ada", "eve"}, rag, emb)
	clock.move(20)
	say(t, g, consent.Granted, []string{"eve"}, rag, emb)
	if e := sweep(t, g); len(e) != 0 {
		t.Fatalf("within the grace: %+v", e)
	}
	clock.move(9)
	if e := sweep(t, g); len(e) != 0 {
		t.Fatalf("on day 29: %+v", e)
	}
	clock.move(2)
	e := sweep(t, g)
	if len(e) != 1 || e[0].Scope != erasure.ScopeWithdrawal || e[0].Gathered.Documents != 2 {
		t.Fatalf("on day 31: %+v", e)
	}
	wantPurged(t, e[0])
	if r := stated(t, g, e[0].ID).Statement; r.Scope != "withdrawal" || r.RemovedDocuments != 2 {
		t.Errorf("the receipt: %+v", r)
	}
	if n := g.LiveDocuments(t); n != 3 {
		t.Errorf("%d documents are left, want bob's, eve's and one that either permits", n)
	}
	if hits := len(find(t, g, "c", "server")); hits != 2 {
		t.Errorf("%d hits, want bob's and eve's", hits)
	}
	if e := sweep(t, g); len(e) != 1 {
		t.Errorf("a second sweep: %d erasures", len(e))
	}
	// What ended anew has its grace anew.
	say(t, g, consent.Revoked, []string{"eve"}, rag, emb)
	clock.move(29)
	if e := sweep(t, g); len(e) != 1 {
		t.Errorf("on day 29 of the second: %d erasures", len(e))
	}
	clock.move(2)
	if e := sweep(t, g); len(e) != 2 || g.LiveDocuments(t) != 2 {
		t.Errorf("on day 31 of the second: %d erasures, %d documents", len(e), g.LiveDocuments(t))
	}
	// Where one of two is enough, the grace is that of who withdrew last.
	say(t, g, consent.Revoked, []string{"bob"}, rag, emb)
	clock.move(29)
	if e := sweep(t, g); len(e) != 2 {
		t.Errorf("on day 29 of who withdrew last: %d erasures", len(e))
	}
	clock.move(2)
	if e := sweep(t, g); len(e) != 3 || g.LiveDocuments(t) != 0 {
		t.Errorf("on day 31 of who withdrew last: %d erasures, %d documents", len(e), g.LiveDocuments(t))
	}
}

// A grant that expired is no permission either; a person who asked that use be
// restricted, not ended, keeps what is stored.
func TestExpiryEndsStorageAndRestrictionDoesNot(t *testing.T) {
	t.Parallel()
	clock := newClock()
	g := openGateway(t, gateway.Config{ErasuresByHand: true, Now: clock.Now})
	var entries []consent.Entry
	for _, name := range []string{rag, emb} {
		typ, err := consent.ParseType(name)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, consent.Entry{Subject: subject(t, "ada"), Type: typ, Status: consent.Granted, ExpiresAt: consent.TimeOf(clock.Now().AddDate(0, 0, 10))})
	}
	if _, err := g.Ledger.Record(t.Context(), gateway.DefaultTenant, entries, consent.Once{}); err != nil {
		t.Fatal(err)
	}
	say(t, g, consent.Granted, []string{"bob"}, rag, emb)
	makeCollection(t, g, "c", retrieval.Spec{})
	store(t, g, "c", owned(t, "ada's", "ada"), owned(t, "bob's", "bob"))
	say(t, g, consent.Restricted, []string{"bob"}, rag, emb)
	clock.move(39)
	if e := sweep(t, g); len(e) != 0 {
		t.Fatalf("29 days after the expiry: %+v", e)
	}
	clock.move(2)
	if e := sweep(t, g); len(e) != 1 || e[0].Gathered.Documents != 1 || g.LiveDocuments(t) != 1 {
		t.Fatalf("31 days after the expiry: %+v, %d documents", e, g.LiveDocuments(t))
	}
	clock.move(400)
	if e := sweep(t, g); len(e) != 1 || g.LiveDocuments(t) != 1 {
		t.Errorf("restricted for long: %+v, %d documents", e, g.LiveDocuments(t))
	}
}

// Withdrawal of embedding alone takes the vectors: the text stays, sealed, in no
// index, also after a restart; it is found again when it is ingested again.
func TestWithdrawalOfEmbeddingTakesTheVectors(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open opener) {
		g := open(t, gateway.Config{ErasuresByHand: true, Policy: atOnce(t)})
		say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb)
		makeCollection(t, g, "c", retrieval.Spec{})
		store(t, g, "c", owned(t, "ada's", "ada"), owned(t, "bob's", "bob"))
		say(t, g, consent.Revoked, []string{"ada"}, emb)
		e := sweep(t, g)
		if len(e) != 1 || e[0].State != erasure.Completed || e[0].Gathered.Kept != 1 {
			t.Fatalf("%+v", e)
		}
		for _, p := range e[0].Probes {
			if p.Found != 0 || !p.Control {
				t.Errorf("probe %q found %d of %d, control %v", p.Name, p.Found, p.Asked, p.Control)
			}
		}
		if r := stated(t, g, e[0].ID).Statement; r.RemovedDocuments != 0 || r.Documents != 1 {
			t.Errorf("the receipt: %+v", r)
		}
		if n := g.LiveDocuments(t); n != 2 {
			t.Errorf("%d documents, want 2", n)
		}
		if e := sweep(t, g); len(e) != 1 {
			t.Errorf("a second sweep: %d erasures", len(e))
		}
		say(t, g, consent.Granted, []string{"ada"}, emb)
		if hits := find(t, g, "c", "server"); len(hits) != 1 {
			t.Errorf("%d hits, want bob's", len(hits))
		}
		if a, err := g.Retrieval.Document(t.Context(), caller, "c", "ada's", "rag_retrieval"); err != nil || a.Text != owned(t, "ada's").Text {
			t.Errorf("the text: %q, %v", a.Text, err)
		}
		store(t, g, "c", owned(t, "ada's", "ada")) // stored, not unchanged
		if hits := find(t, g, "c", "server"); len(hits) != 2 {
			t.Errorf("%d hits after ingest, want 2", len(hits))
		}
		say(t, g, consent.Revoked, []string{"ada"}, emb)
		if e := sweep(t, g); len(e) != 2 || e[1].Gathered.Kept != 1 {
			t.Errorf("withdrawn again: %+v", e)
		}
		say(t, g, consent.Revoked, []string{"ada"}, rag)
		if e := sweep(t, g); len(e) != 3 || e[2].State != erasure.Completed || e[2].Gathered.Kept != 0 || g.LiveDocuments(t) != 1 {
			t.Errorf("nothing permits it: %+v, %d documents", e[len(e)-1], g.LiveDocuments(t))
		}
	})
}

// What is held is not deleted because nobody permits it: neither what a held
// erasure is about, nor what a held person's is.
func TestAHoldStopsWithdrawal(t *testing.T) {
	t.Parallel()
	g := openGateway(t, gateway.Config{ErasuresByHand: true, Policy: atOnce(t)})
	say(t, g, consent.Granted, []string{"ada", "bob", "eve"}, rag, emb)
	makeCollection(t, g, "c", retrieval.Spec{})
	store(t, g, "c", owned(t, "held", "ada"), owned(t, "free", "ada"), owned(t, "joint", "ada", "eve"))
	hold := func(r erasure.Request) string {
		t.Helper()
		r.By = "test"
		e, err := g.Erasure.Request(t.Context(), gateway.DefaultTenant, r)
		if err == nil {
			_, err = g.Erasure.Hold(t.Context(), gateway.DefaultTenant, e.ID, "a court asked")
		}
		if err != nil {
			t.Fatal(err)
		}
		return e.ID
	}
	doc := hold(erasure.Request{Scope: erasure.ScopeDocument, Documents: erasure.Documents{Collection: "c", Document: "held"}})
	hold(erasure.Request{Scope: erasure.ScopeSubject, Subject: subject(t, "eve")})
	say(t, g, consent.Revoked, []string{"ada"}, rag, emb)
	if e := sweep(t, g); len(e) != 3 || e[2].Gathered.Documents != 1 || g.LiveDocuments(t) != 2 {
		t.Fatalf("%d erasures, %d documents, want the one that nobody holds gone: %+v", len(e), g.LiveDocuments(t), e)
	}
	if _, err := g.Erasure.Cancel(t.Context(), gateway.DefaultTenant, doc); err != nil {
		t.Fatal(err)
	}
	if e := sweep(t, g); len(e) != 4 || g.LiveDocuments(t) != 1 {
		t.Errorf("%d erasures, %d documents after the hold was lifted", len(e), g.LiveDocuments(t))
	}
}

// A grant that comes between the look and the entry wins, also when another
// gateway recorded it; two gateways that look at once erase once.
func TestAGrantBeforeTheEntryWins(t *testing.T) {
	t.Parallel()
	g := openGateway(t, gateway.Config{ErasuresByHand: true, Policy: atOnce(t)})
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	makeCollection(t, g, "c", retrieval.Spec{})
	store(t, g, "c", owned(t, "ada's", "ada"))
	say(t, g, consent.Revoked, []string{"ada"}, rag, emb)
	found, err := g.Retrieval.Withdrawn(t.Context(), gateway.DefaultTenant)
	if err != nil || len(found) != 1 {
		t.Fatalf("%+v, %v", found, err)
	}
	enter := func() error {
		_, err := g.Ledger.Suppress(t.Context(), gateway.DefaultTenant, consent.Suppression{
			Removal: found[0].Removal, Ended: found[0].Storage, ID: "e-test", Scope: "withdrawal",
			Job: func(consent.Suppressed) (consent.ErasureRow, error) {
				return consent.ErasureRow{ID: "e-test", Version: 1, Open: true}, nil
			},
		})
		return err
	}
	say(t, g, consent.Granted, []string{"ada"}, rag)
	if err := enter(); !errors.Is(err, consent.ErrPermitted) {
		t.Errorf("after a grant: %v", err)
	}
	say(t, g, consent.Revoked, []string{"ada"}, rag)
	if err := enter(); err != nil {
		t.Errorf("after it was revoked: %v", err)
	}
	if err := enter(); !errors.Is(err, consent.ErrPermitted) {
		t.Errorf("a second time: %v", err)
	}
}

// kill -9 at the steps of what a sweep started: each erasure ends once.
func TestKillWhileStorageEnds(t *testing.T) {
	t.Parallel()
	for _, crash := range []string{
		"erasure.suppressed:1", "erasure.suppressed:2", "erasure.gathered:1", "erase.keys:1", "erase.committed:1",
		"rewrite.slots:1", "tx.committed:1", "applied:1", "erasure.after.joint:2", "erasure.entered:2",
	} {
		t.Run(crash, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			g, err := gateway.Open(t.Context(), gateway.Config{DataDir: dir, AdminKey: adminKey, ErasuresByHand: true, Policy: atOnce(t)})
			if err != nil {
				t.Fatal(err)
			}
			say(t, g, consent.Granted, []string{"ada", "bob", "eve"}, rag, emb)
			makeCollection(t, g, "c", retrieval.Spec{})
			store(t, g, "c", owned(t, "ada's", "ada"), owned(t, "bob's", "bob"), owned(t, "eve's", "eve"))
			say(t, g, consent.Revoked, []string{"ada"}, rag, emb)
			say(t, g, consent.Revoked, []string{"eve"}, emb)
			if err := g.Close(); err != nil {
				t.Fatal(err)
			}
			c := startChild(t, dir, crash)
			select {
			case <-c.dead:
			case <-time.After(time.Minute):
				t.Fatal("the step was never reached")
			}
			g = openGateway(t, gateway.Config{DataDir: dir, AdminKey: adminKey, ErasuresByHand: true})
			e := sweep(t, g)
			if len(e) != 2 {
				t.Fatalf("%d erasures, want two", len(e))
			}
			for i := range e {
				wantPurged(t, e[i])
				stated(t, g, e[i].ID)
			}
			if n := g.LiveDocuments(t); n != 2 {
				t.Errorf("%d documents, want bob's and eve's text", n)
			}
			if left := g.Leftovers(t); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
			if used := g.KeySlots(); used != 5 { // three people's, and two documents'
				t.Errorf("%d keys are left, want 5", used)
			}
		})
	}
}
