package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	metricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/proto"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/broker"
	"github.com/assent-gateway/assent/internal/translog"
	"github.com/assent-gateway/assent/retrieval"
)

// receiver speaks OTLP over a socket and decodes what comes.
type receiver struct {
	*httptest.Server
	mu      sync.Mutex
	traces  []*tracepb.ExportTraceServiceRequest
	metrics []*metricspb.ExportMetricsServiceRequest
	raw     strings.Builder
	headers http.Header
}

func receive(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.raw.Write(body)
		r.headers = req.Header
		var err error
		switch req.URL.Path {
		case "/v1/traces":
			m := &tracepb.ExportTraceServiceRequest{}
			err = proto.Unmarshal(body, m)
			r.traces = append(r.traces, m)
		case "/v1/metrics":
			m := &metricspb.ExportMetricsServiceRequest{}
			err = proto.Unmarshal(body, m)
			r.metrics = append(r.metrics, m)
		default:
			t.Errorf("a request to %s", req.URL.Path)
		}
		if err != nil {
			t.Error("not decoded:", err)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func start(t *testing.T, r *receiver) *Telemetry {
	t.Helper()
	env := map[string]string{}
	if r != nil {
		env["OTEL_EXPORTER_OTLP_ENDPOINT"] = r.URL
		env["OTEL_EXPORTER_OTLP_HEADERS"] = "x-token=a%20b"
	}
	otlp := OTLPFromEnv(func(n string) string { return env[n] }, func(name string, err error) { t.Error(name, err) })
	tel, err := New(t.Context(), Config{Routes: []string{"/v1/x/:id"}, OTLP: otlp})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tel.Shutdown(context.Background()) })
	return tel
}

func scrape(tel *Telemetry) string {
	w := httptest.NewRecorder()
	tel.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

// use does everything that can be observed, with words from elsewhere in every
// place that takes one.
func use(tel *Telemetry, word string) {
	ctx, end := tel.HTTP().Request(context.Background(), word, word)
	l, r := tel.Ledger(), tel.Retrieval()
	for _, err := range []error{nil, errors.New(word), context.Canceled, consent.ErrUnavailable} {
		for s := range consent.Step(5) {
			_, end := l.Begin(ctx, s)
			end(err)
		}
		for s := range retrieval.Step(6) {
			_, end := r.Begin(ctx, s)
			end(err)
		}
		_, end := tel.Apply()(ctx)
		end(err)
		_, end = tel.Checkpoint()(ctx)
		end(err)
	}
	l.Decided(consent.Reason(word))
	l.Decided(consent.ReasonGranted)
	r.Searched(retrieval.ModeHybrid, retrieval.Complete)
	r.Searched(retrieval.Mode(77), retrieval.Completeness(word))
	r.Dropped(word)
	r.Dropped("consent")
	tel.Outside()("gone", 3)
	tel.Outside()(word, 1)
	tel.Reconciled("index_entry", 2)
	tel.Reconciled(word, 1)
	tel.Late(50)
	tel.Late(77)
	r.Ingested(retrieval.Stored)
	r.Ingested(retrieval.DocStatus(word))
	tel.HTTP().Limited(word)
	for _, name := range []string{"kafka", word} {
		b := tel.Broker(name)
		b.Up(broker.In)
		b.Down(broker.Out)
		b.Up(broker.Direction(word))
		b.Sent(5)
		b.Received()
		b.Applied()
		b.Retried()
		b.Dead(broker.Malformed)
		b.Dead(broker.Cause(word))
		b.Waiting(8)
	}
	end(12345)
	_, end = tel.HTTP().Request(context.Background(), "GET", "/v1/x/:id")
	end(200)
}

// Whatever strings come in, none of them gets out: not by the observers, and
// not past the second gate by somebody who makes attributes of his own.
func TestNothingThatIsNotOnTheListGetsOut(t *testing.T) {
	t.Parallel()
	const word = "CANARY7"
	r := receive(t)
	tel := start(t, r)
	use(tel, word)

	// Somebody in here, later, who does not know the rules.
	ctx, span := tel.tracer.Start(t.Context(), word, trace.WithAttributes(attribute.String("subject", word)))
	span.SetAttributes(attribute.String("step", word), attribute.String("step", "search"), attribute.Int(word, 1), attribute.String("reason", word))
	span.AddEvent(word, trace.WithAttributes(attribute.String(word, word)))
	span.RecordError(errors.New(word))
	span.AddLink(trace.Link{SpanContext: span.SpanContext(), Attributes: []attribute.KeyValue{attribute.String(word, word)}})
	span.SetStatus(codes.Error, word)
	span.End()
	m := tel.meters.Meter(scope, metric.WithInstrumentationAttributes())
	bad := metric.WithAttributes(attribute.String("subject", word), attribute.String("step", word), attribute.String("outcome", "ok"))
	tel.steps.Record(ctx, 1, bad)
	tel.decisions.Add(ctx, 1, bad)
	late, err := m.Int64Counter("assent.late")
	if err != nil {
		t.Fatal(err)
	}
	late.Add(ctx, 1, bad)
	if _, err := m.Float64ObservableGauge("assent.later", metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error {
		o.Observe(1, bad)
		return nil
	})); err != nil {
		t.Fatal(err)
	}

	out := scrape(tel)
	if err := tel.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for where, what := range map[string]string{"/metrics": out, "the export": r.raw.String()} {
		if strings.Contains(what, "CANARY") || strings.Contains(what, "subject") {
			t.Errorf("%s: %s", where, what)
		}
		if !strings.Contains(what, "second_gate") || !strings.Contains(what, "/v1/x/:id") || !strings.Contains(what, "late") {
			t.Errorf("%s is empty, so the test shows nothing", where)
		}
	}
	r.onlyListed(t, tel.list)
	if got := r.headers.Get("x-token"); got != "a b" {
		t.Errorf("header %q", got)
	}
}

