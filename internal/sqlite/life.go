package sqlite

import "sync"

// A life counts the calls in progress, so that Close can wait for them. A call
// made inside another (prepare reads) that meets a Close fails with ErrClosed
// and does not hang.
type life struct {
	mu    sync.Mutex
	idle  *sync.Cond
	calls int
	ended bool
}

// enter begins a call; the caller must leave unless it gets an error.
func (l *life) enter(doing string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return &failure{doing: doing, kind: ErrClosed}
	}
	l.calls++
	return nil
}

func (l *life) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls--; l.calls == 0 {
		l.idle.Broadcast()
	}
}

// end lets no call begin and waits for the last; false when it was called before.
func (l *life) end() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return false
	}
	l.ended = true
	for l.calls > 0 {
		l.idle.Wait()
	}
	return true
}
