package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
)

// A data directory put back from before a deletion: the document's key is
// gone, so it is dropped, and the gateway serves the rest.
func TestDocumentWithoutItsKeyIsDroppedAtStart(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "data")
	g := openGateway(t, gateway.Config{DataDir: dir})
	makeCollection(t, g, "a", retrieval.Spec{})
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	put(t, g, caller, "a", retrieval.Document{ID: "d1", Owners: people(t, "ada")}, retrieval.Document{ID: "d2", Owners: people(t, "ada")})
	g.Close()
	copyDir(t, dir, filepath.Join(root, "copy"))
	g = openGateway(t, gateway.Config{DataDir: dir})
	if err := g.Retrieval.Delete(t.Context(), caller, "a", "d1"); err != nil {
		t.Fatal(err)
	}
	g.Close()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	copyDir(t, filepath.Join(root, "copy"), dir)
	for range 2 { // the second start finds it retired
		g = openGateway(t, gateway.Config{DataDir: dir})
		if ids := searchIDs(t, g, caller, "a", retrieval.SearchRequest{}); !slices.Equal(ids, []string{"d2"}) {
			t.Errorf("found %v", ids)
		}
		g.Close()
	}
}

// Keys of what is deleted, replaced or dropped are destroyed before the answer.
func TestKeysGoWithTheirDocuments(t *testing.T) { onBoth(t, testKeysGoWithTheirDocuments) }

func testKeysGoWithTheirDocuments(t *testing.T, open opener) {
	g := open(t, gateway.Config{})
	makeCollection(t, g, "a", retrieval.Spec{})
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	before := g.KeySlots()
	expect := func(what string, want int) {
		t.Helper()
		if got := g.KeySlots() - before; got != want {
			t.Errorf("%s: %d keys of documents, want %d", what, got, want)
		}
	}
	for i := range 4 {
		put(t, g, caller, "a", retrieval.Document{ID: fmt.Sprint("d", i), Owners: people(t, "ada")})
	}
	expect("stored", 4)
	put(t, g, caller, "a", retrieval.Document{ID: "d0", Owners: people(t, "ada"), Text: "another text"})
	expect("replaced", 4)
	put(t, g, caller, "a", retrieval.Document{ID: "x", Owners: people(t, "stranger")})
	expect("refused", 4)
	if err := g.Retrieval.Delete(t.Context(), caller, "a", "d1"); err != nil {
		t.Fatal(err)
	}
	expect("deleted", 3)
	if err := g.Retrieval.DropCollection(t.Context(), caller, "a"); err != nil {
		t.Fatal(err)
	}
	expect("dropped", 0)
}

// A deletion of a collection that was cut short is finished by its repeat, and
// nothing comes back at the next start.
func TestDropCollectionIsFinishedByItsRepeat(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	var failing atomic.Bool
	g := openGateway(t, gateway.Config{DataDir: dir, VaultFault: func(op string) error {
		if failing.Load() && op == "slots.write" {
			return errors.New("fault")
		}
		return nil
	}})
	makeCollection(t, g, "a", retrieval.Spec{})
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	for b := range 3 {
		var docs []retrieval.Document
		for i := range 250 {
			docs = append(docs, retrieval.Document{ID: fmt.Sprint("d", b, "-", i), Owners: people(t, "ada")})
		}
		put(t, g, caller, "a", docs...)
	}
	failing.Store(true)
	if err := g.Retrieval.DropCollection(t.Context(), caller, "a"); err == nil {
		t.Fatal("acknowledged though a step failed")
	}
	failing.Store(false)
	canceled, cancel := context.WithCancel(t.Context())
	cancel() // the client is gone; begun is finished
	if err := g.Retrieval.DropCollection(canceled, caller, "a"); err != nil {
		t.Fatal(err)
	}
	g.Close()
	g = openGateway(t, gateway.Config{DataDir: dir})
	if _, err := g.Retrieval.Collection(t.Context(), caller, "a"); !errors.Is(err, retrieval.ErrNotFound) {
		t.Errorf("after a restart: %v", err)
	}
	makeCollection(t, g, "a", retrieval.Spec{})
	if ids := searchIDs(t, g, caller, "a", retrieval.SearchRequest{}); len(ids) != 0 {
		t.Errorf("it came back: %d documents", len(ids))
	}
}

