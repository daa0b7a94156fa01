package translog

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// Pauses of an outlet.
const (
	postEvery  = time.Second // under load, what lies between is covered by the newest
	firstRetry = time.Second
	lastRetry  = 5 * time.Minute
)

// post brings checkpoints to one outlet: of each log the newest that it was not
// given yet. It holds nobody up.
type post struct {
	out Outlet
	log *slog.Logger

	mu      sync.Mutex
	waiting map[string]Checkpoint // by origin
	bell    chan struct{}
}

func newPost(out Outlet, log *slog.Logger) *post {
	return &post{out: out, log: log, waiting: map[string]Checkpoint{}, bell: make(chan struct{}, 1)}
}

func (p *post) put(origin string, c Checkpoint) {
	p.mu.Lock()
	p.waiting[origin] = c
	p.mu.Unlock()
	p.ring()
}

func (p *post) ring() {
	select {
	case p.bell <- struct{}{}:
	default:
	}
}

func (p *post) run(ctx context.Context) error {
	retry := firstRetry
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.bell:
		}
		pause := postEvery
		if p.deliver(ctx) {
			retry = firstRetry
		} else {
			pause, retry = retry, min(2*retry, lastRetry)
			p.ring()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// deliver sends what waits; false when something has to be tried again.
func (p *post) deliver(ctx context.Context) bool {
	p.mu.Lock()
	batch := p.waiting
	p.waiting = map[string]Checkpoint{}
	p.mu.Unlock()
	all := true
	for _, origin := range slices.Sorted(maps.Keys(batch)) {
		c := batch[origin]
		if err := p.out.Send(ctx, origin, c.Size, c.Text); err != nil {
			all = false
			p.log.Warn("checkpoint not sent out: tried again", "error", err)
			p.mu.Lock()
			if _, newer := p.waiting[origin]; !newer {
				p.waiting[origin] = c
			}
			p.mu.Unlock()
		}
	}
	return all
}
