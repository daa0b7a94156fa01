package amqp

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/assent-gateway/assent/internal/broker"
)

const (
	// openTime bounds how long it may take until a connection is open.
	openTime = 15 * time.Second
	// closeTime bounds how long the broker may take to take leave.
	closeTime = 2 * time.Second
)

// Errors of a link; those of the library may quote an address.
var (
	errOpen    = errors.New("amqp: connect")
	errDeclare = errors.New("amqp: declare an exchange or a queue")
	errLost    = errors.New("amqp: the connection was lost")
)

// A link is a connection with a channel.
type link struct {
	socket net.Conn
	conn   *amqp091.Connection
	ch     *amqp091.Channel
}

// open connects. The library's calls know no context: where one ends, the
// socket is closed under them.
func (o Options) open(ctx context.Context) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	l := &link{}
	var unwatch func() bool
	dialer := broker.Dialer{Anywhere: o.AllowPlaintext || strings.HasPrefix(o.URL, "amqps:")}
	config := amqp091.Config{
		Properties: amqp091.Table{"connection_name": "assent"},
		Dial: func(network, addr string) (c net.Conn, err error) {
			if c, err = dialer.Dial(ctx, network, addr); err == nil {
				l.socket, unwatch = c, context.AfterFunc(ctx, func() { c.Close() })
			}
			return c, err
		},
	}
	if o.TLS != nil {
		config.TLSClientConfig = o.TLS.Clone() // the library names the server in it
	}
	var err error
	if l.conn, err = amqp091.DialConfig(o.URL, config); err == nil {
		l.ch, err = l.conn.Channel()
	}
	if unwatch != nil && !unwatch() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		l.close()
		return nil, errOpen
	}
	return l, nil
}

// guard runs what may hang with a broker that stands still, until ctx ends: then
// the socket is closed under it.
func (l *link) guard(ctx context.Context, do func() error) error {
	unwatch := context.AfterFunc(ctx, func() { l.socket.Close() })
	defer unwatch()
	return do()
}

// close takes leave, or does without.
func (l *link) close() {
	if l.socket == nil {
		return
	}
	end := time.AfterFunc(closeTime, func() { l.socket.Close() })
	defer end.Stop()
	if l.conn != nil {
		_ = l.conn.Close()
	}
	l.socket.Close()
}

// deadFor is how long dead letters are kept, in milliseconds: they hold what
// other systems say of people, and no erasure reaches them.
const deadFor int64 = 14 * 24 * 3600 * 1000

// queues are how those that are absent are made.
var queues = map[string]amqp091.Table{
	Events: {amqp091.QueueTypeArg: "classic"},
	Inbox:  {amqp091.QueueTypeArg: "classic", "x-single-active-consumer": true},
	Dead:   {amqp091.QueueTypeArg: "classic", amqp091.QueueMessageTTLArg: deadFor},
}

// declare makes what is absent. To ask for what is absent ends a channel.
func (l *link) declare(names ...string) error {
	for _, name := range names {
		there, err := l.there(func(ch *amqp091.Channel) error {
			_, err := ch.QueueDeclarePassive(name, true, false, false, false, nil)
			return err
		})
		if err == nil && !there {
			_, err = l.ch.QueueDeclare(name, true, false, false, false, queues[name])
		}
		if err == nil && name == Events {
			err = l.declareExchange(there)
		}
		if err != nil {
			return errDeclare
		}
	}
	return nil
}

// declareExchange makes the exchange; the queue is bound to it when either is
// new, and not again where somebody unbound it.
func (l *link) declareExchange(queueThere bool) error {
	there, err := l.there(func(ch *amqp091.Channel) error {
		return ch.ExchangeDeclarePassive(Events, amqp091.ExchangeTopic, true, false, false, false, nil)
	})
	if err == nil && !there {
		err = l.ch.ExchangeDeclare(Events, amqp091.ExchangeTopic, true, false, false, false, nil)
	}
	if err == nil && !(there && queueThere) {
		err = l.ch.QueueBind(Events, "#", Events, false, nil)
	}
	return err
}

// there asks whether something is, on a channel of its own.
func (l *link) there(ask func(*amqp091.Channel) error) (bool, error) {
	ch, err := l.conn.Channel()
	if err != nil {
		return false, err
	}
	defer ch.Close()
	err = ask(ch)
	var refused *amqp091.Error
	if errors.As(err, &refused) && refused.Code == amqp091.NotFound {
		return false, nil
	}
	return err == nil, err
}