// While documents are replaced over and over, every search finds each of them
// exactly once, and reading one never misses it.
func TestReplacementIsNeverBothNorNeither(t *testing.T) {
	onBoth(t, testReplacementIsNeverBothNorNeither)
}

func testReplacementIsNeverBothNorNeither(t *testing.T, open opener) {
	g := open(t, gateway.Config{})
	makeCollection(t, g, "a", retrieval.Spec{})
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	const n = 60
	version := func(v int) []retrieval.Document {
		var docs []retrieval.Document
		for i := range n {
			docs = append(docs, retrieval.Document{ID: fmt.Sprintf("d%02d", i), Owners: people(t, "ada"), Text: fmt.Sprint("about the server, version ", v)})
		}
		return docs
	}
	put(t, g, caller, "a", version(0)...)
	ctx, stop := context.WithTimeout(t.Context(), time.Minute) // or after 3 seconds, when it says enough
	defer stop()
	began := time.Now()
	var wg sync.WaitGroup
	var searches atomic.Int64
	wg.Go(func() {
		for v := 1; ctx.Err() == nil; v++ {
			put(t, g, caller, "a", version(v)...)
		}
	})
	wg.Go(func() {
		defer stop()
		for searches.Load() < 10 || time.Since(began) < 3*time.Second {
			if ctx.Err() != nil {
				return
			}
			a, err := g.Retrieval.Search(t.Context(), caller, "a", retrieval.SearchRequest{Query: "server", K: 2 * n, Purpose: "rag_retrieval", Mode: retrieval.ModeKeyword})
			if err != nil || len(a.Hits) != n || a.Privacy.Completeness != retrieval.Short {
				t.Errorf("%d hits, %s, %v; want %d", len(a.Hits), a.Privacy.Completeness, err, n)
				return
			}
			texts := map[string]bool{}
			for _, h := range a.Hits {
				texts[h.Text] = true
			}
			if len(texts) != 1 {
				t.Errorf("a batch was seen half: %d versions at once", len(texts))
			}
			searches.Add(1)
		}
	})
	wg.Go(func() {
		defer stop()
		for ctx.Err() == nil {
			if _, err := g.Retrieval.Document(t.Context(), caller, "a", "d07", "rag_retrieval"); err != nil {
				t.Errorf("by id: %v", err)
				return
			}
		}
	})
	wg.Wait()
	if searches.Load() < 10 {
		t.Errorf("only %d searches", searches.Load())
	}
}

// Of a person who is revoked and granted in turn, no answer of passages/check
// permits a passage at a position at which they were revoked.
func TestCheckSpeaksOfOnePosition(t *testing.T) { onBoth(t, testCheckSpeaksOfOnePosition) }

