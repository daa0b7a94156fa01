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

// brokers are what is open of them.
type brokers struct {
	inboxes []inboxReader
	close   []func() error // of the sinks
	stop    func()         // nil before inboxes are read
}

// brokerTenant is whose events come in and go out by brokers.
func (g *Gateway) brokerTenant() consent.TenantID {
	if g.cfg.BrokerTenant == "" {
		return DefaultTenant
	}
	return g.cfg.BrokerTenant
}

// openBrokers makes readers and sinks, which connect when they are used:
// whether a broker can be reached is no matter of the start. Erasures wait for
// sinks, and must not run before they are known.
func (g *Gateway) openBrokers(ctx context.Context) error {
	if g.cfg.Kafka == nil && g.cfg.AMQP == nil {
		return nil
	}
	if _, err := g.Ledger.Head(ctx, g.brokerTenant()); errors.Is(err, consent.ErrUnknownTenant) {
		return ErrBrokerTenant
	}
	var errs []error
	if g.cfg.Kafka != nil {
		o := *g.cfg.Kafka
		o.Log, o.Observer = g.cfg.Log, g.cfg.Telemetry.Broker(kafkaName)
		in, err := kafka.NewInbox(o, g.Inbox(g.brokerTenant(), kafkaName))
		out, outErr := kafka.NewSink(o)
		errs = append(errs, g.addBroker(ctx, kafkaName, in, out, errors.Join(err, outErr)))
	}
	if g.cfg.AMQP != nil {
		o := *g.cfg.AMQP
		o.Log, o.Observer = g.cfg.Log, g.cfg.Telemetry.Broker(amqpName)
		in, err := amqp.NewInbox(o, g.Inbox(g.brokerTenant(), amqpName))
		out, outErr := amqp.NewSink(o)
		errs = append(errs, g.addBroker(ctx, amqpName, in, out, errors.Join(err, outErr)))
	}
	return errors.Join(errs...)
}

// addBroker has a broker read from and delivered to, unless it could not be made.
func (g *Gateway) addBroker(ctx context.Context, name string, in inboxReader, out interface {
	events.Sink
	Close() error
}, err error) error {
	if err != nil {
		return err
	}
	g.brokers.inboxes = append(g.brokers.inboxes, in)
	g.brokers.close = append(g.brokers.close, out.Close)
	return g.Deliver(ctx, g.brokerTenant(), name, out)
}

// runBrokers reads the inboxes until Close. What cannot be applied stays at its
// broker, as long as a ledger is closed, too.
func (g *Gateway) runBrokers() {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, in := range g.brokers.inboxes {
		running.Go(func() {
			if err := in.Run(ctx); err != nil {
				g.cfg.Log.Error("an inbox is not read any more", "error", err)
			}
		})
	}
	g.brokers.stop = func() {
		cancel()
		running.Wait()
	}
}

// closeBrokers ends everything of them. What is being applied comes again, and
// what was not acknowledged is sent again: nothing delivers any more.
func (g *Gateway) closeBrokers() error {
	if g.brokers.stop != nil {
		g.brokers.stop()
	}
	var errs []error
	for _, end := range g.brokers.close {
		errs = append(errs, end())
	}
	return errors.Join(errs...)
}
