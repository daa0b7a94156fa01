package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"
)

// maxBatch bounds a request in bytes; a single line may be longer.
const maxBatch = 4 << 20

// A feed sends lines to a route that takes NDJSON: one record a line in, one
// result a line out.
//
// Lines go out in requests of at most batch lines, flights of them at once.
// Lines with the same order never travel at once, so the later one is applied
// later. Results come to done in the order of the lines, whatever the order of
// the answers. A request that fails on the way (no answer, 429, 502 to 504, an
// answer that breaks off) is repeated from the first line without a result,
// for as long as patience lasts without a single new result; the routes make
// repeating safe. Memory holds no more than the requests under way.
type feed struct {
	client   *client
	path     string
	batch    int
	flights  int
	patience time.Duration
	// done takes a line and its result, which is nil for a bad line.
	done func(line, json.RawMessage)
	// waiting hears why requests fail, once for as long as they do.
	waiting func(why error)
}

// A flight is a batch under way.
type flight struct {
	lines  []line
	bytes  int
	orders map[string]bool
	after  <-chan struct{} // closed when the results of the flight before are with done
	landed chan struct{}   // closed when its own are
}

func newFlight(after <-chan struct{}) *flight {
	return &flight{orders: map[string]bool{}, after: after, landed: make(chan struct{})}
}

func (fl *flight) add(l line) {
	fl.lines = append(fl.lines, l)
	fl.bytes += len(l.text)
	if l.order != "" {
		fl.orders[l.order] = true
	}
}

func (fl *flight) full(f *feed, l line) bool {
	return len(fl.lines) == f.batch || len(fl.lines) > 0 && fl.bytes+len(l.text) > maxBatch
}

// run reads all of in. After an error, done has had the lines up to some point.
func (f *feed) run(ctx context.Context, in *input, describe func(*line)) error {
	group, ctx := errgroup.WithContext(ctx)
	begun := make(chan struct{})
	close(begun)
	next := newFlight(begun)
	var flying []*flight // at most flights of them
	start := func() error {
		fl := next
		if len(fl.lines) == 0 {
			return ctx.Err()
		}
		for len(flying) > 0 && (len(flying) == f.flights || fl.shares(flying)) {
			if err := await(ctx, flying[0].landed); err != nil {
				return err
			}
			flying = flying[1:]
		}
		flying = append(flying, fl)
		next = newFlight(fl.landed)
		group.Go(func() error { return f.fly(ctx, fl) })
		return nil
	}
	err := in.lines(describe, func(l line) error {
		if next.full(f, l) {
			if err := start(); err != nil {
				return err
			}
		}
		next.add(l)
		return nil
	})
	if ctx.Err() == nil { // what was read before a file broke off is sent
		err = errors.Join(err, start())
	}
	if failed := group.Wait(); failed != nil {
		return failed
	}
	return err
}

// shares reports whether a line of the flight has to wait for one of others.
func (fl *flight) shares(others []*flight) bool {
	for _, o := range others {
		for order := range fl.orders {
			if o.orders[order] {
				return true
			}
		}
	}
	return false
}

// await waits for ch, which wins over a context that ended as well.
func await(ctx context.Context, ch <-chan struct{}) error {
	select {
	case <-ch:
		return nil
	default:
	}
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fly sends a batch and hands over its results when the batch before is done.
func (f *feed) fly(ctx context.Context, fl *flight) error {
	var send []line
	for _, l := range fl.lines {
		if l.bad == "" {
			send = append(send, l)
		}
	}
	results, err := f.send(ctx, send)
	if err := await(ctx, fl.after); err != nil {
		return err
	}
	for _, l := range fl.lines {
		switch {
		case l.bad != "":
			f.done(l, nil)
		case len(results) > 0:
			f.done(l, results[0])
			results = results[1:]
		default:
			return err // the lines from here on have no result
		}
	}
	close(fl.landed)
	return err
}
