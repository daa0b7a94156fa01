package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/assent-gateway/assent/eval"
)

// The commands as a person runs them, on real chat and real papers: consent is
// imported in bulk, an ingest is killed in the middle and run again, and
// nothing is lost or doubled; papers without an owner are named.
func TestRealFilesAreIngestedThroughAKill(t *testing.T) {
	data := os.Getenv("ASSENT_SHARED_DATA")
	if data == "" {
		data = filepath.Join("..", "..", "..", "shared", "data")
	}
	irc, cacm := filepath.Join(data, "irc", "dev_docs.jsonl"), filepath.Join(data, "cacm", "docs.jsonl")
	if _, err := os.Stat(irc); err != nil {
		t.Skip("real input is absent: set ASSENT_SHARED_DATA to its folder")
	}
	dir := t.TempDir()
	exe := filepath.Join(dir, "assent")
	if out, err := exec.Command("go", "build", "-o", exe, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	url := startServe(t, exe, dir)
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(exe, args...)
		cmd.Env = append(os.Environ(), "ASSENT_URL="+url, "ASSENT_VAULT="+filepath.Join(dir, "data.vault"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("assent %s: %v\n%s", args[0], err, out)
		}
		return string(out)
	}
	consents, withoutOwner := writeConsents(t, dir, irc, cacm)
	began := time.Now()
	run("consent", "import", consents)

	cut := exec.Command(exe, "ingest", "--collection", "irc", irc)
	cut.Env = append(os.Environ(), "ASSENT_URL="+url, "ASSENT_VAULT="+filepath.Join(dir, "data.vault"))
	if err := cut.Start(); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(400*time.Millisecond, func() { cut.Process.Kill() })
	cut.Wait()
	again := summary(t, run("ingest", "--collection", "irc", irc))
	if again["stored"]+again["unchanged"] != 11612 || again["refused"]+again["invalid"] != 0 {
		t.Errorf("after the kill: %v", again)
	}
	papers := run("ingest", "--collection", "cacm", cacm)
	if got := summary(t, papers); got["invalid"] != withoutOwner || got["stored"] != 3204-withoutOwner || !strings.Contains(papers, "cacm-4") {
		t.Errorf("papers: %v, %d have no owner", got, withoutOwner)
	}
	t.Logf("consent of all owners, both files, one killed and run again: %s; stored before the kill: %d", time.Since(began).Round(time.Millisecond), again["unchanged"])
	if once := summary(t, run("ingest", "--collection", "irc", irc)); once["unchanged"] != 11612 {
		t.Errorf("a third time: %v", once)
	}
}

// startServe starts `assent serve` and returns its address.
func startServe(t *testing.T, exe, dir string) string {
	t.Helper()
	serve := exec.Command(exe, "serve", "--addr", "127.0.0.1:0", "--data", filepath.Join(dir, "data"))
	out, err := serve.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		serve.Process.Signal(os.Interrupt)
		serve.Wait()
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, url, ok := strings.Cut(lines.Text(), "serving on "); ok {
			go func() {
				for lines.Scan() { // keep the pipe empty
				}
			}()
			return url
		}
	}
	t.Fatal("serve did not say where it serves")
	return ""
}

// writeConsents grants everything to every owner, and counts the documents
// that have none.
func writeConsents(t *testing.T, dir string, files ...string) (path string, withoutOwner int) {
	t.Helper()
	seen := map[string]bool{}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for _, f := range files {
		docs, err := eval.LoadDocs(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range docs {
			if len(d.Owners) == 0 {
				withoutOwner++
			}
			for _, o := range d.Owners {
				if seen[o] {
					continue
				}
				seen[o] = true
				for _, typ := range []string{"rag_retrieval_v1.0", "embedding_v1.0"} {
					if err := enc.Encode(map[string]string{"user_id": o, "consent_type": typ, "status": "granted", "source": "test"}); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
	path = filepath.Join(dir, "consents.jsonl")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, withoutOwner
}

// summary reads "N stored, N unchanged, …" of the last summary line.
func summary(t *testing.T, out string) map[string]int {
	t.Helper()
	got := map[string]int{}
	for _, m := range regexp.MustCompile(`([0-9 ]+) (stored|unchanged|refused|invalid)`).FindAllStringSubmatch(out, -1) {
		n, err := strconv.Atoi(strings.ReplaceAll(strings.TrimSpace(m[1]), " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		got[m[2]] = n
	}
	if len(got) == 0 {
		t.Fatal(fmt.Sprint("no summary in ", out))
	}
	return got
}
