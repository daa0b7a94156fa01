package telemetry

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// scope names who makes the instruments and spans.
const scope = "assent"

// Config says what to make and where it goes.
type Config struct {
	Routes []string // templates of the route table
	OTLP   OTLP
	Log    *slog.Logger
}

// Telemetry is the gateway's metrics and traces. A nil *Telemetry observes
// nothing.
type Telemetry struct {
	list     list
	meters   *sdkmetric.MeterProvider
	tracers  *sdktrace.TracerProvider // nil without a collector
	tracer   trace.Tracer
	traced   bool
	registry *prometheus.Registry
	instruments
}

// New starts metrics, and traces where a collector is named. Shutdown stops both.
func New(ctx context.Context, c Config) (*Telemetry, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	t := &Telemetry{list: newList(c.Routes), registry: prometheus.NewRegistry()}
	t.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	reader, err := exporter.New(exporter.WithRegisterer(t.registry), exporter.WithoutScopeInfo(), exporter.WithoutTargetInfo())
	if err != nil {
		return nil, errors.New("telemetry: make the Prometheus exporter")
	}
	res := resource.NewSchemaless(attribute.String("service.name", or(c.OTLP.Service, scope)))
	options := []sdkmetric.Option{
		sdkmetric.WithReader(reader), sdkmetric.WithResource(res),
		sdkmetric.WithView(t.list.view()), sdkmetric.WithExemplarFilter(exemplar.AlwaysOffFilter),
	}
	if c.OTLP.metrics() {
		push, err := c.OTLP.metricReader(ctx)
		if err != nil {
			return nil, err
		}
		options = append(options, sdkmetric.WithReader(push))
	}
	t.meters = sdkmetric.NewMeterProvider(options...)
	t.tracer = noop.NewTracerProvider().Tracer(scope)
	if c.OTLP.traces() {
		spans, err := c.OTLP.spanExporter(ctx)
		if err != nil {
			return nil, err
		}
		t.tracers = sdktrace.NewTracerProvider(sdktrace.WithBatcher(scrub{spans, t.list, t.list.labels()}), sdktrace.WithResource(res))
		t.tracer, t.traced = t.tracers.Tracer(scope), true
	}
	if c.OTLP.on() {
		// The SDK reports failures of an export through a handler of the whole
		// process, which by default prints what the collector said.
		otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) { c.Log.Warn("telemetry could not be sent to the collector") }))
	}
	return t, t.makeInstruments()
}

func or(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

// Shutdown sends what is left, within ctx, and stops.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	if t == nil {
		return nil
	}
	err := t.meters.Shutdown(ctx)
	if t.tracers != nil {
		err = errors.Join(err, t.tracers.Shutdown(ctx))
	}
	if err != nil {
		return errors.New("telemetry: send what was left") // the error may hold what the collector said
	}
	return nil
}

// Flush sends what there is now.
func (t *Telemetry) Flush(ctx context.Context) error {
	err := t.meters.ForceFlush(ctx)
	if t.tracers != nil {
		err = errors.Join(err, t.tracers.ForceFlush(ctx))
	}
	return err
}

// Handler serves the metrics in Prometheus' text format; nil for a nil
// Telemetry.
func (t *Telemetry) Handler() http.Handler {
	if t == nil {
		return nil
	}
	return promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{
		ErrorLog: log.New(io.Discard, "", 0), ErrorHandling: promhttp.ContinueOnError, DisableCompression: true,
	})
}

// instruments are made once; what they are for stands in README.
type instruments struct {
	steps     metric.Float64Histogram
	decisions metric.Int64Counter
	dropped   metric.Int64Counter
	searches  metric.Int64Counter
	documents metric.Int64Counter
	requests  metric.Float64Histogram
	limited   metric.Int64Counter
	outside   metric.Int64Counter
	brokers   brokers
	swept     metric.Int64Counter
	late      metric.Int64Counter
	measured
}

// buckets in seconds: from an in-memory gate to a slow embedder.
var buckets = []float64{
	.00001, .000025, .00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60,
}

func (t *Telemetry) makeInstruments() error {
	m := t.meters.Meter(scope)
	var errs [10]error
	t.steps, errs[0] = m.Float64Histogram("assent.step.duration", metric.WithUnit("s"),
		metric.WithDescription("How long a step took."), metric.WithExplicitBucketBoundaries(buckets...))
	t.requests, errs[1] = m.Float64Histogram("assent.http.request.duration", metric.WithUnit("s"),
		metric.WithDescription("How long a request took, by the template of its route."), metric.WithExplicitBucketBoundaries(buckets...))
	t.decisions, errs[2] = m.Int64Counter("assent.decisions", metric.WithDescription("Decisions of the ledger, by reason."))
	t.dropped, errs[3] = m.Int64Counter("assent.gate.dropped", metric.WithDescription("Hits that the second gate dropped, by cause."))
	t.searches, errs[4] = m.Int64Counter("assent.searches", metric.WithDescription("Searches that were answered."))
	t.documents, errs[5] = m.Int64Counter("assent.documents", metric.WithDescription("Documents that came in, by what became of them."))
	t.limited, errs[6] = m.Int64Counter("assent.http.limited", metric.WithDescription("Requests answered 429."))
	t.outside, errs[7] = m.Int64Counter("assent.index.dropped", metric.WithDescription("Hits of an index outside that did not count, by cause."))
	t.swept, errs[8] = m.Int64Counter("assent.reconciled", metric.WithDescription("What the reconciler took away because nothing accounts for it, by kind."))
	t.late, errs[9] = m.Int64Counter("assent.erasure.alerts", metric.WithDescription("Erasures of whose time half, four fifths or all is over, by how much."))
	t.precompute()
	return errors.Join(errors.Join(errs[:]...), t.brokers.make(m))
}

// since is a duration as instruments take it.
func since(start time.Time) float64 { return time.Since(start).Seconds() }
