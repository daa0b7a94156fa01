package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/amqp"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/kafka"
	"github.com/assent-gateway/assent/internal/telemetry"
	"github.com/assent-gateway/assent/internal/testkafka"
	"github.com/assent-gateway/assent/internal/testrabbit"
	"github.com/assent-gateway/assent/retrieval"
)

// doors are a gateway with both brokers, and what is needed to use them from
// the other side.
type doors struct {
	*testing.T
	kafka  *testkafka.Server
	rabbit *testrabbit.Server
	g      *gateway.Gateway
	tel    *telemetry.Telemetry
	url    string
}

// openDoors opens a gateway with brokers, which need not be up.
func openDoors(t *testing.T, k *testkafka.Server, r *testrabbit.Server, cfg gateway.Config) *doors {
	t.Helper()
	d := &doors{T: t, kafka: k, rabbit: r}
	var err error
	if d.tel, err = telemetry.New(t.Context(), telemetry.Config{}); err != nil {
		t.Fatal(err)
	}
	soon := func(int) time.Duration { return 100 * time.Millisecond }
	if cfg.Kafka == nil {
		cfg.Kafka = &kafka.Options{Pause: soon, Every: 100 * time.Millisecond}
		cfg.AMQP = &amqp.Options{Pause: soon, Every: 100 * time.Millisecond}
	}
	cfg.Kafka.Brokers, cfg.AMQP.URL = []string{k.Addr()}, r.URL()
	cfg.Telemetry, cfg.AdminKey = d.tel, adminKey
	d.g = openGateway(t, cfg)
	s := httptest.NewServer(d.g.Handler())
	t.Cleanup(s.Close)
	d.url = s.URL
	return d
}

// toKafka writes an event into the topic, once the gateway has made it.
func (d *doors) toKafka(key string, event []byte) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(d.kafka.Addr()), kgo.UnknownTopicRetries(-1), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		return err
	}
	defer cl.Close()
	return cl.ProduceSync(d.Context(), &kgo.Record{Topic: kafka.Inbox, Key: []byte(key), Value: event}).FirstErr()
}

// toKafkaBinary writes the same erasure as erasureEvent, in binary mode.
func (d *doors) toKafkaBinary(id, who string) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(d.kafka.Addr()), kgo.UnknownTopicRetries(-1), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		return err
	}
	defer cl.Close()
	r := &kgo.Record{Topic: kafka.Inbox, Value: fmt.Appendf(nil, `{"scope":"subject","subject":%q}`, who), Headers: []kgo.RecordHeader{
		{Key: "ce_specversion", Value: []byte("1.0")}, {Key: "ce_id", Value: []byte(id)}, {Key: "ce_source", Value: []byte("/crm")},
		{Key: "ce_type", Value: []byte("org.assent.erasure.requested.v1")}, {Key: "content-type", Value: []byte("application/json")},
	}}
	return cl.ProduceSync(d.Context(), r).FirstErr()
}

// toRabbit writes an event into the queue, once the gateway has made it.
func (d *doors) toRabbit(event []byte) error {
	for {
		err := d.publish(event)
		if err == nil || d.Context().Err() != nil {
			return err
		}
		<-time.After(50 * time.Millisecond)
	}
}

func (d *doors) publish(event []byte) error {
	c, err := amqp091.Dial(d.rabbit.URL())
	if err != nil {
		return err
	}
	defer c.Close()
	ch, err := c.Channel()
	if err != nil {
		return err
	}
	if err := ch.Confirm(false); err != nil {
		return err
	}
	if _, err := ch.QueueDeclarePassive(amqp.Inbox, true, false, false, false, nil); err != nil {
		return err
	}
	m := amqp091.Publishing{DeliveryMode: amqp091.Persistent, Body: event}
	confirm, err := ch.PublishWithDeferredConfirm("", amqp.Inbox, true, false, m)
	if err == nil && !confirm.Wait() {
		err = context.Canceled
	}
	return err
}

// metrics waits until what is at /metrics is as it should be.
func (d *doors) metrics(ok func(text string) bool) {
	d.Helper()
	d.until(func() bool {
		w := httptest.NewRecorder()
		d.tel.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		return ok(w.Body.String())
	})
}

