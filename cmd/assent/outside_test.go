package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestMistakesAboutOthersAreNamedAtOnceAndNoSecret(t *testing.T) {
	t.Parallel()
	_, err := load(map[string]string{
		"ASSENT_EMBEDDINGS_URL": "http://hush.example/v1", "ASSENT_EMBEDDINGS_KEY": "hush",
		"ASSENT_EMBEDDINGS_DIMENSIONS": "hush", "ASSENT_METRICS_ADDR": "hush", "ASSENT_RATE_LIMIT": "hush",
		"OTEL_EXPORTER_OTLP_ENDPOINT": "hush", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, name := range []string{
		"ASSENT_EMBEDDINGS_URL would send texts over plain http", "ASSENT_ALLOW_PLAINTEXT_EMBEDDINGS=1", "ASSENT_EMBEDDINGS_MODEL is required",
		"ASSENT_EMBEDDINGS_DIMENSIONS is not between", "ASSENT_METRICS_ADDR is not host:port", "ASSENT_RATE_LIMIT is no number",
		"OTEL_EXPORTER_OTLP_ENDPOINT is no http", "OTEL_EXPORTER_OTLP_PROTOCOL is not http/protobuf",
	} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%q is not said: %v", name, err)
		}
	}
	if strings.Contains(err.Error(), "hush") {
		t.Errorf("a value is shown: %v", err)
	}
}

func TestSettingsOfAnEndpointThatIsNotSetAreAMistake(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"ASSENT_EMBEDDINGS_KEY", "ASSENT_EMBEDDINGS_MODEL", "ASSENT_EMBEDDINGS_REVISION", "ASSENT_EMBEDDINGS_DIMENSIONS"} {
		if _, err := load(map[string]string{name: "x"}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s alone: %v", name, err)
		}
	}
	for _, limit := range []string{"-1", "NaN", "+Inf", "1e10", "many"} {
		if _, err := load(map[string]string{"ASSENT_RATE_LIMIT": limit}); err == nil {
			t.Errorf("a limit of %s is taken", limit)
		}
	}
}

func TestAnEndpointIsOverriddenAndPrintedWithoutItsKey(t *testing.T) {
	t.Parallel()
	c, err := load(map[string]string{
		"ASSENT_EMBEDDINGS_URL": "http://models.example/v1", "ASSENT_EMBEDDINGS_KEY": "hush", "ASSENT_EMBEDDINGS_MODEL": "m",
		"ASSENT_EMBEDDINGS_DIMENSIONS": "768", "ASSENT_EMBEDDINGS_REVISION": "r2", "ASSENT_ALLOW_PLAINTEXT_EMBEDDINGS": "1",
		"OTEL_EXPORTER_OTLP_ENDPOINT": "https://hush:hush@collector.example/hush", "OTEL_EXPORTER_OTLP_HEADERS": "key=hush",
	})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	c.print(&out)
	if strings.Contains(out.String(), "hush") {
		t.Error(out.String())
	}
	for _, want := range []string{"http://models.example/v1, model m, 768 dimensions, revision r2", "ASSENT_EMBEDDINGS_KEY      (set, hidden)", "https://collector.example", "50000 a second", "ASSENT_ALLOW_PLAINTEXT_EMBEDDINGS  1 (an override)"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not printed: %s", want, out.String())
		}
	}
}

func TestMetricsStandBesideTheRestOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env  map[string]string
		here bool
	}{
		"by default":        {nil, true},
		"their own address": {map[string]string{"ASSENT_METRICS_ADDR": "127.0.0.1:9090"}, false},
		"off loopback":      {map[string]string{"ASSENT_ADDR": ":8080", "ASSENT_ALLOW_PLAINTEXT": "1"}, false},
		"behind a proxy":    {map[string]string{"ASSENT_TRUSTED_PROXIES": "127.0.0.1"}, false},
	} {
		cfg, err := load(c.env)
		if err != nil || cfg.metricsHere() != c.here {
			t.Errorf("%s: %v, %v", name, cfg.metricsHere(), err)
		}
	}
}

// serving starts the program and returns what it serves on, and where else it
// said it listens.
func serving(t *testing.T, env map[string]string) (url, metrics string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, stdout := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, []string{"serve"}, func(name string) string { return env[name] }, nil, stdout, io.Discard)
		stdout.CloseWithError(io.EOF)
		ended <- err
	}()
	said := bufio.NewScanner(out)
	for url == "" && said.Scan() {
		if _, m, ok := strings.Cut(said.Text(), "metrics on "); ok {
			metrics = m
		}
		_, url, _ = strings.Cut(said.Text(), "serving on ")
	}
	go io.Copy(io.Discard, out)
	if url == "" {
		cancel()
		t.Fatalf("it does not serve: %v", <-ended)
	}
	return url, metrics, func() error { cancel(); return <-ended }
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}