// onlyListed walks everything that was exported, attribute by attribute.
func (r *receiver) onlyListed(t *testing.T, l list) {
	t.Helper()
	labels, seen := l.labels(), map[string]int{}
	check := func(where string, kvs []*commonpb.KeyValue) {
		for _, kv := range kvs {
			seen[kv.Key]++
			if !l.admit(labels, attribute.String(kv.Key, kv.Value.GetStringValue())) {
				t.Errorf("%s has %s=%v", where, kv.Key, kv.Value)
			}
		}
	}
	spans := 0
	for _, req := range r.traces {
		for _, rs := range req.ResourceSpans {
			if len(rs.Resource.Attributes) != 1 || rs.Resource.Attributes[0].Key != "service.name" {
				t.Errorf("the resource is %v", rs.Resource)
			}
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					spans++
					check("a span", s.Attributes)
					if s.Name != spanRequest && s.Name != other && !slices.Contains(steps, s.Name) {
						t.Errorf("a span is called %q", s.Name)
					}
					if len(s.Events)+len(s.Links) > 0 || s.TraceState != "" || s.Status.GetMessage() != "" || ss.Scope.Name != scope {
						t.Errorf("a span says more: %v", s)
					}
				}
			}
		}
	}
	for _, req := range r.metrics {
		for _, rm := range req.ResourceMetrics {
			for _, sm := range rm.ScopeMetrics {
				for _, m := range sm.Metrics {
					for _, p := range m.GetSum().GetDataPoints() {
						check(m.Name, p.Attributes)
						if len(p.Exemplars) > 0 {
							t.Errorf("%s has exemplars", m.Name)
						}
					}
					for _, p := range m.GetHistogram().GetDataPoints() {
						check(m.Name, p.Attributes)
						if len(p.Exemplars) > 0 {
							t.Errorf("%s has exemplars", m.Name)
						}
					}
					for _, p := range m.GetGauge().GetDataPoints() {
						check(m.Name, p.Attributes)
					}
				}
			}
		}
	}
	if spans < 40 || len(seen) != len(labels) {
		t.Errorf("%d spans, labels %v: the test shows nothing", spans, seen)
	}
}

