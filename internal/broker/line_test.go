package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/assent-gateway/assent/internal/events"
	"github.com/assent-gateway/assent/internal/logging"
)

// A stage is a line with everything around it, in a bubble of its own time.
type stage struct {
	mu       sync.Mutex
	applied  []string // in order, by the receiver
	settled  []string
	buried   []string
	received int
	retried  int
	dead     map[Cause]int

	fails map[string]func(attempt int) error // how an event fails
	tries map[string]int
	bury  func() error
	queue *Queue
	log   bytes.Buffer
}

func (s *stage) Receive(_ context.Context, event []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := string(event)
	s.tries[name]++
	if f := s.fails[name]; f != nil {
		if err := f(s.tries[name]); err != nil {
			return err
		}
	}
	s.applied = append(s.applied, name)
	return nil
}

func (s *stage) Up(Direction)   {}
func (s *stage) Down(Direction) {}
func (s *stage) Sent(int)       {}
func (s *stage) Applied()       {}
func (s *stage) Received()      { s.mu.Lock(); s.received++; s.mu.Unlock() }
func (s *stage) Retried()       { s.mu.Lock(); s.retried++; s.mu.Unlock() }
func (s *stage) Dead(c Cause)   { s.mu.Lock(); s.dead[c]++; s.mu.Unlock() }
func (s *stage) Waiting(int64)  {}

func (s *stage) add(names ...string) {
	for _, name := range names {
		s.queue.Add(Delivery{
			Event: []byte(name),
			Settle: func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				if !slices.Contains(s.applied, name) && !slices.Contains(s.buried, name) {
					panic("settled before it is durable: " + name)
				}
				s.settled = append(s.settled, name)
			},
			Bury: func(context.Context, Cause) error {
				s.mu.Lock()
				defer s.mu.Unlock()
				if s.bury != nil {
					if err := s.bury(); err != nil {
						return err
					}
				}
				s.buried = append(s.buried, name)
				return nil
			},
		})
	}
}

// run runs a line over events for some time; what then hangs is left undone.
func run(t *testing.T, d time.Duration, set func(*stage), names ...string) *stage {
	s := &stage{fails: map[string]func(int) error{}, tries: map[string]int{}, dead: map[Cause]int{}, queue: NewQueue()}
	set(s)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		s.queue.added = make(chan struct{}, 1) // of this bubble
		s.add(names...)
		l := &Line{Receiver: s, Observer: s, Log: logging.New(&s.log, slog.LevelDebug), Pause: Pause}
		l.Run(ctx, s.queue)
	})
	if strings.Contains(s.log.String(), "withheld") || strings.Contains(s.log.String(), "attributes_dropped") {
		t.Errorf("the log lost something: %s", s.log.String())
	}
	return s
}

func want(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

var errOutage = errors.New("outage")

func TestALineAppliesInOrderWhateverFails(t *testing.T) {
	t.Parallel()
	s := run(t, time.Hour, func(s *stage) {
		s.fails["b"] = func(n int) error {
			if n < 6 {
				return errOutage
			}
			return nil
		}
	}, "a", "b", "c", "d")
	want(t, "applied", s.applied, "a", "b", "c", "d")
	want(t, "settled", s.settled, "a", "b", "c", "d")
	if s.received != 4 || s.retried != 5 || len(s.dead) != 0 {
		t.Errorf("received %d, retried %d, dead %v", s.received, s.retried, s.dead)
	}
}

func TestWhatCanNeverBeAppliedIsBuriedAndHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	s := run(t, time.Millisecond, func(s *stage) {
		s.fails["b"] = func(int) error { return fmt.Errorf("no: %w", events.ErrMalformed) }
	}, "a", "b", "c")
	want(t, "applied", s.applied, "a", "c")
	want(t, "buried", s.buried, "b")
	want(t, "settled", s.settled, "a", "b", "c")
	if s.dead[Malformed] != 1 || s.retried != 0 {
		t.Errorf("dead %v, retried %d", s.dead, s.retried)
	}
}

// An outage however long puts nothing among the dead letters.
func TestAnOutageBuriesNothing(t *testing.T) {
	t.Parallel()
	names := make([]string, 100)
	for i := range names {
		names[i] = fmt.Sprint(i)
	}
	s := run(t, 48*time.Hour, func(s *stage) {
		begin := time.Time{}
		for _, name := range names[1:] {
			s.fails[name] = func(int) error {
				if begin.IsZero() {
					begin = time.Now()
				}
				if time.Since(begin) < 24*time.Hour {
					return errOutage
				}
				return nil
			}
		}
	}, names...)
	if len(s.buried) != 0 {
		t.Fatalf("buried: %v", s.buried)
	}
	want(t, "settled", s.settled, names...)
}

// A message that fails while others would not is buried after some minutes; two
// in a row, too. Until then those behind it wait, and none is applied before it
// that it is applied after.
func TestAPoisonHoldsNobodyUpForEver(t *testing.T) {
	t.Parallel()
	poison := func(s *stage) {
		s.fails["b"] = func(int) error { return errOutage }
		s.fails["c"] = func(n int) error { panic("c") }
	}
	s := run(t, time.Minute, poison, "a", "b", "c", "d", "e")
	want(t, "applied in a minute", s.applied, "a")
	s = run(t, time.Hour, poison, "a", "b", "c", "d", "e")
	want(t, "applied", s.applied, "a", "d", "e")
	want(t, "buried", s.buried, "b", "c")
	want(t, "settled", s.settled, "a", "b", "c", "d", "e")
	if s.dead[Failed] != 2 || s.received != 5 {
		t.Errorf("dead %v, received %d", s.dead, s.received)
	}
	if strings.Contains(s.log.String(), "outage") || !strings.Contains(s.log.String(), "dead letters") {
		t.Errorf("log: %s", s.log.String())
	}
	// Alone it harms nobody, and is tried on.
	s = run(t, 48*time.Hour, poison, "a", "b")
	if len(s.buried) != 0 || s.tries["b"] < 1000 {
		t.Errorf("alone: buried %v after %d attempts", s.buried, s.tries["b"])
	}
	// What looks malformed proves nothing of those that are not.
	s = run(t, time.Hour, func(s *stage) {
		poison(s)
		s.fails["d"] = func(int) error { return events.ErrMalformed }
	}, "a", "b", "d")
	want(t, "settled before one that is malformed", s.settled, "a")
}

// Nothing is settled before it is durable among the dead letters.
func TestDeadLettersThatCannotBeWrittenStopTheInbox(t *testing.T) {
	t.Parallel()
	left := 20
	set := func(s *stage) {
		s.fails["a"] = func(int) error { return events.ErrMalformed }
		s.bury = func() error {
			if left--; left > 0 {
				return errOutage
			}
			return nil
		}
	}
	s := run(t, time.Second, set, "a", "b")
	want(t, "settled while they cannot", s.settled)
	left = 20
	s = run(t, time.Hour, set, "a", "b")
	want(t, "settled", s.settled, "a", "b")
}

func TestPausesGrowToALimit(t *testing.T) {
	t.Parallel()
	var sum time.Duration
	for n := range 200 {
		d := Pause(n)
		if d < shortest*3/4 || d > longest {
			t.Fatalf("pause %d: %v", n, d)
		}
		if n > 0 && n <= patience {
			sum += d
		}
	}
	if sum < time.Minute || sum > 4*time.Minute {
		t.Errorf("others are tried after %v", sum)
	}
}
