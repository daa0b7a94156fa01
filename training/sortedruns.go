package training

import (
	"bytes"
	"cmp"
	"fmt"
	"log/slog"
	"sync"

	"github.com/assent-gateway/assent/internal/seal"
)

// runs are sorted records in sealed files, of any number of sorters. They need
// not outlive a crash: what makes them begins anew then.
type runs struct {
	files Files
	dir   string
	key   func() seal.Key
	log   *slog.Logger

	mu sync.Mutex
	n  int
}

func (r *runs) name(i int) string { return fmt.Sprintf("%s/run-%05d", r.dir, i) }

func (r *runs) next() (*spool, error) {
	r.mu.Lock()
	i := r.n
	r.n++
	r.mu.Unlock()
	f, err := r.files.Scratch(r.name(i), r.key())
	return spoolOf(f), err
}

// merge calls f with every record in order, while another goroutine reads and
// compares what comes next.
func (r *runs) merge(f func(rec []byte) error) error {
	full, empty := make(chan *batch, mergeBatches), make(chan *batch, mergeBatches)
	for range mergeBatches {
		empty <- &batch{}
	}
	enough := make(chan struct{})
	var failed error
	go func() {
		defer close(full)
		failed = guarded(r.log, func() error { return r.batches(full, empty, enough) })
	}()
	ended := sync.OnceFunc(func() {
		close(enough)
		for range full { // until the other goroutine has ended
		}
	})
	defer ended() // also where f panics
	err := each(full, empty, f)
	ended()
	return cmp.Or(err, failed)
}

// each calls f with what is in batches, and gives them back.
func each(full <-chan *batch, empty chan<- *batch, f func(rec []byte) error) error {
	for b := range full {
		from := 0
		for _, to := range b.ends {
			if err := f(b.bytes[from:to]); err != nil {
				return err
			}
			from = to
		}
		empty <- b
	}
	return nil
}

// A batch is some records, one behind the other.
type batch struct {
	bytes []byte
	ends  []int
}

const (
	batchBytes   = 256 << 10
	mergeBatches = 3
)

// batches fills batches with every record in order.
func (r *runs) batches(full chan<- *batch, empty <-chan *batch, enough <-chan struct{}) error {
	h, err := r.open()
	defer func() {
		for _, in := range h {
			in.close()
		}
	}()
	if err != nil {
		return err
	}
	for len(h) > 0 {
		var b *batch
		select {
		case b = <-empty:
		case <-enough:
			return nil
		}
		b.bytes, b.ends = b.bytes[:0], b.ends[:0]
		for len(h) > 0 && len(b.bytes) < batchBytes {
			b.bytes = append(b.bytes, h[0].rec...)
			b.ends = append(b.ends, len(b.bytes))
			if h, err = h.next(); err != nil {
				return err
			}
		}
		full <- b // there is room for every batch
	}
	return nil
}

// open opens all runs, each at its first record.
func (r *runs) open() (h reels, err error) {
	for i := range r.n {
		in, err := openReel(r.files, r.name(i), r.key())
		if err != nil {
			return h, err
		}
		h = append(h, in)
		if ok, err := in.next(); err != nil || !ok || len(in.rec) < keyLen {
			return h, cmp.Or(err, ErrDamaged)
		}
	}
	for i := len(h)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
	return h, nil
}

// reels are a heap by the record in hand.
type reels []*reel

func (h reels) less(i, j int) bool {
	a, b := h[i].rec[:keyLen], h[j].rec[:keyLen]
	if x, y := keyOf(a), keyOf(b); x != y {
		return x < y
	}
	return bytes.Compare(a, b) < 0
}

// next goes on to the record after the first, and closes a reel that has ended.
func (h reels) next() (reels, error) {
	ok, err := h[0].next()
	switch {
	case err != nil:
		return h, err
	case ok && len(h[0].rec) < keyLen:
		return h, ErrDamaged
	case !ok:
		last := len(h) - 1
		h[0].close()
		h[0] = h[last]
		h = h[:last]
	}
	if len(h) > 0 {
		h.down(0)
	}
	return h, nil
}

// down moves a reel to where it belongs below.
func (h reels) down(i int) {
	for {
		least, child := i, 2*i+1
		for c := child; c < min(child+2, len(h)); c++ {
			if h.less(c, least) {
				least = c
			}
		}
		if least == i {
			return
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}
