package verify

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// walkers is how many bundles are read at once: enough to hide a network's
// delay. Each holds one bundle, at most 16 MiB, commonly 50 KiB.
const walkers = 8

// A Walk checks a whole log.
type Walk struct {
	Source Source
	Trust  Trust
	// Old, when not nil, is an earlier checkpoint, signed, of the same log.
	Old []byte
	// Lost accepts entries of length zero: a ledger restored from a backup
	// keeps of some entries only the leaf. They are counted, not hidden; and an
	// entry after the last of them must say that something was restored, or else
	// they were taken out.
	Lost bool
	// Progress, when not nil, hears of entries done, from one goroutine at a
	// time, at most once a tile.
	Progress func(done, total uint64)
}

// A Report is what a walk found in order.
type Report struct {
	Checkpoint Checkpoint
	Note       []byte // the checkpoint as read, to keep for the next time
	Tiles      uint64 // tiles compared
	Lost       uint64 // entries of which only the leaf is left
	Old        *Checkpoint
	// Uncovered counts the files of a mirror that the checkpoint does not
	// cover, commonly because the log grew while it was copied; not checked.
	Uncovered int
}

// Run walks the log; an error that is no Refusal says that it could not be
// read.
func (w *Walk) Run(ctx context.Context) (Report, error) {
	note, err := w.Source.Read(ctx, "checkpoint", maxNote)
	if err != nil {
		return Report{}, err
	}
	c, err := w.Trust.Checkpoint(note)
	if err != nil {
		return Report{}, err
	}
	r := Report{Checkpoint: c, Note: note}
	if w.Old != nil {
		old, err := w.Trust.Checkpoint(w.Old)
		if err != nil {
			return Report{}, fmt.Errorf("the earlier checkpoint: %w", err)
		}
		if r.Old = &old; old.Size >= c.Size {
			if err := Extends(ctx, w.Source, old, c); err != nil {
				return Report{}, err
			}
		}
	}
	t, err := openTree(ctx, w.Source, c)
	if err != nil {
		return Report{}, err
	}
	if r.Old != nil {
		if err := t.extends(ctx, *r.Old, c); err != nil {
			return Report{}, err
		}
	}
	if r.Lost, err = w.entries(ctx, t); err != nil {
		return Report{}, err
	}
	if m, ok := w.Source.(*Mirror); ok {
		if r.Uncovered, err = m.rest(ctx, t); err != nil {
			return Report{}, err
		}
	}
	for level := range t.edges {
		nodes := c.Size >> (tileHeight * level)
		r.Tiles += (nodes + tileWidth - 1) / tileWidth
	}
	return r, nil
}

// entries compares every tile of level 0 and its bundle, and so that every
// full tile above is read on the way. Of several failures it returns the
// first in the log's order.
func (w *Walk) entries(ctx context.Context, t *tree) (uint64, error) {
	tiles := (t.size + tileWidth - 1) / tileWidth
	var (
		wg      sync.WaitGroup
		slots   = make(chan struct{}, walkers)
		mu      sync.Mutex // guards what follows
		found   findings
		done    uint64
		failed  error
		failedN uint64
	)
	fail := func(n uint64, err error) {
		mu.Lock()
		defer mu.Unlock()
		if failed == nil || n < failedN {
			failed, failedN = err, n
		}
	}
	for n := range tiles {
		slots <- struct{}{}
		mu.Lock()
		stop := failed != nil
		mu.Unlock()
		if stop {
			break
		}
		u, err := w.unit(ctx, t, n)
		if err != nil {
			fail(n, err)
			break
		}
		wg.Go(func() {
			defer func() { <-slots }()
			there, err := u.check(ctx)
			if err != nil {
				fail(n, err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			found.add(there)
			done += uint64(u.at.width)
			if w.Progress != nil {
				w.Progress(done, t.size)
			}
		})
	}
	wg.Wait()
	if failed == nil && found.lost > 0 && found.restored <= found.lastLost {
		failed = refuse(ErrLost, "entry %d, and no later entry tells of a restore", found.lastLost)
	}
	return found.lost, failed
}

// findings are what entries tell beside that they are in their places.
type findings struct {
	lost     uint64 // how many are gone
	lastLost uint64 // positions, 0 for none
	restored uint64 // the last entry that tells of a restore
}

func (f *findings) add(other findings) {
	f.lost += other.lost
	f.lastLost, f.restored = max(f.lastLost, other.lastLost), max(f.restored, other.restored)
}

// A unit is a tile of level 0 with its bundle.
type unit struct {
	walk   *Walk
	at     tile
	above  Hash   // of a full tile
	leaves []Hash // of the partial tile, compared already
}

func (w *Walk) unit(ctx context.Context, t *tree, n uint64) (u unit, err error) {
	u = unit{walk: w, at: tile{0, n, tileWidth}}
	if e := edge(0, t.size); n == e.n {
		u.at, u.leaves = e, t.edges[0]
		return u, nil
	}
	u.above, err = t.above(ctx, 0, n)
	return u, err
}

// check compares the leaves with the node above, then the entries with them.
func (u unit) check(ctx context.Context) (out findings, err error) {
	leaves := u.leaves
	if leaves == nil {
		if leaves, err = readFull(ctx, u.walk.Source, u.at, u.above); err != nil {
			return out, err
		}
	}
	b, err := readTile(ctx, u.walk.Source, u.at, true)
	if err != nil {
		return out, err
	}
	entries, err := parseBundle(u.at, b)
	if err != nil {
		return out, err
	}
	for i, e := range entries {
		index := u.at.n*tileWidth + uint64(i)
		kind, err := entryOf(e, index, leaves[i])
		switch {
		case errors.Is(err, ErrLost) && u.walk.Lost:
			out.add(findings{lost: 1, lastLost: index + 1})
		case err != nil:
			return out, err
		case kind == kindRestore:
			out.restored = index + 1
		}
	}
	return out, nil
}

// entryOf compares an entry with its place and its leaf, and returns its kind.
func entryOf(b []byte, index uint64, leaf Hash) (kind uint8, err error) {
	if len(b) == 0 {
		return 0, refuse(ErrLost, "entry %d", index+1)
	}
	e, err := entryAt(b, index)
	if err != nil {
		return 0, err
	}
	if LeafHash(b) != leaf {
		return 0, refuse(ErrLeaf, "entry %d", index+1)
	}
	return e.Kind, nil
}
