package telemetry

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/translog"
)

// Sources are what is looked at whenever metrics are collected.
type Sources struct {
	Ready    func(context.Context) error
	Ledger   func() consent.Stats
	Log      func() translog.Stats
	KeySlots func() int
}

// readyPatience bounds how long a collection waits to hear whether it is ready.
const readyPatience = 2 * time.Second

// isReady asks; a panic is no, and does not end the process from a goroutine of
// the SDK.
func isReady(ctx context.Context, ask func(context.Context) error) (yes bool) {
	defer func() {
		if recover() != nil {
			yes = false
		}
	}()
	return ask(ctx) == nil
}

// Watch registers the sources. The function it returns takes them out again:
// when it has returned, they are not called any more.
func (t *Telemetry) Watch(s Sources) (stop func() error, err error) {
	if t == nil {
		return func() error { return nil }, nil
	}
	m := t.meters.Meter(scope)
	var errs []error
	gauge := func(name, unit, description string) metric.Float64ObservableGauge {
		g, err := m.Float64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(description))
		errs = append(errs, err)
		return g
	}
	ready := gauge("assent.ready", "", "1 when the gateway may serve, as /readyz says.")
	tenants := gauge("assent.ledger.tenants", "", "Tenants whose ledger is open or closed here.")
	closed := gauge("assent.ledger.closed", "", "Tenants whose ledger permits nothing until mended.")
	entries := gauge("assent.ledger.entries", "", "Ledger entries applied: the sum of the tenants' positions.")
	queue := gauge("assent.ledger.queue", "", "Consent writes that wait for a transaction.")
	unsigned := gauge("assent.log.unsigned", "", "Ledger entries that no checkpoint covers yet.")
	age := gauge("assent.log.checkpoint.lag", "s", "How long the oldest such entry has waited.")
	stopped := gauge("assent.log.stopped", "", "Transparency logs that stopped for good.")
	slots := gauge("assent.vault.keys", "", "Keys in the vault: of people and of documents.")
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	reg, err := m.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		ctx, cancel := context.WithTimeout(ctx, readyPatience)
		defer cancel()
		up := 0.0
		if isReady(ctx, s.Ready) {
			up = 1
		}
		l, log := s.Ledger(), s.Log()
		o.ObserveFloat64(ready, up)
		o.ObserveFloat64(tenants, float64(l.Tenants))
		o.ObserveFloat64(closed, float64(l.Closed))
		o.ObserveFloat64(entries, float64(l.Entries))
		o.ObserveFloat64(queue, float64(l.Waiting))
		o.ObserveFloat64(unsigned, float64(log.Unsigned))
		o.ObserveFloat64(age, log.Oldest.Seconds())
		o.ObserveFloat64(stopped, float64(log.Stopped))
		o.ObserveFloat64(slots, float64(s.KeySlots()))
		return nil
	}, ready, tenants, closed, entries, queue, unsigned, age, stopped, slots)
	if err != nil {
		return nil, errors.New("telemetry: register what is looked at")
	}
	return reg.Unregister, nil
}
