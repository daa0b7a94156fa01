package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/verify"
	"github.com/assent-gateway/assent/retrieval"
)

// persons are subjects.
func persons(t testing.TB, names ...string) (out []consent.Subject) {
	t.Helper()
	for _, n := range names {
		out = append(out, subject(t, n))
	}
	return out
}

// store ingests documents, each of which must be stored.
func store(t testing.TB, g *gateway.Gateway, collection string, docs ...retrieval.Document) {
	t.Helper()
	var in []retrieval.Submission
	for _, d := range docs {
		in = append(in, retrieval.Submission{Document: d})
	}
	out, err := g.Retrieval.Ingest(context.Background(), caller, collection, in, consent.Once{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range out.Results {
		if r.Status != retrieval.Stored {
			t.Fatalf("%s: %s %s %s", r.ID, r.Status, r.Field, r.Reason)
		}
	}
}

// jointDocs are documents of ada and bob. Three of them can be kept without ada.
func jointDocs(t testing.TB) []retrieval.Document {
	return []retrieval.Document{
		{
			ID: "both", Owners: persons(t, "ada", "bob"), Title: "Notes of Ada", Text: "Ada asked about the server. Bob restarted it on Tuesday, as ada@example.org had said.",
			Metadata:   map[string]retrieval.Value{"writer": retrieval.StringValue("ada"), "topic": retrieval.StringValue("server")},
			Visibility: retrieval.Visibility{Level: retrieval.Listed, Users: persons(t, "ada", "eve")},
		},
		{
			ID: "said", Owners: persons(t, "bob", "ada"), Title: "A talk", Passages: []retrieval.Passage{
				{Text: "My secret plan for the server is a cellar.", Author: subject(t, "ada")},
				{Text: "The server belongs on the roof.", Author: subject(t, "bob")},
				{Text: "She wants the server in the cellar.", Author: subject(t, "bob"), Mentions: persons(t, "ada")},
				{Text: "No, Ada: the server stays.", Author: subject(t, "bob")},
			},
		},
		{ID: "named", Owners: persons(t, "bob"), Mentions: persons(t, "ada"), Text: "The server was never seen by ADA, but by Adam."},
		{ID: "alone", Owners: persons(t, "ada"), Text: "The server is mine."},
		{ID: "mail-from-ada", Owners: persons(t, "ada", "bob"), Text: "The server, again."},
	}
}

// jointStart opens consent, a collection that keeps and one that does not.
func jointStart(t testing.TB, g *gateway.Gateway) {
	t.Helper()
	say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb)
	if _, err := g.Ledger.Identify(context.Background(), gateway.DefaultTenant, subject(t, "ada"), subject(t, "email:ada@example.org")); err != nil {
		t.Fatal(err)
	}
	makeCollection(t, g, "kept", retrieval.Spec{OnErasure: retrieval.Redact})
	makeCollection(t, g, "gone", retrieval.Spec{})
	store(t, g, "kept", jointDocs(t)...)
	store(t, g, "gone", jointDocs(t)[0])
}

// asBob searches as somebody who sees what bob owns.
func asBob(t testing.TB, g *gateway.Gateway, collection string, r retrieval.SearchRequest) []retrieval.Hit {
	t.Helper()
	bob := caller
	bob.Principal.Subject = subject(t, "bob")
	r.K, r.Purpose = 100, "rag_retrieval"
	a, err := g.Retrieval.Search(context.Background(), bob, collection, r)
	if err != nil {
		t.Fatal(err)
	}
	if a.Privacy.Completeness == retrieval.Degraded {
		t.Errorf("the answer is degraded: %s", a.Privacy.CompletenessReason)
	}
	return a.Hits
}

// wantWithoutAda checks that what could be kept is there, without ada, found by
// its words and by a vector that is that of its text.
func wantWithoutAda(t testing.TB, g *gateway.Gateway) {
	t.Helper()
	want := []string{
		"[redacted] asked about the server. Bob restarted it on Tuesday, as [redacted] had said.",
		"No, [redacted]: the server stays.", "The server belongs on the roof.", "The server was never seen by [redacted], but by Adam.",
	}
	var got []string
	for _, h := range asBob(t, g, "kept", retrieval.SearchRequest{Query: "server"}) {
		got = append(got, h.Text)
		raw, err := json.Marshal([]any{h.Text, h.Title, h.Metadata["writer"].Text()})
		if err != nil || strings.Contains(strings.ReplaceAll(strings.ToLower(string(raw)), "adam", ""), "ada") {
			t.Errorf("a hit names her: %s, %v", raw, err)
		}
		whole := h.Text
		if h.Title != "" {
			whole = h.Title + "\n" + h.Text
		}
		near := asBob(t, g, "kept", retrieval.SearchRequest{Query: whole, Mode: retrieval.ModeVector})
		if at := slices.IndexFunc(near, func(n retrieval.Hit) bool { return n.PassageID == h.PassageID }); at < 0 || math.Abs(near[at].Score-1) > 1e-5 {
			t.Errorf("%q: its vector is not that of its text: %d, %v", h.Text, at, near)
		}
		if h.DocumentID == "both" && (h.Title != "Notes of [redacted]" || h.Metadata["writer"].Text() != "[redacted]" || h.Metadata["topic"].Text() != "server") {
			t.Errorf("title and metadata: %+v", h)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
	if n := len(asBob(t, g, "gone", retrieval.SearchRequest{Query: "server"})); n != 0 {
		t.Errorf("%d hits in the collection that removes", n)
	}
	if a, err := g.Retrieval.Document(context.Background(), retrieval.Caller{Tenant: gateway.DefaultTenant, Principal: retrieval.Principal{Subject: subject(t, "bob")}}, "kept", "both", "rag_retrieval"); err != nil || a.Text != want[3] && a.Text != want[0] {
		t.Errorf("the document: %q, %v", a.Text, err)
	}
}

// stated is a verified receipt.
func stated(t testing.TB, g *gateway.Gateway, id string) verify.ErasureReceipt {
	t.Helper()
	file, err := g.Erasure.Receipt(context.Background(), gateway.DefaultTenant, id)
	if err != nil {
		t.Fatal(err)
	}
	vkey, err := g.Tree.Key(gateway.DefaultTenant)
	if err != nil {
		t.Fatal(err)
	}
	key, err := verify.ParseKey(vkey)
	if err != nil {
		t.Fatal(err)
	}
	r, err := (verify.Trust{Keys: []*verify.Key{key}}).Erasure(file)
	if err != nil {
		t.Fatalf("the receipt: %v", err)
	}
	return r
}

// Documents of two people are kept without the one who is erased: found by the
// other, under a vector of what is left, with no byte of the first in any file.
func TestJointDocumentsAreKeptWithoutThePerson(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open opener) {
		g := open(t, gateway.Config{ErasuresByHand: true})
		jointStart(t, g)
		held := asBob(t, g, "kept", retrieval.SearchRequest{Query: "server"})
		if len(held) != 8 {
			t.Fatalf("%d hits before, want 8", len(held))
		}
		e := erase(t, g, "ada")
		if n := len(asBob(t, g, "kept", retrieval.SearchRequest{Query: "server"})); n != 0 {
			t.Errorf("%d hits at acknowledgement: all of them are hers, too", n)
		}
		e = ended(t, g, e.ID)
		if e.State != erasure.Completed || e.Gathered.Documents != 6 || e.Gathered.Kept != 3 {
			t.Fatalf("state %v, gathered %+v, want 6 documents of which 3 are kept", e.State, e.Gathered)
		}
		for _, p := range e.Probes {
			if p.Found != 0 || !p.Control {
				t.Errorf("probe %q found %d of %d, control %v", p.Name, p.Found, p.Asked, p.Control)
			}
		}
		if r := stated(t, g, e.ID).Statement; r.RedactedDocuments != 3 || r.RemovedDocuments != 3 || r.SharedDocuments != 4 || r.MentionsDocuments != 1 {
			t.Errorf("the receipt: %+v", r)
		}
		wantWithoutAda(t, g)
		var ids []string
		for _, h := range held {
			ids = append(ids, h.PassageID)
		}
		if c, err := g.Retrieval.Check(t.Context(), caller, "rag_retrieval", ids, 0); err != nil || len(c.Permitted) != 0 {
			t.Errorf("passages from before may be used: %v, %v", c.Permitted, err)
		}
		// She asked for it alone: a re-sync of what it was is refused.
		out, err := g.Retrieval.Ingest(t.Context(), caller, "kept", []retrieval.Submission{{Document: jointDocs(t)[0]}}, consent.Once{})
		if err != nil || out.Results[0].Status != retrieval.Refused {
			t.Errorf("what it was is ingested again: %+v, %v", out.Results, err)
		}
		wantWithoutAda(t, g)
		// And then the other one goes.
		if e = ended(t, g, erase(t, g, "bob").ID); e.State != erasure.Completed || e.Gathered.Documents != 3 || e.Gathered.Kept != 0 {
			t.Errorf("the second erasure: %v, %+v", e.State, e.Gathered)
		}
		if n := g.LiveDocuments(t); n != 0 {
			t.Errorf("%d documents are left", n)
		}
	})
}

// kill -9 in every step that keeps documents: what is kept is kept once, and no
// key is left over.
func TestKillWhileDocumentsAreKept(t *testing.T) {
	t.Parallel()
	for _, crash := range []string{"erasure.before.joint:1", "rewrite.slots:1", "tx.committed:1", "applied:1", "erasure.after.joint:1", "erase.keys:1", "erasure.verified:1"} {
		t.Run(crash, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			g, err := gateway.Open(t.Context(), gateway.Config{DataDir: dir, AdminKey: adminKey, ErasuresByHand: true})
			if err != nil {
				t.Fatal(err)
			}
			jointStart(t, g)
			id := erase(t, g, "ada").ID
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
			e := ended(t, g, id)
			wantPurged(t, e)
			if e.Gathered.Kept != 3 {
				t.Errorf("%d documents are kept, want 3", e.Gathered.Kept)
			}
			if r := stated(t, g, id).Statement; r.RedactedDocuments != 3 || r.RemovedDocuments != 3 {
				t.Errorf("the receipt: %+v", r)
			}
			wantWithoutAda(t, g)
			if left := g.Leftovers(t); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
			if used := g.KeySlots(); used != 4 { // Bob's, and three documents'
				t.Errorf("%d keys are left, want 4", used)
			}
		})
	}
}

