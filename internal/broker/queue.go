package broker

import (
	"context"
	"sync"
)

// A Cause says why a message is a dead letter.
type Cause string

// The causes.
const (
	Malformed Cause = "malformed" // it can never be applied
	Failed    Cause = "failed"    // it failed for long, while another was applied
)

// A Delivery is a message of an inbox.
type Delivery struct {
	Event []byte
	// Settle acknowledges it. It is called at most once, in the order in which
	// deliveries came. A broker that does not hear of it delivers it again.
	Settle func()
	// Bury returns nil once the message is durable among the dead letters.
	Bury func(context.Context, Cause) error
}

// A Queue holds deliveries that wait for their line. Its length is bounded by
// whoever adds to it.
type Queue struct {
	mu      sync.Mutex
	waiting []Delivery
	added   chan struct{} // holds one when something was added
}

// NewQueue makes an empty queue.
func NewQueue() *Queue { return &Queue{added: make(chan struct{}, 1)} }

// Add adds to the end.
func (q *Queue) Add(ds ...Delivery) {
	q.mu.Lock()
	q.waiting = append(q.waiting, ds...)
	q.mu.Unlock()
	select {
	case q.added <- struct{}{}:
	default:
	}
}

// Len is how many wait.
func (q *Queue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// take takes the first.
func (q *Queue) take() (d Delivery, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.waiting = nil
		return d, false
	}
	d = q.waiting[0]
	q.waiting[0] = Delivery{}
	q.waiting = q.waiting[1:]
	return d, true
}

// next takes the first, and waits for one.
func (q *Queue) next(ctx context.Context) (Delivery, error) {
	for {
		if err := ctx.Err(); err != nil {
			return Delivery{}, err
		}
		if d, ok := q.take(); ok {
			return d, nil
		}
		select {
		case <-q.added:
		case <-ctx.Done():
		}
	}
}
