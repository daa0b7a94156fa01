package amqp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/assent-gateway/assent/internal/broker"
	"github.com/assent-gateway/assent/internal/events"
	"github.com/assent-gateway/assent/internal/logging"
	"github.com/assent-gateway/assent/internal/testrabbit"
)

// One server for all tests, which take turns; the first starts it.
var (
	server *testrabbit.Server
	start  = sync.OnceValue(func() (err error) {
		server, err = testrabbit.New()
		return err
	})
)

func TestMain(m *testing.M) {
	code := m.Run()
	if server != nil {
		server.Stop()
	}
	os.Exit(code)
}

// fresh is the server, running, without what other tests left on it.
func fresh(t *testing.T) Options {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a RabbitMQ server")
	}
	testrabbit.Require(t, start())
	direct(t, func(ch *amqp091.Channel) error {
		for _, name := range []string{Events, Inbox, Dead} {
			if _, err := ch.QueueDelete(name, false, false, false); err != nil {
				return err
			}
		}
		return ch.ExchangeDelete(Events, false, false)
	})
	return options(server.URL())
}

func options(url string) Options {
	return Options{
		URL: url, Every: 20 * time.Millisecond, Pause: func(int) time.Duration { return 20 * time.Millisecond },
		Log: logging.New(&bytes.Buffer{}, slog.LevelDebug),
	}
}

// direct does something at the server, without the code under test.
func direct(t *testing.T, do func(*amqp091.Channel) error) {
	t.Helper()
	c, err := amqp091.Dial(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ch, err := c.Channel()
	if err == nil {
		err = do(ch)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// write is another system that writes into the inbox, made as the gateway does.
func write(t *testing.T, bodies ...string) {
	t.Helper()
	l, err := options(server.URL()).open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	if err := l.declare(Inbox); err != nil {
		t.Fatal(err)
	}
	if err := l.ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	for _, body := range bodies {
		c, err := l.ch.PublishWithDeferredConfirm("", Inbox, true, false, amqp091.Publishing{
			DeliveryMode: amqp091.Persistent, Headers: amqp091.Table{"own": "header"}, MessageId: "m", Body: []byte(body),
		})
		if err != nil || !c.Wait() {
			t.Fatal("not written:", err)
		}
	}
}

// read takes n different messages of a queue, and those that come twice on the way.
func read(t *testing.T, queue string, n int) (out []amqp091.Delivery) {
	t.Helper()
	direct(t, func(ch *amqp091.Channel) error {
		deliveries, err := ch.Consume(queue, "", false, false, false, false, nil)
		if err != nil {
			return err
		}
		different := map[string]bool{}
		for len(different) < n {
			d, ok := <-deliveries
			if !ok {
				return errors.New("the queue ended")
			}
			out = append(out, d)
			different[string(d.Body)] = true
			if err := d.Ack(false); err != nil {
				return err
			}
		}
		return nil
	})
	return out
}

// left is how many messages are in a queue.
func left(t *testing.T, queue string) (n int) {
	t.Helper()
	direct(t, func(ch *amqp091.Channel) error {
		q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		n = q.Messages
		return err
	})
	return n
}

func number(name string, i int) string { return fmt.Sprintf("%s %05d", name, i) }

func numbers(name string, from, to int) (out []string) {
	for i := from; i < to; i++ {
		out = append(out, number(name, i))
	}
	return out
}

func messages(keys, from, to int) (out []events.Message) {
	for i := from; i < to; i++ {
		for k := range keys {
			m := events.Message{Event: []byte(number(fmt.Sprint("k", k), i))}
			binary.BigEndian.PutUint64(m.Key[:], uint64(k))
			out = append(out, m)
		}
	}
	return out
}

// inOrder checks that what is new of each name comes in order, repeats aside,
// and returns how many are different.
func inOrder(t *testing.T, values []string) (total int) {
	t.Helper()
	next := map[string]int{}
	for _, v := range values {
		name, _, _ := strings.Cut(v, " ")
		switch {
		case v == number(name, next[name]):
			next[name]++
			total++
		case v > number(name, next[name]):
			t.Fatalf("%s came before %d of it", v, next[name])
		}
	}
	return total
}

func bodies(ds []amqp091.Delivery) (out []string) {
	for _, d := range ds {
		out = append(out, string(d.Body))
	}
	return out
}

// A recorder is a receiver that keeps what it applied.
type recorder struct {
	mu      sync.Mutex
	applied []string
	fail    func(event string) error // before it is applied
	heard   chan struct{}            // holds one after a change
}

func newRecorder() *recorder { return &recorder{heard: make(chan struct{}, 1)} }

func (r *recorder) Receive(_ context.Context, event []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		if err := r.fail(string(event)); err != nil {
			return err
		}
	}
	r.applied = append(r.applied, string(event))
	select {
	case r.heard <- struct{}{}:
	default:
	}
	return nil
}

func (r *recorder) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.applied)
}

