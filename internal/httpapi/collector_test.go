package httpapi_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/httpapi"
	"github.com/assent-gateway/assent/internal/telemetry"
)

// collector takes what a gateway exports by OTLP, on a real socket, and keeps
// it as it came: protobuf holds its strings as they are.
type collector struct {
	*httptest.Server
	tel *telemetry.Telemetry
	mu  sync.Mutex
	got bytes.Buffer
}

func collect(t testing.TB) *collector {
	t.Helper()
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.got.WriteString(r.URL.Path + " ")
		io.Copy(&c.got, r.Body)
	}))
	t.Cleanup(c.Close)
	env := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": c.URL}
	otlp := telemetry.OTLPFromEnv(func(name string) string { return env[name] }, func(name string, err error) { t.Error(name, err) })
	var err error
	if c.tel, err = telemetry.New(t.Context(), telemetry.Config{Routes: httpapi.Templates(), OTLP: otlp}); err != nil {
		t.Fatal(err)
	}
	return c
}

// watch lets a gateway export to the collector, and serve /metrics.
func (c *collector) watch(cfg *gateway.Config) { cfg.Telemetry, cfg.MetricsHere = c.tel, true }

// silent fails when a mark is in anything that was exported, or when nothing was.
func (c *collector) silent(t *testing.T, during string, expect ...string) {
	t.Helper()
	if err := c.tel.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	c.tel.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	c.mu.Lock()
	defer c.mu.Unlock()
	for where, what := range map[string]string{"/metrics": w.Body.String(), "the export": c.got.String()} {
		if i := strings.Index(strings.ToLower(what), "canary"); i >= 0 {
			t.Errorf("%s: %s says %q", during, where, what[max(0, i-200):min(len(what), i+50)])
		}
		for _, e := range append(expect, "request") {
			if !strings.Contains(what, e) {
				t.Errorf("%s: %s does not hold %q, so the test shows nothing", during, where, e)
			}
		}
	}
}
