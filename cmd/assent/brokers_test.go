package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestMistakesAboutBrokersAreNamedAtOnceAndNoSecret(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(empty, []byte("hush"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		env  map[string]string
		want []string
	}{
		"elsewhere in the clear": {
			map[string]string{"ASSENT_KAFKA_BROKERS": "127.0.0.1:9092, hush.example:9092", "ASSENT_AMQP_URL": "amqp://u:hush@hush.example/"},
			[]string{"ASSENT_KAFKA_BROKERS is not on loopback", "ASSENT_AMQP_URL is not on loopback", "ASSENT_ALLOW_PLAINTEXT_BROKERS=1"},
		},
		"not addresses": {
			map[string]string{"ASSENT_KAFKA_BROKERS": "hush", "ASSENT_AMQP_URL": "http://u:hush@localhost/", "ASSENT_KAFKA_TLS": "hush"},
			[]string{"ASSENT_KAFKA_BROKERS is not a comma", "ASSENT_AMQP_URL is not amqp://", "ASSENT_KAFKA_TLS is neither"},
		},
		"half a password": {
			map[string]string{"ASSENT_KAFKA_BROKERS": "localhost:1", "ASSENT_KAFKA_PASSWORD": "hush"},
			[]string{"ASSENT_KAFKA_SASL needs a user and a password"},
		},
		"a mechanism nobody knows": {
			map[string]string{"ASSENT_KAFKA_BROKERS": "localhost:1", "ASSENT_KAFKA_SASL": "hush", "ASSENT_KAFKA_USER": "hush", "ASSENT_KAFKA_PASSWORD": "hush"},
			[]string{"ASSENT_KAFKA_SASL is none of plain"},
		},
		"certificates that are none": {
			map[string]string{"ASSENT_KAFKA_BROKERS": "localhost:1", "ASSENT_KAFKA_CA": empty, "ASSENT_AMQP_URL": "amqp://localhost/", "ASSENT_AMQP_CA": empty + ".none"},
			[]string{"ASSENT_KAFKA_CA holds no certificate", "ASSENT_AMQP_CA: ", "ASSENT_AMQP_CA is of no use without amqps"},
		},
		"settings of brokers that are not set": {
			map[string]string{"ASSENT_KAFKA_TLS": "1", "ASSENT_KAFKA_PASSWORD": "hush", "ASSENT_AMQP_CA": "hush", "ASSENT_BROKER_TENANT": "hush"},
			[]string{"ASSENT_KAFKA_TLS is set without", "ASSENT_KAFKA_PASSWORD is set without", "ASSENT_AMQP_CA is set without", "ASSENT_BROKER_TENANT is set without"},
		},
	} {
		_, err := load(c.env)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is not said: %v", name, want, err)
			}
		}
		if strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: a value is shown: %v", name, err)
		}
	}
}

func TestBrokersAreReadAndPrintedWithoutTheirSecrets(t *testing.T) {
	t.Parallel()
	c, err := load(map[string]string{
		"ASSENT_KAFKA_BROKERS": "k1.example:9092, k2.example:9092", "ASSENT_KAFKA_TLS": "1", "ASSENT_KAFKA_SASL": "scram-sha-256",
		"ASSENT_KAFKA_USER": "ada", "ASSENT_KAFKA_PASSWORD": "hush", "ASSENT_AMQP_URL": "amqps://ada:hush@rabbit.example:5671/hush",
		"ASSENT_BROKER_TENANT": "tx",
	})
	if err != nil {
		t.Fatal(err)
	}
	k, a := c.brokers.kafka, c.brokers.amqp
	if !slices.Equal(k.Brokers, []string{"k1.example:9092", "k2.example:9092"}) || k.TLS == nil || k.SASL.User != "ada" || a == nil || c.brokers.tenant != "tx" {
		t.Errorf("read: %+v", c.brokers)
	}
	var out strings.Builder
	c.print(&out)
	if strings.Contains(out.String(), "hush") {
		t.Error(out.String())
	}
	for _, want := range []string{
		"k1.example:9092,k2.example:9092, TLS, scram-sha-256", "ASSENT_KAFKA_PASSWORD      (set, hidden)", "amqps://rabbit.example:5671 (the rest is hidden)",
		"ASSENT_BROKER_TENANT       tx",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not printed: %s", want, out.String())
		}
	}
	c, err = load(map[string]string{"ASSENT_KAFKA_BROKERS": "k1.example:9092", "ASSENT_AMQP_URL": "amqp://rabbit.example", "ASSENT_ALLOW_PLAINTEXT_BROKERS": "1"})
	if err != nil || !c.brokers.kafka.AllowPlaintext || !c.brokers.amqp.AllowPlaintext {
		t.Errorf("overridden by name: %v", err)
	}
}
