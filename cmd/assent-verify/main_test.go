package main

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/assent-gateway/assent/internal/verify/testlog"
)

const origin = "gateway.example/log/default"

// invoke runs the program and returns its exit status and what it said.
func invoke(t *testing.T, env map[string]string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	failure := run(t.Context(), args, func(name string) string { return env[name] }, &out, &err)
	status = report(&err, failure)
	return status, out.String(), err.String()
}

// file writes a file and returns its name.
func file(t *testing.T, b []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func mirror(t *testing.T, files testlog.Files) string {
	t.Helper()
	dir := t.TempDir()
	files.Write(dir)
	return dir
}

func TestExitStatusAndSentence(t *testing.T) {
	log := testlog.New(origin, 1).Grow(700)
	rewritten := testlog.New(origin, 1)
	for i := range uint64(700) {
		e := testlog.Entry(i + 1)
		e[len(e)-1] ^= 1
		rewritten.Add(e)
	}
	good := file(t, log.Proof(41, 500))
	bare := file(t, testlog.ProofFile(nil, 41, log.Path(41, 500), log.Checkpoint(500)))
	entry := file(t, log.Entries[41])
	altered := file(t, bytes.Replace(log.Proof(41, 500), []byte("index 41"), []byte("index 42"), 1))
	honest, liar := mirror(t, log.Files(700)), mirror(t, rewritten.Files(700))
	broken := log.Files(700)
	broken["tile/entries/001"][9] ^= 1
	c0, c500, c700 := file(t, log.Checkpoint(0)), file(t, log.Checkpoint(500)), file(t, log.Checkpoint(700))
	liar700 := file(t, rewritten.Checkpoint(700))
	leaf := base64.StdEncoding.EncodeToString(log.Leaf(41))
	key := []string{"--key", log.Key}

	for _, c := range []struct {
		name   string
		args   []string
		status int
		says   string
	}{
		{"proof", []string{"proof", good}, 0, "verified: entry 42 stands in the log"},
		{"proof with the entry beside it", []string{"proof", bare, "--entry", entry}, 0, "verified: entry 42"},
		{"proof with the leaf beside it", []string{"proof", "--leaf", leaf, bare}, 0, "verified: entry 42"},
		{"proof of nothing", []string{"proof", bare}, 2, "give --entry or --leaf"},
		{"proof, explained", []string{"proof", "--explain", bare, "--leaf", leaf}, 0, "what the entry says is not shown"},
		{"proof, edited", []string{"proof", altered}, 1, "refused: entry 43: an entry is not at the position it names"},
		{"proof, origin pinned", []string{"proof", good, "--origin", "x.example"}, 1, "another origin"},
		{"receipt", []string{"receipt", good}, 0, "verified: entry 42 of 500 in the log \"" + origin + "\" records rag_retrieval_v1.0"},
		{"receipt, explained", []string{"receipt", good, "--explain"}, 0, "What this does not prove"},
		{"receipt without its entry", []string{"receipt", bare}, 1, "refused: a receipt without its entry"},
		{"consistency", []string{"consistency", c500, c700, "--log", honest}, 0, "of 700 entries continues the one of 500"},
		{"consistency, the same", []string{"consistency", c700, c700}, 0, "verified"},
		{"consistency from nothing", []string{"consistency", c0, c700}, 0, "verified"},
		{"consistency without the log", []string{"consistency", c500, c700}, 2, "--log is needed"},
		{"consistency, replayed", []string{"consistency", c700, c500}, 1, "older checkpoint was replayed"},
		{"consistency, forked", []string{"consistency", c700, liar700}, 1, "forked"},
		{"consistency, rewritten", []string{"consistency", c500, liar700, "--log", liar}, 1, "rewritten"},
		{"consistency, tiles of another log", []string{"consistency", c500, c700, "--log", liar}, 1, "a node of the tree"},
		{"consistency, not a checkpoint", []string{"consistency", c500, entry}, 1, "refused: NEW:"},
		{"log", []string{"log", honest}, 0, "all of 700 entries and 4 tiles"},
		{"log, continued", []string{"log", honest, "--old", c500}, 0, "continues the one of 500 entries"},
		{"log, continued from a receipt", []string{"log", honest, "--old", good}, 0, "continues the one of 500 entries"},
		{"consistency of receipts", []string{"consistency", good, c700, "--log", honest}, 0, "continues the one of 500"},
		{"log, rewritten since a receipt", []string{"log", liar, "--old", good}, 1, "rewritten"},
		{"log, rewritten", []string{"log", liar, "--old", c500}, 1, "refused: the tree of size 700 against the checkpoint of size 500: the log was rewritten"},
		{"log, an entry altered", []string{"log", mirror(t, broken)}, 1, "refused: entry 257: an entry is not at the position it names"},
		{"log, old is no checkpoint", []string{"log", honest, "--old", entry}, 1, "refused: the earlier checkpoint:"},
		{"log that is not there", []string{"log", honest + "x"}, 2, "not verified:"},
		{"file that is not there", []string{"proof", good + "x"}, 2, "not verified:"},
		{"manifest, no directory", []string{"manifest", good}, 2, "DIR is not a directory"},
		{"manifest, nothing in it", []string{"manifest", t.TempDir()}, 1, "refused: statement.json: "},
		{"no such command", []string{"prove"}, 2, "no such command"},
		{"too many arguments", []string{"proof", good, good}, 2, "number of arguments"},
		{"no such flag", []string{"proof", good, "--keys", "x"}, 2, "usage: assent-verify proof"},
		{"entry and leaf", []string{"proof", bare, "--leaf", leaf, "--entry", entry}, 2, "not both"},
		{"bad leaf", []string{"proof", bare, "--leaf", "AAAA"}, 2, "32 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, stdout, stderr := invoke(t, nil, append(c.args[:1:1], append(key, c.args[1:]...)...)...)
			said, silent := stdout, stderr
			if c.status != 0 {
				said, silent = stderr, stdout
			}
			if status != c.status || !strings.Contains(said, c.says) || silent != "" {
				t.Errorf("status %d, stdout %q, stderr %q; want %d and %q", status, stdout, stderr, c.status, c.says)
			}
			if c.status == 1 && strings.Count(stderr, "\n") != 1 {
				t.Errorf("not one sentence: %q", stderr)
			}
		})
	}
}

