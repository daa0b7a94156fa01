package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/assent-gateway/assent/internal/testpg"
)

func TestWhatGoesWithAPostgres(t *testing.T) {
	t.Parallel()
	const data, keys = "postgres://u:hush@db.example/data", "postgres://u:hush@keys.example/vault"
	for name, c := range map[string]struct {
		env  map[string]string
		want string // "": it is taken
	}{
		"both":                {map[string]string{"ASSENT_POSTGRES_URL": data, "ASSENT_VAULT_URL": keys}, ""},
		"a vault directory":   {map[string]string{"ASSENT_POSTGRES_URL": data}, ""},
		"no Postgres":         {map[string]string{"ASSENT_VAULT_URL": keys}, "set ASSENT_POSTGRES_URL"},
		"one database":        {map[string]string{"ASSENT_POSTGRES_URL": data, "ASSENT_VAULT_URL": data}, "one of its own"},
		"a data directory":    {map[string]string{"ASSENT_POSTGRES_URL": data, "ASSENT_VAULT_URL": keys, "ASSENT_DATA": "d"}, ""},
		"a doubtful override": {map[string]string{"ASSENT_ALLOW_PARAMETER_LOGGING": "yes"}, "ASSENT_ALLOW_PARAMETER_LOGGING"},
	} {
		cfg, err := load(c.env)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: the error shows a password", name)
		}
		if err == nil {
			var out strings.Builder
			cfg.print(&out)
			if strings.Contains(out.String(), "hush") || !strings.Contains(out.String(), "ASSENT_POSTGRES_URL  (set, hidden)") || strings.Contains(out.String(), "ASSENT_VAULT_URL     (set, hidden)") != (c.env["ASSENT_VAULT_URL"] != "") {
				t.Error(out.String())
			}
		}
	}
}

// output collects what a program says, and waits for a line of it.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.more <- struct{}{}:
	default:
	}
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// tryServing runs assent serve until the test ends and returns where it serves,
// or why it does not.
func tryServing(t *testing.T, env map[string]string) (url, said string, err error) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	out := &output{more: make(chan struct{}, 1)}
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"serve"}, func(name string) string { return env[name] }, nil, out, io.Discard)
	}()
	for {
		select {
		case err := <-ended:
			stop()
			return "", out.String(), err
		case <-out.more:
		}
		if _, after, ok := strings.Cut(out.String(), "serving on "); ok && strings.Contains(after, "consent show") {
			url, _, _ = strings.Cut(after, "\n")
			t.Cleanup(func() {
				stop()
				if err := <-ended; err != nil {
					t.Errorf("stopped with %v", err)
				}
			})
			return url, out.String(), nil
		}
	}
}

// Two gateways as the README sets them up: the second needs a copy of the
// epoch key, and then says what the first was told.
func TestServeOnPostgres(t *testing.T) {
	t.Parallel()
	s := testpg.Start(t)
	dir := t.TempDir()
	keys := s.Database(t)
	env := func(vault string) map[string]string {
		return map[string]string{
			"ASSENT_ADDR": "127.0.0.1:0", "ASSENT_VAULT": filepath.Join(dir, vault),
			"ASSENT_DATA": filepath.Join(dir, vault+".data"), "ASSENT_POSTGRES_URL": s.URL("postgres"), "ASSENT_VAULT_URL": keys,
		}
	}
	first, said, err := tryServing(t, env("one"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(said, "assent: LIMIT: ") != 2 {
		t.Errorf("a server without synchronous replication is not called a limit:\n%s", said)
	}
	if _, _, err := tryServing(t, env("two")); err == nil || !strings.Contains(err.Error(), "epoch-1") {
		t.Fatalf("without the epoch key: %v", err)
	}
	key, err := os.ReadFile(filepath.Join(dir, "one", "epoch-1"))
	if err == nil {
		err = os.Mkdir(filepath.Join(dir, "two"), 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "two", "epoch-1"), key, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	second, _, err := tryServing(t, env("two"))
	if err != nil {
		t.Fatal(err)
	}
	at := func(url, vault string, args ...string) string {
		t.Helper()
		got := assentWith(t, map[string]string{"ASSENT_URL": url, "ASSENT_VAULT": filepath.Join(dir, vault)}, nil, args...)
		if got.status != 0 {
			t.Fatalf("%v: %+v", args, got)
		}
		return got.out
	}
	at(first, "one", "consent", "grant", "ada", "rag_retrieval_v1.0")
	if said := at(second, "two", "consent", "show", "ada"); !strings.Contains(said, "granted") {
		t.Errorf("the second gateway says %s", said)
	}
	status := assentWith(t, env("two"), nil, "vault", "status")
	if status.status != 0 || !strings.Contains(status.out, "journal of default") {
		t.Errorf("vault status: %+v", status)
	}
	if replay := assentWith(t, env("two"), nil, "vault", "replay"); replay.status != 0 || !strings.Contains(replay.out, "nothing to replay") {
		t.Errorf("vault replay: %+v", replay)
	}
	if rotate := assentWith(t, env("two"), nil, "vault", "rotate"); rotate.status != 1 || !strings.Contains(rotate.err, "cannot be rotated yet") {
		t.Errorf("vault rotate: %+v", rotate)
	}
}