// wait waits until n different events were applied.
func (r *recorder) wait(t *testing.T, n int) []string {
	t.Helper()
	for {
		all := r.all()
		different := map[string]bool{}
		for _, v := range all {
			different[v] = true
		}
		if len(different) >= n {
			return all
		}
		select {
		case <-r.heard:
		case <-t.Context().Done():
			t.Fatalf("%d of %d applied", len(different), n)
		}
	}
}

// run runs a reader; the function that it returns stops it and waits for it.
func run(t *testing.T, o Options, r events.Receiver) (stop func()) {
	t.Helper()
	in, err := NewInbox(o, r)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- in.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func sink(t *testing.T, o Options) *Sink {
	t.Helper()
	s, err := NewSink(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func restart(t *testing.T) {
	t.Helper()
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
}

func TestEventsArriveInOrder(t *testing.T) {
	s := sink(t, fresh(t))
	for i := range 10 {
		if err := s.Send(t.Context(), messages(10, i*100, i*100+100)); err != nil {
			t.Fatal(err)
		}
	}
	got := read(t, Events, 10_000)
	if n := inOrder(t, bodies(got)); n != 10_000 || len(got) != 10_000 {
		t.Errorf("%d different in %d", n, len(got))
	}
	for _, d := range got {
		if d.DeliveryMode != amqp091.Persistent || d.ContentType != contentType || len(d.RoutingKey) != 32 {
			t.Fatalf("mode %d, type %q, routing key %q", d.DeliveryMode, d.ContentType, d.RoutingKey)
		}
	}
}

// A message that no queue takes is not sent, and an operator's own bindings are
// left as they are.
func TestAnEventThatNoQueueTakesIsNotSent(t *testing.T) {
	o := fresh(t)
	s := sink(t, o)
	if err := s.Send(t.Context(), messages(1, 0, 1)); err != nil {
		t.Fatal(err)
	}
	direct(t, func(ch *amqp091.Channel) error { return ch.QueueUnbind(Events, "#", Events, nil) })
	if err := s.Send(t.Context(), messages(2, 0, 200)); !errors.Is(err, errReturned) {
		t.Errorf("no queue is bound: %v", err)
	}
	if err := sink(t, o).Send(t.Context(), messages(1, 0, 1)); !errors.Is(err, errReturned) {
		t.Errorf("bound again although somebody unbound it: %v", err)
	}
	direct(t, func(ch *amqp091.Channel) error { return ch.QueueBind(Events, "#", Events, false, nil) })
	if err := s.Send(t.Context(), messages(1, 0, 1)); err != nil {
		t.Errorf("bound again: %v", err)
	}
}

// A broker that is killed and comes back, again and again, loses nothing that
// Send said to be durable, and puts nothing out of order.
func TestEventsGoOutThroughRestartsOfTheBroker(t *testing.T) {
	s := sink(t, fresh(t))
	const batches, each = 60, 20
	sent, failed := make(chan struct{}), make(chan struct{}, 1) // who sends is one ahead, at most
	go func() {
		defer close(sent)
		for i := range batches {
			for s.Send(t.Context(), messages(5, i*each, i*each+each)) != nil {
				select {
				case failed <- struct{}{}:
				default:
				}
				if broker.Wait(t.Context(), 50*time.Millisecond) != nil {
					return
				}
			}
			sent <- struct{}{}
		}
	}()
	for range 2 {
		for range 10 {
			<-sent
		}
		server.Kill()
		<-failed
		restart(t)
	}
	n := 20
	for range sent {
		n++
	}
	if n != batches {
		t.Fatalf("%d batches", n)
	}
	if got := inOrder(t, bodies(read(t, Events, 5*batches*each))); got != 5*batches*each {
		t.Errorf("%d different", got)
	}
}

// A broker that stands still is not waited for for ever, and nothing is lost.
func TestASendEndsWithItsContext(t *testing.T) {
	s := sink(t, fresh(t))
	if err := s.Send(t.Context(), messages(1, 0, 1)); err != nil {
		t.Fatal(err)
	}
	server.Suspend()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err := s.Send(ctx, messages(1, 1, 2))
	server.Resume()
	if err == nil {
		t.Fatal("sent to a broker that stands still")
	}
	if err := s.Send(t.Context(), messages(1, 1, 2)); err != nil {
		t.Fatal(err)
	}
	if n := inOrder(t, bodies(read(t, Events, 2))); n != 2 {
		t.Errorf("%d different", n)
	}
}

func TestTheInboxIsAppliedInOrderAndTriedAgain(t *testing.T) {
	o := fresh(t)
	r := newRecorder()
	attempts := map[string]int{}
	r.fail = func(e string) error {
		if attempts[e]++; attempts[e] < 3 && strings.HasSuffix(e, "7") {
			return errors.New("again")
		}
		return nil
	}
	write(t, numbers("k", 0, 300)...) // more than are taken in at once
	stop := run(t, o, r)
	all := r.wait(t, 300)
	if n := inOrder(t, all); n != 300 || len(all) != 300 {
		t.Errorf("%d different, %d applied", n, len(all))
	}
	stop()
	if n := left(t, Inbox); n != 0 {
		t.Errorf("%d are left", n)
	}
}

// What was acknowledged is not delivered again after a stop; what was not
// durable, is, and nothing is acknowledged before.
func TestAStopLosesNothingAndRepeatsNothing(t *testing.T) {
	o := fresh(t)
	write(t, numbers("k", 0, 100)...)
	first := newRecorder()
	tried := make(chan struct{}, 1000)
	first.fail = func(e string) error {
		if e == number("k", 40) {
			tried <- struct{}{}
			return errors.New("not durable")
		}
		return nil
	}
	stop := run(t, o, first)
	for range 5 {
		<-tried
	}
	stop()
	if n := left(t, Inbox); n != 60 {
		t.Errorf("%d are left, want 60", n)
	}
	second := newRecorder()
	run(t, o, second)
	all := second.wait(t, 60)
	if all[0] != number("k", 40) || len(all) != 60 || inOrder(t, append(first.all(), all...)) != 100 {
		t.Errorf("the second begins with %s and applied %d", all[0], len(all))
	}
}

func TestMalformedEventsAreAmongTheDeadLetters(t *testing.T) {
	o := fresh(t)
	r := newRecorder()
	r.fail = func(e string) error {
		if strings.HasPrefix(e, "bad") {
			return fmt.Errorf("no: %w", events.ErrMalformed)
		}
		return nil
	}
	count := &counts{}
	o.Observer = count
	run(t, o, r)
	for i := range 10 {
		write(t, number("k", i), number("bad", i))
	}
	if n := inOrder(t, r.wait(t, 10)); n != 10 {
		t.Errorf("%d applied", n)
	}
	dead := read(t, Dead, 10)
	if n := inOrder(t, bodies(dead)); n != 10 {
		t.Errorf("%d dead letters", n)
	}
	for _, d := range dead {
		if d.Headers["assent-cause"] != "malformed" || d.Headers["own"] != "header" || d.MessageId != "m" || d.DeliveryMode != amqp091.Persistent {
			t.Errorf("a dead letter has headers %v, mode %d", d.Headers, d.DeliveryMode)
		}
	}
	count.wait(t, func() bool {
		return count.received == 20 && count.applied == 10 && count.dead == 10 && count.up > 0 && count.waiting == 0
	})
}

// An event whose attributes are headers comes whole.
func TestAnEventInBinaryModeIsPutTogether(t *testing.T) {
	o := fresh(t)
	r := newRecorder()
	run(t, o, r)
	write(t, number("k", 0)) // the queue is there
	r.wait(t, 1)
	direct(t, func(ch *amqp091.Channel) error {
		return ch.Publish("", Inbox, true, false, amqp091.Publishing{
			ContentType: "application/json", Body: []byte(`{}`), Headers: amqp091.Table{"cloudEvents:specversion": "1.0", "cloudEvents_id": "i"},
		})
	})
	if all := r.wait(t, 2); all[1] != `{"data":{},"datacontenttype":"application/json","id":"i","specversion":"1.0"}` {
		t.Errorf("received %s", all[1])
	}
}

// An inbox that the broker loses its dead letters' queue for makes it anew.
func TestTheInboxOutlivesWhatHappensToItsQueues(t *testing.T) {
	o := fresh(t)
	r := newRecorder()
	r.fail = func(e string) error {
		if strings.HasPrefix(e, "bad") {
			return events.ErrMalformed
		}
		return nil
	}
	run(t, o, r)
	write(t, number("k", 0), number("bad", 0))
	r.wait(t, 1)
	read(t, Dead, 1)
	direct(t, func(ch *amqp091.Channel) error {
		_, err := ch.QueueDelete(Dead, false, false, false)
		return err
	})
	write(t, number("bad", 1), number("k", 1))
	r.wait(t, 2)
	if d := read(t, Dead, 1); string(d[0].Body) != number("bad", 1) {
		t.Errorf("dead letter: %s", d[0].Body)
	}
	direct(t, func(ch *amqp091.Channel) error {
		_, err := ch.QueueDelete(Inbox, false, false, false)
		return err
	})
	write(t, number("k", 2))
	if n := inOrder(t, r.wait(t, 3)); n != 3 {
		t.Errorf("%d applied", n)
	}
}

// The broker being down is waited for, and loses nothing, whenever it comes.
func TestTheInboxWaitsForTheBroker(t *testing.T) {
	o := fresh(t)
	server.Kill()
	r := newRecorder()
	count := &counts{}
	o.Observer = count
	stop := run(t, o, r)
	count.wait(t, func() bool { return count.down > 0 })
	restart(t)
	write(t, numbers("k", 0, 400)...)
	r.wait(t, 150) // in the middle
	server.Kill()
	restart(t)
	write(t, numbers("k", 400, 420)...)
	if n := inOrder(t, r.wait(t, 420)); n != 420 {
		t.Errorf("%d applied", n)
	}
	server.Kill()
	stop() // a broker that is gone does not hold up a stop
	restart(t)
}

// Several gateways take turns: one applies at a time, and when it goes the next
// one goes on.
func TestTheQueueHasOneReaderAtATime(t *testing.T) {
	o := fresh(t)
	write(t, numbers("k", 0, 1000)...)
	total := newRecorder()
	var mu sync.Mutex
	slow := func(ctx context.Context, event []byte) error {
		if !mu.TryLock() {
			t.Error("two gateways apply at a time")
			return errors.New("two at a time")
		}
		defer mu.Unlock()
		<-time.After(time.Millisecond)
		return total.Receive(ctx, event)
	}
	stops := []func(){run(t, o, receiverFunc(slow)), run(t, o, receiverFunc(slow)), run(t, o, receiverFunc(slow))}
	total.wait(t, 200)
	stops[0]()
	total.wait(t, 400)
	stops[1]()
	if n := inOrder(t, total.wait(t, 1000)); n != 1000 {
		t.Errorf("%d different", n)
	}
}

type receiverFunc func(context.Context, []byte) error

func (f receiverFunc) Receive(ctx context.Context, event []byte) error { return f(ctx, event) }

// counts is an observer.
type counts struct {
	broker.Unobserved
	mu                                   sync.Mutex
	up, down, received, applied, retried int
	dead                                 int
	waiting                              int64
}

func (c *counts) add(n *int)            { c.mu.Lock(); *n++; c.mu.Unlock() }
func (c *counts) Up(broker.Direction)   { c.add(&c.up) }
func (c *counts) Down(broker.Direction) { c.add(&c.down) }
func (c *counts) Received()             { c.add(&c.received) }
func (c *counts) Applied()              { c.add(&c.applied) }
func (c *counts) Retried()              { c.add(&c.retried) }
func (c *counts) Dead(broker.Cause)     { c.add(&c.dead) }
func (c *counts) Waiting(n int64)       { c.mu.Lock(); c.waiting = n; c.mu.Unlock() }

func (c *counts) wait(t *testing.T, ok func() bool) {
	t.Helper()
	for {
		c.mu.Lock()
		done := ok()
		c.mu.Unlock()
		if done {
			return
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatalf("counted: %+v", c)
		}
	}
}
