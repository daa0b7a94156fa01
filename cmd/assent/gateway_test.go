package main

import (
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/assent-gateway/assent/internal/gateway"
)

// open starts a gateway of its own, with testKey for its bootstrap key.
func open(t *testing.T) (url string) {
	t.Helper()
	g, err := gateway.Open(t.Context(), gateway.Config{DataDir: filepath.Join(t.TempDir(), "data"), AdminKey: testKey})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(g.Handler())
	t.Cleanup(func() {
		server.Close()
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return server.URL
}

// must runs the program and fails the test when it fails.
func must(t *testing.T, url, stdin string, args ...string) string {
	t.Helper()
	got := assent(t, url, stdin, args...)
	if got.status != 0 {
		t.Fatalf("assent %s: status %d\n%s%s", strings.Join(args, " "), got.status, got.out, got.err)
	}
	return got.out
}

func grant(t *testing.T, url string, users ...string) {
	t.Helper()
	for _, u := range users {
		must(t, url, "", "consent", "grant", u, "embedding_v1.0", "rag_retrieval_v1.0")
	}
}

func TestDocumentsOfAFileAreFoundAsFarAsTheirOwnersPermit(t *testing.T) {
	t.Parallel()
	url := open(t)
	var entries, documents strings.Builder
	for i := range 30 {
		for _, kind := range []string{"embedding_v1.0", "rag_retrieval_v1.0"} {
			fmt.Fprintf(&entries, `{"user_id":"p%d","consent_type":%q,"status":"granted","source":"test"}`+"\n", i, kind)
		}
	}
	entries.WriteString(`{"user_id":"p1","consent_type":"embedding_v1.0","status":"perhaps","source":"test"}` + "\n")
	for i := range 700 { // of 35 people, the last five of whom have said nothing
		fmt.Fprintf(&documents, `{"id":"m%d","owners":["p%d"],"text":"message %d about the printer","metadata":{"even":%t}}`+"\n", i, i%35, i, i%2 == 0)
	}
	documents.WriteString(`{"id":"nobody's","text":"without an owner"}` + "\n")
	documents.WriteString(`{"id":"odd","owners":["p1"],"text":"x","colour":"red"}` + "\n")
	entriesFile, documentsFile := write(t, "c.jsonl", entries.String()), write(t, "d.jsonl.gz", zipped(documents.String()))

	if got := counts(must(t, url, "", "consent", "import", "--lenient", entriesFile)); got != "61 lines: 60 recorded, 0 unchanged, 1 invalid" {
		t.Error(got)
	}
	if got := counts(must(t, url, "", "consent", "import", "--lenient", entriesFile)); got != "61 lines: 0 recorded, 60 unchanged, 1 invalid" {
		t.Error(got)
	}
	out := must(t, url, "", "ingest", "--collection", "mails", documentsFile)
	if got := counts(out); got != "702 lines: 600 stored, 0 unchanged, 100 refused, 2 invalid" {
		t.Error(out)
	}
	for _, want := range []string{"100 refused: no_record", `:701 "nobody's": owners`, `:702 "odd": `} {
		if !strings.Contains(out, want) {
			t.Errorf("the summary lacks %q:\n%s", want, out)
		}
	}
	if got := counts(must(t, url, "", "ingest", "--collection", "mails", documentsFile)); got != "702 lines: 0 stored, 600 unchanged, 100 refused, 2 invalid" {
		t.Error(got)
	}

	found := func(args ...string) int {
		out := must(t, url, "", append([]string{"search", "--collection", "mails", "-k", "1000", "printer"}, args...)...)
		return len(regexp.MustCompile(`(?m)^ *\d+\. \d\.\d\d  m\d+$`).FindAllString(out, -1))
	}
	if n := found(); n != 600 {
		t.Errorf("%d found, want 600", n)
	}
	if n := found("--filter", `{"field":"even","op":"eq","value":true}`); n != 300 {
		t.Errorf("%d found under the filter, want 300", n)
	}
	must(t, url, "", "consent", "revoke", "p0", "rag_retrieval_v1.0")
	if n := found("--mode", "keyword"); n != 580 {
		t.Errorf("%d found after a revocation, want 580", n)
	}
}

func TestSearchPrintsWhatPeopleReadOrWhatTheGatewaySaid(t *testing.T) {
	t.Parallel()
	url := open(t)
	grant(t, url, "ada", "ben")
	documents := `{"id":"a","owners":["ada"],"title":"Printer","text":"The printer\nis on fire\u001b[2J.","source":"desk","metadata":{"lang":"en"}}
{"id":"b","owners":["ben"],"text":"The printer is out of paper.","visibility":{"level":"private"}}`
	must(t, url, documents, "ingest", "--collection", "c", "-")
	out := must(t, url, "", "search", "--collection", "c", "printer", "--k", "3")
	want := " 1. 1.00  a  Printer\n    The printer is on fire [2J.\n    (source desk, lang=\"en\")\n1 passage (short: no other permitted passage matches) for rag_retrieval at ledger position "
	if !strings.HasPrefix(out, want) {
		t.Errorf("printed\n%s\nwant\n%s", out, want)
	}
	if out := must(t, url, "", "search", "--collection", "c", "--principal", "user:ben", "printer"); !strings.Contains(out, "  b\n") {
		t.Errorf("ben does not see what only he may see:\n%s", out)
	}
	if out := must(t, url, "", "search", "--collection", "c", "--json", "printer"); !strings.HasPrefix(out, `{"hits":[{`) {
		t.Errorf("--json printed %s", out)
	}
	for args, want := range map[string]string{
		"--purpose marketing --collection c x": "403 purpose_not_permitted",
		"--collection d x":                     "404 not_found",
		"--collection c -k 1001 x":             "(field k)",
	} {
		got := assent(t, url, "", append([]string{"search"}, strings.Fields(args)...)...)
		if got.status != 1 || got.out != "" || !strings.Contains(got.err, want) {
			t.Errorf("%s: %+v, want %s", args, got, want)
		}
	}
}

func TestConsentIsRecordedOnceAndShown(t *testing.T) {
	t.Parallel()
	url := open(t)
	first := must(t, url, "", "consent", "grant", "ada", "rag_retrieval_v1.0", "--jurisdiction", "DE", "--expires", "2090-01-01T00:00:00Z")
	if !regexp.MustCompile(`^ada rag_retrieval_v1\.0 granted: recorded at ledger position \d+; use is allowed\n$`).MatchString(first) {
		t.Error(first)
	}
	again := must(t, url, "", "consent", "grant", "ada", "rag_retrieval_v1.0", "--jurisdiction", "DE", "--expires", "2090-01-01T00:00:00Z")
	if want := strings.Replace(first, "recorded", "already so", 1); again != want {
		t.Errorf("%q, want %q", again, want)
	}
	denied := must(t, url, "", "consent", "deny", "ada", "embedding_v1.0", "model_training_v1.0")
	if strings.Count(denied, "use is not allowed (denied)") != 2 {
		t.Error(denied)
	}
	shown := must(t, url, "", "consent", "show", "user:ada")
	for _, want := range []string{
		`(?m)^user:ada at ledger position \d+$`,
		`(?m)^rag_retrieval_v1\.0 +granted +\S+ +yes +\S+ +2090-01-01T00:00:00Z *$`,
		`(?m)^embedding_v1\.0 +denied +\S+ +no +denied *$`,
	} {
		if !regexp.MustCompile(want).MatchString(shown) {
			t.Errorf("show lacks %s:\n%s", want, shown)
		}
	}
	if out := must(t, url, "", "consent", "show", "nobody"); !strings.HasSuffix(out, "\nnothing is recorded\n") {
		t.Error(out)
	}
	for _, verb := range []string{"object", "revoke", "restrict", "unrestrict"} {
		if out := must(t, url, "", "consent", verb, "ada", "evaluation_v1.0"); !strings.Contains(out, ": recorded") {
			t.Error(out)
		}
	}
	bad := assent(t, url, "", "consent", "grant", "ada", "embedding_v1.0", "nonsense")
	if bad.status != 1 || !strings.Contains(bad.err, "nonsense: the gateway answered 400 invalid_input") || !strings.Contains(bad.err, "(field consent_type)") {
		t.Errorf("%+v", bad)
	}
}

func TestAKeyWorksUntilItIsRevoked(t *testing.T) {
	t.Parallel()
	url := open(t)
	made := must(t, url, "", "keys", "create", "--name", "reader", "--scopes", "search, scores", "--purposes", "evaluation",
		"--collections", "c,d", "--expires", "2090-01-01T00:00:00Z")
	parts := regexp.MustCompile(`^id:  (\S+)\nkey: (\S+)\n$`).FindStringSubmatch(made)
	if parts == nil {
		t.Fatal(made)
	}
	id, key := parts[1], parts[2]
	listed := must(t, url, "", "keys", "list")
	if !regexp.MustCompile(`(?m)^`+id+` +reader +search,scores +evaluation +c,d +2090-01-01T00:00:00Z *$`).MatchString(listed) || strings.Contains(listed, key) {
		t.Error(listed)
	}
	env := map[string]string{"ASSENT_URL": url, "ASSENT_KEY": key}
	if got := assentWith(t, env, nil, "search", "--purpose", "", "--collection", "c", "x"); !strings.Contains(got.err, "404") {
		t.Errorf("the key is not taken: %+v", got)
	}
	must(t, url, "", "keys", "revoke", id)
	if got := assentWith(t, env, nil, "search", "--purpose", "", "--collection", "c", "x"); !strings.Contains(got.err, "401 unauthenticated") {
		t.Errorf("the key is taken although it was revoked: %+v", got)
	}
}

func TestTheDemoShowsARevocationAndLeavesNoCollection(t *testing.T) {
	t.Parallel()
	url := open(t)
	for range 2 { // a second run finds Ben's revocation of the first
		out := must(t, url, "", "demo")
		for _, want := range []string{
			"the search found 3 passages, after it 2", "→ ben-1: stored", "→ cleo-1: refused (no_record)",
			`curl -sS -X PUT "$ASSENT_URL/v1/collections/demo"`, `curl -sS -X DELETE "$ASSENT_URL/v1/collections/demo"`,
		} {
			if !strings.Contains(out, want) {
				t.Errorf("the demo lacks %q:\n%s", want, out)
			}
		}
		if strings.Contains(out, testKey) {
			t.Error("the demo prints the key")
		}
	}
	if got := assent(t, url, "", "search", "--collection", "demo", "backup"); !strings.Contains(got.err, "404") {
		t.Errorf("the collection is still there: %+v", got)
	}
}

func TestTheDemoTouchesNoCollectionThatIsThere(t *testing.T) {
	t.Parallel()
	url := open(t)
	must(t, url, "", "demo", "--keep")
	got := assent(t, url, "", "demo")
	if got.status != 1 || !strings.Contains(got.err, "--collection") {
		t.Errorf("%+v", got)
	}
	if out := must(t, url, "", "search", "--collection", "demo", "backup"); !strings.Contains(out, "ada-1") {
		t.Errorf("it was touched:\n%s", out)
	}
}
