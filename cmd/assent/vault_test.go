package main

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/internal/vault"
)

func TestVaultIsRotatedBackedUpAndRestored(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at, pass, out := filepath.Join(dir, "data.vault"), filepath.Join(dir, "pass"), filepath.Join(dir, "backup")
	if err := os.WriteFile(pass, []byte("correct horse battery\r\nnot this\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	v, err := vault.Create(at, vault.Options{})
	if err != nil {
		t.Fatal(err)
	}
	key := seal.NewKey()
	refs, err := v.Put([]vault.NewKey{{Key: key}})
	if err != nil {
		t.Fatal(err)
	}
	run := func(status int, want string, args ...string) {
		t.Helper()
		env := map[string]string{"ASSENT_DATA": filepath.Join(dir, "data")}
		got := assentWith(t, env, io.Reader(strings.NewReader("")), append([]string{"vault"}, args...)...)
		if got.status != status || !strings.Contains(got.out+got.err, want) {
			t.Errorf("vault %v: status %d, %s%s; want %d and %q", args, got.status, got.out, got.err, status, want)
		}
	}
	for _, verb := range [][]string{{"rotate"}, {"status"}, {"accept"}, {"backup", "--out", out, "--passphrase-file", pass}, {"forget", "1"}} {
		run(1, "a running gateway holds its lock", verb...)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a backup that was not made left a file")
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	run(0, "epoch 2: 1 keys wrapped anew", "rotate")
	run(1, "give --passphrase-file", "backup", "--out", out)
	run(0, "backup of generation 1", "backup", "--out", out, "--passphrase-file", pass)
	run(1, "file exists", "backup", "--out", out, "--passphrase-file", pass)
	run(0, "generation 1, 20", "status")
	run(0, "1 backups keep the wrapping key", "rotate")
	if info, err := os.Stat(out); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	run(1, "move into place", "restore", out, "--passphrase-file", pass)
	if err := os.RemoveAll(at); err != nil {
		t.Fatal(err)
	}
	run(1, "there is no vault", "status")
	if err := os.WriteFile(pass+"2", []byte("another passphrase"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(1, "wrong passphrase", "restore", out, "--passphrase-file", pass+"2")
	run(0, "restored to", "restore", out, "--passphrase-file", pass)
	run(0, "not settled", "status")
	run(0, "the next start takes the data for right", "accept")
	run(0, "", "forget", "1")
	run(1, "no backup of this generation", "forget", "1")
	for _, args := range [][]string{nil, {"lose"}, {"backup"}, {"restore"}, {"forget", "x"}, {"rotate", "now"}, {"replay", "x"}, {"rotate-log-key", "a", "b"}} {
		run(2, "usage: assent vault", args...)
	}
	run(1, "there is no data", "replay")
	run(1, "no such tenant", "rotate-log-key", "nobody")
	if v, err = vault.Open(at, vault.Options{}); err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if got, err := v.Key(refs[0], nil); err != nil || got != key {
		t.Errorf("the key: %v", err)
	}
}

// The log's key is rotated, and the older one retired, by commands between runs
// of serve; data that is put back is replayed by one.
func TestLogKeysAreRotatedAndOldDataReplayed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	env := map[string]string{"ASSENT_ADDR": "127.0.0.1:0", "ASSENT_DATA": filepath.Join(dir, "data"), "ASSENT_ADMIN_KEY": testKey + "_of_24_characters"}
	vaultCommand := func(status int, want string, args ...string) {
		t.Helper()
		got := assentWith(t, env, nil, append([]string{"vault"}, args...)...)
		if got.status != status || !strings.Contains(got.out+got.err, want) {
			t.Errorf("vault %v: %+v, want %d and %q", args, got, status, want)
		}
	}
	serve := func(args ...string) {
		t.Helper()
		s, err := serveWith(t, env)
		if err != nil {
			t.Fatal(err)
		}
		defer s.stop()
		got := assentWith(t, map[string]string{"ASSENT_URL": s.url, "ASSENT_KEY": env["ASSENT_ADMIN_KEY"]}, nil, args...)
		if got.status != 0 {
			t.Errorf("%v: %+v", args, got)
		}
		// Until a checkpoint covers what the commands before have entered.
		for status := http.StatusConflict; status == http.StatusConflict; {
			req, err := http.NewRequest("GET", s.url+"/v1/log/proof/5", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+env["ASSENT_ADMIN_KEY"])
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			status = resp.StatusCode
			resp.Body.Close()
		}
	}
	serve("consent", "grant", "ada", "rag_retrieval_v1.0")
	vaultCommand(1, "no earlier key", "retire-log-key", "default")
	vaultCommand(0, "nothing to replay", "replay")
	if err := os.CopyFS(filepath.Join(dir, "old"), os.DirFS(filepath.Join(dir, "data"))); err != nil {
		t.Fatal(err)
	}
	vaultCommand(0, "default: the log has a new key", "rotate-log-key")
	vaultCommand(1, "retire it first", "rotate-log-key")
	vaultCommand(1, "start the gateway once", "retire-log-key")
	serve("consent", "revoke", "ada", "rag_retrieval_v1.0")
	vaultCommand(0, "signs no more", "retire-log-key")
	if err := errors.Join(os.RemoveAll(filepath.Join(dir, "data")), os.Rename(filepath.Join(dir, "old"), filepath.Join(dir, "data")),
		os.Chmod(filepath.Join(dir, "data"), 0o700), os.Chmod(filepath.Join(dir, "data", "assent.db"), 0o600)); err != nil {
		t.Fatal(err)
	}
	vaultCommand(0, "replayed; of 0 only the leaf", "replay")
	serve("consent", "show", "ada")
}
