package main

import (
	"bufio"
	"context"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// started is a gateway that serve runs, as its users see it.
type started struct {
	url  string
	stop func() error
}

// serveWith runs serve until stop; the error is why it did not come up.
func serveWith(t *testing.T, env map[string]string) (started, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, stdout := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, []string{"serve"}, func(name string) string { return env[name] }, nil, stdout, io.Discard)
		stdout.CloseWithError(io.EOF)
		ended <- err
	}()
	var s started
	said := bufio.NewScanner(out)
	for s.url == "" && said.Scan() {
		_, s.url, _ = strings.Cut(said.Text(), "serving on ")
	}
	go io.Copy(io.Discard, out)
	s.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	if s.url == "" {
		return s, s.stop()
	}
	t.Cleanup(func() { s.stop() })
	return s, nil
}

func TestServeAnswersWhereItSaysAndStopsWhenAsked(t *testing.T) {
	t.Parallel()
	env := map[string]string{"ASSENT_ADDR": "127.0.0.1:0", "ASSENT_DATA": filepath.Join(t.TempDir(), "data")}
	s, err := serveWith(t, env)
	if err != nil {
		t.Fatalf("it does not say where it serves: %v", err)
	}
	// The client finds the key in the vault beside the data by itself.
	got := assentWith(t, map[string]string{"ASSENT_URL": s.url, "ASSENT_DATA": env["ASSENT_DATA"]}, nil, "keys", "list")
	if got.status != 0 || !strings.HasPrefix(got.out, "ID ") {
		t.Errorf("%+v", got)
	}
	if err := s.stop(); err != nil {
		t.Errorf("stopped with %v", err)
	}
}
