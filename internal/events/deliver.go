package events

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/assent-gateway/assent/consent"
)

// A Delivery takes the events of one tenant to one sink.
type Delivery struct {
	Tenant consent.TenantID
	Name   string // of the sink, and of its cursor
	Sink   Sink
	Stream *Stream
	// Wants says which events the sink gets; nil: all.
	Wants func(*Event) bool
	// Batch is how many events one Send gets at most; 0: 64.
	Batch int
	// Lease is for how long the sink is this process's without a renewal, where
	// other processes deliver to it; 0: none do.
	Lease time.Duration
	// Longest is how long a failure is waited for at most; 0: 5 minutes.
	Longest time.Duration
	Log     *slog.Logger
	// Step is called before events are sent, and between sending and moving the
	// cursor: "event.send", "event.sent". Tests kill the process there.
	Step func(string)
	// Moved is called after the cursor moved; nil: nobody cares.
	Moved func()
}

const (
	deliveryPage  = 64
	deliveryBatch = 64
	// idle is how long nothing is heard of at most before the ledger is asked.
	idle = time.Second
	// Back-off after a failure.
	firstWait = 250 * time.Millisecond
	lastWait  = 5 * time.Minute
	// sendPatience bounds one Send, notePatience the noting of it.
	sendPatience = time.Minute
	notePatience = 5 * time.Second
)

// errElsewhere: another process delivers to the sink, or moved its cursor.
var errElsewhere = errors.New("events: another process delivers to the sink")

// Run delivers until ctx ends. The cursor must be there: see Store.StartCursor.
func (d *Delivery) Run(ctx context.Context) error {
	var self [16]byte
	rand.Read(self[:])
	for failed := 0; ctx.Err() == nil; {
		progress, err := d.turn(ctx, self)
		if progress {
			failed = 0
		}
		wait := idle
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errElsewhere):
			failed = 0
		default:
			wait = min(firstWait<<min(failed, 12), cmp.Or(d.Longest, lastWait))
			failed++
			if failed == 1 || failed%10 == 0 {
				d.Log.Warn("events wait for their recipient", "component", d.Name, "attempt", failed, "error", err)
			}
		}
		pause(ctx, nil, wait)
	}
	return nil
}

// pause returns when ctx or a time ends, or something is heard.
func pause(ctx context.Context, news <-chan struct{}, wait time.Duration) {
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-news:
	case <-t.C:
	}
}

// turn delivers while the lease is this process's, and returns why it ended and
// whether the cursor moved.
func (d *Delivery) turn(ctx context.Context, self [16]byte) (progress bool, err error) {
	ctx, release, err := d.hold(ctx, self)
	if err != nil {
		return false, err
	}
	defer release()
	from, found, err := d.Stream.Store.Cursor(ctx, d.Tenant, d.Name)
	if err != nil {
		return false, err
	}
	if !found {
		return false, errElsewhere // its sink is gone
	}
	at := from
	for ctx.Err() == nil {
		news, err := d.Stream.Ledger.News(ctx, d.Tenant) // before it is read: nothing comes between
		if err != nil {
			return at > from, err
		}
		events, upTo, err := d.Stream.Read(ctx, d.Tenant, at, deliveryPage)
		if err != nil {
			return at > from, err
		}
		if upTo <= at {
			pause(ctx, news, idle)
			continue
		}
		if at, err = d.deliver(ctx, at, upTo, events); err != nil {
			return at > from, err
		}
	}
	return at > from, errElsewhere
}

// deliver sends events up to a position, in batches that end with an entry.
func (d *Delivery) deliver(ctx context.Context, at, upTo consent.Position, events []Event) (consent.Position, error) {
	most := d.Batch
	if most == 0 {
		most = deliveryBatch
	}
	var batch []Message
	for i := range events {
		e := &events[i]
		if d.Wants == nil || d.Wants(e) {
			batch = append(batch, e.Message)
		}
		last := i+1 == len(events) || events[i+1].Position != e.Position
		if len(batch) < most || !last {
			continue
		}
		if err := d.send(ctx, &at, e.Position, batch); err != nil {
			return at, err
		}
		batch = nil
	}
	return at, d.send(ctx, &at, upTo, batch)
}

// send sends a batch and moves the cursor behind it. A crash between both has
// it sent again.
func (d *Delivery) send(ctx context.Context, at *consent.Position, to consent.Position, batch []Message) error {
	if len(batch) > 0 {
		d.step("event.send")
		within, cancel := context.WithTimeout(ctx, sendPatience)
		err := d.Sink.Send(within, batch)
		cancel()
		if err != nil {
			return err
		}
		d.step("event.sent")
	}
	if to == *at {
		return nil
	}
	// Also when this process is about to stop: what was taken is not sent again.
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), notePatience)
	defer cancel()
	moved, err := d.Stream.Store.Advance(within, d.Tenant, d.Name, *at, to, nil)
	if err == nil && !moved {
		err = errElsewhere
	}
	if err != nil {
		return err
	}
	*at = to
	if d.Moved != nil && len(batch) > 0 {
		d.Moved()
	}
	return nil
}

func (d *Delivery) step(name string) {
	if d.Step != nil {
		d.Step(name)
	}
}

// hold takes the lease, where there are others, and renews it until release.
// The context ends well before a lease that could not be renewed does.
func (d *Delivery) hold(ctx context.Context, self [16]byte) (context.Context, func(), error) {
	if d.Lease == 0 {
		return ctx, func() {}, nil
	}
	store := d.Stream.Store
	began := time.Now()
	if _, mine, err := store.HoldCursor(ctx, d.Tenant, d.Name, self, d.Lease); err != nil || !mine {
		if err == nil {
			err = errElsewhere
		}
		return ctx, func() {}, err
	}
	held, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(d.Lease / 4)
		defer tick.Stop()
		for renewed := began; ; {
			select {
			case <-held.Done():
				return
			case <-tick.C:
			}
			asked := time.Now()
			within, stop := context.WithTimeout(held, d.Lease/4)
			_, mine, err := store.HoldCursor(within, d.Tenant, d.Name, self, d.Lease)
			stop()
			if err == nil && mine {
				renewed = asked
			} else if err == nil || time.Since(renewed) > d.Lease/2 {
				cancel()
				return
			}
		}
	})
	return held, func() {
		cancel()
		done.Wait()
		// What fails ends by itself.
		_, _, _ = store.HoldCursor(context.WithoutCancel(ctx), d.Tenant, d.Name, self, 0)
	}, nil
}
