package kafka

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/assent-gateway/assent/internal/broker"
)

// The topics.
const (
	Events = "assent.events"
	Inbox  = "assent.inbox"
	Dead   = "assent.inbox.dead"
)

// group is the consumer group of all gateways of a deployment.
const group = "assent.inbox"

// Mistakes in Options; their texts follow a setting's name.
var (
	ErrBrokers   = errors.New("is not a comma-separated list of host:port")
	ErrMechanism = errors.New("is none of plain, scram-sha-256, scram-sha-512")
	ErrSASL      = errors.New("needs a user and a password")
)

// Options say where the brokers are, and how to speak with them.
type Options struct {
	Brokers        []string    // host:port of some of them
	TLS            *tls.Config // nil: in the clear, on loopback
	AllowPlaintext bool        // overrides broker.ErrPlaintext
	SASL           SASL

	Observer broker.Observer // nil: none
	Log      *slog.Logger    // nil: none

	// For tests: the pause after so many failures, nil: broker.Pause; and how
	// often things that take turns are done, 0: every second.
	Pause func(attempts int) time.Duration
	Every time.Duration
}

// SASL is how the gateway says who it is; the zero value: it does not.
type SASL struct{ Mechanism, User, Password string }

// Check finds mistakes without asking the network.
func (o Options) Check() error {
	if len(o.Brokers) == 0 {
		return ErrBrokers
	}
	for _, addr := range o.Brokers {
		host, port, err := net.SplitHostPort(addr)
		if n, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil || n == 0 || host == "" {
			return ErrBrokers
		}
		if o.TLS == nil && !o.AllowPlaintext && !broker.Loopback(host) {
			return broker.ErrPlaintext
		}
	}
	return nil
}

// Check finds mistakes.
func (s SASL) Check() error {
	if s == (SASL{}) {
		return nil
	}
	if s.Mechanism == "" || s.User == "" || s.Password == "" {
		return ErrSASL
	}
	if s.mechanism() == nil {
		return ErrMechanism
	}
	return nil
}

func (s SASL) mechanism() sasl.Mechanism {
	switch s.Mechanism {
	case "plain":
		return plain.Auth{User: s.User, Pass: s.Password}.AsMechanism()
	case "scram-sha-256":
		return scram.Auth{User: s.User, Pass: s.Password}.AsSha256Mechanism()
	case "scram-sha-512":
		return scram.Auth{User: s.User, Pass: s.Password}.AsSha512Mechanism()
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
	o.Log = o.Log.With("component", "kafka")
	if o.Pause == nil {
		o.Pause = broker.Pause
	}
	if o.Every == 0 {
		o.Every = time.Second
	}
	return o, errors.Join(o.Check(), o.SASL.Check())
}

// errClient: the library does not take the options.
var errClient = errors.New("kafka: make a client")

// client makes a client that connects when it is first used.
func (o Options) client(more ...kgo.Opt) (*kgo.Client, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(o.Brokers...), kgo.ClientID("assent"), kgo.DisableClientMetrics(), kgo.MetadataMinAge(o.Every),
		kgo.Dialer(broker.Dialer{TLS: o.TLS, Anywhere: o.AllowPlaintext}.Dial),
	}
	if m := o.SASL.mechanism(); m != nil {
		opts = append(opts, kgo.SASL(m))
	}
	cl, err := kgo.NewClient(append(opts, more...)...)
	if err != nil {
		return nil, errClient // its text may quote an address
	}
	return cl, nil
}
