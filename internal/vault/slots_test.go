package vault

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/assent-gateway/assent/internal/seal"
)

func put(t testing.TB, v *Vault, keys ...NewKey) []seal.Ref {
	t.Helper()
	refs, err := v.Put(keys)
	if err != nil {
		t.Fatal(err)
	}
	return refs
}

func wantKey(t testing.TB, v *Vault, ref seal.Ref, parent *seal.Key, want seal.Key) {
	t.Helper()
	if got, err := v.Key(ref, parent); err != nil || got != want {
		t.Errorf("slot %d: another key, or %v", ref.Slot, err)
	}
}

func wantGone(t testing.TB, v *Vault, ref seal.Ref, parent *seal.Key) {
	t.Helper()
	if got, err := v.Key(ref, parent); !errors.Is(err, ErrKeyGone) || !got.IsZero() {
		t.Errorf("slot %d: got %v, want ErrKeyGone", ref.Slot, err)
	}
}

func wantCounts(t testing.TB, v *Vault, wantUsed, wantFree int) {
	t.Helper()
	if used, free := v.Slots(); used != wantUsed || free != wantFree {
		t.Errorf("%d used and %d free, want %d and %d", used, free, wantUsed, wantFree)
	}
}

// slotBytes is what the file has for a slot.
func slotBytes(t testing.TB, v *Vault, ref seal.Ref) []byte {
	t.Helper()
	return readFile(t, v.path(slotsFile))[slotAt(int(ref.Slot)):][:slotSize]
}

func TestKeysComeBackToTheRightParentOnly(t *testing.T) {
	t.Parallel()
	v, _ := newVault(t)
	parent, other, plain, child := seal.NewKey(), seal.NewKey(), seal.NewKey(), seal.NewKey()
	refs := put(t, v, NewKey{Key: plain}, NewKey{Key: child, Parent: &parent})
	for range 2 { // before and after reopening
		wantKey(t, v, refs[0], nil, plain)
		wantKey(t, v, refs[1], &parent, child)
		for _, wrong := range []struct {
			ref    seal.Ref
			parent *seal.Key
		}{{refs[0], &parent}, {refs[0], &noParent}, {refs[1], nil}, {refs[1], &other}} {
			if got, err := v.Key(wrong.ref, wrong.parent); !errors.Is(err, ErrWrongParent) || !got.IsZero() {
				t.Errorf("got %v, want ErrWrongParent", err)
			}
		}
		for _, absent := range []seal.Ref{
			{}, {Slot: 5, ID: refs[0].ID}, {Slot: 1 << 31, ID: refs[0].ID},
			{Slot: refs[0].Slot, ID: refs[1].ID}, {Slot: refs[1].Slot, ID: refs[0].ID},
		} {
			wantGone(t, v, absent, nil)
		}
		v = reopen(t, v)
	}
	var zero seal.Key
	for _, bad := range []NewKey{{}, {Key: plain, Parent: &zero}} {
		if _, err := v.Put([]NewKey{{Key: plain}, bad}); err == nil {
			t.Error("stored a zero key, or one under a zero parent")
		}
	}
	if refs, err := v.Put(nil); refs != nil || err != nil {
		t.Errorf("put of nothing: %v, %v", refs, err)
	}
	wantCounts(t, v, 2, growth-2)
}

