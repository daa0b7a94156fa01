package vault

import (
	"fmt"

	"github.com/assent-gateway/assent/internal/seal"
)

// Level says how far a key is destroyed, in the words of an erasure's receipt.
// A larger one is a stronger statement.
type Level uint8

const (
	// Held: the key is there.
	Held Level = iota
	// Absent: it is not served and will not be, but it cannot be said that every
	// copy is gone: its slot was not durably overwritten (a Destroy failed), this
	// vault never had that slot, or a backup may hold it.
	Absent
	// Purged: its slot is overwritten, in place and synced, and no backup that
	// may hold it is on the list. See the package comment for what an operating
	// system's "overwritten" means on which disk.
	Purged
)

func (l Level) String() string {
	switch l {
	case Held:
		return "held"
	case Absent:
		return "absent"
	case Purged:
		return "purged"
	}
	return fmt.Sprintf("Level(%d)", uint8(l))
}

// KeyDestroyed says how far the key of ref is destroyed. It errs on the weak
// side: of a backup it is not known which keys are in it, so every one that may
// exist keeps every key at Absent; see BackupDestroyed.
func (v *Vault) KeyDestroyed(ref seal.Ref) (Level, error) {
	v.slots.group.turn.Lock() // no write is half done
	held, err := v.Holds(ref)
	gone := v.slots.overwritten(int(ref.Slot))
	v.slots.group.turn.Unlock()
	switch {
	case err != nil:
		return Held, err // no reason to believe that anything was destroyed
	case held:
		return Held, nil
	// Last: a backup that has the key began before it was destroyed, and is on
	// the list by now.
	case !gone, len(v.past().Backups) > 0:
		return Absent, nil
	}
	return Purged, nil
}

// overwritten tells whether what a slot held before is known to be gone from
// disk: it is durably empty, or was before it was given out again. A slot in
// limbo, or one that a crash tore, is not.
func (s *slots) overwritten(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n >= len(s.state) {
		return false
	}
	switch s.state[n] {
	case free, reserved:
		return true
	case used:
		var b [slotSize]byte
		var now slot
		_, err := s.file.ReadAt(b[:], slotAt(n))
		return err == nil && now.decode(uint32(n), b[:])
	}
	return false
}

// Rotation is how far a new epoch has come among those who hold keys of it: for
// a vault that several gateways share, whose slots are rows of a database. There
// a deleted row may live on in pages, logs and replicas that nobody overwrites.
// (The vault of this package has one holder, and overwrites.)
type Rotation struct {
	Epoch   uint32   // that every live key is wrapped under
	Waiting []string // holders that have not confirmed to have destroyed the older epochs' keys
}

// Level says how far a key is destroyed whose row was deleted while it was
// wrapped under this epoch: absent until a later epoch is in force and every
// holder, the KMS among them, has confirmed.
func (r Rotation) Level(deletedIn uint32) Level {
	if deletedIn < r.Epoch && len(r.Waiting) == 0 {
		return Purged
	}
	return Absent
}
