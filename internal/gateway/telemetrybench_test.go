package gateway_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/httpapi"
	"github.com/assent-gateway/assent/internal/telemetry"
	"github.com/assent-gateway/assent/retrieval"
)

// BenchmarkTelemetry is a search through the HTTP handler, the same on three
// gateways in turn: without telemetry, with metrics, and with spans as well that
// go to a collector on a socket. The clock of the whole is of no use; p50 of each
// and what it costs are reported.
func BenchmarkTelemetry(b *testing.B) {
	collector := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer collector.Close()
	names := []string{"off", "metrics", "traces"}
	handlers := make([]http.Handler, len(names))
	keys := make([]string, len(names))
	docs := invented("ada", "bob", "eve")
	for i := range 500 {
		docs = append(docs, invented(fmt.Sprint("u", i))...)
	}
	for i, name := range names {
		cfg := gateway.Config{}
		if name != "off" {
			c := telemetry.Config{Routes: httpapi.Templates()}
			if name == "traces" {
				c.OTLP = telemetry.OTLP{Traces: collector.URL + "/v1/traces", Metrics: collector.URL + "/v1/metrics"}
			}
			tel, err := telemetry.New(b.Context(), c)
			if err != nil {
				b.Fatal(err)
			}
			defer tel.Shutdown(b.Context())
			cfg.Telemetry, cfg.MetricsHere = tel, true
		}
		g := openGateway(b, cfg)
		say(b, g, consent.Granted, owners(docs), rag, emb)
		makeCollection(b, g, "a", retrieval.Spec{})
		ingest(b, g, "a", docs)
		handlers[i], keys[i] = g.Handler(), g.AdminKey
	}
	took := make([][]time.Duration, len(names))
	search := func(i int) time.Duration {
		r := httptest.NewRequest("POST", "/v1/collections/a/search", strings.NewReader(`{"query":"why was the server restarted","purpose":"rag_retrieval"}`))
		r.Header.Set("Authorization", "Bearer "+keys[i])
		w := httptest.NewRecorder()
		began := time.Now()
		handlers[i].ServeHTTP(w, r)
		d := time.Since(began)
		if w.Code != 200 {
			b.Fatal(w.Code, w.Body)
		}
		return d
	}
	for i := range 30 {
		search(i % 3) // masks and caches are made by the first
	}
	for n := 0; b.Loop(); n++ {
		i := n % len(names)
		took[i] = append(took[i], search(i))
	}
	if len(took[2]) == 0 {
		return
	}
	p := func(i, percent int) float64 { return float64(took[i][len(took[i])*percent/100]) / 1000 }
	for i := range took {
		slices.Sort(took[i])
		b.ReportMetric(p(i, 50), names[i]+"-p50-µs")
		b.ReportMetric(p(i, 99), names[i]+"-p99-µs")
	}
	b.ReportMetric(p(1, 50)-p(0, 50), "metrics-cost-µs")
	b.ReportMetric(p(2, 50)-p(0, 50), "traces-cost-µs")
}
