package kafka

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/assent-gateway/assent/internal/broker"
)

// Errors of a producer.
var (
	errProduce = errors.New("kafka: the broker did not take a record")
	errPending = errors.New("kafka: the broker has not answered yet")
)

// downAfter is how long records may be under way before the broker counts as
// down.
const downAfter = 5 * time.Second

// A producer writes records durably, in order.
type producer struct {
	o      Options
	topics []string // to be there
	cl     *kgo.Client

	turn  chan struct{} // holds one while nobody sends
	there bool          // the topics are; under turn
	last  *batch        // nil before the first; under turn
}

// A batch is records that were sent together. It outlives a sender that went
// away.
type batch struct {
	left   atomic.Int64
	failed atomic.Bool
	done   chan struct{} // closed when the fate of all is known
}

func newProducer(o Options, topics ...string) (*producer, error) {
	cl, err := o.client(kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.ProducerLinger(0))
	if err != nil {
		return nil, err
	}
	p := &producer{o: o, topics: topics, cl: cl, turn: make(chan struct{}, 1)}
	p.turn <- struct{}{}
	return p, nil
}

// send returns nil when all records are durable. A record that was written and
// not answered cannot be taken back, since the broker may have it: it stays
// under way, and nothing comes after it before its fate is known.
func (p *producer) send(ctx context.Context, records ...*kgo.Record) error {
	select {
	case <-p.turn:
		defer func() { p.turn <- struct{}{} }()
	case <-ctx.Done():
		return ctx.Err()
	}
	late := time.AfterFunc(downAfter, func() { p.o.Observer.Down(broker.Out) })
	err := p.write(ctx, records)
	late.Stop()
	if err != nil {
		p.o.Observer.Down(broker.Out)
	} else {
		p.o.Observer.Up(broker.Out)
	}
	return err
}

func (p *producer) write(ctx context.Context, records []*kgo.Record) error {
	if p.last != nil {
		if err := p.last.wait(ctx); errors.Is(err, errPending) {
			return err
		}
	}
	if !p.there {
		if err := makeTopics(ctx, p.cl, p.topics...); err != nil {
			return err
		}
		p.there = true
	}
	b := &batch{done: make(chan struct{})}
	p.last = b
	b.left.Store(int64(len(records)) + 1)
	for _, r := range records {
		p.cl.Produce(context.Background(), r, func(_ *kgo.Record, err error) { b.settle(err) })
	}
	b.settle(nil)
	err := b.wait(ctx)
	if errors.Is(err, errProduce) {
		p.there = false // a topic may be gone
	}
	return err
}

// settle hears the fate of a record.
func (b *batch) settle(err error) {
	if err != nil {
		b.failed.Store(true) // its own text may quote an address
	}
	if b.left.Add(-1) == 0 {
		close(b.done)
	}
}

func (b *batch) wait(ctx context.Context) error {
	select {
	case <-b.done:
	case <-ctx.Done():
		return errPending
	}
	if b.failed.Load() {
		return errProduce
	}
	return nil
}

// close gives up what is under way.
func (p *producer) close() { p.cl.Close() }
