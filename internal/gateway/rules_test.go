package gateway_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
)

// How the people of a document combine is the collection's: what a change of
// it changes, the next search sees.
func TestCollectionsRuleHolds(t *testing.T) { onBoth(t, testCollectionsRuleHolds) }

func testCollectionsRuleHolds(t *testing.T, open opener) {
	g := open(t, gateway.Config{})
	say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb)
	makeCollection(t, g, "a", retrieval.Spec{})
	put(t, g, caller, "a",
		retrieval.Document{ID: "joint", Owners: people(t, "ada", "bob")},
		retrieval.Document{ID: "mention", Owners: people(t, "ada"), Mentions: people(t, "silent")},
	)
	say(t, g, consent.Revoked, []string{"bob"}, rag)
	expect := func(what string, spec retrieval.Spec, want ...string) {
		t.Helper()
		makeCollection(t, g, "a", spec)
		got := searchIDs(t, g, caller, "a", retrieval.SearchRequest{})
		if !slices.Equal(got, want) {
			t.Errorf("%s: found %v, want %v", what, got, want)
		}
		for _, id := range []string{"joint", "mention"} {
			_, err := g.Retrieval.Document(t.Context(), caller, "a", id, "rag_retrieval")
			if (err == nil) != slices.Contains(want, id) {
				t.Errorf("%s: %s by id: %v", what, id, err)
			}
		}
	}
	expect("all owners, refusal blocks", retrieval.Spec{}, "mention")
	expect("any owner", retrieval.Spec{Joint: consent.AnyOwner}, "joint", "mention")
	expect("the mentioned must permit", retrieval.Spec{Joint: consent.AnyOwner, Mentions: consent.MustPermit}, "joint")
	expect("opt-out by the collection's jurisdiction", retrieval.Spec{Mentions: consent.MustPermit, Jurisdiction: "US-CA"}, "mention")
	say(t, g, consent.Objected, []string{"silent"}, rag)
	expect("a mentioned person objects", retrieval.Spec{Joint: consent.AnyOwner}, "joint")
}

// A private document is its owners' alone, also from a lying index: being
// somebody else's owner is not enough.
func TestPrivateIsItsOwnersAlone(t *testing.T) { onBoth(t, testPrivateIsItsOwnersAlone) }

func testPrivateIsItsOwnersAlone(t *testing.T, open opener) {
	g := open(t, gateway.Config{WrapIndex: func(x retrieval.Index) retrieval.Index { return &liar{Index: x} }})
	say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb)
	makeCollection(t, g, "a", retrieval.Spec{DefaultVisibility: retrieval.Private})
	put(t, g, caller, "a", retrieval.Document{ID: "ada's", Owners: people(t, "ada")}, retrieval.Document{ID: "bob's", Owners: people(t, "bob")})
	for who, want := range map[string][]string{"ada": {"ada's"}, "bob": {"bob's"}, "eve": nil} {
		c := caller
		c.Principal.Subject = subject(t, who)
		if got := searchIDs(t, g, c, "a", retrieval.SearchRequest{}); !slices.Equal(got, want) {
			t.Errorf("%s sees %v, want %v", who, got, want)
		}
	}
}

// Destroying the key of any one person of a document closes it: of the second
// owner as of one mentioned.
func TestAnyPersonsKeyClosesTheDocument(t *testing.T) { onBoth(t, testAnyPersonsKeyClosesTheDocument) }

func testAnyPersonsKeyClosesTheDocument(t *testing.T, open opener) {
	for _, who := range []string{"bob", "eve"} {
		t.Run(who, func(t *testing.T) {
			g := open(t, gateway.Config{})
			say(t, g, consent.Granted, []string{"ada", "bob", "eve"}, rag, emb)
			makeCollection(t, g, "a", retrieval.Spec{})
			put(t, g, caller, "a", retrieval.Document{ID: "d", Owners: people(t, "ada", "bob"), Mentions: people(t, "eve")}, retrieval.Document{ID: "other", Owners: people(t, "ada")})
			if err := g.DestroyPersonsKey(t.Context(), subject(t, who)); err != nil {
				t.Fatal(err)
			}
			if got := searchIDs(t, g, caller, "a", retrieval.SearchRequest{}); !slices.Equal(got, []string{"other"}) {
				t.Errorf("found %v", got)
			}
			if _, err := g.Retrieval.Document(t.Context(), caller, "a", "d", "rag_retrieval"); !errors.Is(err, retrieval.ErrNotFound) {
				t.Errorf("by id: %v", err)
			}
		})
	}
}

