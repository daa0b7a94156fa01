package verify_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assent-gateway/assent/internal/verify"
	"github.com/assent-gateway/assent/internal/verify/testlog"
)

const token = "the-token"

// serve serves a log's files below a prefix, to those with the token.
func serve(t *testing.T, files testlog.Files) *httptest.Server {
	return server(t, func(w http.ResponseWriter, r *http.Request) {
		b, ok := files[strings.TrimPrefix(r.URL.Path, "/log/t/")]
		switch {
		case r.Header.Get("Authorization") != "Bearer "+token:
			w.WriteHeader(http.StatusUnauthorized)
		case !ok:
			w.WriteHeader(http.StatusNotFound)
		default:
			w.Header().Set("Content-Length", strconv.Itoa(len(b)))
			_, _ = w.Write(b)
		}
	})
}

func server(t *testing.T, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func remote(t *testing.T, base, token string) *verify.Remote {
	t.Helper()
	r, err := verify.NewRemote(base, token)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRemoteLog(t *testing.T) {
	log := testlog.New(origin, 1).Grow(3000)
	s := serve(t, log.Files(3000))
	for _, base := range []string{s.URL + "/log/t", s.URL + "/log/t/"} {
		var last uint64
		w := verify.Walk{Source: remote(t, base, token), Trust: trust(t, log), Old: log.Checkpoint(2000),
			Progress: func(done, total uint64) { last = done; _ = total }}
		if r, err := w.Run(t.Context()); err != nil || r.Tiles != 13 || last != 3000 {
			t.Errorf("%+v, %v, progress %d", r, err, last)
		}
	}
	w := verify.Walk{Source: remote(t, s.URL+"/log/t", "another"), Trust: trust(t, log)}
	_, err := w.Run(t.Context())
	if why := new(verify.Refusal); err == nil || errors.As(err, &why) {
		t.Errorf("without the token: %v; that says nothing about the log", err)
	}
	files := without(log.Files(3000), "tile/0/004")
	w = verify.Walk{Source: remote(t, serve(t, files).URL+"/log/t", token), Trust: trust(t, log)}
	if _, err := w.Run(t.Context()); !errors.Is(err, verify.ErrMissing) {
		t.Errorf("with a tile missing: %v", err)
	}
}

func TestRemoteFollowsNoRedirectToAnotherPlace(t *testing.T) {
	var asked atomic.Int32
	other := server(t, func(w http.ResponseWriter, r *http.Request) { asked.Add(1) })
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+"/checkpoint", http.StatusFound)
	})
	_, err := remote(t, s.URL, token).Read(t.Context(), "checkpoint", 100)
	if err == nil || asked.Load() != 0 {
		t.Errorf("%v, the other host was asked %d times", err, asked.Load())
	}
	inside := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/moved" {
			http.Redirect(w, r, "/moved", http.StatusFound)
		} else {
			_, _ = w.Write([]byte("here"))
		}
	})
	if b, err := remote(t, inside.URL, "").Read(t.Context(), "checkpoint", 100); string(b) != "here" {
		t.Errorf("a redirect on the same host: %q, %v", b, err)
	}
	loop := server(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) })
	if _, err := remote(t, loop.URL, "").Read(t.Context(), "checkpoint", 100); err == nil {
		t.Error("a loop of redirects ended well")
	}
}

func TestRemoteIsBoundedAndPatient(t *testing.T) {
	endless := server(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 4096)); err != nil {
				return
			}
		}
	})
	if _, err := remote(t, endless.URL, "").Read(t.Context(), "checkpoint", 1<<20); !errors.Is(err, verify.ErrTrailing) {
		t.Errorf("an answer without end: %v", err)
	}
	var asked atomic.Int32
	busy := server(t, func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) < 3 {
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		_, _ = w.Write([]byte("ok"))
	})
	if b, err := remote(t, busy.URL, "").Read(t.Context(), "checkpoint", 100); string(b) != "ok" {
		t.Errorf("a busy log: %q, %v", b, err)
	}
	down := server(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := remote(t, down.URL, "").Read(ctx, "checkpoint", 100); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a log that is down, for a caller in a hurry: %v", err)
	}
	for _, bad := range []string{"", "ftp://x/y", "https://", "https://x/y?z", "https://x/#y", "::"} {
		if _, err := verify.NewRemote(bad, ""); err == nil {
			t.Errorf("%q is an address", bad)
		}
	}
}