// An embedder that fails keeps the erasure waiting, and is not waited for
// forever: then what was to be kept is removed, and the receipt says so.
func TestWhatCannotBeEmbeddedAgainIsRemoved(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	g := openGateway(t, gateway.Config{DataDir: dir, ErasuresByHand: true})
	jointStart(t, g)
	id := erase(t, g, "ada").ID
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	down := failing{errors.New("down")}
	g = openGateway(t, gateway.Config{DataDir: dir, ErasuresByHand: true, Embedders: down})
	if e, err := g.Erasure.Carry(t.Context(), gateway.DefaultTenant, id); err != nil || e.State != erasure.Running || e.Attempts == 0 || g.LiveDocuments(t) != 6 {
		t.Fatalf("without an embedder: %v, %d attempts, %d documents, %v", e.State, e.Attempts, g.LiveDocuments(t), err)
	}
	g.Close()
	g = openGateway(t, gateway.Config{DataDir: dir, ErasuresByHand: true, Embedders: down, RedactPatience: time.Nanosecond})
	e := ended(t, g, id)
	wantPurged(t, e)
	if r := stated(t, g, id).Statement; r.RedactedDocuments != 0 || r.RemovedDocuments != 6 || g.LiveDocuments(t) != 0 {
		t.Errorf("the receipt: %+v; %d documents are left", r, g.LiveDocuments(t))
	}
}

