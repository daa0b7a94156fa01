package main

import (
	"bufio"
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"
)

func TestServeAnswersWhereItSaysAndStopsWhenAsked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	env := map[string]string{"ASSENT_ADDR": "127.0.0.1:0", "ASSENT_DATA": filepath.Join(dir, "data")}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, stdout := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, []string{"serve"}, func(name string) string { return env[name] }, nil, stdout, io.Discard)
		stdout.CloseWithError(io.EOF)
		ended <- err
	}()
	url := ""
	said := bufio.NewScanner(out)
	for url == "" && said.Scan() {
		_, url, _ = strings.Cut(said.Text(), "serving on ")
	}
	go io.Copy(io.Discard, out)
	if url == "" {
		t.Fatalf("it does not say where it serves: %v", <-ended)
	}
	// The client finds the key in the vault beside the data by itself.
	got := assentWith(t, map[string]string{"ASSENT_URL": url, "ASSENT_DATA": env["ASSENT_DATA"]}, nil, "keys", "list")
	if got.status != 0 || !strings.HasPrefix(got.out, "ID ") {
		t.Errorf("%+v", got)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("stopped with %v", err)
	}
}