// Nothing is wiped while a ledger is closed: what was stored after the backup
// is there again when the newest copy is.
func TestOldCopyWipesNothing(t *testing.T) {
	root := t.TempDir()
	dir, newest := filepath.Join(root, "data"), filepath.Join(root, "newest")
	g := openGateway(t, gateway.Config{DataDir: dir})
	makeCollection(t, g, "a", retrieval.Spec{})
	g.Close()
	copyDir(t, dir, filepath.Join(root, "backup"))
	g = openGateway(t, gateway.Config{DataDir: dir})
	say(t, g, consent.Granted, []string{"late"}, rag, emb)
	put(t, g, caller, "a", retrieval.Document{ID: "late", Owners: people(t, "late")})
	g.Close()
	if err := errors.Join(os.Rename(dir, newest)); err != nil {
		t.Fatal(err)
	}
	copyDir(t, filepath.Join(root, "backup"), dir)
	g = openGateway(t, gateway.Config{DataDir: dir})
	if err := g.Ready(t.Context()); !errors.Is(err, consent.ErrUnavailable) {
		t.Errorf("an old copy is ready: %v", err)
	}
	g.Close()
	if err := errors.Join(os.RemoveAll(dir), os.Rename(newest, dir)); err != nil {
		t.Fatal(err)
	}
	g = openGateway(t, gateway.Config{DataDir: dir})
	if got := searchIDs(t, g, caller, "a", retrieval.SearchRequest{}); !slices.Equal(got, []string{"late"}) {
		t.Errorf("found %v", got)
	}
}

// A ledger whose entries are not those of the journal stays closed, though
// each of them is whole: another history of the same length.
func TestLedgerThatDivergedStaysClosed(t *testing.T) {
	root := t.TempDir()
	dir, other := filepath.Join(root, "data"), filepath.Join(root, "other")
	g := openGateway(t, gateway.Config{DataDir: dir})
	g.Close()
	copyDir(t, dir, other)
	copyDir(t, dir+".vault", other+".vault")
	for _, d := range []string{dir, other} {
		g = openGateway(t, gateway.Config{DataDir: d})
		say(t, g, consent.Revoked, []string{"ada"}, rag)
		g.Close()
	}
	if err := errors.Join(os.RemoveAll(dir), os.Rename(other, dir)); err != nil {
		t.Fatal(err)
	}
	g, err := gateway.Open(t.Context(), gateway.Config{DataDir: dir})
	if err == nil {
		defer g.Close()
		err = g.Ready(t.Context())
	}
	if err == nil {
		t.Error("another history is ready")
	}
}

// A collection that another embedder made is not searched with this one.
func TestForeignEmbedderIsAMismatch(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	g := openGateway(t, gateway.Config{DataDir: dir})
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	makeCollection(t, g, "a", retrieval.Spec{})
	put(t, g, caller, "a", retrieval.Document{ID: "d", Owners: people(t, "ada")})
	g.Close()
	g = openGateway(t, gateway.Config{DataDir: dir, Embedders: otherModel{}})
	_, err := g.Retrieval.Search(t.Context(), caller, "a", retrieval.SearchRequest{Query: "server", K: 1, Purpose: "rag_retrieval"})
	if !errors.Is(err, retrieval.ErrEmbedderMismatch) {
		t.Errorf("search: %v", err)
	}
	_, err = g.Retrieval.Ingest(t.Context(), caller, "a", []retrieval.Submission{{Document: retrieval.Document{ID: "e", Owners: people(t, "ada"), Text: "x"}}}, consent.Once{})
	if !errors.Is(err, retrieval.ErrEmbedderMismatch) {
		t.Errorf("ingest: %v", err)
	}
	if got := searchIDs(t, g, caller, "a", retrieval.SearchRequest{Mode: retrieval.ModeKeyword}); len(got) != 1 {
		t.Errorf("keywords need no embedder: %v", got)
	}
}

type otherModel struct{}

func (otherModel) For(int) (retrieval.Embedder, error) { return nil, retrieval.ErrEmbedderMismatch }
