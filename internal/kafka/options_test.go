package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/assent-gateway/assent/internal/broker"
)

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	encrypted := &tls.Config{MinVersion: tls.VersionTLS12}
	for name, c := range map[string]struct {
		o    Options
		want error
	}{
		"loopback":                 {Options{Brokers: []string{"127.0.0.1:9092", "localhost:9093", "[::1]:9094"}}, nil},
		"elsewhere":                {Options{Brokers: []string{"127.0.0.1:9092", "CANARY.example.org:9092"}}, broker.ErrPlaintext},
		"elsewhere, encrypted":     {Options{Brokers: []string{"kafka.example.org:9092"}, TLS: encrypted}, nil},
		"elsewhere, overridden":    {Options{Brokers: []string{"kafka.example.org:9092"}, AllowPlaintext: true}, nil},
		"none":                     {Options{}, ErrBrokers},
		"no port":                  {Options{Brokers: []string{"CANARY"}}, ErrBrokers},
		"no host":                  {Options{Brokers: []string{":9092"}}, ErrBrokers},
		"a port that is none":      {Options{Brokers: []string{"localhost:CANARY"}}, ErrBrokers},
		"a mechanism nobody knows": {Options{Brokers: []string{"localhost:1"}, SASL: SASL{"CANARY", "u", "p"}}, ErrMechanism},
		"no password":              {Options{Brokers: []string{"localhost:1"}, SASL: SASL{"plain", "CANARY", ""}}, ErrSASL},
		"a mechanism alone":        {Options{Brokers: []string{"localhost:1"}, SASL: SASL{Mechanism: "plain"}}, ErrSASL},
	} {
		_, err := NewSink(c.o)
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s: the error quotes it: %v", name, err)
		}
	}
}

// certificate is one for 127.0.0.1, and who signed it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return s.TLS.Certificates[0], pool
}

func TestEncryptedConnectionsWithAPassword(t *testing.T) {
	t.Parallel()
	cert, pool := certificate(t)
	for _, mechanism := range []string{"plain", "scram-sha-256", "scram-sha-512"} {
		t.Run(mechanism, func(t *testing.T) {
			t.Parallel()
			c := startCluster(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{cert}}), kfake.EnableSASL(),
				kfake.Superuser(strings.ToUpper(mechanism), "ada", "secret"))
			o := c.options()
			o.TLS = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
			o.SASL = SASL{mechanism, "ada", "secret"}
			c.o = &o
			if err := sink(t, o).Send(t.Context(), messages(1, 0, 1)); err != nil {
				t.Fatal(err)
			}
			r := newRecorder()
			run(t, o, r)
			c.write(Inbox, &kgo.Record{Key: []byte("k"), Value: []byte("k 0")})
			r.wait(t, 1)

			wrong := o
			wrong.SASL.Password = "CANARY"
			refuses(t, wrong)
			stranger := o
			stranger.TLS = &tls.Config{MinVersion: tls.VersionTLS12} // does not know who signed
			refuses(t, stranger)
		})
	}
}

// refuses checks that nothing is sent with such options, and no error quotes.
func refuses(t *testing.T, o Options) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := sink(t, o).Send(ctx, messages(1, 0, 1)); err == nil || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("sent with wrong options: %v", err)
	}
}
