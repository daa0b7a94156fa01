package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/assent-gateway/assent/internal/testpg"
	"github.com/assent-gateway/assent/internal/testweaviate"
)

// Gateway and command line with data in a Postgres, the vault in another
// database of it and vectors in a Weaviate, as the README sets them up: what is
// ingested is found, what is revoked is not, at both gateways and after a start.
func TestServeOnPostgresAndWeaviate(t *testing.T) {
	t.Parallel()
	w := testweaviate.Start(t)
	s := testpg.Start(t)
	dir := t.TempDir()
	const key = "assent_test_key_of_a_cluster"
	env := map[string]string{
		"ASSENT_ADDR": "127.0.0.1:0", "ASSENT_VAULT": filepath.Join(dir, "vault"), "ASSENT_ADMIN_KEY": key,
		"ASSENT_DATA": filepath.Join(dir, "data"), "ASSENT_POSTGRES_URL": s.URL("postgres"), "ASSENT_VAULT_URL": s.Database(t),
		"ASSENT_WEAVIATE_URL": w.URL(), "ASSENT_WEAVIATE_GRPC": w.GRPC(),
	}
	first, err := serveWith(t, env)
	if err != nil {
		t.Fatal(err)
	}
	second, err := serveWith(t, env) // a gateway of the same machine may share the directory of the epoch key
	if err != nil {
		t.Fatal(err)
	}
	at := func(url, stdin string, args ...string) string {
		t.Helper()
		got := assentWith(t, map[string]string{"ASSENT_URL": url, "ASSENT_KEY": key}, strings.NewReader(stdin), args...)
		if got.status != 0 {
			t.Fatalf("%v: %+v", args, got)
		}
		return got.out
	}
	finds := func(url string, want ...string) {
		t.Helper()
		out := at(url, "", "search", "--collection", "mails", "printer")
		for _, id := range []string{"a", "b"} {
			wanted := strings.Contains(strings.Join(want, " "), id)
			if strings.Contains(out, "  "+id+"\n") != wanted {
				t.Errorf("want %v, found\n%s", want, out)
			}
		}
	}
	for _, who := range []string{"ada", "ben"} {
		at(first.url, "", "consent", "grant", who, "embedding_v1.0", "rag_retrieval_v1.0")
	}
	documents := `{"id":"a","owners":["ada"],"text":"The printer is on fire."}
{"id":"b","owners":["ben"],"text":"The printer is out of paper."}
{"id":"c","owners":["eve"],"text":"The printer of somebody who was not asked."}`
	if got := counts(at(first.url, documents, "ingest", "--collection", "mails", "-")); got != "3 lines: 2 stored, 0 unchanged, 1 refused, 0 invalid" {
		t.Error(got)
	}
	finds(first.url, "a", "b")
	finds(second.url, "a", "b")
	at(first.url, "", "consent", "revoke", "ada", "rag_retrieval_v1.0")
	finds(second.url, "b")
	finds(first.url, "b")
	for _, g := range []started{first, second} {
		if err := g.stop(); err != nil {
			t.Errorf("stopped with %v", err)
		}
	}
	third, err := serveWith(t, env)
	if err != nil {
		t.Fatal(err)
	}
	finds(third.url, "b")
	at(third.url, "", "consent", "grant", "ada", "rag_retrieval_v1.0")
	finds(third.url, "a", "b")
}