func TestSlotFormatShowsNoKeyAndRefusesEveryFlip(t *testing.T) {
	t.Parallel()
	v, _ := newVault(t)
	parent, key := seal.NewKey(), seal.NewKey()
	ref := put(t, v, NewKey{Key: key, Parent: &parent})[0]
	good := bytes.Clone(slotBytes(t, v, ref))
	if bytes.Contains(good, key[:8]) || bytes.Contains(good, parent[:8]) {
		t.Error("a key is in the slot in clear")
	}
	write := func(slot uint32, b []byte) {
		t.Helper()
		if _, err := v.slots.file.WriteAt(b, slotAt(int(slot))); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 124 { // all but the reserved zeros
		bad := bytes.Clone(good)
		bad[i] ^= 0x20
		write(ref.Slot, bad)
		wantGone(t, v, ref, &parent)
	}
	write(7, good)
	wantGone(t, v, seal.Ref{Slot: 7, ID: ref.ID}, &parent) // a copy in another place
	// Not a matter of the checksum alone: with a right one, the cipher refuses.
	for i := range 120 {
		bad := bytes.Clone(good)
		bad[i] ^= 0x20
		var s slot
		s.id, s.epoch, s.kind = [16]byte(bad), binary.BigEndian.Uint32(bad[16:]), bad[20]
		s.wrapped = [wrapSize]byte(bad[24:])
		s.encode(ref.Slot, bad)
		write(ref.Slot, bad)
		if got, err := v.Key(seal.Ref{Slot: ref.Slot, ID: s.id}, &parent); err == nil && !bytes.Equal(bad, good) {
			t.Errorf("byte %d flipped under a right checksum: served %t", i, got == key)
		}
	}
	write(ref.Slot, good)
	wantKey(t, v, ref, &parent, key)
}

// As for a box of package seal: the commitment is compared though the cipher
// under it would open.
func TestSlotCommitsToItsParent(t *testing.T) {
	t.Parallel()
	epoch, parent, key := seal.NewKey(), seal.NewKey(), seal.NewKey()
	s := slot{id: [16]byte{1}, epoch: 1}
	s.wrap(epoch, key, &parent)
	if got, err := s.unwrap(epoch, &parent); err != nil || got != key {
		t.Fatal(err)
	}
	outer := aead(seal.Derive(epoch, "vault/slot/outer", s.id[:]))
	inner, err := outer.Open(nil, zeroNonce[:], s.wrapped[:], s.aad())
	if err != nil {
		t.Fatal(err)
	}
	inner[0] ^= 1
	outer.Seal(s.wrapped[:0], zeroNonce[:], inner, s.aad())
	if _, err := s.unwrap(epoch, &parent); !errors.Is(err, ErrWrongParent) {
		t.Errorf("got %v", err)
	}
	other := seal.NewKey()
	if _, err := s.unwrap(other, &parent); !errors.Is(err, ErrKeyGone) {
		t.Errorf("under another epoch's key: %v", err)
	}
}

func TestDestroyLeavesZerosAndReusedSlotsServeNoOldRef(t *testing.T) {
	t.Parallel()
	v, _ := newVault(t)
	keys := make([]NewKey, 100)
	for i := range keys {
		keys[i].Key = seal.NewKey()
	}
	old := put(t, v, keys...)
	before := readFile(t, v.path(slotsFile))
	if err := v.Destroy(append(slices.Clone(old[20:60]), old[20], seal.Ref{})...); err != nil {
		t.Fatal(err)
	}
	after := readFile(t, v.path(slotsFile))
	for i, ref := range old {
		content := before[slotAt(int(ref.Slot)):][:slotSize]
		gone := i >= 20 && i < 60
		if bytes.Contains(after, content[24:48]) == gone {
			t.Errorf("wrapped bytes of key %d: in the file %v", i, gone)
		}
		if gone {
			wantGone(t, v, ref, nil)
		} else {
			wantKey(t, v, ref, nil, keys[i].Key)
		}
	}
	wantCounts(t, v, 60, growth-60)

	reused := put(t, v, keys[:40]...)
	for i, ref := range reused {
		if ref.Slot != old[20+i].Slot {
			t.Fatalf("slot %d was not reused", old[20+i].Slot)
		}
		wantGone(t, v, old[20+i], nil)
		wantKey(t, v, ref, nil, keys[i].Key)
	}
	// The old refs once more: they hold other keys now, which must stay.
	if err := v.Destroy(old[20:60]...); err != nil {
		t.Fatal(err)
	}
	v = reopen(t, v)
	for i, ref := range reused {
		wantKey(t, v, ref, nil, keys[i].Key)
		wantGone(t, v, old[20+i], nil)
	}
	wantCounts(t, v, 100, growth-100)
	if err := v.Destroy(seal.Ref{Slot: 1 << 30, ID: old[0].ID}); err != nil {
		t.Errorf("destroying what never was: %v", err)
	}
}

func TestPutThatFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		op      string
		written int // slots that a reopened vault finds occupied
	}{{"slots.write", 0}, {"slots.sync", 3}, {"slots.synced", 3}} {
		t.Run(c.op, func(t *testing.T) {
			t.Parallel()
			v, f := newVault(t)
			kept := NewKey{Key: seal.NewKey()}
			ref := put(t, v, kept)[0]
			f.set(c.op)
			three := []NewKey{{Key: seal.NewKey()}, {Key: seal.NewKey()}, {Key: seal.NewKey()}}
			if refs, err := v.Put(three); !errors.Is(err, errFault) || refs != nil {
				t.Fatalf("got %v, %v", refs, err)
			}
			wantCounts(t, v, 1, growth-4)
			f.set("")
			// Slots of unknown content are not given out.
			if next := put(t, v, kept)[0]; next.Slot != ref.Slot+4 {
				t.Errorf("slot %d was given out", next.Slot)
			} else if err := v.Destroy(next); err != nil {
				t.Fatal(err)
			}
			v = reopen(t, v)
			wantCounts(t, v, 1+c.written, growth-1-c.written)
			wiped, err := v.Sweep(func(r seal.Ref) bool { return r == ref })
			if err != nil || wiped != c.written {
				t.Errorf("wiped %d, %v; want %d", wiped, err, c.written)
			}
			wantCounts(t, v, 1, growth-1)
			wantKey(t, v, ref, nil, kept.Key)
		})
	}
}

