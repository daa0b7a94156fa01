package announce

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestADirGetsAFileForEachCheckpoint(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "checkpoints")
	d, err := NewDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time changes nothing
		for size, text := range map[uint64]string{1: "one", 42: "two"} {
			if err := d.Send(t.Context(), "log.example.org/t/default", size, []byte(text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		got[e.Name()] = string(b)
	}
	if len(got) != 2 || got["log.example.org_t_default-1.checkpoint"] != "one" || got["log.example.org_t_default-42.checkpoint"] != "two" {
		t.Errorf("files: %v", got)
	}
	// Another of the same size is kept beside the first, and said to be a fork.
	for range 2 {
		if err := d.Send(t.Context(), "log.example.org/t/default", 42, []byte("three")); !errors.Is(err, ErrForked) {
			t.Errorf("a fork: %v", err)
		}
	}
	forks, err := filepath.Glob(filepath.Join(dir, "*-42.checkpoint*"))
	if err != nil || len(forks) != 2 {
		t.Fatalf("files of one size: %v %v", forks, err)
	}
	for i, want := range []string{"two", "three"} {
		if b, err := os.ReadFile(forks[i]); err != nil || string(b) != want {
			t.Errorf("%s holds %q, want %q: %v", filepath.Base(forks[i]), b, want, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := d.Send(t.Context(), "o", 1, nil); err == nil || strings.Contains(err.Error(), dir) {
		t.Errorf("without its directory: %v", err)
	}
}

func TestAWebhookGetsTheCheckpoint(t *testing.T) {
	t.Parallel()
	status, body, kind := 204, "", ""
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		body, kind = r.Method+" "+string(b), r.Header.Get("Content-Type")
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
	}))
	defer s.Close()
	w, err := NewWebhook(s.URL + "/hook?secret=CANARY")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Send(t.Context(), "o", 1, []byte("text")); err != nil || body != "POST text" || kind != "text/plain; charset=utf-8" {
		t.Errorf("%v: %q of %s", err, body, kind)
	}
	for _, status = range []int{302, 404, 500} {
		if err := w.Send(t.Context(), "o", 1, nil); err == nil || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%d: %v", status, err)
		}
	}
	s.Close()
	if err := w.Send(t.Context(), "o", 1, nil); err == nil || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("nobody listens: %v", err)
	}
	for _, bad := range []string{"", "example.org", "ftp://CANARY", "http://", "://CANARY"} {
		if _, err := NewWebhook(bad); err == nil || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
