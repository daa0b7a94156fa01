package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const testKey = "assent_test"

// A fake speaks as much of the contract as the client's streams need, and
// fails where a test tells it to. What it says of documents is what the
// contract says: stored, unchanged, refused (owner "nobody"), invalid (no text).
type fake struct {
	*httptest.Server
	t *testing.T

	mu          sync.Mutex
	collections map[string]string // settings as they came
	documents   map[string]string
	requests    [][]string // the lines of each request to a stream

	// fault, if set, is called with the number of the stream's request, from 1.
	// If it returns true, it has answered.
	fault func(n int, w http.ResponseWriter, lines []string) bool
}

func newFake(t *testing.T) *fake {
	f := &fake{t: t, collections: map[string]string{}, documents: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /v1/collections/{c}", f.getCollection)
	mux.HandleFunc("PUT /v1/collections/{c}", f.putCollection)
	mux.HandleFunc("POST /v1/collections/{c}/documents", f.stream(f.document))
	mux.HandleFunc("POST /v1/consent", f.stream(f.entry))
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" && r.Header.Get("Authorization") != "Bearer "+testKey {
			problemAnswer(w, 401, "unauthenticated")
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(f.Close)
	return f
}

func problemAnswer(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"type":"urn:assent:problem:%s","title":"Title of %s","status":%d}`, code, code, status)
}

func (f *fake) getCollection(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.collections[r.PathValue("c")]; !ok {
		problemAnswer(w, 404, "not_found")
		return
	}
	fmt.Fprint(w, `{}`)
}

func (f *fake) putCollection(w http.ResponseWriter, r *http.Request) {
	var body strings.Builder
	if _, err := bufio.NewReader(r.Body).WriteTo(&body); err != nil {
		f.t.Error(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.collections[r.PathValue("c")] = body.String()
	w.WriteHeader(http.StatusCreated)
	fmt.Fprint(w, `{}`)
}

func (f *fake) stream(result func(line string) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Content-Type"); got != "application/x-ndjson" {
			f.t.Errorf("Content-Type %q", got)
		}
		var lines []string
		in := bufio.NewScanner(r.Body)
		in.Buffer(nil, 2*maxLine)
		for in.Scan() {
			lines = append(lines, in.Text())
		}
		f.mu.Lock()
		f.requests = append(f.requests, lines)
		n := len(f.requests)
		f.mu.Unlock()
		if f.fault != nil && f.fault(n, w, lines) {
			return
		}
		for _, l := range lines {
			fmt.Fprintln(w, result(l))
		}
	}
}

// document answers a line as ingest does.
func (f *fake) document(line string) string {
	var d struct {
		ID     string
		Text   string
		Owners []string
	}
	status, more := "stored", `,"passages":1`
	f.mu.Lock()
	defer f.mu.Unlock()
	switch err := json.Unmarshal([]byte(line), &d); {
	case err != nil:
		return `{"id":"","status":"invalid","field":"id","reason":"has the wrong type"}`
	case d.Text == "":
		status, more = "invalid", `,"field":"text","reason":"is required"`
	case len(d.Owners) > 0 && d.Owners[0] == "nobody":
		status, more = "refused", `,"reason":"no_record"`
	case f.documents[d.ID] == line:
		status = "unchanged"
	default:
		f.documents[d.ID] = line
	}
	id, err := json.Marshal(d.ID)
	if err != nil {
		f.t.Error(err)
	}
	return fmt.Sprintf(`{"id":%s,"status":%q%s}`, id, status, more)
}

// entry answers a line as an import of consent does.
func (f *fake) entry(line string) string {
	var e struct {
		UserID string `json:"user_id"`
	}
	if err := json.Unmarshal([]byte(line), &e); err != nil || e.UserID == "" {
		return `{"line":1,"status":"invalid","field":"user_id","reason":"is required"}`
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.documents[e.UserID] = line
	return `{"line":1,"status":"recorded","ledger_position":2,"decision":{"allowed":true,"reason":"granted"}}`
}

// cut answers with some results and then breaks the connection.
func cut(w http.ResponseWriter, results ...string) bool {
	for _, r := range results {
		fmt.Fprint(w, r)
	}
	if err := http.NewResponseController(w).Flush(); err != nil {
		panic(err)
	}
	panic(http.ErrAbortHandler)
}

// docs returns n documents as lines, from "d1".
func docs(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"id":"d%d","owners":["user:ada"],"text":"t"}`+"\n", i+1)
	}
	return b.String()
}

// ids returns the ids of lines, for comparison.
func ids(lines []string) string {
	var out []string
	for _, l := range lines {
		var d struct{ ID string }
		if json.Unmarshal([]byte(l), &d) != nil {
			d.ID = strconv.Quote(l)
		}
		out = append(out, d.ID)
	}
	return strings.Join(out, " ")
}