func TestDestroyThatFailsIsRepeated(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		op   string
		gone bool
	}{{"slots.write", false}, {"slots.sync", true}, {"slots.synced", true}} {
		t.Run(c.op, func(t *testing.T) {
			t.Parallel()
			v, f := newVault(t)
			keys := []NewKey{{Key: seal.NewKey()}, {Key: seal.NewKey()}}
			refs := put(t, v, keys...)
			f.set(c.op)
			if err := v.Destroy(refs[0]); !errors.Is(err, errFault) {
				t.Fatalf("got %v", err)
			}
			if c.gone {
				wantGone(t, v, refs[0], nil)
			} else {
				wantKey(t, v, refs[0], nil, keys[0].Key)
			}
			f.set("")
			if next := put(t, v, keys[0])[0]; next.Slot == refs[0].Slot {
				t.Error("a slot was reused before its zeros were durable")
			}
			f.set("")
			if err := v.Destroy(refs[0]); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"slots.write", "slots.sync", "slots.synced"}, f.saw); diff != "" {
				t.Errorf("the repeat did not write and sync: %s", diff)
			}
			wantGone(t, v, refs[0], nil)
			wantCounts(t, v, 2, growth-2)
			if next := put(t, v, keys[0])[0]; next.Slot != refs[0].Slot {
				t.Error("the slot is not reused after all")
			}
			wantKey(t, reopen(t, v), refs[1], nil, keys[1].Key)
		})
	}
}

func TestSweepWipesWhatNobodyNamesAndWhatIsTorn(t *testing.T) {
	t.Parallel()
	v, f := newVault(t)
	keys := make([]NewKey, 10)
	for i := range keys {
		keys[i].Key = seal.NewKey()
	}
	refs := put(t, v, keys...)
	torn := slotAt(int(refs[9].Slot))
	if _, err := v.slots.file.WriteAt(make([]byte, 64), torn); err != nil {
		t.Fatal(err)
	}
	named := func(r seal.Ref) bool { return slices.Contains(refs[:5], r) || r == refs[9] }

	f.set("slots.sync")
	if wiped, err := v.Sweep(named); !errors.Is(err, errFault) || wiped != 0 {
		t.Fatalf("got %d, %v", wiped, err)
	}
	wantCounts(t, v, 5, growth-10)
	f.set("")
	if wiped, err := v.Sweep(named); err != nil || wiped != 0 {
		t.Fatalf("got %d, %v", wiped, err) // all zeros by now, but not known to be durable
	}
	wantCounts(t, v, 5, growth-5)

	v = reopen(t, v)
	copy(refs[5:], put(t, v, keys[5:]...))
	wiped, err := v.Sweep(named)
	if err != nil || wiped != 4 {
		t.Errorf("wiped %d, %v; want 4", wiped, err)
	}
	for i, ref := range refs {
		if named(ref) {
			wantKey(t, v, ref, nil, keys[i].Key)
		} else {
			wantGone(t, v, ref, nil)
			if !bytes.Equal(slotBytes(t, v, ref), emptySlot[:]) {
				t.Errorf("slot %d is not zeros", ref.Slot)
			}
		}
	}
	wantCounts(t, v, 6, growth-6)
}

