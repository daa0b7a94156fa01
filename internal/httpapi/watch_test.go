package httpapi_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/assent-gateway/assent/internal/httpapi"
	"github.com/assent-gateway/assent/internal/logging"
)

// TestAnAnswerThatBreaksOffDoesNotLookWhole: a panic after the first bytes
// cuts the connection, is logged by type, and leaves the server up.
func TestAnAnswerThatBreaksOffDoesNotLookWhole(t *testing.T) {
	t.Parallel()
	out := &logs{}
	e := httpapi.Engine(httpapi.Deps{Log: logging.New(out, slog.LevelDebug)})
	e.GET("/half", func(g *gin.Context) {
		g.Writer.WriteString("half of an answer")
		g.Writer.Flush()
		panic(&http.MaxBytesError{})
	})
	e.GET("/whole", func(*gin.Context) { panic("CANARY") })
	ts := httptest.NewUnstartedServer(e)
	ts.Config = httpapi.Server("", e)
	ts.Start()
	defer ts.Close()
	resp, err := http.Get(ts.URL + "/half")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err == nil || strings.Contains(string(body), "problem") {
		t.Errorf("the client takes %q for the whole answer", body)
	}
	resp, err = http.Get(ts.URL + "/whole?q=CANARY")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 500 || resp.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("status %d, %s", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	for _, want := range []string{`"panic_type":"*http.MaxBytesError"`, `"panic_type":"string"`, `"route":"/whole"`, `"status":500`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the log lacks %s: %s", want, out)
		}
	}
	if strings.Contains(out.String(), "CANARY") {
		t.Errorf("the log says %s", out)
	}
}

func TestTheAccessLogNamesTemplatesOnly(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.do(t, "GET", "/v1/consent/secret-person", "").is(200)
	s.do(t, "GET", "/v1/secret-place", "").is(404)
	out := s.logs.String()
	for _, want := range []string{`"method":"GET","route":"/v1/consent/:user","status":200`, `"route":"unmatched","status":404`, `"duration":`, `"bytes":`} {
		if !strings.Contains(out, want) {
			t.Errorf("the access log lacks %s: %s", want, out)
		}
	}
	if strings.Contains(out, "secret") || strings.Contains(out, "192.0.2") || strings.Contains(out, "attributes_dropped") {
		t.Errorf("the access log says %s", out)
	}
}

func TestAServerHasEveryTimeout(t *testing.T) {
	t.Parallel()
	s := httpapi.Server("127.0.0.1:0", http.NotFoundHandler())
	if s.ReadHeaderTimeout == 0 || s.ReadTimeout == 0 || s.WriteTimeout == 0 || s.IdleTimeout == 0 || s.MaxHeaderBytes == 0 || s.ErrorLog == nil {
		t.Errorf("unset: %+v", s)
	}
}

func TestKeyLocks(t *testing.T) {
	t.Parallel()
	l := httpapi.NewLocks()
	a, b := [32]byte{1}, [32]byte{2}
	releaseA, err := l.Lock(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	releaseB, err := l.Lock(t.Context(), b) // another key does not wait
	if err != nil {
		t.Fatal(err)
	}
	releaseB()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := l.Lock(ctx, a); err == nil {
		t.Error("two hold one lock")
	}
	releaseA()
	count := 0
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			release, err := l.Lock(t.Context(), a)
			if err != nil {
				t.Error(err)
				return
			}
			count++ // the race detector watches
			release()
		})
	}
	wg.Wait()
	if count != 50 || l.Held() != 0 {
		t.Errorf("%d had it, %d are left", count, l.Held())
	}
}
