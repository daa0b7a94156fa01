package amqp

import (
	"context"
	"errors"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// Errors of a publisher.
var (
	errPublish  = errors.New("amqp: the broker did not confirm a message")
	errReturned = errors.New("amqp: no queue took a message: none is bound to the exchange assent.events")
)

// chunk bounds how many messages are unconfirmed.
const chunk = 256

// A publisher publishes messages durably, in order. It is for one sender at a
// time, connects when it is first used, and anew after an error.
type publisher struct {
	o       Options
	queues  []string // to be there
	link    *link
	returns chan amqp091.Return
}

// A letter is a message and where it goes.
type letter struct {
	exchange, key string
	amqp091.Publishing
}

// send returns nil when the broker has confirmed all. After an error, any of
// them may be there.
func (p *publisher) send(ctx context.Context, letters []letter) (err error) {
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if p.link != nil && p.link.conn.IsClosed() {
		p.close()
	}
	if p.link == nil {
		if err := p.open(ctx); err != nil {
			return err
		}
	}
	return p.link.guard(ctx, func() error {
		for from := 0; from < len(letters); from += chunk {
			if err := p.publish(ctx, letters[from:min(from+chunk, len(letters))]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (p *publisher) open(ctx context.Context) (err error) {
	if p.link, err = p.o.open(ctx); err != nil {
		return err
	}
	return p.link.guard(ctx, func() error {
		if err := p.link.declare(p.queues...); err != nil {
			return err
		}
		// Returns come before confirmations, and there is room for all: the
		// library's reader is never held up.
		p.returns = p.link.ch.NotifyReturn(make(chan amqp091.Return, chunk))
		if err := p.link.ch.Confirm(false); err != nil {
			return errOpen
		}
		return nil
	})
}

func (p *publisher) publish(ctx context.Context, letters []letter) error {
	var confirms []*amqp091.DeferredConfirmation
	for _, l := range letters {
		l.DeliveryMode = amqp091.Persistent
		c, err := p.link.ch.PublishWithDeferredConfirm(l.exchange, l.key, true, false, l.Publishing)
		if err != nil {
			return errPublish
		}
		confirms = append(confirms, c)
	}
	for _, c := range confirms {
		if ok, err := c.WaitContext(ctx); err != nil || !ok {
			return errPublish
		}
	}
	select {
	case <-p.returns: // or it is closed, with the channel
		return errReturned
	default:
		return nil
	}
}

func (p *publisher) close() {
	if p.link != nil {
		p.link.close()
		p.link = nil
	}
}
