package vault

import "sync"

// group lets concurrent callers share one write and one sync. Each queues its
// item; whoever gets the turn flushes all that is queued by then, for all.
//
// Writes and syncs of one file happen only under the turn. That is not for
// speed alone: Linux reports a failed write-back once per open file, so of two
// syncs side by side the second could return success for pages that the first
// one lost.
type group[T any] struct {
	turn  sync.Mutex // held during flush; guards done and err of all requests
	flush func([]*request[T])

	mu    sync.Mutex
	queue []*request[T]
}

type request[T any] struct {
	item T
	done bool
	err  error // set by flush
}

func (g *group[T]) do(item T) error {
	r := &request[T]{item: item}
	g.mu.Lock()
	g.queue = append(g.queue, r)
	g.mu.Unlock()

	g.turn.Lock()
	defer g.turn.Unlock()
	if r.done {
		return r.err // someone before us in the turn took our item along
	}
	g.mu.Lock()
	batch := g.queue
	g.queue = nil
	g.mu.Unlock()
	g.flush(batch)
	for _, b := range batch {
		b.done = true
	}
	return r.err
}
