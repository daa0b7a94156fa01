package openaiembed_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/assent-gateway/assent/internal/openaiembed"
)

// request is what came over the wire.
type request struct {
	Input      []string `json:"input"`
	Model      string   `json:"model"`
	Format     string   `json:"encoding_format"`
	Dimensions int      `json:"dimensions"`
	auth       string
	path       string
}

// endpoint speaks the protocol on a real socket, and is told how to fail.
type endpoint struct {
	*httptest.Server
	mu      sync.Mutex
	got     []request
	atOnce  int
	most    int
	answer  func(n int, r request, w http.ResponseWriter) bool // false: the usual answer
	entered chan struct{}
	goOn    chan struct{}
}

const dims = 3

// vectorOf is told apart by its text.
func vectorOf(text string, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(len(text)) + float32(i)/8
	}
	return v
}

type datum struct {
	Object    string    `json:"object"`
	Index     int       `json:"index"`
	Embedding []float32 `json:"embedding"`
}

func serve(t *testing.T, answer func(n int, r request, w http.ResponseWriter) bool) *endpoint {
	e := &endpoint{answer: answer}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var req request
		if err := json.Unmarshal(body, &req); err != nil {
			t.Errorf("a request that is no JSON: %v", err)
		}
		req.auth, req.path = r.Header.Get("Authorization"), r.URL.Path
		e.mu.Lock()
		e.got = append(e.got, req)
		n := len(e.got)
		e.atOnce++
		e.most = max(e.most, e.atOnce)
		e.mu.Unlock()
		defer func() { e.mu.Lock(); e.atOnce--; e.mu.Unlock() }()
		if e.entered != nil {
			e.entered <- struct{}{}
			<-e.goOn
		}
		if e.answer != nil && e.answer(n, req, w) {
			return
		}
		usual(req, w)
	}))
	t.Cleanup(e.Close)
	return e
}

// usual answers in an order that is not that of the request.
func usual(r request, w http.ResponseWriter) {
	n := dims
	if r.Dimensions != 0 {
		n = r.Dimensions
	}
	var data []datum
	for i, text := range r.Input {
		data = append(data, datum{"embedding", i, vectorOf(text, n)})
	}
	rand.Shuffle(len(data), func(i, j int) { data[i], data[j] = data[j], data[i] })
	_ = json.NewEncoder(w).Encode(map[string]any{"object": "list", "model": r.Model, "data": data})
}

func (e *endpoint) requests() []request {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.got)
}

// clock is time that moves only when somebody waits.
type clock struct {
	mu    sync.Mutex
	now   time.Time
	waits []time.Duration
}

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }
func (c *clock) Wait(_ context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	c.waits = append(c.waits, d)
	return nil
}

func connect(t *testing.T, e *endpoint, change ...func(*openaiembed.Config)) (*openaiembed.Endpoint, *clock) {
	t.Helper()
	c := &clock{now: time.Unix(1e9, 0)}
	cfg := openaiembed.Config{
		URL: e.URL + "/v1", Key: "sk-secret", Model: "m", Dimensions: dims,
		Now: c.Now, Wait: c.Wait, Chance: func() float64 { return 1 },
	}
	for _, f := range change {
		f(&cfg)
	}
	emb, err := openaiembed.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return emb, c
}

func status(w http.ResponseWriter, code int, header ...string) bool {
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		w.Header().Set(name, value)
	}
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"error":{"message":"the endpoint quotes: secret text","type":"x"}}`)
	return true
}

func body(w http.ResponseWriter, format string, args ...any) bool {
	fmt.Fprintf(w, format, args...)
	return true
}
