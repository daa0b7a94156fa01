package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/amqp"
	"github.com/assent-gateway/assent/internal/broker"
	"github.com/assent-gateway/assent/internal/kafka"
)

// brokers is what serve is told of message brokers.
type brokers struct {
	kafka  *kafka.Options // nil: none
	amqp   *amqp.Options  // the same
	tenant consent.TenantID
}

// brokerSettings are among settings.
var brokerSettings = []setting{
	{"ASSENT_KAFKA_BROKERS", "kafka-brokers", "comma-separated `host:port` of Kafka brokers: events go out to the topic assent.events and come in from assent.inbox"},
	{"ASSENT_KAFKA_TLS", "kafka-tls", "`1`: speak TLS with them"},
	{"ASSENT_KAFKA_CA", "kafka-ca", "PEM `file` of who signs their certificates, in place of the system's; implies TLS"},
	{"ASSENT_KAFKA_SASL", "kafka-sasl", "`mechanism` to say who you are: plain, scram-sha-256 or scram-sha-512"},
	{"ASSENT_KAFKA_USER", "kafka-user", "`user` for it"},
	{"ASSENT_KAFKA_PASSWORD", "", "password for it"},
	{"ASSENT_AMQP_URL", "", "`URL` of a RabbitMQ, amqp://… or amqps://…: events go out to the exchange assent.events and come in from the queue assent.inbox"},
	{"ASSENT_AMQP_CA", "amqp-ca", "PEM `file` of who signs its certificate, in place of the system's"},
	{"ASSENT_BROKER_TENANT", "broker-tenant", "`id` of the tenant whose events go out to brokers, and to whom those apply that come in"},
	{"ASSENT_ALLOW_PLAINTEXT_BROKERS", "", "1: send events to another machine, and take them from there, without TLS"},
}

// readBrokers reads them, and says every mistake.
func readBrokers(get func(string) string, plaintext bool, mistake func(string, ...any)) (b brokers) {
	b.tenant = consent.TenantID(get("ASSENT_BROKER_TENANT"))
	b.kafka = readKafka(get, plaintext, mistake)
	b.amqp = readAMQP(get, plaintext, mistake)
	if b.tenant != "" && b.kafka == nil && b.amqp == nil {
		mistake("ASSENT_BROKER_TENANT is set without ASSENT_KAFKA_BROKERS or ASSENT_AMQP_URL")
	}
	return b
}

const overridePlaintext = "or override by name with ASSENT_ALLOW_PLAINTEXT_BROKERS=1"

func readKafka(get func(string) string, plaintext bool, mistake func(string, ...any)) *kafka.Options {
	if get("ASSENT_KAFKA_BROKERS") == "" {
		for _, name := range []string{"TLS", "CA", "SASL", "USER", "PASSWORD"} {
			if get("ASSENT_KAFKA_"+name) != "" {
				mistake("ASSENT_KAFKA_%s is set without ASSENT_KAFKA_BROKERS", name)
			}
		}
		return nil
	}
	o := &kafka.Options{
		AllowPlaintext: plaintext,
		SASL:           kafka.SASL{Mechanism: get("ASSENT_KAFKA_SASL"), User: get("ASSENT_KAFKA_USER"), Password: get("ASSENT_KAFKA_PASSWORD")},
	}
	for addr := range strings.SplitSeq(get("ASSENT_KAFKA_BROKERS"), ",") {
		o.Brokers = append(o.Brokers, strings.TrimSpace(addr))
	}
	switch get("ASSENT_KAFKA_TLS") {
	case "", "0":
	case "1":
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	default:
		mistake("ASSENT_KAFKA_TLS is neither 0 nor 1")
	}
	if file := get("ASSENT_KAFKA_CA"); file != "" {
		o.TLS = signedBy("ASSENT_KAFKA_CA", file, mistake)
	}
	if err := o.Check(); errors.Is(err, broker.ErrPlaintext) {
		mistake("ASSENT_KAFKA_BROKERS %w: set ASSENT_KAFKA_TLS=1, %s", err, overridePlaintext)
	} else if err != nil {
		mistake("ASSENT_KAFKA_BROKERS %w", err)
	}
	if err := o.SASL.Check(); errors.Is(err, kafka.ErrSASL) {
		mistake("ASSENT_KAFKA_SASL %w: ASSENT_KAFKA_SASL, ASSENT_KAFKA_USER and ASSENT_KAFKA_PASSWORD go together", err)
	} else if err != nil {
		mistake("ASSENT_KAFKA_SASL %w", err)
	}
	return o
}

func readAMQP(get func(string) string, plaintext bool, mistake func(string, ...any)) *amqp.Options {
	o := &amqp.Options{URL: get("ASSENT_AMQP_URL"), AllowPlaintext: plaintext}
	ca := get("ASSENT_AMQP_CA")
	if o.URL == "" {
		if ca != "" {
			mistake("ASSENT_AMQP_CA is set without ASSENT_AMQP_URL")
		}
		return nil
	}
	if ca != "" {
		o.TLS = signedBy("ASSENT_AMQP_CA", ca, mistake)
		if !strings.HasPrefix(o.URL, "amqps:") {
			mistake("ASSENT_AMQP_CA is of no use without amqps:// in ASSENT_AMQP_URL")
		}
	}
	if err := o.Check(); errors.Is(err, broker.ErrPlaintext) {
		mistake("ASSENT_AMQP_URL %w: use amqps, %s", err, overridePlaintext)
	} else if err != nil {
		mistake("ASSENT_AMQP_URL %w", err)
	}
	return o
}

// signedBy trusts those whose certificates are in a file, and nobody else.
func signedBy(name, file string, mistake func(string, ...any)) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
	pem, err := os.ReadFile(file)
	if err != nil {
		mistake("%s: %w", name, err)
	} else if !c.RootCAs.AppendCertsFromPEM(pem) {
		mistake("%s holds no certificate in PEM", name)
	}
	return c
}

// print writes the settings in force, secrets hidden.
func (b *brokers) print(w io.Writer) {
	if o := b.kafka; o == nil {
		fmt.Fprintf(w, "  ASSENT_KAFKA_BROKERS       (none)\n")
	} else {
		how := ", in the clear"
		if o.TLS != nil {
			how = ", TLS"
		}
		if o.SASL.Mechanism != "" {
			how += ", " + o.SASL.Mechanism
		}
		fmt.Fprintf(w, "  ASSENT_KAFKA_BROKERS       %s%s\n", strings.Join(o.Brokers, ","), how)
		if o.SASL.Password != "" {
			fmt.Fprintf(w, "  ASSENT_KAFKA_PASSWORD      (set, hidden)\n")
		}
	}
	address := "(none)"
	if b.amqp != nil {
		if u, err := url.Parse(b.amqp.URL); err == nil {
			address = u.Scheme + "://" + u.Host + " (the rest is hidden)"
		}
	}
	fmt.Fprintf(w, "  ASSENT_AMQP_URL            %s\n", address)
	if b.kafka != nil || b.amqp != nil {
		fmt.Fprintf(w, "  ASSENT_BROKER_TENANT       %s\n", or(string(b.tenant), "default"))
	}
}
