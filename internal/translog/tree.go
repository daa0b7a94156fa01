package translog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/assent-gateway/assent/consent"
)

// tree is one tenant's log in this process.
type tree struct {
	log *Log
	id  consent.TenantID
	identity

	turn sync.Mutex // held while checkpoints move: one writer in this process

	mu      sync.Mutex
	replay  *replay // nil once every checkpoint was passed
	base    *growth // the tree at newest
	newest  Checkpoint
	pending []Hash    // leaves after newest, as the ledger applied them
	since   time.Time // when the first of them came, by this process's clock
	inVault []byte    // newest checkpoint there, as far as we know
	inStore []byte
	unsure  bool   // whether what we read there is durable
	nodes   []Node // completed after the store's checkpoint
	dirty   bool   // it may have grown since the last round
	failed  error

	published Checkpoint    // newest that is in vault and store
	changed   chan struct{} // closed when published moves
}

// replay is the part of a start in which leaves are checked against what was
// signed.
type replay struct {
	vault, store Checkpoint
	stored       map[uint8][]Hash // nodes of the store, by level
}

// Replay implements consent.Tree.
func (l *Log) Replay(ctx context.Context, id consent.TenantID) (consent.TenantTree, error) {
	name, err := l.identity(id)
	if err != nil {
		return nil, err
	}
	t := &tree{log: l, id: id, identity: name, base: newGrowth(), changed: make(chan struct{})}
	l.mu.Lock()
	l.trees[id] = t
	l.mu.Unlock()
	if err := t.begin(ctx); err != nil {
		t.failed = err
		return nil, err
	}
	return t, nil
}

// begin reads what was signed before.
func (t *tree) begin(ctx context.Context) (err error) {
	if t.inVault, err = t.log.vault.Checkpoint(t.id); err != nil {
		return fmt.Errorf("%w: read the vault's newest checkpoint", consent.ErrUnavailable)
	}
	r := &replay{}
	if r.vault, err = t.read(t.inVault); err != nil {
		return err
	}
	if err := t.beginStored(ctx, r); err != nil {
		return err
	}
	if r.vault.Size > 0 || r.store.Size > 0 {
		t.replay = r
	}
	t.unsure = !bytes.Equal(t.inVault, t.inStore)
	return nil
}

// beginStored reads what the store has. Checkpoint and nodes are two reads:
// between them another gateway may advance the log, and then both are read again.
func (t *tree) beginStored(ctx context.Context, r *replay) (err error) {
	if t.inStore, err = t.log.store.LogCheckpoint(ctx, t.id); err != nil {
		return unavailable(err)
	}
	for {
		if r.store, err = t.parse(t.inStore); err != nil {
			return consent.ErrTampered // another origin, too: the vault says which it is
		}
		whole, err := t.storedNodes(ctx, r)
		if whole || err != nil {
			return err
		}
		now, err := t.log.store.LogCheckpoint(ctx, t.id)
		if err != nil {
			return unavailable(err)
		}
		if bytes.Equal(now, t.inStore) {
			return consent.ErrTampered
		}
		t.inStore = now
	}
}

// storedNodes reads the store's nodes; false when they are not as many as its
// checkpoint has.
func (t *tree) storedNodes(ctx context.Context, r *replay) (whole bool, err error) {
	r.stored = map[uint8][]Hash{}
	for level := uint8(1); ; level++ {
		n := int(r.store.Size >> (tileHeight * uint(level)))
		// One more than there may be: a node too many was put there by somebody.
		if r.stored[level], err = t.log.store.LogHashes(ctx, t.id, level, 0, n+1); err != nil {
			return false, unavailable(err)
		}
		if len(r.stored[level]) != n {
			return false, nil
		}
		if n == 0 {
			return true, nil
		}
	}
}

// read parses a checkpoint that we must have signed.
func (t *tree) read(text []byte) (Checkpoint, error) {
	c, err := t.parse(text)
	if errors.Is(err, errCheckpoint) {
		err = consent.ErrTampered
	}
	return c, err
}

// Vouched implements consent.TenantTree.
func (t *tree) Vouched() consent.Position {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.replay != nil {
		return consent.Position(max(t.replay.vault.Size, t.replay.store.Size))
	}
	return consent.Position(t.newest.Size)
}

// Grow implements consent.TenantTree.
func (t *tree) Grow(leaf [32]byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failed != nil {
		return t.failed
	}
	if t.replay == nil {
		if len(t.pending) == 0 {
			t.since = time.Now()
		}
		t.pending = append(t.pending, leaf)
		return nil
	}
	err := t.base.append(leaf)
	if err == nil {
		err = t.pass()
	}
	if err != nil {
		t.failed = err
	}
	return err
}

// pass compares the tree with the checkpoints at its size.
func (t *tree) pass() error {
	r, size := t.replay, t.base.size()
	if size != r.vault.Size && size != r.store.Size {
		return nil
	}
	root, err := t.base.root()
	if err != nil {
		return err
	}
	for _, c := range []Checkpoint{r.vault, r.store} {
		if size == c.Size && root != c.Root {
			return consent.ErrDiverged
		}
		if size == c.Size {
			t.newest = c
		}
	}
	if size == r.store.Size {
		for _, n := range t.base.nodes {
			if r.stored[n.Level][n.Index] != n.Hash {
				return consent.ErrTampered
			}
		}
		t.base.nodes = nil
	}
	if size == max(r.vault.Size, r.store.Size) {
		t.nodes, t.base.nodes, t.replay = t.base.nodes, nil, nil
		if bytes.Equal(t.inVault, t.inStore) {
			t.publish()
		}
	}
	return nil
}

// Wake implements consent.TenantTree.
func (t *tree) Wake() {
	t.mu.Lock()
	t.dirty = true
	t.mu.Unlock()
	select {
	case t.log.wake <- struct{}{}:
	default:
	}
}

// publish makes the newest checkpoint the one that is served. The caller holds
// mu; vault and store have it.
func (t *tree) publish() {
	if t.published.Size == t.newest.Size {
		return
	}
	t.published = t.newest
	close(t.changed)
	t.changed = make(chan struct{})
	for _, p := range t.log.posts {
		p.put(t.origin, t.newest)
	}
}

func (t *tree) failure() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failed == nil && t.replay != nil {
		return fmt.Errorf("%w: the log is behind its checkpoint", consent.ErrUnavailable)
	}
	return t.failed
}

// fail stops the log of a tenant for good, and its ledger.
func (t *tree) fail(err error) error {
	t.mu.Lock()
	t.failed = err
	t.mu.Unlock()
	t.log.opt.Log.Error("log stopped", "why", consent.Why(err))
	t.log.opt.Closed(t.id, err)
	return err
}

func unavailable(err error) error {
	if errors.Is(err, consent.ErrUnavailable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %w", consent.ErrUnavailable, err)
}
