package telemetry

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/assent-gateway/assent/internal/broker"
)

// Fates of an event of another system, beside the causes of dead letters.
const (
	fateReceived = "received"
	fateApplied  = "applied"
	fateRetried  = "retried"
)

// brokers are the instruments of message brokers.
type brokers struct {
	up      metric.Int64Gauge
	inbox   metric.Int64Counter
	waiting metric.Int64Gauge
	sent    metric.Int64Counter
}

func (b *brokers) make(m metric.Meter) error {
	var errs [4]error
	b.up, errs[0] = m.Int64Gauge("assent.broker.up", metric.WithDescription("1 when the broker could last be reached, by direction."))
	b.inbox, errs[1] = m.Int64Counter("assent.inbox.events", metric.WithDescription("Events of other systems, by what became of them; retried counts attempts."))
	b.waiting, errs[2] = m.Int64Gauge("assent.inbox.waiting", metric.WithDescription("Events of other systems that are not applied yet."))
	b.sent, errs[3] = m.Int64Counter("assent.events.sent", metric.WithDescription("Events that are durable at the broker."))
	return errors.Join(errs[:]...)
}

// Broker observes a message broker, kafka or amqp; nil for a nil Telemetry.
func (t *Telemetry) Broker(name string) broker.Observer {
	if t == nil {
		return nil
	}
	o := &brokerObserver{brokers: &t.brokers, ways: map[broker.Direction]metric.MeasurementOption{}, fates: map[string]metric.MeasurementOption{}}
	kv := t.list.broker.of(name)
	o.plain = labelled(kv)
	for _, d := range []broker.Direction{broker.In, broker.Out} {
		o.ways[d] = labelled(kv, t.list.direction.of(string(d)))
	}
	for _, fate := range fates {
		o.fates[fate] = labelled(kv, t.list.fate.of(fate))
	}
	o.fates[other] = labelled(kv, t.list.fate.other)
	return o
}

var fates = []string{fateReceived, fateApplied, fateRetried, string(broker.Malformed), string(broker.Failed)}

func labelled(kvs ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(kvs...))
}

// A brokerObserver records under label sets that were made once.
type brokerObserver struct {
	*brokers
	plain metric.MeasurementOption
	ways  map[broker.Direction]metric.MeasurementOption
	fates map[string]metric.MeasurementOption
}

func (o *brokerObserver) Up(d broker.Direction)   { o.reached(d, 1) }
func (o *brokerObserver) Down(d broker.Direction) { o.reached(d, 0) }

func (o *brokerObserver) reached(d broker.Direction, value int64) {
	if set, ok := o.ways[d]; ok {
		o.up.Record(context.Background(), value, set)
	}
}

func (o *brokerObserver) Sent(n int) { o.sent.Add(context.Background(), int64(n), o.plain) }
func (o *brokerObserver) Received()  { o.became(fateReceived) }
func (o *brokerObserver) Applied()   { o.became(fateApplied) }
func (o *brokerObserver) Retried()   { o.became(fateRetried) }

func (o *brokerObserver) Dead(why broker.Cause) { o.became(string(why)) }
func (o *brokerObserver) Waiting(n int64)       { o.waiting.Record(context.Background(), n, o.plain) }

func (o *brokerObserver) became(fate string) {
	set, ok := o.fates[fate]
	if !ok {
		set = o.fates[other]
	}
	o.inbox.Add(context.Background(), 1, set)
}
