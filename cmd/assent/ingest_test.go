package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// counts is the summary's first line without the time it took.
func counts(out string) string {
	first, _, _ := strings.Cut(out, "\n")
	return regexp.MustCompile(` in \S+ \([0-9 ]+/s\)`).ReplaceAllString(first, "")
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestIngestMakesTheCollectionAndRunAgainFindsEverythingUnchanged(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	plain, packed := write(t, "a.jsonl", docs(600)), write(t, "b", zipped(strings.ReplaceAll(docs(10), `"d`, `"e`)))
	first := assent(t, f.URL, "", "ingest", "--collection", "mails", "--jurisdiction", "DE", plain, packed)
	if first.status != 0 || counts(first.out) != "610 lines: 610 stored, 0 unchanged, 0 refused, 0 invalid" {
		t.Errorf("%+v", first)
	}
	if got := f.collections["mails"]; got != `{"default_visibility":"tenant","jurisdiction":"DE"}` {
		t.Errorf("the collection was made with %s", got)
	}
	if n := len(f.requests); n != 3 { // 256, 256, 98: a request may hold lines of two files
		t.Errorf("%d requests", n)
	}
	second := assent(t, f.URL, "", "ingest", "--collection", "mails", plain, packed)
	if second.status != 0 || counts(second.out) != "610 lines: 0 stored, 610 unchanged, 0 refused, 0 invalid" {
		t.Errorf("%+v", second)
	}
}

func TestAnInterruptedIngestIsGoneOnWithByRunningItAgain(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.fault = func(n int, w http.ResponseWriter, _ []string) bool {
		if n != 3 {
			return false
		}
		problemAnswer(w, 500, "internal")
		return true
	}
	args := []string{"ingest", "--collection", "c", "--batch", "10", "-"}
	first := assent(t, f.URL, docs(100), args...)
	if first.status != 1 || !strings.Contains(first.err, "run the same command again to go on") || !strings.Contains(first.out, " stored") {
		t.Errorf("%+v", first)
	}
	second := assent(t, f.URL, docs(100), args...)
	var stored, unchanged int
	_, err := fmt.Sscanf(counts(second.out), "100 lines: %d stored, %d unchanged, 0 refused, 0 invalid", &stored, &unchanged)
	if err != nil || second.status != 0 || stored == 0 || unchanged < 10 || stored+unchanged != 100 || len(f.documents) != 100 {
		t.Errorf("%+v, %d documents", second, len(f.documents))
	}
}

func TestDocumentsGoOutAsTheyAre(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	odd := `{ "id" : "d1",  "text":"a\u00e9é\/", "owners":["x"], "metadata":{"n":1e2}, "passages":[{"vector":[0.10]}] }`
	if got := assent(t, f.URL, odd+"\r\n", "ingest", "--collection", "c", "-"); got.status != 0 {
		t.Fatalf("%+v", got)
	}
	if sent := f.requests[0][0]; sent != odd {
		t.Errorf("sent %s", sent)
	}
}

func TestTheSummaryNamesRefusalsByReasonAndTheFirstTwentyInvalid(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	var text strings.Builder
	text.WriteString(docs(3))
	text.WriteString("{\"id\":\"r\",\"owners\":[\"nobody\"],\"text\":\"t\"}\n\nnonsense\n")
	for i := range 24 {
		fmt.Fprintf(&text, "{\"id\":\"e%d\"}\n", i)
	}
	args := []string{"ingest", "--collection", "c", "--batch", "4", "-"}
	got := assent(t, f.URL, text.String(), args...)
	if got.status != 0 || counts(got.out) != "29 lines: 3 stored, 0 unchanged, 1 refused, 25 invalid" {
		t.Errorf("%+v", got)
	}
	want := "  1 refused: no_record\ninvalid:\n  stdin:6: not a JSON object\n  stdin:7 \"e0\": text: is required\n  stdin:8 \"e1\": text: is required\n"
	if _, rest, _ := strings.Cut(got.out, "\n"); !strings.HasPrefix(rest, want) {
		t.Errorf("the summary is\n%s", got.out)
	}
	if named := strings.Count(got.out, "stdin:"); named != 20 || !strings.HasSuffix(got.out, "\n  and 5 more\n") {
		t.Errorf("%d are named:\n%s", named, got.out)
	}
	strict := assent(t, f.URL, text.String(), append(args, "--strict")...)
	if strict.status != 1 || !strings.Contains(strict.err, "25 of the documents are invalid") {
		t.Errorf("strict: %+v", strict)
	}
}

func TestAnIdCannotSteerTheTerminal(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	got := assent(t, f.URL, `{"id":"\u001b[2J\u202eevil"}`, "ingest", "--collection", "c", "-")
	if !strings.Contains(got.out, "evil") || !strings.Contains(got.out, "text") || strings.ContainsAny(got.out, "\x1b\u202e") {
		t.Errorf("%q, %q", got.out, got.err)
	}
}

func TestNothingToReadIsAnError(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	absent := assent(t, f.URL, "", "ingest", "--collection", "c", filepath.Join(t.TempDir(), "absent.jsonl"))
	if absent.status != 1 || !strings.Contains(absent.err, "absent.jsonl") || len(f.collections) != 0 {
		t.Errorf("absent: %+v, collections %v", absent, f.collections)
	}
	empty := assent(t, f.URL, "\n\n", "ingest", "--collection", "c", "-")
	if empty.status != 1 || !strings.Contains(empty.err, "no document") {
		t.Errorf("empty: %+v", empty)
	}
	whole := zipped(docs(1000))
	broken := assent(t, f.URL, whole[:len(whole)/2], "ingest", "--collection", "c", "-")
	if broken.status != 1 || !strings.Contains(broken.err, "read stdin, line") || len(f.documents) == 0 {
		t.Errorf("broken: %+v, %d documents", broken, len(f.documents))
	}
}

func TestAWrongKeyIsSaidBeforeAnythingIsSent(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	env := map[string]string{"ASSENT_URL": f.URL, "ASSENT_KEY": "assent_other"}
	got := assentWith(t, env, strings.NewReader(docs(1)), "ingest", "--collection", "c", "-")
	if got.status != 1 || !strings.Contains(got.err, "is ASSENT_KEY a key of this gateway?") || len(f.requests) != 0 {
		t.Errorf("%+v, %d requests", got, len(f.requests))
	}
}

func TestAnImportSendsOneRequestAtATimeAndCounts(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	flying := make(chan struct{}, 1)
	f.fault = func(int, http.ResponseWriter, []string) bool {
		select {
		case flying <- struct{}{}:
		default:
			t.Error("two requests at once: the order of a person's entries is lost")
		}
		<-flying
		return false
	}
	var text strings.Builder
	for i := range 50 {
		fmt.Fprintf(&text, `{"user_id":"ada","consent_type":"t_v1.0","status":"granted","source":"s","n":%d}`+"\n", i)
	}
	text.WriteString("{}\n")
	got := assent(t, f.URL, "", "consent", "import", "--lenient", "--batch", "5", write(t, "c.jsonl.gz", zipped(text.String())))
	if got.status != 0 || counts(got.out) != "51 lines: 50 recorded, 0 unchanged, 1 invalid" ||
		!strings.Contains(got.out, "c.jsonl.gz:51: user_id: is required") {
		t.Errorf("%+v", got)
	}
	if !strings.Contains(f.documents["ada"], `"n":49`) {
		t.Errorf("the last entry sent is %s", f.documents["ada"])
	}
}

func TestProgressIsOneLineOnATerminalAndLinesElsewhere(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := &progress{w: &out, terminal: true}
	p.show("12 345 lines")
	p.show("short")
	p.note("a note")
	p.show("x")
	p.wipe()
	if want := "\r12 345 lines\rshort       \r     \ra note\n\rx\r \r"; out.String() != want {
		t.Errorf("terminal: %q, want %q", out.String(), want)
	}
	out.Reset()
	p = &progress{w: &out}
	p.show("one")
	p.note("two")
	p.wipe()
	if out.String() != "one\ntwo\n" {
		t.Errorf("elsewhere: %q", out.String())
	}
}

func TestNumbersHaveTheirThousandsApart(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1 000", 196127: "196 127", 1234567: "1 234 567"} {
		if got := number(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}
