package pgvault

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/assent-gateway/assent/internal/postgres"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/internal/vault"
)

const (
	// slotLease is how long a wrapped key that was read is served without
	// looking whether it was destroyed since.
	slotLease = 2 * time.Second
	// slotKeep bounds how many are kept, by half.
	slotKeep = 1 << 15
)

// slotCache keeps wrapped keys for slotLease. The zero value is ready.
type slotCache struct {
	mu     sync.Mutex
	edits  uint64 // Destroys so far: what was read before one is not kept
	newer  map[[16]byte]leased
	older  map[[16]byte]leased
	filled time.Time // when newer was begun
}

type leased struct {
	vault.Wrapped
	until time.Time // of the process's own, monotonic clock
}

func (c *slotCache) get(id [16]byte) (w vault.Wrapped, ok bool, edits uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l, ok := c.newer[id]
	if !ok {
		l, ok = c.older[id]
	}
	return l.Wrapped, ok && time.Now().Before(l.until), c.edits
}

// keep keeps what was read, unless something was destroyed since the reading
// began, when edits was what get said.
func (c *slotCache) keep(rows []postgres.SlotRow, edits uint64, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.edits != edits {
		return
	}
	if len(c.newer) >= slotKeep || time.Since(c.filled) > slotLease {
		c.older, c.newer, c.filled = c.newer, nil, time.Now()
	}
	if c.newer == nil {
		c.newer = map[[16]byte]leased{}
	}
	for _, r := range rows {
		c.newer[r.ID] = leased{wrapped(r), until}
	}
}

func (c *slotCache) forget(ids [][]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.edits++
	for _, id := range ids {
		delete(c.newer, [16]byte(id))
		delete(c.older, [16]byte(id))
	}
}

func wrapped(r postgres.SlotRow) vault.Wrapped {
	return vault.Wrapped{ID: r.ID, Epoch: r.Epoch, Kind: r.Kind, Box: r.Wrapped}
}

// Put stores keys and returns their refs in the same order, durable on return.
// After an error some may be there: nobody has their refs, and Sweep wipes them.
func (v *Vault) Put(keys []vault.NewKey) ([]seal.Ref, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	rows, refs := make([]postgres.SlotRow, len(keys)), make([]seal.Ref, len(keys))
	for i, k := range keys {
		if k.Key.IsZero() || k.Parent != nil && k.Parent.IsZero() {
			return nil, fmt.Errorf("pgvault: key %d or its parent is all zeros", i)
		}
		w := v.epoch.Wrap(k)
		rows[i] = postgres.SlotRow{ID: w.ID, Epoch: w.Epoch, Kind: w.Kind, Wrapped: w.Box}
		refs[i] = seal.Ref{ID: w.ID} // slots are of no number here
	}
	if err := v.fault("slots.write"); err != nil {
		return nil, err
	}
	ctx, cancel := calling()
	defer cancel()
	if err := v.db.PutSlots(ctx, rows); err != nil {
		return nil, err
	}
	return refs, v.fault("slots.synced")
}

// Key returns the key that ref names, as vault.Vault.Key does.
func (v *Vault) Key(ref seal.Ref, parent *seal.Key) (seal.Key, error) {
	w, ok, edits := v.slots.get(ref.ID)
	if !ok {
		until := time.Now().Add(slotLease)
		ctx, cancel := calling()
		defer cancel()
		rows, err := v.db.Slots(ctx, [][]byte{ref.ID[:]})
		if err != nil {
			return seal.Key{}, err
		}
		if len(rows) == 0 {
			return seal.Key{}, vault.ErrKeyGone
		}
		v.slots.keep(rows, edits, until)
		w = wrapped(rows[0])
	}
	return v.epoch.Unwrap(w, parent)
}

// Warm reads keys that are about to be asked for, all at once.
func (v *Vault) Warm(ctx context.Context, refs []seal.Ref) error {
	var ids [][]byte
	var edits uint64
	for i, ref := range refs {
		_, ok, now := v.slots.get(ref.ID)
		if i == 0 {
			edits = now
		}
		if !ok && !ref.IsZero() {
			ids = append(ids, ref.ID[:])
		}
	}
	if len(ids) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience) // as of one key: whoever searches waits
	defer cancel()
	until := time.Now().Add(slotLease)
	rows, err := v.db.Slots(ctx, ids)
	if err == nil {
		v.slots.keep(rows, edits, until)
	}
	return err
}

// Holds tells whether there is a key that ref names.
func (v *Vault) Holds(ctx context.Context, ref seal.Ref) (bool, error) {
	rows, err := v.db.Slots(ctx, [][]byte{ref.ID[:]})
	return len(rows) > 0, err
}

// Lacking are those of some keys that are not there.
func (v *Vault) Lacking(ctx context.Context, refs []seal.Ref) (lacking []seal.Ref, err error) {
	ids := make([][]byte, len(refs))
	for i := range refs {
		ids[i] = refs[i].ID[:]
	}
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := v.db.Slots(ctx, ids)
	if err != nil {
		return nil, err
	}
	held := make(map[[16]byte]bool, len(rows))
	for _, r := range rows {
		held[r.ID] = true
	}
	for _, ref := range refs {
		if !held[ref.ID] {
			lacking = append(lacking, ref)
		}
	}
	return lacking, nil
}

// Destroy deletes keys. On return no gateway reads them from the database any
// more. Repeatable; after an error any of them may be gone.
func (v *Vault) Destroy(refs ...seal.Ref) error {
	var ids [][]byte
	for _, ref := range refs {
		if !ref.IsZero() {
			ids = append(ids, ref.ID[:])
		}
	}
	if len(ids) == 0 {
		return nil
	}
	if err := v.fault("slots.write"); err != nil {
		return err
	}
	ctx, cancel := calling()
	defer cancel()
	_, err := v.db.DeleteSlots(ctx, ids)
	v.slots.forget(ids) // after an error too: it may have happened
	if err != nil {
		return err
	}
	return v.fault("slots.synced")
}

// KeyDestroyed says how far a key is destroyed: held, or absent. See the
// package comment for why not purged.
func (v *Vault) KeyDestroyed(ctx context.Context, ref seal.Ref) (vault.Level, error) {
	held, err := v.Holds(ctx, ref)
	if err != nil || held {
		return vault.Held, err
	}
	return vault.Rotation{Epoch: v.epoch.Number()}.Level(v.epoch.Number()), nil
}

// Sweep wipes keys older than Lease that no row names, and returns how many.
// named is called after these keys were listed: a row that names one of them
// was committed before that, or never will be.
func (v *Vault) Sweep(ctx context.Context, named func() (func(seal.Ref) bool, error)) (wiped int, err error) {
	var old [][16]byte
	if err := v.db.OldSlots(ctx, Lease, func(id [16]byte) { old = append(old, id) }); err != nil || len(old) == 0 {
		return 0, err
	}
	is, err := named()
	if err != nil {
		return 0, err
	}
	var unnamed [][]byte
	for _, id := range old {
		if !is(seal.Ref{ID: id}) {
			unnamed = append(unnamed, id[:])
		}
	}
	if len(unnamed) == 0 {
		return 0, nil
	}
	wiped, err = v.db.DeleteSlots(ctx, unnamed)
	v.slots.forget(unnamed)
	return wiped, err
}

// Slots counts the keys.
func (v *Vault) Slots(ctx context.Context) (int, error) { return v.db.CountSlots(ctx) }

func calling() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), patience)
}
