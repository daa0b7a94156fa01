package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/assent-gateway/assent/internal/verify"
)

// fill puts documents of 24 people into a collection, all of whom permit.
func fill(t *testing.T, url string, documentsOfThem int) {
	t.Helper()
	var entries, documents strings.Builder
	for i := range 24 {
		for _, kind := range []string{"embedding_v1.0", "model_training_v1.0"} {
			fmt.Fprintf(&entries, `{"user_id":"p%d","consent_type":%q,"status":"granted","source":"test"}`+"\n", i, kind)
		}
	}
	for i := range documentsOfThem {
		fmt.Fprintf(&documents, `{"id":"m%d","owners":["p%d"],"text":"message %d about the printer"}`+"\n", i, i%24, i)
	}
	must(t, url, "", "consent", "import", write(t, "c.jsonl", entries.String()))
	must(t, url, "", "ingest", "--collection", "mails", write(t, "d.jsonl", documents.String()))
}

// trust pins the key of the gateway's log.
func trust(t *testing.T, url string) verify.Trust {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url+"/v1/log/key", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+testKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var text strings.Builder
	if _, err := fmt.Fscan(resp.Body, &lineOf{&text}); err != nil {
		t.Fatal(err)
	}
	key, err := verify.ParseKey(text.String())
	if err != nil {
		t.Fatal(err)
	}
	return verify.Trust{Keys: []*verify.Key{key}}
}

// lineOf scans a word of any length.
type lineOf struct{ b *strings.Builder }

// Scan implements fmt.Scanner.
func (l *lineOf) Scan(s fmt.ScanState, _ rune) error {
	word, err := s.Token(true, nil)
	l.b.Write(word)
	return err
}

