package kafka

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/assent-gateway/assent/internal/broker"
)

const (
	// many is how many records of a partition may wait before it is not fetched
	// from for a while, and few is when it is again: enough to be busy with for
	// the time that a fetch from others may take to end.
	many = 2000
	few  = 500
)

// A member reads the partitions that its group gives it, each in its own line.
type member struct {
	inbox *InboxReader
	cl    *kgo.Client
	ctx   context.Context // of the lines

	mu         sync.Mutex
	partitions map[int32]*partition
}

// A partition is one that is read.
type partition struct {
	number int32
	queue  *broker.Queue
	cancel context.CancelFunc
	ended  chan struct{}
	paused atomic.Bool
	end    atomic.Int64 // the offset after the last record at the broker
	next   atomic.Int64 // the offset after the last that was settled
}

// poll hands records to their lines until ctx ends.
func (m *member) poll(ctx context.Context, up func()) error {
	for {
		fetches := m.cl.PollRecords(ctx, pollMost)
		if ctx.Err() != nil || fetches.IsClientClosed() {
			m.cl.AllowRebalance()
			return ctx.Err()
		}
		var failed bool
		fetches.EachError(func(_ string, _ int32, err error) { failed = failed || !kerr.IsRetriable(err) })
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if len(p.Records) > 0 {
				m.add(p)
			}
		})
		m.cl.AllowRebalance()
		if failed {
			return errFetch
		}
		up()
	}
}

// add hands records to their line, and starts it with the first.
func (m *member) add(f kgo.FetchTopicPartition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.partitions[f.Partition]
	if p == nil {
		p = &partition{number: f.Partition, queue: broker.NewQueue(), ended: make(chan struct{})}
		p.next.Store(f.Records[0].Offset)
		m.partitions[f.Partition] = p
		var ctx context.Context
		ctx, p.cancel = context.WithCancel(m.ctx)
		o := m.inbox.o
		line := &broker.Line{Receiver: m.inbox.receiver, Observer: o.Observer, Log: o.Log, Pause: o.Pause}
		go func() { defer close(p.ended); line.Run(ctx, p.queue) }()
	}
	p.end.Store(f.HighWatermark)
	for _, r := range f.Records {
		p.queue.Add(m.delivery(p, r))
	}
	if p.queue.Len() > many {
		p.paused.Store(true)
		m.cl.PauseFetchPartitions(map[string][]int32{Inbox: {p.number}})
	}
}

func (m *member) delivery(p *partition, r *kgo.Record) broker.Delivery {
	return broker.Delivery{
		Event: structured(r),
		Settle: func() {
			m.cl.MarkCommitRecords(r)
			p.next.Store(r.Offset + 1)
			if p.queue.Len() < few && p.paused.CompareAndSwap(true, false) {
				m.cl.ResumeFetchPartitions(map[string][]int32{Inbox: {p.number}})
			}
		},
		Bury: func(ctx context.Context, why broker.Cause) error {
			cause := kgo.RecordHeader{Key: "assent-cause", Value: []byte(why)}
			headers := append([]kgo.RecordHeader{cause}, r.Headers...)
			return m.inbox.dead.send(ctx, &kgo.Record{Topic: Dead, Key: r.Key, Value: r.Value, Headers: headers})
		},
	}
}

// structured is the event of a record: in binary mode headers hold its
// attributes, as the Kafka binding of CloudEvents has it.
func structured(r *kgo.Record) []byte {
	header := func(name string) (value string, ok bool) {
		for _, h := range r.Headers {
			if h.Key == name {
				value, ok = string(h.Value), true
			}
		}
		return value, ok
	}
	kind, _ := header("content-type")
	return broker.Structured(func(name string) (string, bool) { return header("ce_" + name) }, kind, r.Value)
}

// revoked stops the lines of partitions that are given away, and commits what
// they settled, before another member reads on.
func (m *member) revoked(ctx context.Context, cl *kgo.Client, gone map[string][]int32) {
	m.lost(ctx, cl, gone)
	_ = cl.CommitMarkedOffsets(ctx) // if that fails they are read again
}

// lost stops lines whose partitions others may read by now.
func (m *member) lost(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, number := range gone[Inbox] {
		m.end(number)
	}
}

// end stops a line and waits for the event that it is applying.
func (m *member) end(number int32) {
	if p := m.partitions[number]; p != nil {
		p.cancel()
		<-p.ended
		if p.paused.Load() {
			m.cl.ResumeFetchPartitions(map[string][]int32{Inbox: {number}})
		}
		delete(m.partitions, number)
	}
}

// stop stops all lines and commits.
func (m *member) stop(ctx context.Context) {
	m.mu.Lock()
	for number := range m.partitions {
		m.end(number)
	}
	m.mu.Unlock()
	_ = m.cl.CommitMarkedOffsets(ctx)
}

// waiting is how many records of this member's partitions are not settled.
func (m *member) waiting() (n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.partitions {
		n += max(0, p.end.Load()-p.next.Load())
	}
	return n
}
