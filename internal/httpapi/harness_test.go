package httpapi_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/go-json-experiment/json"

	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/httpapi"
	"github.com/assent-gateway/assent/internal/logging"
	"github.com/assent-gateway/assent/internal/telemetry"
)

const operator = "assent_operator_of_the_tests"

// server is a gateway on a fresh directory behind its HTTP interface. Every
// answer is compared with openapi.yaml.
type server struct {
	*gateway.Gateway
	http.Handler
	spec *openapi3.T
	logs *logs
}

type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func open(t testing.TB, change ...func(*gateway.Config)) *server {
	t.Helper()
	s := &server{logs: &logs{}}
	cfg := gateway.Config{
		DataDir: filepath.Join(t.TempDir(), "data"), AdminKey: operator, Log: logging.New(s.logs, slog.LevelDebug),
	}
	for _, c := range change {
		c(&cfg)
	}
	g, err := gateway.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	s.Gateway, s.Handler, s.spec = g, g.Handler(), loadSpec(t)
	return s
}

// metricsHere opens a gateway that serves its metrics beside the rest.
func metricsHere(t testing.TB) func(*gateway.Config) {
	t.Helper()
	tel, err := telemetry.New(t.Context(), telemetry.Config{Routes: httpapi.Templates()})
	if err != nil {
		t.Fatal(err)
	}
	return func(c *gateway.Config) { c.Telemetry, c.MetricsHere = tel, true }
}

func loadSpec(t testing.TB) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(httpapi.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// an answer is a response whose body was read.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	body   []byte
}

// ask sends a request; headers are given as "Name: value".
func (s *server) ask(t testing.TB, key, method, path, body string, headers ...string) *answer {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Content-Type" {
			r.Header.Del(name)
		}
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	a := &answer{t, w.Code, w.Header(), w.Body.Bytes()}
	s.conform(t, r, a)
	return a
}

// do is ask with the operator's key.
func (s *server) do(t testing.TB, method, path, body string, headers ...string) *answer {
	t.Helper()
	return s.ask(t, operator, method, path, body, headers...)
}

// conform compares an answer with openapi.yaml.
func (s *server) conform(t testing.TB, r *http.Request, a *answer) {
	t.Helper()
	tile := strings.HasPrefix(r.URL.Path, "/log/") && strings.Contains(r.URL.Path, "/tile/") && a.status == 200
	if tile != strings.HasSuffix(a.header.Get("Cache-Control"), ", max-age=31536000, immutable") || !tile && a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s: caching of an answer: %s", r.Method, a.header.Get("Cache-Control"))
	}
	if a.header.Get("Location") != "" {
		t.Error("an answer redirects")
	}
	route := s.find(r)
	if route == nil {
		if a.status != 404 && a.status != 405 {
			t.Errorf("status %d on a route that openapi.yaml does not have", a.status)
		}
		return
	}
	in := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, Route: route},
		Status:                 a.status, Header: a.header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	}
	if strings.Contains(a.header.Get("Content-Type"), "ndjson") || strings.Contains(r.URL.Path, "/files/") && a.status == 200 ||
		strings.Contains(a.header.Get("Content-Type"), "dsse") || strings.Contains(a.header.Get("Content-Type"), "ld+json") || strings.Contains(a.header.Get("Content-Type"), "yaml") || tile {
		in.Options.ExcludeResponseBody = true // there is no decoder for these; tests read them
	}
	in.SetBodyBytes(a.body)
	if err := openapi3filter.ValidateResponse(t.Context(), in); err != nil {
		t.Errorf("%s %s answers %d otherwise than openapi.yaml says: %v\n%s", r.Method, route.Path, a.status, err, a.body)
	}
}

// find matches segment by segment: literal ones first.
func (s *server) find(r *http.Request) *routers.Route {
	segments := strings.Split(r.URL.EscapedPath(), "/")
	var best *routers.Route
	for path, item := range s.spec.Paths.Map() {
		op := item.GetOperation(r.Method)
		parts := strings.Split(path, "/")
		rest := parts[len(parts)-1] == "{path}" // which holds slashes, as no other parameter
		if op == nil || len(parts) != len(segments) && !(rest && len(parts) < len(segments)) {
			continue
		}
		match := true
		for i, p := range parts {
			match = match && (p == segments[i] || strings.HasPrefix(p, "{") && segments[i] != "")
		}
		if match && (best == nil || strings.Count(path, "{") < strings.Count(best.Path, "{")) {
			best = &routers.Route{Spec: s.spec, Path: path, PathItem: item, Method: r.Method, Operation: op}
		}
	}
	return best
}

