package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestEraseShowsLevelsAndSavesTheReceipt(t *testing.T) {
	t.Parallel()
	url := open(t)
	grant(t, url, "ada", "bob")
	dir := t.TempDir()
	docs := filepath.Join(dir, "docs.jsonl")
	if err := os.WriteFile(docs, []byte(`{"id":"m1","owners":["ada"],"text":"the printer is jammed"}
{"id":"m2","owners":["bob"],"text":"the printer works","source":"mailbox"}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, url, "", "ingest", "--collection", "c", docs)
	receipt := filepath.Join(dir, "receipt.json")
	out := must(t, url, "", "erase", "--receipt", receipt, "--reason", "she asked", "ada")
	for _, want := range []string{"unreachable; to be done by", "claim ", "completed, level purged: 1 documents, 1 passages", "catalogue", "record_keys", "receipt saved as"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	raw, err := os.ReadFile(receipt)
	if err != nil || !strings.Contains(string(raw), "assent-erasure-receipt/v1") || regexp.MustCompile(`[^\w+/-]ada[^\w+/=-]`).Match(raw) {
		t.Errorf("the receipt: %v\n%s", err, raw)
	}
	if out := must(t, url, "", "search", "--collection", "c", "printer"); strings.Contains(out, "m1") || !strings.Contains(out, "m2") {
		t.Errorf("afterwards: %s", out)
	}
	if out := must(t, url, "", "erase", "--receipt", receipt, "--source", "mailbox"); !strings.Contains(out, "completed, level purged: 1 documents") {
		t.Errorf("a source: %s", out)
	}
	for _, args := range [][]string{{"erase"}, {"erase", "ada", "bob"}, {"erase", "--source", "x", "ada"}} {
		if got := assent(t, url, "", args...); got.status != 2 {
			t.Errorf("%v: status %d, %s", args, got.status, got.err)
		}
	}
}
