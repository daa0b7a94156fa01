package telemetry

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// measured holds the label sets that are recorded with, made once.
type measured struct {
	step     map[string]map[string]metric.MeasurementOption // by step, then outcome
	counting map[attribute.KeyValue]metric.MeasurementOption
	searched map[[2]string]metric.MeasurementOption
	answered sync.Map // by method, route and code
}

func (t *Telemetry) precompute() {
	set := func(kvs ...attribute.KeyValue) metric.MeasurementOption {
		return metric.WithAttributeSet(attribute.NewSet(kvs...))
	}
	t.step, t.counting, t.searched = map[string]map[string]metric.MeasurementOption{}, map[attribute.KeyValue]metric.MeasurementOption{}, map[[2]string]metric.MeasurementOption{}
	for _, step := range append([]string{other}, steps...) {
		t.step[step] = map[string]metric.MeasurementOption{}
		for outcome, kv := range t.list.outcome.words {
			t.step[step][outcome] = set(t.list.step.of(step), kv)
		}
	}
	for _, l := range []label{t.list.reason, t.list.dropped, t.list.status, t.list.route, t.list.kind, t.list.used} {
		for _, kv := range l.words {
			t.counting[kv] = set(kv)
		}
		t.counting[l.other] = set(l.other)
	}
	modes := t.list.mode.words
	for mode := range modes {
		for c := range t.list.completeness.words {
			t.searched[[2]string{mode, c}] = set(modes[mode], t.list.completeness.of(c))
		}
	}
}

func outcomeOf(err error) string {
	switch {
	case err == nil:
		return outcomeOK
	case errors.Is(err, context.Canceled):
		return outcomeCanceled
	case errors.Is(err, consent.ErrUnavailable), errors.Is(err, retrieval.ErrEmbedder), errors.Is(err, retrieval.ErrIndex), errors.Is(err, context.DeadlineExceeded):
		return outcomeUnavailable
	}
	return outcomeError
}

// begin starts a step: a span where there is a collector, and a time always.
func (t *Telemetry) begin(ctx context.Context, step string) (context.Context, func(error)) {
	start := time.Now()
	if t.step[step] == nil {
		step = other
	}
	if !t.traced {
		return ctx, func(err error) { t.steps.Record(ctx, since(start), t.step[step][outcomeOf(err)]) }
	}
	ctx, span := t.tracer.Start(ctx, step)
	return ctx, func(err error) {
		outcome := outcomeOf(err)
		t.steps.Record(ctx, since(start), t.step[step][outcome])
		t.end(span, err != nil, t.list.outcome.of(outcome))
	}
}

func (t *Telemetry) end(span trace.Span, failed bool, kvs ...attribute.KeyValue) {
	span.SetAttributes(kvs...)
	if failed {
		span.SetStatus(codes.Error, "") // what an error says stays here
	}
	span.End()
}

// count adds one under a single label.
func (t *Telemetry) count(c metric.Int64Counter, kv attribute.KeyValue) {
	c.Add(context.Background(), 1, t.counting[kv])
}

// Ledger observes a consent.Ledger; nil for a nil Telemetry.
func (t *Telemetry) Ledger() consent.Observer {
	if t == nil {
		return nil
	}
	return ledgerObserver{t}
}

type ledgerObserver struct{ *Telemetry }

var ledgerSteps = map[consent.Step]string{
	consent.StepPermit: stepPermit, consent.StepHead: stepHead, consent.StepAppend: stepAppend, consent.StepJournal: stepJournal,
}

func (o ledgerObserver) Begin(ctx context.Context, s consent.Step) (context.Context, func(error)) {
	return o.begin(ctx, ledgerSteps[s])
}

func (o ledgerObserver) Decided(r consent.Reason) { o.count(o.decisions, o.list.reason.of(string(r))) }

// Retrieval observes a retrieval.Service; nil for a nil Telemetry.
func (t *Telemetry) Retrieval() retrieval.Observer {
	if t == nil {
		return nil
	}
	return retrievalObserver{t}
}

type retrievalObserver struct{ *Telemetry }

var retrievalSteps = map[retrieval.Step]string{
	retrieval.StepSearch: stepSearch, retrieval.StepEmbed: stepEmbed, retrieval.StepIndex: stepIndex,
	retrieval.StepGate: stepGate, retrieval.StepIngest: stepIngest,
}