// is fails unless the answer has a status, and for problems a code and a field.
func (a *answer) is(status int, problem ...string) *answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	if len(problem) > 0 {
		var p struct {
			Code   string `json:"code"`
			Field  string `json:"field"`
			Type   string `json:"type"`
			Status int    `json:"status"`
		}
		a.read(&p)
		want := append(problem, "")[1]
		if p.Code != problem[0] || p.Field != want || p.Type != "urn:assent:problem:"+p.Code || p.Status != status {
			a.t.Fatalf("problem %s, want code %q field %q", a.body, problem[0], want)
		}
		if a.header.Get("Content-Type") != "application/problem+json" {
			a.t.Fatalf("a problem of type %s", a.header.Get("Content-Type"))
		}
	}
	return a
}

func (a *answer) read(into any) {
	a.t.Helper()
	if err := json.Unmarshal(a.body, into); err != nil {
		a.t.Fatalf("%v: %s", err, a.body)
	}
}

// get returns a member by its path, "hits.0.text", as text; "" when absent.
func (a *answer) get(path string) string {
	a.t.Helper()
	var v any
	a.read(&v)
	for _, step := range strings.Split(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[step]
		case []any:
			var i int
			if _, err := fmt.Sscan(step, &i); err != nil || i >= len(x) {
				return ""
			}
			v = x[i]
		}
	}
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

// key makes a key with these scopes and returns its secret; more is JSON
// members besides.
func (s *server) key(t testing.TB, scopes string, more ...string) string {
	t.Helper()
	list := `["` + strings.ReplaceAll(scopes, " ", `","`) + `"]`
	body := `{"name":"k","scopes":` + list
	if !strings.Contains(strings.Join(more, ""), `"purposes"`) {
		body += `,"purposes":["rag_retrieval","embedding"]`
	}
	for _, m := range more {
		body += "," + m
	}
	return s.do(t, "POST", "/v1/keys", body+"}").is(201).get("key")
}

// collection makes one that the whole tenant sees.
func (s *server) collection(t testing.TB, name string) {
	t.Helper()
	s.do(t, "PUT", "/v1/collections/"+name, `{"default_visibility":"tenant"}`).is(201)
}

// says records a status for people, for retrieval and embedding.
func (s *server) says(t testing.TB, status string, people ...string) {
	t.Helper()
	for _, p := range people {
		for _, typ := range []string{"embedding_v1.0", "rag_retrieval_v1.0"} {
			a := s.do(t, "POST", "/v1/consent", fmt.Sprintf(`{"user_id":%q,"consent_type":%q,"status":%q,"source":"test"}`, p, typ, status))
			if a.status != 200 && a.status != 201 {
				a.is(201)
			}
		}
	}
}

// store ingests one document of an owner who permits.
func (s *server) store(t testing.TB, collection, id, owner, text string) {
	t.Helper()
	body := fmt.Sprintf(`{"documents":[{"id":%q,"owners":[%q],"title":"t","text":%q,"metadata":{"lang":"en"},"source":"src"}]}`, id, owner, text)
	a := s.do(t, "POST", "/v1/collections/"+collection+"/documents", body).is(200)
	if got := a.get("results.0.status"); got != "stored" {
		t.Fatalf("not stored: %s", a.body)
	}
}

// manifest has one built and returns it when it is ready.
func (s *server) manifest(t testing.TB, body string) *answer {
	t.Helper()
	return s.ready(t, s.do(t, "POST", "/v1/manifests", body).is(202).get("id"))
}

// ready waits until a manifest is.
func (s *server) ready(t testing.TB, id string) *answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // against deadlocks
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		a := s.do(t, "GET", "/v1/manifests/"+id, "").is(200)
		switch a.get("state") {
		case "ready":
			return a
		case "failed":
			t.Fatalf("the build failed: %s", a.body)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("the build does not end")
		}
	}
}

// listen serves the handler over TCP as it would be served.
func (s *server) listen(t testing.TB) *url.URL {
	t.Helper()
	ts := httptest.NewUnstartedServer(s.Handler)
	ts.Config = httpapi.Server("", s.Handler)
	ts.Start()
	t.Cleanup(ts.Close)
	u, err := url.Parse(ts.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func stream(t testing.TB, u *url.URL, path string, body io.Reader) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", u.JoinPath(path).String(), body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+operator)
	r.Header.Set("Content-Type", "application/x-ndjson")
	client := http.Client{Timeout: 30 * time.Second}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}