// directory reads a manifest's directory into memory.
func directory(t *testing.T, dir string) fstest.MapFS {
	t.Helper()
	out := fstest.MapFS{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		rel, _ := filepath.Rel(dir, name)
		out[filepath.ToSlash(rel)] = &fstest.MapFile{Data: b}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Built, fetched, verified offline, bound, withdrawn from: the whole life of a
// manifest on the command line.
func TestManifestFromBuildToStale(t *testing.T) {
	t.Parallel()
	url := open(t)
	fill(t, url, 60)
	dir := filepath.Join(t.TempDir(), "first")
	out := must(t, url, "", "manifest", "build", "--collections", "mails", "--formats", "jsonl,parquet", "--splits", "train=0.8,test=0.2", "--out", dir)
	id, _, _ := strings.Cut(out, ":")
	if !strings.Contains(out, ": 60 rows in ") {
		t.Errorf("%s", out)
	}
	m, err := trust(t, url).Manifest(os.DirFS(dir), time.Now())
	if err != nil || m.ID != id || m.Rows != 60 || m.Lines != 60 || !m.Rooted || m.Withheld != 0 {
		t.Fatalf("%+v, %v", m, err)
	}
	if got := must(t, url, "", "manifest", "check", id); !strings.HasPrefix(got, "valid at ledger position ") {
		t.Error(got)
	}
	must(t, url, "", "manifest", "bind", id, "--run", "first run", "--model-digest", "sha256:"+strings.Repeat("0a", 32))
	if got := assent(t, url, "", "manifest", "build", "--collections", "mails", "--out", dir); got.status == 0 {
		t.Error("a directory that is there was written to")
	}

	must(t, url, "", "consent", "revoke", "p3", "model_training_v1.0")
	drop := filepath.Join(t.TempDir(), "drop")
	stale := assent(t, url, "", "manifest", "check", id, "--drop", drop)
	rows, _ := os.ReadFile(drop)
	if stale.status != 1 || !strings.HasPrefix(stale.out, "stale ") || strings.Count(string(rows), "\n") != 3 {
		t.Errorf("status %d, %s%s, drops %q", stale.status, stale.out, stale.err, rows)
	}
	if got := assent(t, url, "", "manifest", "remedy", id, "--run", "first run", "--remedy", "forget", "--by", "Cy"); got.status != 1 || !strings.Contains(got.err, "remedy") {
		t.Errorf("no such remedy: status %d, %s", got.status, got.err)
	}
	if got := must(t, url, "", "manifest", "remedy", id, "--run", "first run", "--remedy", "retrain", "--by", "Cy", "--note", "one of many"); !strings.HasPrefix(got, "recorded at ledger position ") {
		t.Error(got)
	}
	if got := assent(t, url, "", "manifest", "build", "--resume", id, "--out", dir+"x"); got.status != 1 || !strings.Contains(got.err, "manifest_stale") {
		t.Errorf("files of a stale manifest: %d %s", got.status, got.err)
	}
	if _, err := os.Stat(dir + "x"); err == nil {
		t.Error("half a manifest was left")
	}
	second := must(t, url, "", "manifest", "build", "--collections", "mails", "--out", dir+"2")
	other, _, _ := strings.Cut(second, ":")
	var removed, added int
	for line := range strings.SplitSeq(strings.TrimSpace(must(t, url, "", "manifest", "diff", id, other)), "\n") {
		var c struct{ Op, Row, Reason string }
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatal(err)
		}
		switch {
		case c.Op == "removed" && c.Reason == "refused" && strings.Contains(string(rows), c.Row+"\n"):
			removed++
		case c.Op == "added":
			added++
		}
	}
	if removed != 3 || added != 0 {
		t.Errorf("%d removed, %d added", removed, added)
	}
	if m, err := trust(t, url).Manifest(os.DirFS(dir+"2"), time.Now()); err != nil || m.Rows != 57 || m.Rooted {
		t.Errorf("parquet alone: %+v, %v", m, err)
	}
}

// Every byte of every file, of the statement and of the proof in it: changed,
// the manifest is refused, and the refusal names the file.
func TestEveryByteOfAManifestCounts(t *testing.T) {
	t.Parallel()
	url := open(t)
	fill(t, url, 8)
	dir := filepath.Join(t.TempDir(), "m")
	must(t, url, "", "manifest", "build", "--collections", "mails", "--formats", "jsonl,parquet", "--out", dir)
	whole, key := directory(t, dir), trust(t, url)
	check := func(name, want string, change func(fstest.MapFS)) {
		t.Helper()
		files := fstest.MapFS{}
		for n, f := range whole {
			files[n] = &fstest.MapFile{Data: f.Data}
		}
		change(files)
		_, err := key.Manifest(files, time.Now())
		var why *verify.Refusal
		if !errors.As(err, &why) || !strings.Contains(err.Error(), want) {
			t.Fatalf("%s changed: %v", name, err)
		}
	}
	if _, err := key.Manifest(whole, time.Now()); err != nil {
		t.Fatal(err)
	}
	for name, f := range whole {
		for i := range f.Data {
			changed := append([]byte(nil), f.Data...)
			changed[i] ^= 1 << (i % 8)
			check(name, name, func(files fstest.MapFS) { files[name] = &fstest.MapFile{Data: changed} })
		}
		check(name, name, func(files fstest.MapFS) { files[name] = &fstest.MapFile{Data: f.Data[:len(f.Data)-1]} })
		check(name, name, func(files fstest.MapFS) {
			files[name] = &fstest.MapFile{Data: append(f.Data[:len(f.Data):len(f.Data)], '\n')}
		})
		check(name, name, func(files fstest.MapFS) { delete(files, name) })
	}
	check("one more", "data/train-00001-of-00001.jsonl", func(files fstest.MapFS) {
		files["data/train-00001-of-00001.jsonl"] = &fstest.MapFile{Data: []byte("{}\n")}
	})
	if _, err := key.Manifest(whole, time.Now().Add(31*24*time.Hour)); !errors.Is(err, verify.ErrExpired) {
		t.Errorf("after its lease: %v", err)
	}
	other := trust(t, open(t))
	if _, err := other.Manifest(whole, time.Now()); !errors.Is(err, verify.ErrUnsigned) {
		t.Errorf("under another key: %v", err)
	}
}