// Every label that /metrics has is on the list, with its word.
func TestMetricsHoldListedLabelsOnly(t *testing.T) {
	t.Parallel()
	tel := start(t, nil)
	use(tel, "x")
	labels := tel.list.labels()
	pair := regexp.MustCompile(`([a-z_]+)="([^"]*)"`)
	n := 0
	for line := range strings.Lines(scrape(tel)) {
		if !strings.HasPrefix(line, "assent_") {
			continue
		}
		n++
		for _, m := range pair.FindAllStringSubmatch(line, -1) {
			if m[1] == "le" {
				continue
			}
			if !tel.list.admit(labels, attribute.String(m[1], m[2])) {
				t.Errorf("%s", line)
			}
		}
	}
	if n < 100 {
		t.Errorf("%d lines", n)
	}
}

func TestWhatHappensIsCounted(t *testing.T) {
	t.Parallel()
	tel := start(t, nil)
	use(tel, "x")
	use(tel, "y")
	stop, err := tel.Watch(Sources{
		Ready:    func(context.Context) error { return nil },
		Ledger:   func() consent.Stats { return consent.Stats{Tenants: 2, Closed: 1, Entries: 57, Waiting: 3} },
		Log:      func() translog.Stats { return translog.Stats{Unsigned: 4, Oldest: 1500e6, Stopped: 1} },
		KeySlots: func() int { return 9 },
	})
	if err != nil {
		t.Fatal(err)
	}
	out := scrape(tel)
	for _, line := range []string{
		`assent_decisions_total{reason="granted"} 2`,
		`assent_decisions_total{reason="other"} 2`,
		`assent_gate_dropped_total{cause="consent"} 2`,
		`assent_index_dropped_total{cause="gone"} 6`,
		`assent_index_dropped_total{cause="other"} 2`,
		`assent_searches_total{completeness="complete",mode="hybrid"} 2`,
		`assent_documents_total{status="stored"} 2`,
		`assent_http_limited_total{route="other"} 2`,
		`assent_broker_up{broker="kafka",direction="in"} 1`, `assent_broker_up{broker="kafka",direction="out"} 0`,
		`assent_inbox_events_total{broker="kafka",fate="received"} 2`, `assent_inbox_events_total{broker="other",fate="malformed"} 2`,
		`assent_inbox_events_total{broker="kafka",fate="other"} 2`, `assent_inbox_events_total{broker="kafka",fate="retried"} 2`,
		`assent_inbox_waiting{broker="kafka"} 8`, `assent_events_sent_total{broker="kafka"} 10`,
		`assent_step_duration_seconds_count{outcome="unavailable",step="head_read"} 2`,
		`assent_step_duration_seconds_count{outcome="ok",step="second_gate"} 2`,
		`assent_http_request_duration_seconds_count{code="200",method="GET",route="/v1/x/:id"} 2`,
		`assent_http_request_duration_seconds_count{code="other",method="other",route="other"} 2`,
		`assent_ready 1`, `assent_ledger_tenants 2`, `assent_ledger_closed 1`, `assent_ledger_entries 57`, `assent_ledger_queue 3`,
		`assent_log_unsigned 4`, `assent_log_checkpoint_lag_seconds 1.5`, `assent_log_stopped 1`, `assent_vault_keys 9`,
	} {
		if !strings.Contains(out, "\n"+line+"\n") {
			t.Errorf("/metrics lacks %s", line)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if strings.Contains(scrape(tel), "assent_ready") {
		t.Error("it is looked at after it stopped")
	}
}

// Not ready, a panic included, is 0; and the process lives.
func TestNotReadyIsZero(t *testing.T) {
	t.Parallel()
	for name, ready := range map[string]func(context.Context) error{
		"an error": func(context.Context) error { return consent.ErrUnavailable },
		"a panic":  func(context.Context) error { panic("CANARY") },
	} {
		tel := start(t, nil)
		if _, err := tel.Watch(Sources{
			Ready: ready, Ledger: func() consent.Stats { return consent.Stats{} },
			Log: func() translog.Stats { return translog.Stats{} }, KeySlots: func() int { return 0 },
		}); err != nil {
			t.Fatal(err)
		}
		if out := scrape(tel); !strings.Contains(out, "\nassent_ready 0\n") || strings.Contains(out, "CANARY") {
			t.Errorf("%s: %s", name, out)
		}
	}
}

func TestANilTelemetryObservesNothing(t *testing.T) {
	t.Parallel()
	var tel *Telemetry
	if tel.Ledger() != nil || tel.Retrieval() != nil || tel.Checkpoint() != nil || tel.Apply() != nil || tel.Outside() != nil || tel.HTTP() != nil || tel.Handler() != nil {
		t.Error("it gives observers")
	}
	stop, err := tel.Watch(Sources{})
	if err != nil || stop() != nil || tel.Shutdown(t.Context()) != nil {
		t.Error("it fails")
	}
}

// A span is within the one that was begun before it, and a request is the root.
func TestStepsNestInTheirRequest(t *testing.T) {
	t.Parallel()
	r := receive(t)
	tel := start(t, r)
	from := trace.ContextWithRemoteSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: trace.FlagsSampled, Remote: true,
	}))
	ctx, end := tel.HTTP().Request(from, "GET", "/v1/x/:id")
	inner, endSearch := tel.Retrieval().Begin(ctx, retrieval.StepSearch)
	_, endPermit := tel.Ledger().Begin(inner, consent.StepPermit)
	endPermit(nil)
	endSearch(nil)
	end(200)
	if err := tel.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	ids, parents := map[string]string{}, map[string]string{}
	for _, req := range r.traces {
		for _, s := range req.ResourceSpans[0].ScopeSpans[0].Spans {
			ids[string(s.SpanId)], parents[s.Name] = s.Name, string(s.ParentSpanId)
		}
	}
	if ids[parents["permit"]] != "search" || ids[parents["search"]] != "request" || parents["request"] != "" {
		t.Errorf("ids %v, parents %q", len(ids), parents)
	}
}