// The whole program with an embeddings endpoint and a collector, both on
// sockets: what is permitted goes to the one, nothing of it to the other.
func TestServeEmbedsAtAnEndpointAndIsWatched(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var heard, exported strings.Builder
	models := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Input []string }
		_ = json.NewDecoder(r.Body).Decode(&in)
		mu.Lock()
		heard.WriteString(r.Header.Get("Authorization") + strings.Join(in.Input, " "))
		mu.Unlock()
		var data []map[string]any
		for i := range in.Input {
			data = append(data, map[string]any{"index": i, "embedding": []float32{1, 2, 3}})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"data": data})
	}))
	defer models.Close()
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		exported.WriteString(r.URL.Path + string(body))
	}))
	defer collector.Close()
	env := map[string]string{
		"ASSENT_ADDR": "127.0.0.1:0", "ASSENT_DATA": filepath.Join(t.TempDir(), "data"),
		"ASSENT_EMBEDDINGS_URL": models.URL + "/v1", "ASSENT_EMBEDDINGS_KEY": "sk", "ASSENT_EMBEDDINGS_MODEL": "m", "ASSENT_EMBEDDINGS_DIMENSIONS": "3",
		"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL,
	}
	url, _, stop := serving(t, env)
	at := map[string]string{"ASSENT_URL": url, "ASSENT_DATA": env["ASSENT_DATA"]}
	if got := assentWith(t, at, nil, "consent", "grant", "--source", "test", "user:ada", "embedding_v1.0", "rag_retrieval_v1.0"); got.status != 0 {
		t.Fatalf("%+v", got)
	}
	docs := strings.NewReader(`{"id":"1","owners":["user:ada"],"text":"WORD-ada"}` + "\n" + `{"id":"2","owners":["user:bob"],"text":"WORD-bob"}` + "\n")
	assentWith(t, at, docs, "ingest", "--collection", "c", "-")
	if got := assentWith(t, at, nil, "search", "--collection", "c", "QUERY-ada"); got.status != 0 || !strings.Contains(got.out, "WORD-ada") {
		t.Errorf("%+v", got)
	}
	if got := assentWith(t, at, nil, "health", "--ready"); got.status != 0 {
		t.Errorf("%+v", got)
	}
	status, metrics := get(t, url+"/metrics")
	if status != 200 || !strings.Contains(metrics, "\nassent_ready 1\n") || !strings.Contains(metrics, `step="embed"`) {
		t.Errorf("/metrics: %d %s", status, metrics)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if got := assentWith(t, at, nil, "health"); got.status != 1 {
		t.Errorf("healthy after its end: %+v", got)
	}
	mu.Lock()
	defer mu.Unlock()
	if h := heard.String(); !strings.Contains(h, "Bearer skWORD-ada") || !strings.Contains(h, "QUERY-ada") || strings.Contains(h, "bob") {
		t.Errorf("the endpoint heard %q", h)
	}
	if e := exported.String(); !strings.Contains(e, "/v1/traces") || !strings.Contains(e, "/v1/metrics") || !strings.Contains(e, "second_gate") || strings.Contains(e+metrics, "WORD") || strings.Contains(e+metrics, "QUERY") {
		t.Error("the collector heard nothing, or too much")
	}
}

func TestMetricsHaveAListenerOfTheirOwn(t *testing.T) {
	t.Parallel()
	url, metrics, stop := serving(t, map[string]string{
		"ASSENT_ADDR": "127.0.0.1:0", "ASSENT_DATA": filepath.Join(t.TempDir(), "data"), "ASSENT_METRICS_ADDR": "127.0.0.1:0",
	})
	if status, _ := get(t, url+"/metrics"); status != 404 {
		t.Errorf("beside the rest: %d", status)
	}
	if status, body := get(t, metrics); status != 200 || !strings.Contains(body, "assent_ready 1") {
		t.Errorf("on their own listener: %d", status)
	}
	if status, _ := get(t, strings.TrimSuffix(metrics, "/metrics")+"/v1/keys"); status != 404 {
		t.Errorf("the listener of the metrics serves more: %d", status)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestHealthAsksTheGatewayOfItsOwnAddress(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ addr, cert, want string }{
		{"", "", "http://127.0.0.1:8080"},
		{":9000", "", "http://127.0.0.1:9000"},
		{"0.0.0.0:9000", "x", "https://127.0.0.1:9000"},
		{"[::]:9000", "", "http://127.0.0.1:9000"},
		{"10.0.0.7:9000", "", "http://10.0.0.7:9000"},
	} {
		env := map[string]string{"ASSENT_ADDR": c.addr, "ASSENT_TLS_CERT": c.cert}
		if got := ownAddress(func(n string) string { return env[n] }); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
	tls := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("it sends a key")
		}
		if r.URL.Path == "/readyz" {
			w.WriteHeader(503)
		}
	}))
	defer tls.Close()
	env := map[string]string{"ASSENT_ADDR": tls.Listener.Addr().String(), "ASSENT_TLS_CERT": "x", "ASSENT_KEY": "sk"}
	if got := assentWith(t, env, nil, "health"); got.status != 0 {
		t.Errorf("%+v", got)
	}
	if got := assentWith(t, env, nil, "health", "--ready"); got.status != 1 || !strings.Contains(got.err, "503") {
		t.Errorf("%+v", got)
	}
}
