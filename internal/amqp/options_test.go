package amqp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/assent-gateway/assent/internal/broker"
	"github.com/assent-gateway/assent/internal/testrabbit"
)

func TestOptionsAreChecked(t *testing.T) {
	for name, c := range map[string]struct {
		o    Options
		want error
	}{
		"loopback":              {Options{URL: "amqp://u:p@127.0.0.1:5672/"}, nil},
		"by name":               {Options{URL: "amqp://localhost"}, nil},
		"elsewhere":             {Options{URL: "amqp://u:CANARY@rabbit.example.org/"}, broker.ErrPlaintext},
		"elsewhere, encrypted":  {Options{URL: "amqps://u:p@rabbit.example.org/"}, nil},
		"elsewhere, overridden": {Options{URL: "amqp://u:p@rabbit.example.org/", AllowPlaintext: true}, nil},
		"none":                  {Options{}, ErrURL},
		"another scheme":        {Options{URL: "http://u:CANARY@localhost/"}, ErrURL},
		"not an address":        {Options{URL: "amqp://u:CANARY%@localhost:x/"}, ErrURL},
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

// certificate writes one for 127.0.0.1 and its key, and returns who signed it.
func certificate(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, content []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	signed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(signed)
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", secret), pool
}

func TestEncryptedConnectionsWithAPassword(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a RabbitMQ server")
	}
	cert, key, pool := certificate(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	testrabbit.Start(t, "listeners.ssl.1 = "+addr, "ssl_options.cacertfile = "+cert, "ssl_options.certfile = "+cert, "ssl_options.keyfile = "+key)
	o := options(fmt.Sprintf("amqps://guest:guest@%s/", addr))
	o.TLS = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	if err := sink(t, o).Send(t.Context(), messages(1, 0, 1)); err != nil {
		t.Fatal(err)
	}
	wrong := o
	wrong.URL = fmt.Sprintf("amqps://guest:CANARY@%s/", addr)
	stranger := o
	stranger.TLS = nil // does not know who signed
	for _, o := range []Options{wrong, stranger} {
		if err := sink(t, o).Send(t.Context(), messages(1, 0, 1)); err == nil || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("sent with wrong options: %v", err)
		}
	}
}