func TestTheEnvironmentOfOTLP(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env             map[string]string
		traces, metrics string
		mistakes        []string
	}{
		"nothing":        {nil, "", "", nil},
		"one for both":   {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/base/"}, "http://c:4318/base/v1/traces", "http://c:4318/base/v1/metrics", nil},
		"one of its own": {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://t/x"}, "https://t/x", "http://c:4318/v1/metrics", nil},
		"traces alone":   {map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://t/x"}, "https://t/x", "", nil},
		"metrics off":    {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_METRICS_EXPORTER": "none"}, "http://c:4318/v1/traces", "", nil},
		"all off":        {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}, "", "", nil},
		"grpc":           {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http://c:4317/v1/traces", "http://c:4317/v1/metrics", []string{"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"}},
		"no address":     {map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "collector:4318"}, "", "", []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"}},
		"bad headers":    {map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_HEADERS": "secret"}, "http://c", "", []string{"OTEL_EXPORTER_OTLP_HEADERS"}},
	} {
		var mistakes []string
		o := OTLPFromEnv(func(n string) string { return c.env[n] }, func(n string, err error) {
			mistakes = append(mistakes, n)
			if strings.Contains(fmt.Sprint(err), "secret") {
				t.Errorf("%s: %v", name, err)
			}
		})
		if o.Traces != c.traces || o.Metrics != c.metrics || !slices.Equal(mistakes, c.mistakes) {
			t.Errorf("%s: %q, %q, %v", name, o.Traces, o.Metrics, mistakes)
		}
	}
}

// A collector that fails is a constant line in the log, and nothing of its own.
func TestACollectorThatFailsIsNotQuoted(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "CANARY", http.StatusBadRequest)
	}))
	defer s.Close()
	tel, err := New(t.Context(), Config{OTLP: OTLP{Traces: s.URL, Metrics: s.URL}})
	if err != nil {
		t.Fatal(err)
	}
	use(tel, "x")
	if err := tel.Shutdown(t.Context()); err == nil || strings.Contains(err.Error(), "CANARY") || strings.Contains(err.Error(), "http") {
		t.Errorf("%v", err)
	}
}