func TestSlotsFileGrowsAndSurvivesATornGrowth(t *testing.T) {
	t.Parallel()
	v, _ := newVault(t)
	keys := make([]NewKey, growth+10)
	for i := range keys {
		keys[i].Key = seal.Key{1, byte(i), byte(i >> 8)}
	}
	refs := put(t, v, keys...)
	wantCounts(t, v, growth+10, growth-10)
	v.Close()
	b := readFile(t, v.path(slotsFile))
	writeFile(t, v.path(slotsFile), b[:slotAt(growth+20)+50])
	v = reopen(t, v)
	wantCounts(t, v, growth+10, 10)
	more := put(t, v, keys[:100]...)
	for i, ref := range more {
		wantKey(t, v, ref, nil, keys[i].Key)
	}
	for _, i := range []int{0, 1, growth - 1, growth, growth + 9} {
		wantKey(t, v, refs[i], nil, keys[i].Key)
	}
	wantCounts(t, v, growth+110, growth-110)
}

// Readers, writers and destroyers side by side: a ref serves its own key until
// it is destroyed, and nothing ever after. Run it with -race.
func TestSlotsUnderConcurrency(t *testing.T) {
	t.Parallel()
	v, _ := newVault(t)
	var wg sync.WaitGroup
	var live atomic.Int64
	for w := range 8 {
		wg.Go(func() {
			var mine []seal.Ref
			var keys []seal.Key
			for round := range 12 {
				batch := make([]NewKey, 1+(w+round)%7)
				for i := range batch {
					batch[i].Key = seal.NewKey()
				}
				refs, err := v.Put(batch)
				if err != nil {
					t.Error(err)
					return
				}
				for i, ref := range refs {
					mine, keys = append(mine, ref), append(keys, batch[i].Key)
				}
				cut := len(mine) / 2
				if err := v.Destroy(mine[:cut]...); err != nil {
					t.Error(err)
				}
				for i, ref := range mine {
					if i < cut {
						wantGone(t, v, ref, nil)
					} else {
						wantKey(t, v, ref, nil, keys[i])
					}
				}
				mine, keys = mine[cut:], keys[cut:]
			}
			live.Add(int64(len(mine)))
		})
	}
	wg.Wait()
	wantCounts(t, v, int(live.Load()), growth-int(live.Load()))
	wantCounts(t, reopen(t, v), int(live.Load()), growth-int(live.Load()))
}

func TestConcurrentCallersShareASync(t *testing.T) {
	t.Parallel()
	v, f := newVault(t)
	f.set("")
	v.slots.group.turn.Lock() // a flush is under way
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() { put(t, v, NewKey{Key: seal.NewKey()}) })
	}
	for queued := 0; queued < 10; {
		v.slots.group.mu.Lock()
		queued = len(v.slots.group.queue)
		v.slots.group.mu.Unlock()
	}
	v.slots.group.turn.Unlock()
	wg.Wait()
	if diff := cmp.Diff([]string{"slots.write", "slots.sync", "slots.synced"}, f.saw); diff != "" {
		t.Error(diff)
	}
	wantCounts(t, v, 10, growth-10)
}

