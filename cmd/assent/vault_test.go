package main

import (
	"io"
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
	for _, args := range [][]string{nil, {"lose"}, {"backup"}, {"restore"}, {"forget", "x"}, {"rotate", "now"}} {
		run(2, "usage: assent vault", args...)
	}
	if v, err = vault.Open(at, vault.Options{}); err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if got, err := v.Key(refs[0], nil); err != nil || got != key {
		t.Errorf("the key: %v", err)
	}
}
