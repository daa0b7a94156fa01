package main

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/assent-gateway/assent/internal/localkms"
	"github.com/assent-gateway/assent/internal/vault"
)

// A vault moves into a key service by a rotation; from then on nothing opens
// without it, and what it lost the gateway does not serve.
func TestAKeyServiceHoldsTheEpochKey(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "kms") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	service := localkms.NewServer("a token", "assent")
	listener, err := net.Listen("unix", filepath.Join(dir, "kms"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: service}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	token := write(t, "token", "a token\n")
	env := map[string]string{"ASSENT_ADDR": "127.0.0.1:0", "ASSENT_DATA": filepath.Join(dir, "data")}
	with := map[string]string{
		"ASSENT_KMS_URL": "unix://" + filepath.Join(dir, "kms"), "ASSENT_KMS_KEY": "assent", "ASSENT_KMS_TOKEN_FILE": token,
		"ASSENT_ADDR": env["ASSENT_ADDR"], "ASSENT_DATA": env["ASSENT_DATA"],
	}
	serve := func(env map[string]string) error {
		s, err := serveWith(t, env)
		if err != nil {
			return err
		}
		return s.stop()
	}
	epochs := func() string {
		names, err := filepath.Glob(filepath.Join(dir, "data.vault", "epoch-*"))
		if err != nil || len(names) != 1 {
			t.Fatal(names, err)
		}
		b, err := os.ReadFile(names[0])
		if err != nil {
			t.Fatal(err)
		}
		return filepath.Base(names[0]) + string(bytes.TrimRight(b[:8], "\x00"))
	}
	if err := serve(env); err != nil {
		t.Fatal(err)
	}
	clear := epochs()
	if err := serve(with); err != nil || epochs() != clear {
		t.Errorf("a start alone changed the epoch: %v", err)
	}
	if got := assentWith(t, with, nil, "vault", "rotate"); got.status != 0 {
		t.Fatal(got.err)
	}
	if now := epochs(); now == clear || now[len("epoch-2"):] == clear[len("epoch-1"):] {
		t.Errorf("the epoch key is not wrapped: %q, before %q", now, clear)
	}
	if err := serve(with); err != nil {
		t.Error(err)
	}
	if err := serve(env); !errors.Is(err, vault.ErrNoKMS) {
		t.Errorf("served without the service: %v", err)
	}
	if got := assentWith(t, env, nil, "vault", "status"); got.status != 1 || !strings.Contains(got.err, "ASSENT_KMS_URL") {
		t.Errorf("%+v", got)
	}
	service.Destroy("assent")
	if err := serve(with); !errors.Is(err, vault.ErrKMSRefused) {
		t.Errorf("served although the service lost the key: %v", err)
	}
}

func TestAKeyServiceIsNotAskedInClear(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ url, key, want string }{
		{"http://kms.example.org", "k", "neither"}, {"ftp://127.0.0.1", "k", "neither"}, {"unix://host/path", "k", "neither"},
		{"https://u:p@kms.example.org", "k", "holds a user"}, {"https://kms.example.org?x=1", "k", "holds a user"}, {"", "k", "need ASSENT_KMS_URL"},
	} {
		_, err := kmsFrom(func(name string) string {
			return map[string]string{"ASSENT_KMS_URL": c.url, "ASSENT_KMS_KEY": c.key}[name]
		})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v", c.url, err)
		}
	}
	for _, url := range []string{"http://127.0.0.1:8200", "http://localhost:1", "https://kms.example.org/x", "unix:///run/kms"} {
		if k, err := kmsFrom(func(name string) string { return map[string]string{"ASSENT_KMS_URL": url}[name] }); err != nil || k.service == nil {
			t.Errorf("%q: %v", url, err)
		}
	}
}
