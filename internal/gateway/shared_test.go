package gateway_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/eval"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
)

const (
	rag = "rag_retrieval_v1.0"
	emb = "embedding_v1.0"
)

// sharedData returns the folder of real input; the test is skipped, and says
// so, where it is absent.
func sharedData(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("ASSENT_SHARED_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		t.Skip("real input is absent: set ASSENT_SHARED_DATA to its folder")
	}
	return path
}

func openGateway(t testing.TB, cfg gateway.Config) *gateway.Gateway {
	t.Helper()
	if cfg.DataDir == "" && cfg.PostgresURL == "" {
		cfg.DataDir = filepath.Join(t.TempDir(), "data")
	}
	g, err := gateway.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return g
}

// An opener opens a gateway of its own, over one kind of store.
type opener func(t testing.TB, cfg gateway.Config) *gateway.Gateway

// onBoth runs a test over a directory and over Postgres.
func onBoth(t *testing.T, test func(t *testing.T, open opener)) {
	t.Run("directory", func(t *testing.T) { test(t, openGateway) })
	t.Run("postgres", func(t *testing.T) {
		test(t, func(t testing.TB, cfg gateway.Config) *gateway.Gateway {
			t.Helper()
			return newCluster(t, server(t)).open(cfg)
		})
	})
}

// caller is the bootstrap key's.
var caller = retrieval.Caller{Tenant: gateway.DefaultTenant, KeyID: "test", Rights: retrieval.MayHearReasons | retrieval.MayIngestNonPersonal | retrieval.MayChangeRules}

func subject(t testing.TB, name string) consent.Subject {
	t.Helper()
	s, err := consent.ParseSubject(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// say records the same status for people and types.
func say(t testing.TB, g *gateway.Gateway, status consent.Status, people []string, types ...string) {
	t.Helper()
	var entries []consent.Entry
	for _, p := range people {
		for _, typ := range types {
			ct, err := consent.ParseType(typ)
			if err != nil {
				t.Fatal(err)
			}
			entries = append(entries, consent.Entry{Subject: subject(t, p), Type: ct, Status: status, Audit: consent.Audit{Source: "test"}})
		}
	}
	results, err := g.Ledger.Record(context.Background(), gateway.DefaultTenant, entries, consent.Once{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
}

func makeCollection(t testing.TB, g *gateway.Gateway, name string, spec retrieval.Spec) {
	t.Helper()
	if spec.DefaultVisibility == 0 {
		spec.DefaultVisibility = retrieval.TenantWide
	}
	if _, _, err := g.Retrieval.PutCollection(context.Background(), caller, name, spec); err != nil {
		t.Fatal(err)
	}
}

func submission(t testing.TB, d eval.Doc) retrieval.Submission {
	t.Helper()
	doc := retrieval.Document{ID: d.ID, Title: d.Title, Text: d.Text, Metadata: map[string]retrieval.Value{}}
	for _, o := range d.Owners {
		doc.Owners = append(doc.Owners, subject(t, o))
	}
	for k, v := range d.Metadata {
		if s, ok := v.(string); ok {
			doc.Metadata[k] = retrieval.StringValue(s)
		}
	}
	return retrieval.Submission{Document: doc}
}

// ingest stores documents in batches and returns how many came to each status.
func ingest(t testing.TB, g *gateway.Gateway, collection string, docs []eval.Doc) map[retrieval.DocStatus]int {
	t.Helper()
	counts := map[retrieval.DocStatus]int{}
	for len(docs) > 0 {
		n := min(256, len(docs))
		var batch []retrieval.Submission
		for _, d := range docs[:n] {
			batch = append(batch, submission(t, d))
		}
		docs = docs[n:]
		out, err := g.Retrieval.Ingest(context.Background(), caller, collection, batch, consent.Once{})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range out.Results {
			counts[r.Status]++
		}
	}
	return counts
}

func owners(docs []eval.Doc) []string {
	seen := map[string]bool{}
	var out []string
	for _, d := range docs {
		for _, o := range d.Owners {
			if !seen[o] {
				seen[o] = true
				out = append(out, o)
			}
		}
	}
	return out
}

// invented returns two documents of each person.
func invented(people ...string) []eval.Doc {
	var docs []eval.Doc
	for _, p := range people {
		for n, text := range []string{"The server was restarted on Tuesday.", "Nobody knows why the server stopped."} {
			docs = append(docs, eval.Doc{ID: p + "-" + string(rune('0'+n)), Owners: []string{p}, Text: text})
		}
	}
	return docs
}