// until waits for something to be so, as long as a test may take.
func (d *doors) until(ok func() bool) {
	d.Helper()
	for !ok() {
		select {
		case <-d.Context().Done():
			d.Fatal("it does not come about")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// value is that of a sample.
func value(text, sample string) (n int) {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, sample+" "); ok {
			_, _ = fmt.Sscan(rest, &n)
		}
	}
	return n
}

func inboxOf(text, broker, fate string) int {
	return value(text, fmt.Sprintf(`assent_inbox_events_total{broker=%q,fate=%q}`, broker, fate))
}

// The same erasure, asked for fifty times by each door, out of order and all at
// once: one erasure. What else comes takes effect, and what is malformed is to
// be seen and holds nothing up.
func TestTheSameErasureByKafkaRabbitMQAndHTTPIsOne(t *testing.T) {
	t.Parallel()
	d := openDoors(t, testkafka.Start(t), testrabbit.Start(t), gateway.Config{})
	makeCollection(t, d.g, "a", retrieval.Spec{})
	say(t, d.g, consent.Granted, []string{"ada", "bob", "cy"}, rag, emb)
	put(t, d.g, caller, "a", retrieval.Document{ID: "ada", Owners: people(t, "ada")},
		retrieval.Document{ID: "bob", Owners: people(t, "bob")}, retrieval.Document{ID: "cy", Owners: people(t, "cy")})

	const times = 50
	var sends []func() error
	for i := range times {
		erase := erasureEvent("erase-ada", "user:ada")
		sends = append(sends,
			func() error { return d.toKafka(fmt.Sprint(i), erase) },
			func() error { return d.toRabbit(erase) },
			func() error {
				status, err := deliver(d.url, erase)
				if err == nil && status != 200 {
					err = fmt.Errorf("status %d", status)
				}
				return err
			})
		if i%10 == 0 {
			sends = append(sends,
				func() error { return d.toKafkaBinary("erase-ada", "user:ada") },
				func() error { return d.toKafka("bob", consentEvent("revoke-bob", "user:bob", "revoked")) },
				func() error { return d.toKafka("bad", []byte("{")) },
				func() error { return d.toRabbit([]byte("CANARY")) })
		}
	}
	rand.Shuffle(len(sends), func(i, j int) { sends[i], sends[j] = sends[j], sends[i] })
	var all sync.WaitGroup
	turn := make(chan struct{}, 12)
	for _, send := range sends {
		turn <- struct{}{}
		all.Go(func() {
			defer func() { <-turn }()
			if err := send(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	d.metrics(func(text string) bool {
		return inboxOf(text, "kafka", "applied") >= times+10 && inboxOf(text, "amqp", "applied") >= times &&
			inboxOf(text, "kafka", "malformed") >= 5 && inboxOf(text, "amqp", "malformed") >= 5 &&
			value(text, `assent_inbox_waiting{broker="kafka"}`) == 0 && value(text, `assent_inbox_waiting{broker="amqp"}`) == 0
	})
	if n := erasures(t, d.g); n != 1 {
		t.Errorf("%d erasures", n)
	}
	if ids := searchIDs(t, d.g, caller, "a", retrieval.SearchRequest{}); len(ids) != 1 || ids[0] != "cy" {
		t.Errorf("found: %v", ids)
	}
	for _, name := range d.topics() {
		if topics[name] == "" {
			t.Errorf("topic %s is not classified", name)
		}
	}
	d.metrics(func(text string) bool {
		return value(text, `assent_broker_up{broker="kafka",direction="in"}`) == 1 && value(text, `assent_broker_up{broker="amqp",direction="in"}`) == 1
	})
}

// topics classifies what rests at brokers, topics and queues, as columns and
// files are: what it holds of people, and what becomes of that.
var topics = map[string]string{
	kafka.Events: "handed on: recipients are told of erasures; kept as long as the operator has the broker keep it",
	kafka.Inbox:  "another system's: kept as long as the operator has the broker keep it",
	kafka.Dead:   "remains: for 14 days, where the gateway made topic or queue",
}

// topics are those that there are in Kafka. RabbitMQ does not tell; its queues
// are called the same.
func (d *doors) topics() (names []string) {
	d.Helper()
	if amqp.Events != kafka.Events || amqp.Inbox != kafka.Inbox || amqp.Dead != kafka.Dead {
		d.Error("queues are called otherwise than topics")
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(d.kafka.Addr()))
	if err != nil {
		d.Fatal(err)
	}
	defer cl.Close()
	resp, err := kmsg.NewPtrMetadataRequest().RequestWith(d.Context(), cl)
	if err != nil {
		d.Fatal(err)
	}
	for _, topic := range resp.Topics {
		if !topic.IsInternal {
			names = append(names, *topic.Topic)
		}
	}
	if len(names) == 0 {
		d.Error("no topics")
	}
	return names
}

// A gateway starts and serves while its brokers are down, and says so; they may
// go away in the middle, too: nothing is lost.
func TestBrokersThatAreDownLoseNothing(t *testing.T) {
	t.Parallel()
	k, r := testkafka.New(t), testrabbit.Start(t)
	r.Kill()
	d := openDoors(t, k, r, gateway.Config{})
	if status, _, err := call(d.url, adminKey, "GET", "/readyz", nil); err != nil || status != 200 {
		t.Fatalf("not ready without its brokers: %d %v", status, err)
	}
	// What is said meanwhile goes out later.
	for _, status := range []consent.Status{consent.Granted, consent.Revoked, consent.Granted, consent.Denied} {
		say(t, d.g, status, []string{"ada", "bob", "cy"}, rag)
	}
	const people = 60
	who := func(i int) string { return fmt.Sprint("user:p", i) }
	part := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			event := consentEvent(who(i), who(i), "granted")
			var err error
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
	restart := func() {
		t.Helper()
		k.Restart()
		if err := r.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	restart()
	part(0, people/2)
	k.Stop() // some of it is applied by now, or none
	r.Kill()
	d.metrics(func(text string) bool {
		return strings.Contains(text, `assent_broker_up{broker="kafka",direction="in"} 0`) && strings.Contains(text, `assent_broker_up{broker="amqp",direction="in"} 0`)
	})
	restart()
	part(people/2, people)
	for i := range people {
		d.until(func() bool {
			status, answer, err := call(d.url, adminKey, "GET", "/v1/consent/"+who(i)+"/rag_retrieval_v1.0", nil)
			return err == nil && status == 200 && answer["granted"] == true
		})
	}
	sent := d.events()
	if len(sent) != 12+people {
		t.Errorf("%d events went out", len(sent))
	}
	d.inOrder("kafka", sent, d.fromKafka)
	d.inOrder("amqp", sent, d.fromRabbit)
}

// An out is what a test reads of an event that went out.
type out struct {
	ID, Subject string
	Data        struct {
		Position uint64 `json:"ledger_position"`
	}
}

// events are all that are to go out, by id.
func (d *doors) events() map[string]out {
	d.Helper()
	all := map[string]out{}
	for after := consent.Position(0); ; {
		page, upTo, err := d.g.Events.Read(d.Context(), gateway.DefaultTenant, after, 100)
		if err != nil {
			d.Fatal(err)
		}
		if upTo <= after {
			return all
		}
		after = upTo
		for _, e := range page {
			o := d.decode(e.Event)
			all[o.ID] = o
		}
	}
}

func (d *doors) decode(event []byte) (o out) {
	d.Helper()
	if err := json.Unmarshal(event, &o); err != nil || o.ID == "" {
		d.Fatalf("an event is not as it should be: %v", err)
	}
	return o
}

// inOrder reads a broker's events until all are there, and checks that each
// person's come in their order, repeats aside.
func (d *doors) inOrder(broker string, want map[string]out, read func(each func(event []byte) (more bool))) {
	d.Helper()
	seen, last := map[string]bool{}, map[string]uint64{}
	read(func(event []byte) bool {
		o := d.decode(event)
		if w, ok := want[o.ID]; !ok || w != o {
			d.Errorf("%s: an event that was not sent", broker)
		}
		if !seen[o.ID] && o.Data.Position < last[o.Subject] {
			d.Errorf("%s: position %d comes after %d of the same person", broker, o.Data.Position, last[o.Subject])
		}
		seen[o.ID], last[o.Subject] = true, max(last[o.Subject], o.Data.Position)
		return len(seen) < len(want)
	})
}

func (d *doors) fromKafka(each func([]byte) bool) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(d.kafka.Addr()), kgo.ConsumeTopics(kafka.Events), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		d.Fatal(err)
	}
	defer cl.Close()
	for more := true; more; {
		fetches := cl.PollFetches(d.Context())
		if d.Context().Err() != nil {
			d.Fatal("not all events are in Kafka")
		}
		fetches.EachRecord(func(r *kgo.Record) { more = each(r.Value) && more })
	}
}

func (d *doors) fromRabbit(each func([]byte) bool) {
	c, err := amqp091.Dial(d.rabbit.URL())
	if err != nil {
		d.Fatal(err)
	}
	defer c.Close()
	ch, err := c.Channel()
	if err != nil {
		d.Fatal(err)
	}
	var deliveries <-chan amqp091.Delivery
	d.until(func() bool { // the queue is made with the first event
		if ch.IsClosed() {
			ch, err = c.Channel()
		}
		if err == nil {
			deliveries, err = ch.Consume(amqp.Events, "", true, false, false, false, nil)
		}
		return err == nil
	})
	for more := true; more; {
		e, ok := <-deliveries
		if !ok {
			d.Fatal("not all events are in RabbitMQ")
		}
		more = each(e.Body)
	}
}

// Events that nobody in particular sends are of the tenant that was named, and
// a gateway that has no such tenant does not start.
func TestABrokerIsOfOneTenant(t *testing.T) {
	t.Parallel()
	_, err := gateway.Open(t.Context(), gateway.Config{
		DataDir: t.TempDir() + "/data", Kafka: &kafka.Options{Brokers: []string{"127.0.0.1:1"}}, BrokerTenant: "nowhere",
	})
	if err == nil || !strings.Contains(err.Error(), "ASSENT_BROKER_TENANT") {
		t.Errorf("opened for a tenant that is not there: %v", err)
	}
}

// Brokers that never answer hold up neither the start nor the stop, and what was
// not sent is there after the next start.
func TestBrokersThatAreNeverThereHoldNothingUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir() + "/data"
	for range 2 {
		g := openGateway(t, gateway.Config{
			DataDir: dir, Kafka: &kafka.Options{Brokers: []string{"127.0.0.1:1"}}, AMQP: &amqp.Options{URL: "amqp://127.0.0.1:1"},
		})
		say(t, g, consent.Granted, []string{"ada"}, rag)
		say(t, g, consent.Revoked, []string{"ada"}, rag)
		if err := g.Ready(t.Context()); err != nil {
			t.Error(err)
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}
}
