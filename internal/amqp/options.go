package amqp

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/assent-gateway/assent/internal/broker"
)

// The names at the broker; Events is an exchange, and a queue bound to it.
const (
	Events = "assent.events"
	Inbox  = "assent.inbox"
	Dead   = "assent.inbox.dead"
)

// ErrURL is a mistake in Options; its text follows a setting's name.
var ErrURL = errors.New("is not amqp://user:password@host:port/vhost or amqps://…")

// Options say where the broker is, and how to speak with it.
type Options struct {
	URL            string      // amqp://… or amqps://…; holds the password
	TLS            *tls.Config // of amqps; nil: the system's roots
	AllowPlaintext bool        // overrides broker.ErrPlaintext

	Observer broker.Observer // nil: none
	Log      *slog.Logger    // nil: none

	// For tests: the pause after so many failures, nil: broker.Pause; and how
	// often it is asked how much waits, 0: every second.
	Pause func(attempts int) time.Duration
	Every time.Duration
}

// Check finds mistakes without asking the network.
func (o Options) Check() error {
	uri, err := amqp091.ParseURI(o.URL)
	if err != nil { // its text quotes
		return ErrURL
	}
	if uri.Scheme != "amqps" && !o.AllowPlaintext && !broker.Loopback(uri.Host) {
		return broker.ErrPlaintext
	}
	return nil
}

func (o Options) withDefaults() (Options, error) {
	if o.Observer == nil {
		o.Observer = broker.Unobserved{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Log = o.Log.With("component", "amqp")
	if o.Pause == nil {
		o.Pause = broker.Pause
	}
	if o.Every == 0 {
		o.Every = time.Second
	}
	return o, o.Check()
}