var modes = map[retrieval.Mode]string{
	retrieval.ModeVector: "vector", retrieval.ModeKeyword: "keyword", retrieval.ModeHybrid: "hybrid",
}

func (o retrievalObserver) Begin(ctx context.Context, s retrieval.Step) (context.Context, func(error)) {
	return o.begin(ctx, retrievalSteps[s])
}

func (o retrievalObserver) Searched(m retrieval.Mode, c retrieval.Completeness) {
	if set, ok := o.searched[[2]string{modes[m], string(c)}]; ok {
		o.searches.Add(context.Background(), 1, set)
	}
}

func (o retrievalObserver) Dropped(why string) {
	o.count(o.dropped, o.list.dropped.of(why))
}

func (o retrievalObserver) Ingested(s retrieval.DocStatus) {
	o.count(o.documents, o.list.status.of(string(s)))
}

// rounds times one of the steps that are called through a plain function: the
// log's checkpoints, and a background applier's rounds. Nil for a nil Telemetry.
func (t *Telemetry) rounds(step string) func(context.Context) (context.Context, func(error)) {
	if t == nil {
		return nil
	}
	return func(ctx context.Context) (context.Context, func(error)) { return t.begin(ctx, step) }
}

// Checkpoint observes the rounds in which a tenant's checkpoint is brought up
// to its ledger.
func (t *Telemetry) Checkpoint() func(context.Context) (context.Context, func(error)) {
	return t.rounds(stepCheckpoint)
}

// Apply observes the rounds of an index that applies permissions behind the
// ledger.
func (t *Telemetry) Apply() func(context.Context) (context.Context, func(error)) {
	return t.rounds(stepApply)
}

// Outside counts what an index outside returned and did not count, by its own
// word for why; nil for a nil Telemetry.
func (t *Telemetry) Outside() func(why string, n int64) {
	if t == nil {
		return nil
	}
	return func(why string, n int64) {
		t.outside.Add(context.Background(), n, t.counting[t.list.dropped.of(why)])
	}
}

// Reconciled counts what the reconciler took away, by kind; a nil Telemetry
// counts nothing.
func (t *Telemetry) Reconciled(kind string, n int) {
	if t != nil {
		t.swept.Add(context.Background(), int64(n), t.counting[t.list.kind.of(kind)])
	}
}

// Late counts an erasure of whose time so many percent are over: 50, 80 or 100.
func (t *Telemetry) Late(percent int) {
	if t != nil {
		t.count(t.late, t.list.used.of(strconv.Itoa(percent)))
	}
}

// HTTP observes requests; nil for a nil Telemetry.
func (t *Telemetry) HTTP() *HTTP {
	if t == nil {
		return nil
	}
	return &HTTP{t}
}

// HTTP observes requests.
type HTTP struct{ t *Telemetry }

// Request says that a request to a route begins, as its template names it. A
// request is the root of a trace, whatever its headers say.
func (h *HTTP) Request(ctx context.Context, method, route string) (context.Context, func(status int)) {
	t, start := h.t, time.Now()
	m, r := t.list.method.of(method), t.list.route.of(route)
	ctx, span := t.tracer.Start(ctx, spanRequest, trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindServer))
	return ctx, func(status int) {
		c := t.list.code.of(strconv.Itoa(status))
		t.requests.Record(ctx, since(start), t.request(m, r, c))
		if t.traced {
			t.end(span, status >= 500, m, r, c)
		}
	}
}

// request is the label set of a request, made when it is first needed: the lists
// bound how many there are.
func (t *Telemetry) request(m, r, c attribute.KeyValue) metric.MeasurementOption {
	key := [3]attribute.KeyValue{m, r, c}
	if set, ok := t.answered.Load(key); ok {
		return set.(metric.MeasurementOption)
	}
	set, _ := t.answered.LoadOrStore(key, metric.WithAttributeSet(attribute.NewSet(m, r, c)))
	return set.(metric.MeasurementOption)
}

// Limited says that a request was answered 429.
func (h *HTTP) Limited(route string) { h.t.count(h.t.limited, h.t.list.route.of(route)) }