type failing struct{ err error }

func (f failing) For(int) (retrieval.Embedder, error) { return nil, retrieval.ErrEmbedderMismatch }

// Of supplied vectors those are kept whose passage did not change.
func TestSuppliedVectorsAreKeptWhereNothingChanged(t *testing.T) {
	t.Parallel()
	g := openGateway(t, gateway.Config{ErasuresByHand: true})
	say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb)
	makeCollection(t, g, "c", retrieval.Spec{OnErasure: retrieval.Redact})
	v := [][]float32{{1, 0, 0}, {0, 1, 0}, {0, 0.6, 0.8}}
	store(t, g, "c",
		retrieval.Document{ID: "d", Owners: persons(t, "ada", "bob"), Passages: []retrieval.Passage{
			{Text: "Ada's server", Vector: v[0]}, {Text: "Bob's server", Vector: v[1]}, {Text: "a server", Vector: v[2], Author: subject(t, "ada")},
		}},
		retrieval.Document{ID: "titled", Title: "Ada", Owners: persons(t, "ada", "bob"), Passages: []retrieval.Passage{{Text: "server", Vector: v[2]}}},
	)
	e := ended(t, g, erase(t, g, "ada").ID)
	wantPurged(t, e)
	hits := asBob(t, g, "c", retrieval.SearchRequest{Vector: v[1]})
	if len(hits) != 1 || hits[0].Text != "Bob's server" || math.Abs(hits[0].Score-1) > 1e-6 || e.Gathered.Kept != 1 {
		t.Errorf("kept: %+v, %+v", hits, e.Gathered)
	}
}

