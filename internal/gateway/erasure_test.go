package gateway_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
)

// erase asks for a person's erasure.
func erase(t testing.TB, g *gateway.Gateway, who string) erasure.Erasure {
	t.Helper()
	e, err := g.Erasure.Request(context.Background(), gateway.DefaultTenant, erasure.Request{Scope: erasure.ScopeSubject, Subject: subject(t, who), By: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// ended waits until an erasure has ended.
func ended(t testing.TB, g *gateway.Gateway, id string) erasure.Erasure {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		e, err := g.Erasure.Carry(context.Background(), gateway.DefaultTenant, id)
		if err != nil {
			t.Fatal(err)
		}
		switch e.State {
		case erasure.Suppressed, erasure.Running, erasure.Verifying:
		default:
			return e
		}
		if time.Now().After(deadline) {
			t.Fatalf("still %v after %d attempts: %+v", e.State, e.Attempts, e)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func find(t testing.TB, g *gateway.Gateway, collection, query string) []retrieval.Hit {
	t.Helper()
	a, err := g.Retrieval.Search(context.Background(), caller, collection, retrieval.SearchRequest{Query: query, K: 100, Purpose: "rag_retrieval"})
	if err != nil {
		t.Fatal(err)
	}
	return a.Hits
}

// wantPurged checks that an erasure reached every goal.
func wantPurged(t testing.TB, e erasure.Erasure) {
	t.Helper()
	if e.State != erasure.Completed || e.Level != erasure.Purged {
		t.Fatalf("state %v, level %v, want completed and purged: %+v", e.State, e.Level, e)
	}
	for _, p := range e.Probes {
		if p.Found != 0 || !p.Control {
			t.Errorf("probe %q found %d of %d, control %v", p.Name, p.Found, p.Asked, p.Control)
		}
	}
}

// A person is erased: unreachable at once, purged in the end; others stay; the
// person stays erased until they grant again, and then under a new key.
func TestErasureOfAPerson(t *testing.T) {
	t.Parallel()
	g := openGateway(t, gateway.Config{ErasuresByHand: true})
	people := []string{"ada", "bob"}
	say(t, g, consent.Granted, people, rag, emb)
	makeCollection(t, g, "c", retrieval.Spec{})
	ingest(t, g, "c", invented(people...))
	if n := len(find(t, g, "c", "server")); n != 4 {
		t.Fatalf("%d hits before", n)
	}
	e := erase(t, g, "ada")
	if e.State != erasure.Suppressed || e.Level != erasure.Unreachable {
		t.Errorf("at acknowledgement: %v, %v", e.State, e.Level)
	}
	if n := len(find(t, g, "c", "server")); n != 2 {
		t.Errorf("%d hits at acknowledgement, want Bob's 2", n)
	}
	if again := erase(t, g, "ada"); again.ID != e.ID {
		t.Error("asked again while open: another erasure")
	}
	e = ended(t, g, e.ID)
	wantPurged(t, e)
	if e.Gathered.Documents != 2 || e.Gathered.Passages != 2 || e.Gathered.Shared != 0 || e.Gathered.Mentioned != 0 || e.Gathered.Lineage != (erasure.Lineage{}) {
		t.Errorf("gathered %+v", e.Gathered)
	}
	for _, probe := range e.Probes {
		t.Logf("%-60s asked %d over %d", probe.Name, probe.Asked, probe.Over)
	}
	receipt, err := g.Erasure.Receipt(t.Context(), gateway.DefaultTenant, e.ID)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", receipt)

	// They stay erased.
	if got := ingest(t, g, "c", invented("ada")); got[retrieval.Refused] != 2 {
		t.Errorf("ingest for an erased person: %v", got)
	}
	if a, err := g.Ledger.Decide(t.Context(), gateway.DefaultTenant, []consent.Subject{subject(t, "ada")}, consent.Question{Purpose: "rag_retrieval"}); err != nil || a.Decisions[0].Reason != consent.ReasonSuppressed {
		t.Errorf("decision: %+v, %v", a.Decisions, err)
	}
	// They come back.
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	if n := len(find(t, g, "c", "server")); n != 2 {
		t.Errorf("%d hits after they came back, want Bob's 2", n)
	}
	if got := ingest(t, g, "c", invented("ada")); got[retrieval.Stored] != 2 {
		t.Errorf("ingest after they came back: %v", got)
	}
	if n := len(find(t, g, "c", "server")); n != 4 {
		t.Errorf("%d hits of old and new, want 4", n)
	}
	// And go again.
	e2 := erase(t, g, "ada")
	if e2.ID == e.ID {
		t.Error("a new request is the old erasure")
	}
	wantPurged(t, ended(t, g, e2.ID))
	if n := len(find(t, g, "c", "server")); n != 2 {
		t.Errorf("%d hits after the second erasure", n)
	}
	if n, err := g.Erasure.Reconcile(t.Context(), gateway.DefaultTenant); n != 0 || err != nil {
		t.Errorf("the reconciler found %d, %v", n, err)
	}
}

// Someone whom nobody knows gets the same answer, is suppressed, and the
// erasure ends.
func TestErasureOfAnUnknownPerson(t *testing.T) {
	t.Parallel()
	dir := t.TempDir() + "/data"
	g := openGateway(t, gateway.Config{DataDir: dir, ErasuresByHand: true})
	makeCollection(t, g, "c", retrieval.Spec{})
	e := erase(t, g, "nobody")
	wantPurged(t, ended(t, g, e.ID))
	for range 2 { // again after a start
		a, err := g.Ledger.Decide(t.Context(), gateway.DefaultTenant, []consent.Subject{subject(t, "nobody")}, consent.Question{Purpose: "rag_retrieval"})
		if err != nil || a.Decisions[0].Reason != consent.ReasonSuppressed {
			t.Errorf("decision: %+v, %v", a.Decisions, err)
		}
		g.Close()
		g = openGateway(t, gateway.Config{DataDir: dir, ErasuresByHand: true})
	}
}

// Documents, a source and a collection are erased without anybody's name.
func TestErasureOfDocuments(t *testing.T) {
	t.Parallel()
	g := openGateway(t, gateway.Config{ErasuresByHand: true})
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	makeCollection(t, g, "c", retrieval.Spec{})
	var docs []retrieval.Submission
	for i := range 10 {
		docs = append(docs, retrieval.Submission{Document: retrieval.Document{
			ID: fmt.Sprint("doc-", i), Owners: []consent.Subject{subject(t, "ada")}, Text: fmt.Sprint("The server of number ", i, " stands in the cellar."), Source: []string{"one", "two"}[i%2],
		}})
	}
	put := func() {
		t.Helper()
		if _, err := g.Retrieval.Ingest(t.Context(), caller, "c", docs, consent.Once{}); err != nil {
			t.Fatal(err)
		}
	}
	put()
	for _, c := range []struct {
		scope erasure.Scope
		what  erasure.Documents
		left  int
	}{
		{erasure.ScopeDocument, erasure.Documents{Collection: "c", Document: "doc-3"}, 9},
		{erasure.ScopeDocument, erasure.Documents{Collection: "nowhere", Document: "doc-4"}, 9},
		{erasure.ScopeSource, erasure.Documents{Source: "one"}, 4},
		{erasure.ScopeCollection, erasure.Documents{Collection: "c"}, 0},
	} {
		e, err := g.Erasure.Request(t.Context(), gateway.DefaultTenant, erasure.Request{Scope: c.scope, Documents: c.what, By: "test"})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(find(t, g, "c", "server")); n != c.left {
			t.Errorf("%s: %d hits at acknowledgement, want %d", c.scope, n, c.left)
		}
		wantPurged(t, ended(t, g, e.ID))
		if n := len(find(t, g, "c", "server")); n != c.left {
			t.Errorf("%s: %d hits, want %d", c.scope, n, c.left)
		}
	}
	put() // documents that come later are new ones
	if n := len(find(t, g, "c", "server")); n != 10 {
		t.Errorf("%d hits after ingest, want 10", n)
	}
	if !strings.HasPrefix(erase(t, g, "ada").ID, "e") {
		t.Error("id")
	}
}
