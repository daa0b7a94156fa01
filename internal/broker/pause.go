package broker

import (
	"context"
	"math/rand/v2"
	"time"
)

// Limits of a pause. They double from one attempt to the next.
const (
	shortest = 100 * time.Millisecond
	longest  = 30 * time.Second
)

// Pause is how long to wait after so many failed attempts, from one on: it
// grows, and differs from gateway to gateway by a quarter.
func Pause(attempts int) time.Duration {
	d := longest
	if attempts < 10 {
		d = min(longest, shortest<<max(0, attempts-1))
	}
	return d - rand.N(d/4)
}

// Wait waits, or returns the error of ctx where that ends first.
func Wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Forever runs sessions with a broker until ctx ends. A session calls up when it
// has got through: a failure after that is the first of its kind.
func Forever(ctx context.Context, pause func(attempts int) time.Duration, session func(ctx context.Context, up func()) error) {
	attempts := 0
	for ctx.Err() == nil {
		_ = session(ctx, func() { attempts = 0 })
		attempts++
		_ = Wait(ctx, pause(attempts))
	}
}
