package gateway

import (
	"context"
	"errors"
	"sync"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/amqp"
	"github.com/assent-gateway/assent/internal/events"
	"github.com/assent-gateway/assent/internal/kafka"
)

// Names of brokers: in logs and metrics, of their cursors, and in the audit of
// what comes in by them.
const (
	kafkaName = "kafka"
	amqpName  = "amqp"
)

// ErrBrokerTenant: events would be of nobody.
var ErrBrokerTenant = errors.New("gateway: ASSENT_BROKER_TENANT names no tenant of this gateway")

// An inboxReader reads a broker's; Run applies what is in it until ctx ends.
type inboxReader interface {
	Run(ctx context.Context) error
}

// A brokerSink is where events go out, under the name of its cursor.
type brokerSink struct {
	name string
	events.Sink
	close func() error
}

// brokerTenant is whose events come in and go out by brokers.
func (g *Gateway) brokerTenant() consent.TenantID {
	if g.cfg.BrokerTenant == "" {
		return DefaultTenant
	}
	return g.cfg.BrokerTenant
}

// runBrokers begins to read inboxes. Whether a broker can be reached is no
// matter of the start: readers try on, and what is not applied stays at the
// broker. So it does while a ledger is closed.
func (g *Gateway) runBrokers(ctx context.Context) error {
	if g.cfg.Kafka == nil && g.cfg.AMQP == nil {
		return nil
	}
	if _, err := g.Ledger.Head(ctx, g.brokerTenant()); errors.Is(err, consent.ErrUnknownTenant) {
		return ErrBrokerTenant
	}
	inboxes, err := g.openBrokers()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	for _, in := range inboxes {
		running.Go(func() {
			if err := in.Run(ctx); err != nil {
				g.cfg.Log.Error("an inbox is not read any more", "error", err)
			}
		})
	}
	g.stopBrokers = func() error {
		cancel() // what is being applied is, or comes again
		running.Wait()
		var errs []error
		for _, s := range g.sinks {
			errs = append(errs, s.close())
		}
		return errors.Join(errs...)
	}
	return nil
}

// openBrokers makes readers and sinks, which connect when they are used.
func (g *Gateway) openBrokers() (inboxes []inboxReader, err error) {
	if g.cfg.Kafka != nil {
		o := *g.cfg.Kafka
		o.Log, o.Observer = g.cfg.Log, g.cfg.Telemetry.Broker(kafkaName)
		in, err := kafka.NewInbox(o, g.Inbox(g.brokerTenant(), kafkaName))
		if err != nil {
			return nil, err
		}
		out, err := kafka.NewSink(o)
		if err != nil {
			return nil, err
		}
		inboxes, g.sinks = append(inboxes, in), append(g.sinks, brokerSink{kafkaName, out, out.Close})
	}
	if g.cfg.AMQP != nil {
		o := *g.cfg.AMQP
		o.Log, o.Observer = g.cfg.Log, g.cfg.Telemetry.Broker(amqpName)
		in, err := amqp.NewInbox(o, g.Inbox(g.brokerTenant(), amqpName))
		if err != nil {
			return nil, err
		}
		out, err := amqp.NewSink(o)
		if err != nil {
			return nil, err
		}
		inboxes, g.sinks = append(inboxes, in), append(g.sinks, brokerSink{amqpName, out, out.Close})
	}
	return inboxes, nil
}