func testCheckSpeaksOfOnePosition(t *testing.T, open opener) {
	g := open(t, gateway.Config{})
	say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb)
	var ids []string
	for _, c := range []string{"a", "b"} {
		makeCollection(t, g, c, retrieval.Spec{})
		put(t, g, caller, c, retrieval.Document{ID: "1", Owners: people(t, "ada")}, retrieval.Document{ID: "2", Owners: people(t, "bob")})
		a, err := g.Retrieval.Search(t.Context(), caller, c, retrieval.SearchRequest{Query: "server", K: 5, Purpose: "rag_retrieval"})
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range a.Hits {
			if h.DocumentID == "1" {
				ids = append(ids, h.PassageID)
			}
		}
	}
	before, err := g.Ledger.Head(t.Context(), gateway.DefaultTenant)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute) // or after 2 seconds, when it says enough
	defer stop()
	began := time.Now()
	var wg sync.WaitGroup
	var saw atomic.Bool     // a permission among the entries
	revokedAt := sync.Map{} // position → was the entry a revocation
	var last consent.Position
	wg.Go(func() {
		defer stop()
		ct, _ := consent.ParseType(rag)
		for i := 0; ctx.Err() == nil && (i < 20 || !saw.Load() || time.Since(began) < 2*time.Second); i++ {
			status := []consent.Status{consent.Revoked, consent.Granted}[i%2]
			out, err := g.Ledger.Record(t.Context(), gateway.DefaultTenant, []consent.Entry{{Subject: subject(t, "ada"), Type: ct, Status: status}}, consent.Once{})
			if err != nil || out[0].Err != nil {
				t.Error(err, out)
				return
			}
			revokedAt.Store(out[0].Position, status == consent.Revoked)
			last = out[0].Position
		}
	})
	type answer struct {
		at        consent.Position
		permitted int
	}
	var answers []answer
	wg.Go(func() {
		defer stop()
		for ctx.Err() == nil {
			got, err := g.Retrieval.Check(t.Context(), caller, "rag_retrieval", ids, 0)
			if err != nil {
				t.Error(err)
				return
			}
			answers = append(answers, answer{got.Position, len(got.Permitted)})
			if got.Position > before.Position && len(got.Permitted) > 0 {
				saw.Store(true)
			}
		}
	})
	wg.Wait()
	permitted := 0
	for _, a := range answers {
		revoked, known := revokedAt.Load(a.at)
		if !known {
			continue
		}
		want := len(ids)
		if revoked.(bool) {
			want = 0
		} else {
			permitted++
		}
		if a.permitted != want {
			t.Fatalf("at position %d: %d permitted, want %d", a.at, a.permitted, want)
		}
	}
	if permitted == 0 || last < 10 {
		t.Errorf("the test saw nothing: %d answers, %d entries", len(answers), last)
	}
	limited := caller
	limited.Collections = []string{"a"}
	got, err := g.Retrieval.Check(t.Context(), limited, "rag_retrieval", ids, 0)
	if err != nil || len(got.Permitted) > 1 {
		t.Errorf("a key limited to one collection: %d permitted, %v", len(got.Permitted), err)
	}
}

// Owners and mentions change by a key that may, with an entry in the ledger,
// and by no other; what is attested to be about nobody is in the ledger too.
func TestOwnersChangeOnlyByRight(t *testing.T) { onBoth(t, testOwnersChangeOnlyByRight) }

func testOwnersChangeOnlyByRight(t *testing.T, open opener) {
	g := open(t, gateway.Config{})
	makeCollection(t, g, "a", retrieval.Spec{})
	say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb)
	head := func() consent.Position {
		h, err := g.Ledger.Head(t.Context(), gateway.DefaultTenant)
		if err != nil {
			t.Fatal(err)
		}
		return h.Position
	}
	put(t, g, caller, "a", retrieval.Document{ID: "d", Owners: people(t, "ada")})
	at := head()
	for _, d := range []retrieval.Document{
		{ID: "d", Owners: people(t, "bob")}, {ID: "d", Owners: people(t, "ada", "bob")},
		{ID: "d", Owners: people(t, "ada"), Mentions: people(t, "bob")}, {ID: "d", Nobody: true},
	} {
		if got := put(t, g, caller, "a", d); got[0] != retrieval.InvalidDoc {
			t.Errorf("changed without the right: %v", got)
		}
	}
	if head() != at {
		t.Error("something was entered into the ledger")
	}
	may := caller
	may.Rights |= retrieval.MayChangeOwners
	if got := put(t, g, may, "a", retrieval.Document{ID: "d", Owners: people(t, "bob")}); got[0] != retrieval.Stored || head() != at+1 {
		t.Errorf("changed with the right: %v, %d entries", got, head()-at)
	}
	say(t, g, consent.Revoked, []string{"bob"}, rag)
	if ids := searchIDs(t, g, caller, "a", retrieval.SearchRequest{}); len(ids) != 0 {
		t.Errorf("found %v though its new owner refused", ids)
	}
	at = head()
	if got := put(t, g, caller, "a", retrieval.Document{ID: "manual", Nobody: true}); got[0] != retrieval.Stored || head() != at+1 {
		t.Errorf("about nobody: %v, %d entries", got, head()-at)
	}
}

// A revocation that overtakes an ingest wins: it comes after the first
// decision and before the commit.
func TestRevocationOvertakesIngest(t *testing.T) { onBoth(t, testRevocationOvertakesIngest) }

