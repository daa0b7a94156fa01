package gateway_test

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/testweaviate"
	"github.com/assent-gateway/assent/internal/weaviate"
	"github.com/assent-gateway/assent/retrieval"
)

// sharedWeaviate is the server of all tests that do not stop it, started by
// the first: collections have names of their own in it.
var (
	startWeaviate  sync.Once
	sharedWeaviate *testweaviate.Server
	weaviateErr    error
)

func stopWeaviate() {
	if sharedWeaviate != nil {
		sharedWeaviate.Stop()
	}
}

// onWeaviate configures a gateway with the shared server.
func onWeaviate(t testing.TB) *weaviate.Options {
	t.Helper()
	startWeaviate.Do(func() { sharedWeaviate, weaviateErr = testweaviate.New() })
	testweaviate.Require(t, weaviateErr)
	return &weaviate.Options{URL: sharedWeaviate.URL(), GRPC: sharedWeaviate.GRPC()}
}

// debugLog shows what a gateway logs, when a test is asked to.
func debugLog() *slog.Logger {
	if os.Getenv("ASSENT_TEST_LOG") == "" {
		return nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// The story of the README, with vectors in Weaviate.
func TestWeaviateFindsWhatIsPermitted(t *testing.T) {
	g := openGateway(t, gateway.Config{Weaviate: onWeaviate(t), Log: debugLog()})
	makeCollection(t, g, "a", retrieval.Spec{Filterable: []string{"lang", "year"}})
	say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb)
	for i, who := range []string{"ada", "bob", "eve"} {
		put(t, g, caller, "a", retrieval.Document{ID: who, Owners: people(t, who), Text: fmt.Sprint("text number ", i, " about the server"),
			Metadata: map[string]retrieval.Value{"lang": retrieval.StringValue("en"), "year": retrieval.IntValue(int64(2020 + i))}})
	}
	expect := func(r retrieval.SearchRequest, want ...string) {
		t.Helper()
		if got := searchIDs(t, g, caller, "a", r); !slices.Equal(got, want) {
			t.Errorf("found %v, want %v", got, want)
		}
	}
	expect(retrieval.SearchRequest{}, "ada", "bob")
	expect(retrieval.SearchRequest{Filter: []byte(`{"field":"year","op":"gt","value":2020}`)}, "bob")
	expect(retrieval.SearchRequest{Filter: []byte(`{"field":"lang","op":"ne","value":"en"}`)})
	say(t, g, consent.Revoked, []string{"ada"}, rag)
	expect(retrieval.SearchRequest{}, "bob")
	say(t, g, consent.Granted, []string{"ada"}, rag)
	expect(retrieval.SearchRequest{}, "ada", "bob")
	put(t, g, caller, "a", retrieval.Document{ID: "ada", Owners: people(t, "ada"), Text: "another text about the server"})
	expect(retrieval.SearchRequest{}, "ada", "bob")
	if err := g.Retrieval.Delete(t.Context(), caller, "a", "bob"); err != nil {
		t.Fatal(err)
	}
	expect(retrieval.SearchRequest{}, "ada")
	if err := g.Retrieval.DropCollection(t.Context(), caller, "a"); err != nil {
		t.Fatal(err)
	}
}

// logTo writes a log, whole, where a test reads it.
func logTo(w *strings.Builder) *slog.Logger {
	return slog.New(slog.NewTextHandler(&locked{w: w}, nil))
}

type locked struct {
	mu sync.Mutex
	w  *strings.Builder
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}
