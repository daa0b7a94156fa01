package kafka

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/assent-gateway/assent/internal/broker"
	"github.com/assent-gateway/assent/internal/events"
	"github.com/assent-gateway/assent/internal/logging"
	"github.com/assent-gateway/assent/internal/testkafka"
)

// A cluster is a broker, and how to speak with it.
type cluster struct {
	t *testing.T
	*testkafka.Server
	o *Options // nil: in the clear
}

func newCluster(t *testing.T, opts ...kfake.Opt) *cluster {
	return &cluster{t: t, Server: testkafka.New(t, opts...)}
}

func startCluster(t *testing.T, opts ...kfake.Opt) *cluster {
	return &cluster{t: t, Server: testkafka.Start(t, opts...)}
}

func (c *cluster) options() Options {
	if c.o != nil {
		return *c.o
	}
	return Options{
		Brokers: []string{c.Addr()}, Every: 100 * time.Millisecond,
		Pause: func(int) time.Duration { return 20 * time.Millisecond },
		Log:   logging.New(&bytes.Buffer{}, slog.LevelDebug),
	}
}

// write is another system that writes into the inbox.
func (c *cluster) write(topic string, records ...*kgo.Record) {
	c.t.Helper()
	cl, err := c.options().client()
	if err != nil {
		c.t.Fatal(err)
	}
	defer cl.Close()
	if err := makeTopics(c.t.Context(), cl, topic); err != nil {
		c.t.Fatal(err)
	}
	for _, r := range records {
		r.Topic = topic
	}
	if err := cl.ProduceSync(c.t.Context(), records...).FirstErr(); err != nil {
		c.t.Fatal(err)
	}
}

// read reads n different records of a topic, and those that come twice on the way.
func (c *cluster) read(topic string, n int) (out []*kgo.Record) {
	c.t.Helper()
	cl, err := c.options().client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.MetadataMinAge(20*time.Millisecond))
	if err != nil {
		c.t.Fatal(err)
	}
	defer cl.Close()
	different := map[string]bool{}
	for len(different) < n {
		f := cl.PollFetches(c.t.Context())
		if c.t.Context().Err() != nil {
			c.t.Fatalf("%d of %d records", len(different), n)
		}
		f.EachRecord(func(r *kgo.Record) {
			out = append(out, r)
			different[string(r.Value)] = true
		})
	}
	return out
}

func number(name string, i int) []byte { return fmt.Appendf(nil, "%s %05d", name, i) }

func key(i int) (k [16]byte) {
	binary.BigEndian.PutUint64(k[:], uint64(i))
	return k
}

func messages(keys, from, to int) (out []events.Message) {
	for i := from; i < to; i++ {
		for k := range keys {
			out = append(out, events.Message{Key: key(k), Event: number(fmt.Sprint("k", k), i)})
		}
	}
	return out
}

// inOrder checks that what is new of each name comes in order, repeats aside,
// and returns how many are different.
func inOrder(t *testing.T, values []string) int {
	t.Helper()
	next := map[string]int{}
	total := 0
	for _, v := range values {
		name, digits, _ := strings.Cut(v, " ")
		var i int
		if _, err := fmt.Sscan(strings.TrimLeft(digits, "0")+" ", &i); err != nil && strings.Trim(digits, "0") != "" {
			t.Fatal(err)
		}
		switch {
		case i == next[name]:
			next[name]++
			total++
		case i > next[name]:
			t.Fatalf("%s came before %d of it", v, next[name])
		}
	}
	return total
}