// The map of slots against a model: nothing is given out twice, counts agree,
// and low is never above a free slot.
func TestSpaceMatchesItsModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var s space
		model := make([]byte, 64*growth)
		pick := func(want ...byte) (out []uint32) {
			for n := range s.state {
				if slices.Contains(want, model[n]) {
					out = append(out, uint32(n))
				}
			}
			if len(out) == 0 {
				t.Skip("nothing to pick")
			}
			from := rapid.IntRange(0, len(out)-1).Draw(t, "from")
			to := rapid.IntRange(from+1, len(out)).Draw(t, "to")
			return out[from:to]
		}
		fail := func() error {
			if rapid.Bool().Draw(t, "fails") {
				return errFault
			}
			return nil
		}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				n := rapid.OneOf(rapid.IntRange(1, 20), rapid.IntRange(1, growth+20)).Draw(t, "n")
				got, err := s.reserve(n)
				if err != nil || len(got) != n || !slices.IsSorted(got) {
					t.Fatalf("reserved %d of %d, %v", len(got), n, err)
				}
				for _, slot := range got {
					if model[slot] != free {
						t.Fatalf("slot %d given out while %d", slot, model[slot])
					}
					model[slot] = reserved
				}
				err = fail()
				s.settle(got, nil, err)
				for _, slot := range got {
					model[slot] = used
					if err != nil {
						model[slot] = limbo
					}
				}
			},
			"wipe": func(t *rapid.T) {
				some := pick(free, used, limbo)
				err := fail()
				s.settle(nil, some, err)
				for _, slot := range some {
					if model[slot] == free {
						continue
					}
					model[slot] = free
					if err != nil {
						model[slot] = limbo
					}
				}
			},
			"": func(t *rapid.T) {
				var inUse, unused int
				for i, state := range s.state {
					if model[i] != state {
						t.Fatalf("slot %d is %d, want %d", i, state, model[i])
					}
					switch state {
					case used:
						inUse++
					case free:
						unused++
						if i < s.low {
							t.Fatalf("slot %d is free, below low %d", i, s.low)
						}
					}
				}
				if u, f := s.counts(); u != inUse || f != unused {
					t.Fatalf("counts %d and %d, want %d and %d", u, f, inUse, unused)
				}
			},
		})
	})
}

func TestWipingAReservedSlotDoesNotFreeIt(t *testing.T) {
	t.Parallel()
	var s space
	got, err := s.reserve(1)
	if err != nil {
		t.Fatal(err)
	}
	s.settle(nil, got, nil) // a late Destroy of the slot's last key
	if next, _ := s.reserve(1); next[0] == got[0] {
		t.Error("given out twice")
	}
	s.settle(got, nil, nil)
	if s.state[got[0]] != used {
		t.Errorf("state %d", s.state[got[0]])
	}
}

// /dev/null takes every write and refuses every sync: what was not synced is
// not acknowledged.
func TestNothingIsAcknowledgedWithoutASync(t *testing.T) {
	t.Parallel()
	v, _ := newVault(t)
	ref := put(t, v, NewKey{Key: seal.NewKey()})[0]
	appendTo(t, v, record("t", 1))
	v.slots.file.Close()
	v.journal.file.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	v.slots.file, v.journal.file = null, null
	if _, err := v.Put([]NewKey{{Key: seal.NewKey()}}); !errors.Is(err, unix.EINVAL) {
		t.Errorf("put: %v", err)
	}
	if err := v.Destroy(ref); !errors.Is(err, unix.EINVAL) {
		t.Errorf("destroy: %v", err)
	}
	if err := v.Append(records("t", 2, 2)); !errors.Is(err, unix.EINVAL) || !errors.Is(err, ErrBroken) {
		t.Errorf("append: %v", err)
	}
}

func TestReservePrefersARun(t *testing.T) {
	t.Parallel()
	var s space
	if _, err := s.reserve(100); err != nil {
		t.Fatal(err)
	}
	all := make([]uint32, 100)
	for i := range all {
		all[i] = uint32(i)
	}
	s.settle(all, nil, nil)
	s.settle(nil, []uint32{3, 5, 10, 11, 12, 13}, nil)
	for _, c := range []struct {
		n    int
		want string
	}{{4, "[10 11 12 13]"}, {1, "[3]"}, {2, "[100 101]"}, {1, "[5]"}} {
		if got, _ := s.reserve(c.n); fmt.Sprint(got) != c.want {
			t.Errorf("reserve(%d): got %v, want %s", c.n, got, c.want)
		}
	}
}