func testRevocationOvertakesIngest(t *testing.T, open opener) {
	var g *gateway.Gateway
	var once sync.Once
	armed := atomic.Bool{}
	g = open(t, gateway.Config{Step: func(at string) {
		// "slots.synced" of the ingest: decided, embedded, sealed; not committed.
		if at == "slots.synced" && armed.Load() {
			once.Do(func() {
				armed.Store(false)
				say(t, g, consent.Revoked, []string{"ada"}, emb)
			})
		}
	}})
	makeCollection(t, g, "a", retrieval.Spec{})
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	keys := g.KeySlots()
	armed.Store(true)
	if got := put(t, g, caller, "a", retrieval.Document{ID: "d", Owners: people(t, "ada")}); got[0] != retrieval.Refused {
		t.Errorf("an overtaken ingest: %v", got)
	}
	if armed.Load() {
		t.Fatal("nothing overtook it")
	}
	if g.KeySlots() != keys {
		t.Error("a refused document left a key")
	}
	say(t, g, consent.Granted, []string{"ada"}, emb)
	if ids := searchIDs(t, g, caller, "a", retrieval.SearchRequest{}); len(ids) != 0 {
		t.Errorf("a refused document left a trace: %v", ids)
	}
}

// After a commit of which nobody knows whether it happened, index and rows say
// the same.
func TestUnknownOutcomeLeavesIndexAndRowsAlike(t *testing.T) {
	onBoth(t, testUnknownOutcomeLeavesIndexAndRowsAlike)
}

func testUnknownOutcomeLeavesIndexAndRowsAlike(t *testing.T, open opener) {
	var failing atomic.Bool
	g := open(t, gateway.Config{DBFault: func(op string) error {
		if op == "tx.committed" && failing.Swap(false) {
			return errors.New("fault")
		}
		return nil
	}})
	makeCollection(t, g, "a", retrieval.Spec{})
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	put(t, g, caller, "a", retrieval.Document{ID: "pins", Owners: people(t, "ada")})
	doc := retrieval.Submission{Document: retrieval.Document{ID: "d", Owners: people(t, "ada"), Text: "about the server"}}
	failing.Store(true)
	if _, err := g.Retrieval.Ingest(t.Context(), caller, "a", []retrieval.Submission{doc}, consent.Once{}); err == nil {
		t.Fatal("acknowledged though the commit did not answer")
	}
	if got := put(t, g, caller, "a", doc.Document); got[0] != retrieval.Unchanged {
		t.Errorf("the repeat: %v", got)
	}
	if ids := searchIDs(t, g, caller, "a", retrieval.SearchRequest{}); !slices.Equal(ids, []string{"d", "pins"}) {
		t.Errorf("found %v", ids)
	}
	failing.Store(true)
	if err := g.Retrieval.Delete(t.Context(), caller, "a", "d"); err == nil {
		t.Fatal("acknowledged though the commit did not answer")
	}
	a, err := g.Retrieval.Search(t.Context(), caller, "a", retrieval.SearchRequest{Query: "server", K: 5, Purpose: "rag_retrieval"})
	if err != nil || len(a.Hits) != 1 || a.Privacy.Completeness != retrieval.Short {
		t.Errorf("after an unknown deletion: %d hits, %s, %v", len(a.Hits), a.Privacy.Completeness, err)
	}
}

