package telemetry

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/trace"
)

// OTLP is where traces and metrics are pushed to, as OpenTelemetry's
// environment says it. The zero OTLP is off. Timeouts, certificates and
// compression are read by the exporters themselves, from the environment of the
// process.
type OTLP struct {
	Traces, Metrics string // addresses, each with its path; "": off
	Service         string // "": assent

	traceHeaders, metricHeaders map[string]string // may hold secrets
}

func (o OTLP) on() bool      { return o.traces() || o.metrics() }
func (o OTLP) traces() bool  { return o.Traces != "" }
func (o OTLP) metrics() bool { return o.Metrics != "" }

// Mistakes in the environment; none quotes a value.
var (
	errEndpoint = errors.New("is no http or https address")
	errProtocol = errors.New("is not http/protobuf, which is the one protocol that is spoken here")
	errHeaders  = errors.New("is no list of name=value")
)

// OTLPFromEnv reads the OTEL_* names. Mistakes are reported by name, all of them.
func OTLPFromEnv(getenv func(string) string, mistake func(name string, err error)) OTLP {
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") {
		return OTLP{}
	}
	o := OTLP{Service: getenv("OTEL_SERVICE_NAME")}
	for _, signal := range []struct {
		name, path string
		endpoint   *string
		headers    *map[string]string
	}{
		{"TRACES", "/v1/traces", &o.Traces, &o.traceHeaders},
		{"METRICS", "/v1/metrics", &o.Metrics, &o.metricHeaders},
	} {
		if strings.EqualFold(getenv("OTEL_"+signal.name+"_EXPORTER"), "none") {
			continue
		}
		// The signal's own name wins over the one for all.
		first := func(what string) (name, value string) {
			name = "OTEL_EXPORTER_OTLP_" + signal.name + "_" + what
			if value = getenv(name); value == "" {
				name = "OTEL_EXPORTER_OTLP_" + what
				value = getenv(name)
			}
			return name, value
		}
		name, endpoint := first("ENDPOINT")
		if endpoint == "" {
			continue
		}
		u, err := url.Parse(endpoint)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			mistake(name, errEndpoint)
			continue
		}
		if name == "OTEL_EXPORTER_OTLP_ENDPOINT" {
			endpoint = u.JoinPath(signal.path).String()
		}
		if name, protocol := first("PROTOCOL"); protocol != "" && protocol != "http/protobuf" {
			mistake(name, errProtocol)
		}
		name, list := first("HEADERS")
		headers, ok := parseHeaders(list)
		if !ok {
			mistake(name, errHeaders)
		}
		*signal.endpoint, *signal.headers = endpoint, headers
	}
	return o
}

func parseHeaders(list string) (map[string]string, bool) {
	out := map[string]string{}
	for part := range strings.SplitSeq(list, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		plain, err := url.PathUnescape(strings.TrimSpace(value))
		if name = strings.TrimSpace(name); !ok || name == "" || err != nil {
			return nil, false
		}
		out[name] = plain
	}
	return out, true
}

func (o OTLP) spanExporter(ctx context.Context) (trace.SpanExporter, error) {
	e, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(o.Traces), otlptracehttp.WithHeaders(o.traceHeaders))
	if err != nil {
		return nil, errors.New("telemetry: make the exporter of traces")
	}
	return e, nil
}

func (o OTLP) metricReader(ctx context.Context) (sdkmetric.Reader, error) {
	e, err := otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpointURL(o.Metrics), otlpmetrichttp.WithHeaders(o.metricHeaders))
	if err != nil {
		return nil, errors.New("telemetry: make the exporter of metrics")
	}
	return sdkmetric.NewPeriodicReader(e), nil
}
