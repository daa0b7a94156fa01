package telemetry

import (
	"context"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/trace"
)

// view is the second gate of metrics: of every instrument, whoever makes it,
// only attributes on the list are kept.
func (l list) view() sdkmetric.View {
	labels := l.labels()
	return sdkmetric.NewView(sdkmetric.Instrument{Name: "*"}, sdkmetric.Stream{
		AttributeFilter: func(kv attribute.KeyValue) bool { return l.admit(labels, kv) },
	})
}

// scrub is the second gate of spans: it stands before an exporter.
type scrub struct {
	trace.SpanExporter
	list   list
	labels map[attribute.Key]label
}

func (s scrub) ExportSpans(ctx context.Context, spans []trace.ReadOnlySpan) error {
	clean := make([]trace.ReadOnlySpan, len(spans))
	for i, span := range spans {
		clean[i] = s.span(span)
	}
	return s.SpanExporter.ExportSpans(ctx, clean)
}

// span is what is left of a span: times, ids, and what is on the list.
func (s scrub) span(span trace.ReadOnlySpan) cleanSpan {
	c := cleanSpan{ReadOnlySpan: span, name: span.Name()}
	if c.name != spanRequest && !slices.Contains(steps, c.name) {
		c.name = other
	}
	for _, kv := range span.Attributes() {
		if s.list.admit(s.labels, kv) {
			c.attributes = append(c.attributes, kv)
		}
	}
	return c
}

type cleanSpan struct {
	trace.ReadOnlySpan
	name       string
	attributes []attribute.KeyValue
}

func (c cleanSpan) Name() string                     { return c.name }
func (c cleanSpan) Attributes() []attribute.KeyValue { return c.attributes }
func (c cleanSpan) Events() []trace.Event            { return nil }
func (c cleanSpan) Links() []trace.Link              { return nil }
func (c cleanSpan) Status() trace.Status             { return trace.Status{Code: c.ReadOnlySpan.Status().Code} }
func (c cleanSpan) InstrumentationScope() instrumentation.Scope {
	return instrumentation.Scope{Name: scope}
}