// An ingest that replaces a document while it is kept without somebody wins or
// loses as a whole: nothing of the person comes back, nothing of the other is
// there twice.
func TestIngestRacesKeeping(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open opener) {
		g := open(t, gateway.Config{ErasuresByHand: true})
		makeCollection(t, g, "c", retrieval.Spec{OnErasure: retrieval.Redact})
		say(t, g, consent.Granted, []string{"bob"}, rag, emb)
		owns := caller
		owns.Rights |= retrieval.MayChangeOwners
		for round := range 30 {
			say(t, g, consent.Granted, []string{"ada"}, rag, emb)
			doc := retrieval.Document{ID: "d", Owners: persons(t, "ada", "bob"), Text: "Ada and the server."}
			if _, err := g.Retrieval.Ingest(t.Context(), owns, "c", []retrieval.Submission{{Document: doc}}, consent.Once{}); err != nil {
				t.Fatal(err)
			}
			id := erase(t, g, "ada").ID
			var wg sync.WaitGroup
			for n, who := range [][]string{{"ada", "bob"}, {"bob"}} {
				wg.Go(func() {
					d := retrieval.Document{ID: "d", Owners: persons(t, who...), Text: "The server, by " + []string{"Ada", "Bob"}[n] + "."}
					if _, err := g.Retrieval.Ingest(context.Background(), owns, "c", []retrieval.Submission{{Document: d}}, consent.Once{}); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Go(func() {
				if err := g.Cascade(context.Background(), id); err != nil {
					t.Error(err)
				}
			})
			wg.Wait()
			if err := g.Cascade(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			hits := asBob(t, g, "c", retrieval.SearchRequest{Query: "server"})
			if len(hits) > 1 || len(hits) == 1 && strings.Contains(hits[0].Text, "Ada") || g.LiveDocuments(t) != len(hits) {
				t.Fatalf("round %d: %d documents, %+v", round, g.LiveDocuments(t), hits)
			}
			if _, err := g.Erasure.Hold(t.Context(), gateway.DefaultTenant, id, "test"); err != nil {
				t.Fatal(err)
			}
			if err := g.EndErasure(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
	})
}
