package translog

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/assent-gateway/assent/consent"
)

// Bounds of a round.
const (
	roundWidth = 4           // trees at a time
	retryAfter = time.Second // a round that failed
	maxMeets   = 16          // times that other writers may come first
)

// Run signs checkpoints for what the ledgers applied, and sends them out, until
// ctx ends. Only then it returns, nil.
func (l *Log) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, p := range l.posts {
		g.Go(func() error { return p.run(ctx) })
	}
	g.Go(func() error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-l.wake:
			}
			wait := l.opt.Interval
			if !l.round(ctx) {
				wait = retryAfter
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(wait):
			}
		}
	})
	return g.Wait()
}

// round integrates every tree that may have grown; false when one has to be
// tried again.
func (l *Log) round(ctx context.Context) bool {
	l.mu.RLock()
	var grown []*tree
	for _, t := range l.trees {
		if t.grown() {
			grown = append(grown, t)
		}
	}
	l.mu.RUnlock()
	var g errgroup.Group
	g.SetLimit(roundWidth)
	for _, t := range grown {
		g.Go(func() error {
			within, end := l.opt.Begin(ctx)
			err := t.integrate(within)
			end(err)
			if err != nil && ctx.Err() == nil && t.failure() == nil {
				l.opt.Log.Warn("log not advanced: tried again", "error", err)
				t.Wake()
				return err
			}
			return nil
		})
	}
	return g.Wait() == nil
}

// Integrate brings a tenant's checkpoint up to what its ledger applied. Run
// does so by itself; it is for callers that cannot wait for it.
func (l *Log) Integrate(ctx context.Context, id consent.TenantID) error {
	t, err := l.tree(id)
	if err != nil {
		return err
	}
	return t.integrate(ctx)
}

// grown takes the mark that the tree may have grown.
func (t *tree) grown() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	dirty := t.dirty && t.failed == nil && t.replay == nil
	t.dirty = false
	return dirty
}

// integrate goes the durable steps of the package comment once: at most one
// new checkpoint.
func (t *tree) integrate(ctx context.Context) error {
	t.turn.Lock()
	defer t.turn.Unlock()
	signed := false
	for range maxMeets {
		err := t.settle(ctx)
		if err == nil {
			if signed {
				return nil
			}
			if signed, err = t.sign(); err == nil && !signed {
				return nil // nothing new
			}
		}
		if err != nil && !errors.Is(err, ErrConflict) { // a conflict: another writer came first, look again
			return err
		}
	}
	return ErrConflict
}

// settle brings vault and store to the newest checkpoint, and serves it.
func (t *tree) settle(ctx context.Context) error {
	if err := t.failure(); err != nil {
		return err
	}
	if err := t.adopt(ctx); err != nil {
		return err
	}
	if err := t.toVault(); err != nil {
		return err
	}
	if err := t.toStore(ctx); err != nil {
		return err
	}
	t.mu.Lock()
	t.publish()
	t.mu.Unlock()
	t.log.opt.Step("log.published") // a crash here: the next start sends it out
	return nil
}

// adopt takes over what another writer, or one of ours that failed on its way,
// left in the vault.
func (t *tree) adopt(ctx context.Context) error {
	text, err := t.log.vault.Checkpoint(t.id)
	if err != nil {
		return unavailable(err)
	}
	if bytes.Equal(text, t.inVault) {
		return nil
	}
	t.unsure = true
	c, err := t.read(text)
	if err != nil {
		return t.fail(consent.ErrTampered)
	}
	if c.Size < t.newest.Size {
		return t.fail(consent.ErrDiverged) // the vault went back
	}
	if c.Size == t.newest.Size && c.Root == t.newest.Root {
		t.inVault = text
		return nil
	}
	if t.available() < c.Size {
		if err := t.log.opt.Refresh(ctx, t.id); err != nil {
			return unavailable(err)
		}
	}
	if t.available() < c.Size {
		return ErrConflict
	}
	next, root, err := t.extend(c.Size)
	if err != nil {
		return err
	}
	if root != c.Root {
		return t.fail(consent.ErrDiverged)
	}
	t.move(next, c)
	return nil
}

// toVault makes sure that the vault has the newest checkpoint for good. It has
// not when it was put back to an older state than the store's, which Replay
// found to be consistent; and perhaps not when what it has was read from it
// rather than written: a crash or an error may have come before the sync.
func (t *tree) toVault() error {
	if bytes.Equal(t.inVault, t.newest.Text) && !t.unsure {
		return nil
	}
	if err := t.log.vault.SetCheckpoint(t.id, t.inVault, t.newest.Text); err != nil {
		return err
	}
	t.inVault, t.unsure = t.newest.Text, false
	return nil
}

// toStore gives the store the checkpoint that the vault has.
func (t *tree) toStore(ctx context.Context) error {
	if bytes.Equal(t.inStore, t.newest.Text) {
		return nil
	}
	err := t.log.store.AdvanceLog(ctx, t.id, t.inStore, t.newest.Text, t.nodes)
	if errors.Is(err, ErrConflict) {
		return t.meet(ctx)
	}
	if err != nil {
		return unavailable(err)
	}
	t.inStore, t.nodes = t.newest.Text, nil
	t.log.opt.Step("log.stored")
	return nil
}

// meet reads what the store has instead of what we believed. Nodes may be
// written twice, so that whatever it is, the next step begins from there.
func (t *tree) meet(ctx context.Context) error {
	text, err := t.log.store.LogCheckpoint(ctx, t.id)
	if err != nil {
		return unavailable(err)
	}
	if _, err := t.read(text); err != nil {
		return t.fail(consent.ErrTampered)
	}
	t.inStore = text
	return ErrConflict
}

// available is the size that the tree can have: of leaves that the ledger
// applied.
func (t *tree) available() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.newest.Size + uint64(len(t.pending))
}

// extend returns the tree at a size that is available.
func (t *tree) extend(size uint64) (*growth, Hash, error) {
	t.mu.Lock()
	leaves := t.pending[:size-t.newest.Size]
	next, err := t.base.fork()
	t.mu.Unlock()
	if err != nil {
		return nil, Hash{}, err
	}
	for _, leaf := range leaves {
		if err := next.append(leaf); err != nil {
			return nil, Hash{}, err
		}
	}
	root, err := next.root()
	return next, root, err
}

// move makes c, which the vault has, the newest.
func (t *tree) move(next *growth, c Checkpoint) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.nodes = append(t.nodes, next.nodes...)
	next.nodes = nil
	t.pending, t.since = slices.Clone(t.pending[c.Size-t.newest.Size:]), time.Now()
	t.base, t.newest, t.inVault = next, c, c.Text
}

// sign signs for everything that is applied and in the journal, and puts it
// into the vault; false when there is nothing new.
func (t *tree) sign() (bool, error) {
	journal, err := t.log.vault.JournalHead(t.id)
	if err != nil {
		return false, unavailable(err)
	}
	size := min(t.available(), uint64(journal))
	if size <= t.newest.Size {
		return false, nil
	}
	next, root, err := t.extend(size)
	if err != nil {
		return false, err
	}
	c, err := t.checkpoint(size, root)
	if err != nil {
		return false, err
	}
	t.log.opt.Step("log.signed") // a crash here: it never was
	if err := t.log.vault.SetCheckpoint(t.id, t.inVault, c.Text); err != nil {
		return false, err // adopt finds out what became of it
	}
	t.log.opt.Step("log.vaulted") // a crash here: the next start gives it to the store
	t.move(next, c)
	return true, nil
}