// What is stored is found from the moment the index has it, although the people
// it names for the first time are settled a step later: a search in between
// must not take the document for damaged, and out of the index.
func TestADocumentIsFoundBeforeItsNewPeopleAreSettled(t *testing.T) {
	var g *gateway.Gateway
	var armed atomic.Bool
	search := func() string {
		a, err := g.Retrieval.Search(t.Context(), caller, "a", retrieval.SearchRequest{Query: "server", K: 5, Purpose: "rag_retrieval"})
		return fmt.Sprint(len(a.Hits), " ", a.Privacy.Completeness, " ", err)
	}
	const want = "1 short <nil>"
	g = openGateway(t, gateway.Config{Step: func(at string) {
		if at != "applied" || !armed.CompareAndSwap(true, false) {
			return
		}
		got := make(chan string, 1)
		go func() { got <- search() }()
		select {
		case s := <-got:
			if s != want {
				t.Errorf("between index and settling: %s, want %s", s, want)
			}
		case <-time.After(time.Minute): // it waits for the intake, which is held here
			t.Error("the first round of the search was not whole")
		}
	}})
	makeCollection(t, g, "a", retrieval.Spec{})
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	armed.Store(true)
	put(t, g, caller, "a", retrieval.Document{ID: "1", Owners: people(t, "ada"), Mentions: people(t, "new"), Text: "about the server"})
	if armed.Load() {
		t.Fatal("no search came between")
	}
	if s := search(); s != want {
		t.Errorf("afterwards: %s, want %s", s, want)
	}
}

// A document that is replaced between the index's answer and the opening of its
// record is searched for again, and nothing is said to be damaged.
func TestAReplacedDocumentIsNotTakenForDamaged(t *testing.T) {
	var log bytes.Buffer
	g := openGateway(t, gateway.Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
	makeCollection(t, g, "a", retrieval.Spec{})
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	version := func(text string) {
		put(t, g, caller, "a", retrieval.Document{ID: "1", Owners: people(t, "ada"), Text: text + " about the server"})
	}
	version("one")
	g.Retrieval.Catalogue = &overtaken{Catalogue: g.Retrieval.Catalogue, after: func() { version("two") }}
	a, err := g.Retrieval.Search(t.Context(), caller, "a", retrieval.SearchRequest{Query: "server", K: 5, Purpose: "rag_retrieval"})
	if err != nil || len(a.Hits) != 1 || a.Hits[0].Text != "two about the server" || a.Privacy.Completeness != retrieval.Short {
		t.Errorf("%d hits, %s, %v", len(a.Hits), a.Privacy.Completeness, err)
	}
	g.Close() // nobody writes to the log any more
	if strings.Contains(log.String(), "seal") || strings.Contains(log.String(), "taken out of the index") {
		t.Errorf("the log: %s", log.String())
	}
}

// overtaken does something once between reading rows and returning them.
type overtaken struct {
	retrieval.Catalogue
	after func()
}

func (o *overtaken) Docs(ctx context.Context, t consent.TenantID, nums []retrieval.DocNum) ([]retrieval.DocRow, error) {
	rows, err := o.Catalogue.Docs(ctx, t, nums)
	if after := o.after; after != nil {
		o.after = nil
		after()
	}
	return rows, err
}

// A search that has to fetch vectors finds a document while it is replaced:
// between the transaction and the index, the old version's vector is gone, and
// the new version is not there yet.
func TestAColdVectorSearchFindsWhatIsBeingReplaced(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	g := openGateway(t, gateway.Config{DataDir: dir})
	makeCollection(t, g, "a", retrieval.Spec{})
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	put(t, g, caller, "a", retrieval.Document{ID: "1", Owners: people(t, "ada"), Text: "one about the server"})
	g.Close()

	found := make(chan string, 1)
	var armed atomic.Bool
	g = openGateway(t, gateway.Config{DataDir: dir, Step: func(at string) {
		if at != "tx.committed" || !armed.CompareAndSwap(true, false) {
			return
		}
		go func() {
			a, err := g.Retrieval.Search(t.Context(), caller, "a", retrieval.SearchRequest{Query: "server", K: 5, Purpose: "rag_retrieval", Mode: retrieval.ModeVector})
			texts := ""
			for _, h := range a.Hits {
				texts += h.Text
			}
			found <- fmt.Sprint(texts, ", ", a.Privacy.Completeness, " ", err)
		}()
		select { // one that does not wait has its answer by then
		case s := <-found:
			found <- s
		case <-time.After(500 * time.Millisecond):
		}
	}})
	armed.Store(true)
	put(t, g, caller, "a", retrieval.Document{ID: "1", Owners: people(t, "ada"), Text: "two about the server"})
	if got, want := <-found, "two about the server, short <nil>"; got != want {
		t.Errorf("found %q, want %q", got, want)
	}
}
