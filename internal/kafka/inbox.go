package kafka

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/assent-gateway/assent/internal/broker"
	"github.com/assent-gateway/assent/internal/events"
)

const (
	// pollMost bounds how many records are taken at once.
	pollMost = 500
	// fetchWait is how long the broker holds a fetch while there is nothing.
	fetchWait = 500 * time.Millisecond
	// sessionTime is after how long without a heartbeat a member's partitions go
	// to others: those of a gateway that was killed.
	sessionTime = 15 * time.Second
	// leaveTime is how long a session may take to commit and leave its group.
	leaveTime = 3 * time.Second
	// pingTime is how long brokers may take to answer before they are down.
	pingTime = 5 * time.Second
)

// errFetch: records cannot be fetched, and it may be the client's fault.
var errFetch = errors.New("kafka: fetch records")

// An InboxReader applies the events of the topic assent.inbox.
type InboxReader struct {
	o        Options
	receiver events.Receiver
	dead     *producer
}

// NewInbox makes a reader that hands events to a receiver.
func NewInbox(o Options, r events.Receiver) (*InboxReader, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	return &InboxReader{o: o, receiver: r}, nil
}

// Run reads until ctx ends: through outages, and from whichever gateway goes
// away to those that stay. It is called once.
func (in *InboxReader) Run(ctx context.Context) error {
	dead := in.o
	dead.Observer = broker.Unobserved{} // what goes out is counted elsewhere
	var err error
	if in.dead, err = newProducer(dead, Dead); err != nil {
		return err
	}
	defer in.dead.close()
	broker.Forever(ctx, in.o.Pause, func(ctx context.Context, up func()) error {
		err := in.session(ctx, up)
		if ctx.Err() == nil {
			in.o.Observer.Down(broker.In)
			in.o.Log.Warn("the inbox cannot be read: it is tried again", "error", err)
		}
		return err
	})
	return nil
}

// session is the life of one member of the group.
func (in *InboxReader) session(ctx context.Context, up func()) error {
	if err := in.prepare(ctx); err != nil {
		return err
	}
	life, kill := context.WithCancel(context.WithoutCancel(ctx))
	defer kill()
	m := &member{inbox: in, partitions: map[int32]*partition{}}
	var err error
	m.cl, err = in.o.client(kgo.WithContext(life), kgo.ConsumerGroup(group), kgo.ConsumeTopics(Inbox),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.AutoCommitMarks(), kgo.AutoCommitInterval(in.o.Every), kgo.BlockRebalanceOnPoll(), kgo.FetchMaxWait(fetchWait),
		kgo.SessionTimeout(sessionTime),
		kgo.OnPartitionsRevoked(m.revoked), kgo.OnPartitionsLost(m.lost))
	if err != nil {
		return err
	}
	defer func() {
		time.AfterFunc(leaveTime, kill) // a broker that is gone does not hold up a stop
		m.stop(life)
		m.cl.CloseAllowingRebalance()
	}()
	in.o.Observer.Up(broker.In)
	lines, stop := context.WithCancel(ctx)
	defer stop()
	m.ctx = lines
	go in.watch(lines, m)
	return m.poll(ctx, up)
}

// prepare makes the topics first: a member is not told soon of one that is made
// after it looked.
func (in *InboxReader) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, leaveTime+pingTime)
	defer cancel()
	return makeTopics(ctx, in.dead.cl, Inbox, Dead)
}

// watch tells the observer whether brokers answer, and how much waits.
func (in *InboxReader) watch(ctx context.Context, m *member) {
	for broker.Wait(ctx, in.o.Every) == nil {
		ping, cancel := context.WithTimeout(ctx, pingTime)
		err := m.cl.Ping(ping)
		cancel()
		switch {
		case err == nil:
			in.o.Observer.Up(broker.In)
		case ctx.Err() == nil:
			in.o.Observer.Down(broker.In)
		}
		in.o.Observer.Waiting(m.waiting())
	}
}
