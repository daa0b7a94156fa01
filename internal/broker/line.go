package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/assent-gateway/assent/internal/events"
)

const (
	// patience is after how many failed attempts those behind a message are
	// tried: with Pause, after about two minutes.
	patience = 12
	// lookahead bounds how many messages behind a failing one are tried.
	lookahead = 64
)

// A Line applies the deliveries of one queue, in order.
type Line struct {
	Receiver events.Receiver
	Observer Observer
	Log      *slog.Logger // its attribute component names the broker
	Pause    func(attempts int) time.Duration

	ahead []tried // taken while the one before them failed
	probe int     // which of them is tried next
}

// tried is a delivery that was taken before its turn.
type tried struct {
	Delivery
	outcome error // errUntried, nil, or how it failed
}

var errUntried = errors.New("not tried yet")

// Run applies what is in the queue, and what is added to it, until ctx ends.
// What is not settled by then is delivered again.
func (l *Line) Run(ctx context.Context, q *Queue) {
	for {
		d, err := l.next(ctx, q)
		if err != nil || l.finish(ctx, q, d) != nil {
			return
		}
	}
}

func (l *Line) next(ctx context.Context, q *Queue) (tried, error) {
	if len(l.ahead) > 0 {
		d := l.ahead[0]
		l.ahead, l.probe = l.ahead[1:], max(0, l.probe-1)
		return d, ctx.Err()
	}
	d, err := q.next(ctx)
	return tried{d, errUntried}, err
}

// finish settles a delivery, however long that takes. Its error is that of ctx.
func (l *Line) finish(ctx context.Context, q *Queue, d tried) error {
	if d.outcome == errUntried {
		l.Observer.Received()
	}
	for attempts := 0; ; {
		if d.outcome != nil && !errors.Is(d.outcome, events.ErrMalformed) {
			d.outcome = l.receive(ctx, d.Event)
		}
		switch {
		case d.outcome == nil:
			l.Observer.Applied()
			d.Settle()
			return nil
		case errors.Is(d.outcome, events.ErrMalformed):
			return l.bury(ctx, d, Malformed)
		case ctx.Err() != nil:
			return ctx.Err()
		}
		attempts++
		if attempts >= patience && l.othersAreApplied(ctx, q) {
			return l.bury(ctx, d, Failed)
		}
		l.Observer.Retried()
		if attempts&(attempts-1) == 0 { // once, twice, four times…
			l.Log.Warn("an event of another system could not be applied: it is tried again, and those behind it wait",
				"attempt", attempts, "error", d.outcome)
		}
		if err := Wait(ctx, l.Pause(attempts)); err != nil {
			return err
		}
	}
}

// othersAreApplied tries one message that waits behind a failing one, each time
// another, and reports whether it was applied. If so, the failing one is not
// tried any more: nothing is applied after what came behind it.
func (l *Line) othersAreApplied(ctx context.Context, q *Queue) bool {
	if l.probe >= len(l.ahead) && len(l.ahead) < lookahead {
		if d, ok := q.take(); ok {
			l.Observer.Received()
			l.ahead = append(l.ahead, tried{d, errUntried})
		}
	}
	if len(l.ahead) == 0 {
		return false
	}
	l.probe %= len(l.ahead)
	next := &l.ahead[l.probe]
	l.probe++
	if next.outcome == nil || errors.Is(next.outcome, events.ErrMalformed) {
		return next.outcome == nil
	}
	next.outcome = l.receive(ctx, next.Event)
	return next.outcome == nil
}

// receive applies an event. A panic is a failure of that one event.
func (l *Line) receive(ctx context.Context, event []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			l.Log.Error("panic while an event of another system was applied", "panic_type", fmt.Sprintf("%T", p))
			err = errPanic
		}
	}()
	return l.Receiver.Receive(ctx, event)
}

var errPanic = errors.New("broker: panic")

// bury puts a delivery among the dead letters, then settles it.
func (l *Line) bury(ctx context.Context, d tried, why Cause) error {
	for attempts := 1; ; attempts++ {
		err := d.Bury(ctx, why)
		if err == nil {
			break
		}
		if attempts&(attempts-1) == 0 && ctx.Err() == nil {
			l.Log.Warn("dead letters cannot be written: it is tried again, and the inbox waits", "attempt", attempts, "error", err)
		}
		if err := Wait(ctx, l.Pause(attempts)); err != nil {
			return err
		}
	}
	l.Observer.Dead(why)
	l.Log.Warn("an event of another system is among the dead letters", "reason", string(why))
	d.Settle()
	return nil
}
