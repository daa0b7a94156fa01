package vault

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/assent-gateway/assent/internal/seal"
)

// ErrUnfinished: a rotation did not come to its end: the older epoch's key is
// still there. The vault serves under both. Call Rotate again, which continues
// it, or Open does.
var ErrUnfinished = errors.New("vault: rotation not finished")

// nextEpoch is an epoch whose key may be on disk, and the keyring under it, too:
// until that is known, it must neither be destroyed nor made anew.
type nextEpoch struct {
	n   uint32
	key func() seal.Key
}

// Rotate makes a new epoch: a new key wraps the keyring and the outer layer of
// every slot, and the old key is destroyed. Meanwhile the vault serves; a Put or
// Destroy waits for a few syncs at most. The journal is untouched: its payloads
// are sealed under keys of the keyring.
//
// On return without error one epoch key is left, and whatever was wrapped under
// an older one, wherever copies of it lie, cannot be opened with anything in the
// vault. A copy of the whole directory, a backup among them, holds its own epoch
// key and is not affected.
//
// An interrupted rotation (ErrUnfinished, a crash, the end of ctx) loses no key;
// the next Rotate, or Open, finishes it. Any other error is from before the new
// epoch was in force: what was prepared serves the next Rotate.
func (v *Vault) Rotate(ctx context.Context) error {
	v.rotating.Lock()
	defer v.rotating.Unlock()
	if v.closed.Load() {
		return fmt.Errorf("vault: rotate: %w", os.ErrClosed)
	}
	if err := v.finishRotation(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrUnfinished, err)
	}
	if err := v.beginEpoch(ctx); err != nil {
		return fmt.Errorf("vault: rotate: %w", err)
	}
	if err := v.finishRotation(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrUnfinished, err)
	}
	return nil
}

// beginEpoch makes the next epoch's key durable, then the keyring under it. A
// crash before the keyring leaves a key that nothing is wrapped under: Open
// destroys it, and the rotation has not happened. A crash after it leaves two
// epochs: Open goes on as finishRotation does.
func (v *Vault) beginEpoch(ctx context.Context) error {
	if v.next == nil {
		v.next = &nextEpoch{n: v.keyring.Load().epoch + 1, key: seal.Hold(seal.NewKey())}
	}
	n, key := v.next.n, v.next.key()
	content, err := encodeEpoch(ctx, v.id, n, key, v.opt)
	if err != nil {
		return err
	}
	if err := replaceAs("epoch", v.dir, epochFile(n), content, v.opt); err != nil {
		return err
	}
	v.adding.Lock()
	defer v.adding.Unlock()
	ring := v.keyring.Load().clone()
	ring.epoch = n
	if err := ring.store(v.dir, v.id, key, v.opt); err != nil {
		return err
	}
	v.epochs.Store(v.epochs.Load().with(n, key))
	v.puts.Lock() // every Put that chose the older epoch has written
	v.keyring.Store(ring)
	v.puts.Unlock()
	v.next = nil
	return nil
}

// finishRotation wraps every slot under the keyring's epoch and destroys the
// keys of all others. It does nothing when there is none.
func (v *Vault) finishRotation(ctx context.Context) error {
	known, epoch := v.epochs.Load(), v.keyring.Load().epoch
	old := known.besides(epoch)
	if len(old) == 0 {
		return nil
	}
	chunk := v.opt.chunk
	if chunk == 0 {
		chunk = rewrapChunk
	}
	for from := 0; from < v.slots.size(); from += chunk {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if v.closed.Load() {
			return os.ErrClosed
		}
		if err := v.slots.rewrap(from, chunk, known, epoch); err != nil {
			return err
		}
	}
	if n, found, err := v.slots.needing(known, epoch); err != nil {
		return err
	} else if found { // cannot be; but what follows cannot be undone
		return fmt.Errorf("slot %d is still wrapped under an older epoch", n)
	}
	v.slots.group.turn.Lock()
	err := v.slots.removeLog()
	v.slots.group.turn.Unlock()
	if err != nil {
		return err
	}
	for _, n := range old {
		if err := destroyEpoch(v.dir, n, v.opt); err != nil {
			return err
		}
		v.epochs.Store(v.epochs.Load().without(n))
	}
	return nil
}

// settleEpochs leaves one epoch at Open, the keyring's: it finishes an
// interrupted rotation, and destroys a newer key that nothing depends on yet.
// wrapped says how many slots each epoch wraps.
func (v *Vault) settleEpochs(wrapped map[uint32]int) error {
	all, epoch := v.epochs.Load(), v.keyring.Load().epoch
	for n := range wrapped {
		if n > epoch {
			return damaged(keyringFile, headerSize, "older than the slots")
		}
	}
	for _, n := range all.unreadable {
		if wrapped[n] > 0 {
			return damaged(epochFile(n), 0, "unreadable, and slots are wrapped under it")
		}
		if err := destroyEpoch(v.dir, n, v.opt); err != nil {
			return err
		}
	}
	return v.finishRotation(context.Background())
}

// Epoch is the number of the epoch that new keys are wrapped under, from 1.
func (v *Vault) Epoch() uint32 { return v.keyring.Load().epoch }
