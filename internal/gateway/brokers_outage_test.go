package gateway_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/amqp"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/kafka"
	"github.com/assent-gateway/assent/internal/testkafka"
	"github.com/assent-gateway/assent/internal/testrabbit"
	"github.com/assent-gateway/assent/retrieval"
)

// outage is how long both brokers are down: a minute where ASSENT_SHOW_OUTAGE is
// set, and then with the waits that a gateway has by default.
func outage() (time.Duration, gateway.Config) {
	if os.Getenv("ASSENT_SHOW_OUTAGE") != "" {
		return time.Minute, gateway.Config{Kafka: &kafka.Options{}, AMQP: &amqp.Options{}}
	}
	return time.Second, gateway.Config{}
}

// Broker down for a minute: nothing lost. Both brokers go away with events in their inboxes, while people go on
// talking to the gateway and one of them is erased. When they are back, what was in
// the inboxes and what comes then takes effect, everything that was said goes out, in
// order per person, and the erasure ends when both have its events.
func TestABrokerOutageLosesNothing(t *testing.T) {
	t.Parallel()
	k, r := testkafka.Start(t), testrabbit.Start(t)
	length, cfg := outage()
	d := openDoors(t, k, r, cfg)
	makeCollection(t, d.g, "a", retrieval.Spec{})
	say(t, d.g, consent.Granted, []string{"eve", "ada", "bob"}, rag, emb)
	put(t, d.g, caller, "a", retrieval.Document{ID: "eve", Owners: people(t, "eve")}, retrieval.Document{ID: "bob", Owners: people(t, "bob")})
	up := func(is int) func(string) bool {
		return func(text string) bool {
			for _, broker := range []string{"kafka", "amqp"} {
				for _, way := range []string{"in", "out"} {
					if !strings.Contains(text, fmt.Sprintf("assent_broker_up{broker=%q,direction=%q} %d", broker, way, is)) {
						return false
					}
				}
			}
			return true
		}
	}
	d.metrics(up(1))
	const events = 100
	who := func(i int) string { return fmt.Sprint("user:p", i) }
	send := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			event, err := consentEvent(who(i), who(i), "granted"), error(nil)
			if i%2 == 0 {
				err = d.toKafka(who(i), event)
			} else {
				err = d.toRabbit(event)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	send(0, events/2)
	k.Stop()
	r.Kill()
	began := time.Now()
	e := erase(t, d.g, "eve")
	said := 0
	for time.Since(began) < length {
		status := consent.Granted
		if said%2 == 0 {
			status = consent.Revoked
		}
		say(t, d.g, status, []string{"ada", "bob"}, rag)
		said++
		if code, _, err := call(d.url, adminKey, "GET", "/readyz", nil); err != nil || code != 200 {
			t.Fatalf("not ready without its brokers: %d %v", code, err)
		}
		<-time.After(200 * time.Millisecond)
	}
	d.metrics(up(0))
	d.until(func() bool { // no broker has its events: it waits for them alone
		now, err := d.g.Erasure.Get(t.Context(), gateway.DefaultTenant, e.ID)
		if err == nil && now.State == erasure.Completed {
			t.Error("completed, though no broker was told")
			return true
		}
		return err == nil && now.State == erasure.Verifying && now.Level == erasure.Purged
	})
	down := time.Since(began)
	k.Restart()
	if err := r.Restart(); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	d.metrics(up(1))
	t.Logf("down for %v, %d statements of each of two people meanwhile; up %v after both were back", down.Round(time.Second), said, time.Since(back).Round(10*time.Millisecond))
	send(events/2, events)
	for i := range events {
		d.until(func() bool {
			code, answer, err := call(d.url, adminKey, "GET", "/v1/consent/"+who(i)+"/rag_retrieval_v1.0", nil)
			return err == nil && code == 200 && answer["granted"] == true
		})
	}
	d.until(func() bool {
		now, err := d.g.Erasure.Get(t.Context(), gateway.DefaultTenant, e.ID)
		return err == nil && now.State == erasure.Completed
	})
	t.Logf("all in, and the erasure completed, %v after both were back", time.Since(back).Round(10*time.Millisecond))
	sent := d.events()
	for id, o := range sent { // eve cannot be named any more: what went out before named her
		if o.Subject == "" || o.Subject == "user:eve" {
			delete(sent, id)
		}
	}
	if want := 4 + 2*said + events; len(sent) != want {
		t.Errorf("%d events to go out, want %d", len(sent), want)
	}
	others := func(read func(func([]byte) bool)) func(func([]byte) bool) {
		return func(each func([]byte) bool) {
			read(func(event []byte) bool {
				return bytes.Contains(event, []byte("user:eve")) || bytes.Contains(event, []byte("org.assent.erasure.")) || each(event)
			})
		}
	}
	d.inOrder("kafka", sent, others(d.fromKafka))
	d.inOrder("amqp", sent, others(d.fromRabbit))
	t.Logf("%d events in both brokers, each person's in order, %v after both were back", len(sent), time.Since(back).Round(10*time.Millisecond))
}
