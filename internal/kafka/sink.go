package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/assent-gateway/assent/internal/events"
)

// A Sink sends events to the topic assent.events. It connects when it is first
// used; while no broker can be reached, Send waits.
type Sink struct{ p *producer }

var _ events.Sink = (*Sink)(nil)

// NewSink makes a sink.
func NewSink(o Options) (*Sink, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	p, err := newProducer(o, Events)
	if err != nil {
		return nil, err
	}
	return &Sink{p}, nil
}

// contentType is what the Kafka binding of CloudEvents calls structured mode.
var contentType = kgo.RecordHeader{Key: "content-type", Value: []byte("application/cloudevents+json; charset=utf-8")}

// Send sends events; see events.Sink.
func (s *Sink) Send(ctx context.Context, batch []events.Message) error {
	records := make([]*kgo.Record, len(batch))
	for i, m := range batch {
		records[i] = &kgo.Record{Topic: Events, Key: m.Key[:], Value: m.Event, Headers: []kgo.RecordHeader{contentType}}
	}
	if err := s.p.send(ctx, records...); err != nil {
		return err
	}
	s.p.o.Observer.Sent(len(batch))
	return nil
}

// Close ends the sink. What Send did not say to be durable may be, or not.
func (s *Sink) Close() error { s.p.close(); return nil }
