package eval

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// A HammerTarget is what a hammer drives. All functions are called from many
// goroutines; Set never for one person from two at once.
type HammerTarget struct {
	// Set grants or revokes; it returns when that is acknowledged.
	Set func(ctx context.Context, person int, granted bool) error
	// Search returns whose passages were found, one entry a row, and whether
	// the answer claims to be complete: all rows that are permitted.
	Search func(ctx context.Context, worker int) (people []int, complete bool, err error)
}

// HammerConfig says how hard. Everyone starts as granted; that is acknowledged
// before Hammer is called.
type HammerConfig struct {
	People, Writers, Readers int
	Rows, Writes             int64         // stop once so many rows were returned and writes done
	AtMost                   time.Duration // or after so long
	// Pause is what a writer waits between its writes: where a search takes long,
	// more writes would leave no moment for an answer that is whole.
	Pause time.Duration
	Seed  uint64
}

// A HammerReport is what happened. Stale counts rows of a person for whom a
// revocation was acknowledged before the search began and no later grant was
// begun before it ended: promise P2 says there are none. Missing counts
// people left out of an answer that claims to be complete though they were
// granted all along. Whole counts those answers, without which Missing says
// nothing.
type HammerReport struct {
	Rows, Searches, Writes int64
	Whole                  int64
	Stale, Missing         int64
	SearchErrors           int64
	WriteErrors            int64
	Took                   time.Duration
	First                  string // the first violation, in words without names
	Err                    error  // the first of the errors
}

func (r HammerReport) String() string {
	return fmt.Sprintf("%d rows in %d searches, %d of them whole, %d writes, %s: %d stale, %d missing, %d search errors, %d write errors",
		r.Rows, r.Searches, r.Whole, r.Writes, r.Took.Round(time.Millisecond), r.Stale, r.Missing, r.SearchErrors, r.WriteErrors)
}

// change is one write of one person: granted or revoked, begun and
// acknowledged at moments of the hammer's clock. A failed write may have
// happened at any later moment: its end stays open.
type change struct {
	granted    bool
	begun, end int64
}

const open = int64(1) << 62

// history is all writes of one person, in order.
type history struct {
	mu      sync.Mutex
	changes []change
}

// Hammer runs writers and readers side by side and judges every returned row
// against the recorded history.
func Hammer(ctx context.Context, t HammerTarget, c HammerConfig) HammerReport {
	ctx, cancel := context.WithTimeout(ctx, c.AtMost)
	defer cancel()
	h := &hammer{target: t, config: c, people: make([]history, c.People)}
	for i := range h.people {
		h.people[i].changes = []change{{granted: true}}
	}
	began := time.Now()
	var wg sync.WaitGroup
	for w := range c.Writers {
		wg.Go(func() { h.write(ctx, w) })
	}
	for r := range c.Readers {
		wg.Go(func() { h.read(ctx, cancel, r) })
	}
	wg.Wait()
	h.report.Took = time.Since(began)
	return h.report
}

type hammer struct {
	target HammerTarget
	config HammerConfig
	clock  atomic.Int64 // moments: every begin and end is one of its own
	people []history
	mu     sync.Mutex
	report HammerReport
}

// write flips people of its own, one after the other.
func (h *hammer) write(ctx context.Context, w int) {
	rng := rand.New(rand.NewPCG(h.config.Seed, uint64(w)))
	granted := map[int]bool{}
	for ctx.Err() == nil {
		p := rng.IntN((h.config.People-w+h.config.Writers-1)/h.config.Writers)*h.config.Writers + w
		was, known := granted[p]
		to := known && !was
		hist := &h.people[p]
		hist.mu.Lock()
		hist.changes = append(hist.changes, change{granted: to, begun: h.clock.Add(1), end: open})
		i := len(hist.changes) - 1
		hist.mu.Unlock()
		err := h.target.Set(ctx, p, to)
		hist.mu.Lock()
		if err == nil {
			hist.changes[i].end = h.clock.Add(1)
			granted[p] = to
		}
		hist.mu.Unlock()
		h.mu.Lock()
		h.report.Writes++
		if err != nil && ctx.Err() == nil {
			h.report.WriteErrors++
			h.report.Err = cmp.Or(h.report.Err, err)
		}
		h.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(h.config.Pause):
		}
	}
}

func (h *hammer) read(ctx context.Context, stop context.CancelFunc, r int) {
	for ctx.Err() == nil {
		begun := h.clock.Add(1)
		people, complete, err := h.target.Search(ctx, r)
		end := h.clock.Add(1)
		h.mu.Lock()
		h.report.Searches++
		if err != nil {
			if ctx.Err() == nil {
				h.report.SearchErrors++
				h.report.Err = cmp.Or(h.report.Err, err)
			}
			h.mu.Unlock()
			continue
		}
		h.report.Rows += int64(len(people))
		if complete {
			h.report.Whole++
		}
		enough := h.report.Rows >= h.config.Rows && h.report.Writes >= h.config.Writes
		h.mu.Unlock()
		h.judge(people, complete, begun, end)
		if enough {
			stop()
		}
	}
}

func (h *hammer) judge(people []int, complete bool, begun, end int64) {
	rows := make(map[int]int64, len(people))
	for _, p := range people {
		rows[p]++
	}
	var stale, missing int64
	for p := range h.people {
		may, must := h.people[p].during(begun, end)
		if rows[p] > 0 && !may {
			stale += rows[p]
		}
		if rows[p] == 0 && must && complete {
			missing++
		}
	}
	if stale+missing == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.report.Stale += stale
	h.report.Missing += missing
	if h.report.First == "" {
		h.report.First = fmt.Sprintf("search from moment %d to %d: %d stale rows, %d people missing", begun, end, stale, missing)
	}
}

// during reports whether a person may have been granted at some moment between
// begin and end, and whether they must have been at every one.
func (h *history) during(begun, end int64) (may, must bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	must = true
	for i := len(h.changes) - 1; i >= 0; i-- {
		c := h.changes[i]
		if c.begun > end {
			continue // begun after the search ended
		}
		may = may || c.granted
		must = must && c.granted
		if c.end < begun {
			break // acknowledged before it began: nothing older counts
		}
	}
	return may, must
}
