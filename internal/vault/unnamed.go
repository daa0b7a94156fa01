package vault

import (
	"maps"
	"time"

	"github.com/assent-gateway/assent/internal/seal"
)

// Unnamed remembers which keys no row named, and since when. The zero value is
// ready; one goroutine uses it.
type Unnamed struct {
	since map[seal.Ref]time.Time
}

// SweepRunning wipes keys that no row names, beside those who make and destroy
// others: only what was unnamed at a look that was patience ago or longer, and is
// so still. A key that was there at the first look is named within consent.KeyLease
// of it, or never. now is of a clock that does not jump. named is called after the keys
// were listed.
func (v *Vault) SweepRunning(u *Unnamed, now time.Time, patience time.Duration, named func() (func(seal.Ref) bool, error)) (wiped int, err error) {
	held, err := v.refs()
	if err != nil {
		return 0, err
	}
	is, err := named()
	if err != nil {
		return 0, err
	}
	since := map[seal.Ref]time.Time{}
	var old []seal.Ref
	for _, ref := range held {
		if is(ref) {
			continue
		}
		first, met := u.since[ref]
		if !met {
			first = now
		}
		since[ref] = first
		if now.Sub(first) >= patience {
			old = append(old, ref)
		}
	}
	u.since = since
	if len(old) == 0 {
		return 0, nil
	}
	if err := v.Destroy(old...); err != nil {
		return 0, err
	}
	maps.DeleteFunc(u.since, func(_ seal.Ref, first time.Time) bool { return now.Sub(first) >= patience })
	return len(old), nil
}

// refs lists the keys that slots hold. One that is being written may be left out.
func (v *Vault) refs() (out []seal.Ref, err error) {
	v.rotating.Lock() // it looks at bytes that a rotation replaces
	defer v.rotating.Unlock()
	err = v.slots.scan(v.slots.size(), func(i int, b []byte) {
		var s slot
		if s.decode(uint32(i), b) {
			out = append(out, seal.Ref{Slot: uint32(i), ID: s.id})
		}
	})
	return out, err
}
