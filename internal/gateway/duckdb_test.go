package gateway_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/eval"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
	"github.com/assent-gateway/assent/training"
)

type duckResult struct {
	Rows [][]any `json:"rows"`
	MS   float64 `json:"ms"`
}

// duckdb runs statements in DuckDB, a program of others that reads the files as
// a pipeline would. The test is skipped, and says so, where it is absent.
func duckdb(t testing.TB, statements ...string) []duckResult {
	t.Helper()
	dir := os.Getenv("ASSENT_NODE_CLIENTS")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Skip("DuckDB is absent: run scripts/get-node-clients")
		}
		dir = filepath.Join(cache, "assent", "node-clients")
	}
	modules := filepath.Join(dir, "node_modules")
	if _, err := os.Stat(filepath.Join(modules, "@duckdb", "node-api")); err != nil {
		t.Skip("DuckDB is absent: run scripts/get-node-clients")
	}
	in, err := json.Marshal(statements)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", filepath.Join("testdata", "duckdb.cjs"))
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
	cmd.Stdin = bytes.NewReader(in)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	var results []duckResult
	if err := json.Unmarshal(out.Bytes(), &results); err != nil {
		t.Fatal(err)
	}
	return results
}

// filesOf puts a manifest's files into a directory.
func filesOf(t testing.TB, g *gateway.Gateway, m training.Manifest) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range m.Files {
		name := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, file(t, g, m.ID, f.Name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// DuckDB finds the same rows in the Parquet and in the JSONL, and joined with
// an export of decisions no row of an owner who is not allowed.
func TestDuckDBReadsTheSameRows(t *testing.T) {
	duckdb(t, "SELECT 1") // absent: before the work
	docs, err := eval.LoadDocs(sharedData(t, "irc/dev_docs.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	g := openGateway(t, gateway.Config{Training: gateway.TrainingConfig{ShardRows: 2500}})
	who := owners(docs)
	say(t, g, consent.Granted, who, rag, emb, trn)
	makeCollection(t, g, "irc", retrieval.Spec{})
	ingest(t, g, "irc", docs)
	say(t, g, consent.Revoked, who[:len(who)*3/10], trn)
	s := spec("irc")
	s.Linkable, s.IncludeText = true, true
	s.Splits = []training.Split{{Name: "test", Share: 200_000}, {Name: "train", Share: 800_000}}
	m := manifest(t, g, s)
	dir := filesOf(t, g, m)

	// The export: who owns what, and what the ledger decides about them.
	var lines bytes.Buffer
	for _, d := range docs {
		for _, o := range d.Owners {
			fmt.Fprintf(&lines, "{\"document_id\":%q,\"owner\":%q}\n", d.ID, o)
		}
	}
	subjects := make([]consent.Subject, len(who))
	for i, p := range who {
		subjects[i] = subject(t, p)
	}
	a, err := g.Ledger.Decide(t.Context(), gateway.DefaultTenant, subjects, consent.Question{Purpose: "model_training"})
	if err != nil {
		t.Fatal(err)
	}
	var decisions bytes.Buffer
	for i, d := range a.Decisions {
		fmt.Fprintf(&decisions, "{\"owner\":%q,\"allowed\":%t}\n", who[i], d.Allowed)
	}
	for name, b := range map[string][]byte{"owners.json": lines.Bytes(), "decisions.json": decisions.Bytes()} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	columns := "row, document, source, content_digest, subjects, consent_types, lawful_basis, split, text, passage_id, document_id, content_sha256"
	in := func(sql string) string {
		return strings.NewReplacer("DIR", dir, "COLUMNS", columns).Replace(sql)
	}
	got := duckdb(t,
		in("CREATE TABLE p AS SELECT COLUMNS FROM read_parquet('DIR/data/*.parquet')"),
		in("CREATE TABLE j AS SELECT COLUMNS FROM read_json('DIR/data/*.jsonl', format = 'newline_delimited', columns = {row: 'VARCHAR', document: 'VARCHAR', source: 'VARCHAR', content_digest: 'VARCHAR', subjects: 'VARCHAR[]', consent_types: 'VARCHAR[]', lawful_basis: 'VARCHAR', split: 'VARCHAR', text: 'VARCHAR', passage_id: 'VARCHAR', document_id: 'VARCHAR', content_sha256: 'VARCHAR'})"),
		"SELECT (SELECT count(*) FROM p)::INT, (SELECT count(*) FROM j)::INT, (SELECT count(*) FROM (FROM p EXCEPT ALL FROM j))::INT, (SELECT count(*) FROM (FROM j EXCEPT ALL FROM p))::INT",
		"SELECT count(*)::INT FROM p WHERE content_sha256 <> sha256(text)",
		in("CREATE TABLE d AS SELECT p.row, o.owner, d.allowed FROM p JOIN 'DIR/owners.json' o USING (document_id) JOIN 'DIR/decisions.json' d USING (owner)"),
		"SELECT count(*)::INT, (count(*) FILTER (NOT allowed))::INT, count(DISTINCT owner)::INT FROM d",
		"SELECT count(DISTINCT s)::INT FROM (SELECT subjects[1] AS s, count(DISTINCT split) AS n FROM p GROUP BY s) WHERE n > 1",
		"SELECT count(*)::INT, (count(*) FILTER (row < before))::INT FROM (SELECT row, lag(row) OVER (PARTITION BY split ORDER BY rowid) AS before FROM p)",
	)
	n := float64(m.Rows)
	for i, want := range map[int][]any{2: {n, n, 0.0, 0.0}, 3: {0.0}, 6: {0.0}, 7: {n, 0.0}} {
		if fmt.Sprint(got[i].Rows[0]) != fmt.Sprint(want) {
			t.Errorf("statement %d: %v, want %v", i, got[i].Rows[0], want)
		}
	}
	if r := got[5].Rows[0]; r[0] != n || r[1] != 0.0 || r[2].(float64) < 100 {
		t.Errorf("joined with decisions: %v", r)
	}
	t.Logf("%d rows in both; %v of them joined with decisions: none of an owner who is not allowed", m.Rows, got[5].Rows[0][0])
}