func values(records []*kgo.Record) (out []string) {
	for _, r := range records {
		out = append(out, string(r.Value))
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

func TestEventsOfAPersonArriveInOrderInOnePartition(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	s := sink(t, c.options())
	for i := range 20 {
		if err := s.Send(t.Context(), messages(10, i*10, i*10+10)); err != nil {
			t.Fatal(err)
		}
	}
	records := c.read(Events, 2000)
	if n := inOrder(t, values(records)); n != 2000 || len(records) != 2000 {
		t.Errorf("%d different in %d", n, len(records))
	}
	where, used := map[string]int32{}, map[int32]bool{}
	for _, r := range records {
		if p, ok := where[string(r.Key)]; ok && p != r.Partition {
			t.Fatal("one key is in two partitions")
		}
		where[string(r.Key)], used[r.Partition] = r.Partition, true
		if len(r.Headers) != 1 || r.Headers[0].Key != "content-type" {
			t.Fatalf("headers: %v", r.Headers)
		}
	}
	if len(where) != 10 || len(used) < 2 {
		t.Errorf("%d keys in %d partitions", len(where), len(used))
	}
}

// A broker that goes away and comes back, again and again, loses nothing that
// Send said to be durable, and puts nothing out of order.
func TestEventsGoOutThroughRestartsOfTheBroker(t *testing.T) {
	t.Parallel()
	c := newCluster(t) // it is down at first
	s := sink(t, c.options())
	sent := make(chan struct{}, 100)
	go func() {
		defer close(sent)
		for i := range 30 {
			// The patience of the one who sends is short: it sends again.
			for {
				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				err := s.Send(ctx, messages(5, i*4, i*4+4))
				cancel()
				if err == nil {
					break
				}
				if t.Context().Err() != nil {
					return
				}
			}
			sent <- struct{}{}
		}
	}()
	n := 0
	for i := range 4 {
		c.Restart()
		for range []int{5, 5, 5, 15}[i] {
			<-sent
			n++
		}
		if i < 3 {
			c.Stop()
			<-time.After(300 * time.Millisecond) // so that it is missed
		}
	}
	if n != 30 {
		t.Fatalf("%d batches", n)
	}
	if got := inOrder(t, values(c.read(Events, 600))); got != 600 {
		t.Errorf("%d different", got)
	}
}

func TestTheInboxIsAppliedInOrderAndTriedAgain(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	r := newRecorder()
	attempts := map[string]int{}
	r.fail = func(e string) error {
		if attempts[e]++; attempts[e] < 3 && strings.HasSuffix(e, "7") {
			return errors.New("again")
		}
		return nil
	}
	for k := range 6 {
		for i := range 50 {
			c.write(Inbox, &kgo.Record{Key: fmt.Append(nil, k), Value: number(fmt.Sprint("k", k), i)})
			if i == 0 && k > 0 {
				break // the others have one
			}
		}
	}
	run(t, c.options(), r)
	all := r.wait(t, 55)
	if n := inOrder(t, all); n != 55 || len(all) != 55 {
		t.Errorf("%d different, %d applied", n, len(all))
	}
}

// What was acknowledged is not read again after a stop; what was not, is.
func TestAStopLosesNothingAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	for i := range 100 {
		c.write(Inbox, &kgo.Record{Key: []byte("k"), Value: number("k", i)})
	}
	first := newRecorder()
	blocked := make(chan struct{})
	first.fail = func(e string) error {
		if e == string(number("k", 40)) {
			select {
			case <-blocked:
			default:
				close(blocked)
			}
			return errors.New("not durable")
		}
		return nil
	}
	stop := run(t, c.options(), first)
	<-blocked
	stop()
	second := newRecorder()
	run(t, c.options(), second)
	all := second.wait(t, 60)
	if all[0] != string(number("k", 40)) || len(first.all()) != 40 {
		t.Errorf("the second begins with %s after %d of the first", all[0], len(first.all()))
	}
	if len(all) != 60 {
		t.Errorf("%d applied by the second", len(all))
	}
}

// Nothing is acknowledged before it is durable: a receiver that never gets it
// done leaves the group's offset where it was.
func TestNothingIsAcknowledgedBeforeItIsDurable(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	c.write(Inbox, &kgo.Record{Key: []byte("k"), Value: []byte("k 0")}, &kgo.Record{Key: []byte("k"), Value: []byte("k 1")})
	r := newRecorder()
	tried := make(chan struct{}, 1000)
	r.fail = func(e string) error {
		if e == "k 1" {
			tried <- struct{}{}
			return errors.New("not durable")
		}
		return nil
	}
	stop := run(t, c.options(), r)
	for range 10 {
		<-tried
	}
	stop()
	if lag := c.uncommitted(); lag != 1 {
		t.Errorf("%d records are not acknowledged, want one", lag)
	}
}

// uncommitted counts the inbox's records above the group's offsets.
func (c *cluster) uncommitted() (n int64) {
	group := c.GroupInfo(group)
	for _, p := range c.PartitionInfos(Inbox) {
		n += p.HighWatermark
		if group != nil {
			n -= group.Commits[Inbox][p.Partition].Offset
		}
	}
	return n
}

func TestMalformedEventsAreAmongTheDeadLetters(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	r := newRecorder()
	r.fail = func(e string) error {
		if strings.HasPrefix(e, "bad") {
			return fmt.Errorf("no: %w", events.ErrMalformed)
		}
		return nil
	}
	count := &counts{}
	o := c.options()
	o.Observer = count
	run(t, o, r)
	for i := range 10 {
		c.write(Inbox, &kgo.Record{Key: []byte("k"), Value: number("k", i)}, &kgo.Record{
			Key: []byte("k"), Value: number("bad", i), Headers: []kgo.RecordHeader{{Key: "own", Value: []byte("header")}},
		})
	}
	if n := inOrder(t, r.wait(t, 10)); n != 10 {
		t.Errorf("%d applied", n)
	}
	records := c.read(Dead, 10)
	if n := inOrder(t, values(records)); n != 10 {
		t.Errorf("%d dead letters", n)
	}
	for _, r := range records {
		if string(r.Key) != "k" || len(r.Headers) != 2 || string(r.Headers[0].Value) != "malformed" || r.Headers[1].Key != "own" {
			t.Errorf("a dead letter has key %q and headers %v", r.Key, r.Headers)
		}
	}
	count.wait(t, func() bool {
		return count.received == 20 && count.applied == 10 && count.dead == 10 && count.up > 0 && count.waiting == 0
	})
}

// While dead letters cannot be written, nothing is acknowledged and nothing is
// lost; the broker being down altogether is the same.
func TestTheInboxWaitsForTheBroker(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	r := newRecorder()
	count := &counts{}
	o := c.options()
	o.Observer = count
	stop := run(t, o, r)
	count.wait(t, func() bool { return count.down > 0 })
	for round := range 3 {
		c.Restart()
		for i := round * 20; i < round*20+20; i++ {
			c.write(Inbox, &kgo.Record{Key: []byte("k"), Value: number("k", i)})
		}
		r.wait(t, round*20+10) // in the middle
		c.Stop()
		<-time.After(200 * time.Millisecond)
	}
	c.Restart()
	if n := inOrder(t, r.wait(t, 60)); n != 60 {
		t.Errorf("%d applied", n)
	}
	c.Stop()
	stop() // a broker that is gone does not hold up a stop
}

// When gateways come and go, each partition is read on where the last one left
// off, and never by two at a time.
func TestAPartitionHasOneReaderAtATime(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	const keys, each = 8, 150
	total := newRecorder()
	reading := map[string]bool{} // names that are being applied
	var mu sync.Mutex
	apply := func(ctx context.Context, event []byte) error {
		name, _, _ := strings.Cut(string(event), " ")
		mu.Lock()
		if reading[name] {
			t.Errorf("%s is applied by two readers at a time", name)
		}
		reading[name] = true
		mu.Unlock()
		<-time.After(time.Millisecond)
		mu.Lock()
		reading[name] = false
		mu.Unlock()
		return total.Receive(ctx, event)
	}
	go func() {
		for i := range each {
			var records []*kgo.Record
			for k := range keys {
				records = append(records, &kgo.Record{Key: fmt.Append(nil, k), Value: number(fmt.Sprint("k", k), i)})
			}
			c.write(Inbox, records...)
		}
	}()
	one := run(t, c.options(), receiverFunc(apply))
	total.wait(t, keys*each/4)
	run(t, c.options(), receiverFunc(apply))
	total.wait(t, keys*each/2)
	one()
	run(t, c.options(), receiverFunc(apply))
	if n := inOrder(t, total.wait(t, keys*each)); n != keys*each {
		t.Errorf("%d different", n)
	}
}

// A partition is not given away while its reader still applies something: the
// next one would apply it, too, and what comes after it, at the same time.
func TestAPartitionIsGivenAwayWhenNothingOfItIsUnderWay(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	for k := range 16 {
		c.write(Inbox, &kgo.Record{Key: fmt.Append(nil, k), Value: number(fmt.Sprint("k", k), 0)})
	}
	held, holding := make(chan struct{}), make(chan struct{}, 16)
	run(t, c.options(), receiverFunc(func(context.Context, []byte) error {
		holding <- struct{}{}
		<-held // whatever becomes of its context
		return nil
	}))
	for range 4 { // each partition's
		<-holding
	}
	second := newRecorder()
	run(t, c.options(), second)
	if _, err := c.WaitGroupInfo(t.Context(), group, func(g *kfake.GroupInfo) bool { return len(g.Members) == 2 }); err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Second) // for what should not happen
	if n := len(second.all()); n != 0 {
		t.Errorf("the second applied %d events of partitions that the first still applied from", n)
	}
	close(held)
	if _, err := c.WaitGroupStable(t.Context(), group, 2); err != nil {
		t.Error(err)
	}
}

type receiverFunc func(context.Context, []byte) error

func (f receiverFunc) Receive(ctx context.Context, event []byte) error { return f(ctx, event) }

// More records than may wait are not taken in at once, and all are applied.
func TestAPartitionThatIsFarBehindIsReadInPieces(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	const n = 10_000
	records := make([]*kgo.Record, n)
	for i := range records {
		records[i] = &kgo.Record{Key: []byte("k"), Value: number("k", i)}
	}
	c.write(Inbox, records...)
	r := newRecorder()
	count := &counts{}
	o := c.options()
	o.Observer = count
	held := make(chan struct{})
	r.fail = func(e string) error {
		if e == string(number("k", 0)) {
			<-held
		}
		return nil
	}
	run(t, o, r)
	count.wait(t, func() bool { return count.waiting == n })
	close(held)
	if got := r.wait(t, n); inOrder(t, got) != n || len(got) != n {
		t.Errorf("%d applied", len(got))
	}
}

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
