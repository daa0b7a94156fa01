package amqp

import (
	"context"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/assent-gateway/assent/internal/broker"
	"github.com/assent-gateway/assent/internal/events"
)

// prefetch bounds how many messages wait in the gateway.
const prefetch = 128

// An InboxReader applies the events of the queue assent.inbox.
type InboxReader struct {
	o        Options
	receiver events.Receiver
}

// NewInbox makes a reader that hands events to a receiver.
func NewInbox(o Options, r events.Receiver) (*InboxReader, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	return &InboxReader{o: o, receiver: r}, nil
}

// Run reads until ctx ends: through outages, and taking turns with other
// gateways. It is called once.
func (in *InboxReader) Run(ctx context.Context) error {
	broker.Forever(ctx, in.o.Pause, func(ctx context.Context, up func()) error {
		err := in.session(ctx, up)
		if ctx.Err() == nil {
			in.o.Observer.Down(broker.In)
			in.o.Log.Warn("the inbox cannot be read: it is tried again", "error", err)
		}
		return err
	})
	return nil
}

// session is the life of one connection.
func (in *InboxReader) session(ctx context.Context, up func()) error {
	l, err := in.o.open(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	var deliveries <-chan amqp091.Delivery
	err = l.guard(ctx, func() (err error) {
		if err := l.declare(Inbox, Dead); err != nil {
			return err
		}
		if err = l.ch.Qos(prefetch, 0, false); err == nil {
			deliveries, err = l.ch.Consume(Inbox, "", false, false, false, false, nil)
		}
		if err != nil {
			return errDeclare
		}
		return nil
	})
	if err != nil {
		return err
	}
	up()
	in.o.Observer.Up(broker.In)
	return in.read(ctx, l, deliveries)
}

// read applies what is delivered until the connection is lost or ctx ends. It
// returns when nothing is being applied any more: the next session may begin.
func (in *InboxReader) read(ctx context.Context, l *link, deliveries <-chan amqp091.Delivery) error {
	dead := &publisher{o: in.o, queues: []string{Dead}}
	defer dead.close()
	queue, ended := broker.NewQueue(), make(chan struct{})
	lineCtx, stop := context.WithCancel(ctx)
	line := &broker.Line{Receiver: in.receiver, Observer: in.o.Observer, Log: in.o.Log, Pause: in.o.Pause}
	go func() { defer close(ended); line.Run(lineCtx, queue) }()
	go in.watch(lineCtx, l, queue)
	defer func() { stop(); <-ended }()
	for {
		select {
		case d, ok := <-deliveries:
			if !ok {
				return errLost
			}
			queue.Add(delivery(d, dead))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func delivery(d amqp091.Delivery, dead *publisher) broker.Delivery {
	return broker.Delivery{
		Event:  structured(d),
		Settle: func() { _ = d.Ack(false) }, // where it does not get there, the message comes again
		Bury: func(ctx context.Context, why broker.Cause) error {
			headers := amqp091.Table{}
			for name, value := range d.Headers {
				headers[name] = value
			}
			headers["assent-cause"] = string(why)
			return dead.send(ctx, []letter{{"", Dead, amqp091.Publishing{
				Headers: headers, ContentType: d.ContentType, ContentEncoding: d.ContentEncoding,
				MessageId: d.MessageId, AppId: d.AppId, Type: d.Type, Body: d.Body,
			}}})
		},
	}
}

// structured is the event of a message: in binary mode headers hold its
// attributes, named as the AMQP binding of CloudEvents names properties.
func structured(d amqp091.Delivery) []byte {
	return broker.Structured(func(name string) (string, bool) {
		for _, prefix := range []string{"cloudEvents:", "cloudEvents_"} {
			if value, ok := d.Headers[prefix+name].(string); ok {
				return value, true
			}
		}
		return "", false
	}, d.ContentType, d.Body)
}

// watch tells the observer how much waits: here, and at the broker.
func (in *InboxReader) watch(ctx context.Context, l *link, queue *broker.Queue) {
	for broker.Wait(ctx, in.o.Every) == nil {
		there, err := l.there(func(ch *amqp091.Channel) error {
			q, err := ch.QueueDeclarePassive(Inbox, true, false, false, false, nil)
			if err == nil {
				in.o.Observer.Waiting(int64(q.Messages + queue.Len()))
			}
			return err
		})
		if err != nil || !there {
			l.socket.Close() // the session ends, and the next one makes the queue
			return
		}
	}
}
