package amqp

import (
	"context"
	"encoding/hex"
	"sync"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/assent-gateway/assent/internal/broker"
	"github.com/assent-gateway/assent/internal/events"
)

// contentType is that of CloudEvents in structured mode.
const contentType = "application/cloudevents+json; charset=utf-8"

// sendTime bounds one Send: a broker that is short of memory or disk takes no
// messages and says nothing.
const sendTime = 30 * time.Second

// A Sink sends events to the exchange assent.events. It connects when it is
// first used.
type Sink struct {
	o  Options
	mu sync.Mutex
	p  publisher
}

var _ events.Sink = (*Sink)(nil)

// NewSink makes a sink.
func NewSink(o Options) (*Sink, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Sink{o: o, p: publisher{o: o, queues: []string{Events}}}, nil
}

// Send sends events; see events.Sink.
func (s *Sink) Send(ctx context.Context, batch []events.Message) error {
	letters := make([]letter, len(batch))
	for i, m := range batch {
		letters[i] = letter{Events, hex.EncodeToString(m.Key[:]), amqp091.Publishing{ContentType: contentType, Body: m.Event}}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	if err := s.p.send(ctx, letters); err != nil {
		s.o.Observer.Down(broker.Out)
		return err
	}
	s.o.Observer.Up(broker.Out)
	s.o.Observer.Sent(len(batch))
	return nil
}

// Close ends the sink. What Send did not say to be durable may be, or not.
func (s *Sink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.p.close()
	return nil
}