func TestKeyIsPinned(t *testing.T) {
	log := testlog.New(origin, 1).Grow(5)
	good := file(t, log.Proof(1, 5))
	if status, _, said := invoke(t, nil, "proof", good); status != 2 || !strings.Contains(said, "--key is missing") {
		t.Errorf("without a key: %d, %s", status, said)
	}
	if status, _, said := invoke(t, nil, "proof", good, "--key", "x"); status != 2 || !strings.Contains(said, "--key: ") {
		t.Errorf("with a key that is none: %d, %s", status, said)
	}
	if status, _, said := invoke(t, nil, "proof", good, "--key", testlog.New(origin, 2).Key); status != 1 || !strings.Contains(said, "no valid signature") {
		t.Errorf("with another key: %d, %s", status, said)
	}
	if status, _, said := invoke(t, nil, "proof", good, "--key", log.Key+"\n"); status != 0 {
		t.Errorf("with the newline of a file: %d, %s", status, said)
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"help"}, {"log", "-h"}, {"proof", "--help"}} {
		if status, said, _ := invoke(t, nil, args...); status != 0 || !strings.Contains(said, "usage: assent-verify") {
			t.Errorf("%v: %d, %q", args, status, said)
		}
	}
	if status, _, said := invoke(t, nil); status != 2 || !strings.Contains(said, "consistency OLD NEW") {
		t.Errorf("without a command: %d, %q", status, said)
	}
}

// The checkpoint of one walk is what the next one is held against.
func TestSavedCheckpointCatchesTheNextRewriting(t *testing.T) {
	log := testlog.New(origin, 1).Grow(300)
	saved := filepath.Join(t.TempDir(), "checkpoint")
	dir := mirror(t, log.Files(300))
	if status, _, said := invoke(t, nil, "log", dir, "--key", log.Key, "--save", saved); status != 0 {
		t.Fatal(said)
	}
	entries := append([][]byte(nil), log.Entries...)
	last := entries[299]
	entries[299] = append(last[:len(last)-1:len(last)-1], last[len(last)-1]^1)
	bad := mirror(t, log.With(entries).Files(300))
	status, _, said := invoke(t, nil, "log", bad, "--key", log.Key, "--old", saved, "--save", saved)
	if status != 1 || !strings.Contains(said, "forked") {
		t.Errorf("%d, %s", status, said)
	}
	b, err := os.ReadFile(saved)
	if err != nil || !bytes.Equal(b, log.Checkpoint(300)) {
		t.Errorf("a refused checkpoint was saved: %v", err)
	}
}

func TestTokenFromFlagOrEnvironment(t *testing.T) {
	log := testlog.New(origin, 1).Grow(10)
	files := log.Files(10)
	var said string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		said = r.Header.Get("Authorization")
		_, _ = w.Write(files[strings.TrimPrefix(r.URL.Path, "/log/default/")])
	}))
	defer s.Close()
	env := map[string]string{"ASSENT_KEY": "from-env"}
	args := []string{"log", s.URL + "/log/default", "--key", log.Key}
	if status, _, stderr := invoke(t, env, args...); status != 0 || said != "Bearer from-env" {
		t.Errorf("%d, %q, %s", status, said, stderr)
	}
	if status, _, stderr := invoke(t, env, append(args, "--token", "from-flag")...); status != 0 || said != "Bearer from-flag" {
		t.Errorf("%d, %q, %s", status, said, stderr)
	}
}
