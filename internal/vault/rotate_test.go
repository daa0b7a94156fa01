package vault

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assent-gateway/assent/internal/seal"
)

// filled is a vault with keys of both kinds, some destroyed, and a journal.
type filled struct {
	*Vault
	f      *faults
	parent seal.Key
	keys   []NewKey
	refs   []seal.Ref
	gone   []seal.Ref
	tenant TenantKeys
}

func newFilled(t testing.TB, n int) *filled {
	t.Helper()
	v, f := newVault(t)
	x := &filled{Vault: v, f: f, parent: seal.NewKey()}
	for i := range n {
		k := NewKey{Key: seal.NewKey()}
		if i%2 == 1 {
			k.Parent = &x.parent
		}
		x.keys = append(x.keys, k)
	}
	x.refs = put(t, v, x.keys...)
	for i := 0; i < n; i += 7 { // gaps, so that neighbours are not always neighbours
		x.gone = append(x.gone, x.refs[i])
	}
	if err := v.Destroy(x.gone...); err != nil {
		t.Fatal(err)
	}
	appendTo(t, v, records("t", 1, 5)...)
	x.tenant, _ = v.Tenant("t")
	return x
}

// whole checks that nothing was lost and nothing came back.
func (x *filled) whole(t testing.TB, v *Vault) {
	t.Helper()
	for i, ref := range x.refs {
		if slices.Contains(x.gone, ref) {
			wantGone(t, v, ref, x.keys[i].Parent)
			continue
		}
		wantKey(t, v, ref, x.keys[i].Parent, x.keys[i].Key)
	}
	if got, _ := v.Tenant("t"); !reflect.DeepEqual(got, x.tenant) {
		t.Error("the tenant's keys changed")
	}
	wantJournal(t, v, "t", 5)
}

// oneEpoch checks that a rotation left nothing but the files of a vault.
func oneEpoch(t testing.TB, v *Vault) {
	t.Helper()
	entries, err := os.ReadDir(v.Dir())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	want := []string{epochFile(v.Epoch()), journalFile, keyringFile, lockFile, slotsFile}
	if !slices.Equal(got, want) {
		t.Errorf("there is %v, want %v", got, want)
	}
	if keys := v.epochs.Load().keys; len(keys) != 1 || keys[v.Epoch()] == nil {
		t.Errorf("%d epoch keys in memory", len(keys))
	}
	b := readFile(t, v.path(slotsFile))
	for at := slotsHeader; at < len(b); at += slotSize {
		if e := binary.BigEndian.Uint32(b[at+16:]); e != 0 && e != v.Epoch() {
			t.Fatalf("slot %d names epoch %d", (at-slotsHeader)/slotSize, e)
		}
	}
}

func TestRotateRenewsEverythingAndServes(t *testing.T) {
	t.Parallel()
	x := newFilled(t, 100)
	x.opt.chunk = 33
	v := x.Vault
	for epoch := uint32(2); epoch < 5; epoch++ {
		if err := v.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if v.Epoch() != epoch {
			t.Errorf("epoch %d, want %d", v.Epoch(), epoch)
		}
		x.whole(t, v)
		oneEpoch(t, v)
		v = reopen(t, v)
		x.whole(t, v)
		oneEpoch(t, v)
	}
	added := put(t, v, NewKey{Key: seal.Key{7}})
	wantKey(t, v, added[0], nil, seal.Key{7})
	v.Close()
	if err := v.Rotate(t.Context()); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// An old copy of the slots and of the keyring cannot be opened with anything
// that remains, and the old epoch key is in no file, nor where its file was.
func TestAfterRotateOldCopiesAreWorthNothing(t *testing.T) {
	t.Parallel()
	x := newFilled(t, 50)
	v := x.Vault
	old := v.epochs.Load().keys[1]()
	oldSlots, oldRing := readFile(t, v.path(slotsFile)), readFile(t, v.path(keyringFile))
	file, err := os.Open(v.path(epochFile(1))) // the file as it was, also when it is unlinked
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if b := readFile(t, v.path(epochFile(1))); !bytes.Contains(b, old[:]) {
		t.Fatal("the search finds nothing")
	}
	if err := v.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(file); err != nil || len(b) == 0 || len(bytes.Trim(b, "\x00")) != 0 {
		t.Errorf("the old key's file was not overwritten: %d bytes, %v", len(b), err)
	}
	for _, name := range names(t, v.Dir()) {
		if bytes.Contains(readFile(t, v.path(name)), old[:8]) {
			t.Errorf("%s holds the old epoch key", name)
		}
	}
	remaining := []seal.Key{v.System(), v.epochs.Load().keys[2](), x.parent, noParent}
	for _, k := range x.tenant.all() {
		remaining = append(remaining, *k)
	}
	opens := func(content []byte, key seal.Key) (n int) {
		for i, ref := range x.refs {
			var s slot
			if !s.decode(ref.Slot, content[slotAt(int(ref.Slot)):][:slotSize]) {
				continue
			}
			if _, err := s.unwrap(key, x.keys[i].Parent); err == nil {
				n++
			}
		}
		return n
	}
	if n := opens(oldSlots, old); n != len(x.refs)-len(x.gone) {
		t.Fatalf("the copy is not what it should be: %d slots open under the old key", n)
	}
	for _, k := range remaining {
		if n := opens(oldSlots, k); n > 0 {
			t.Errorf("%d slots of the old copy open under what remains", n)
		}
		if _, err := seal.Open(seal.Derive(k, keyringLabel), oldRing[headerSize+4:], oldRing[:headerSize+4]); err == nil {
			t.Error("the old keyring opens under what remains")
		}
	}
	if n := opens(readFile(t, v.path(slotsFile)), old); n > 0 {
		t.Errorf("%d new slots open under the old key", n)
	}
	// Put back as files, too.
	v.Close()
	writeFile(t, v.path(slotsFile), oldSlots)
	v, err = Open(v.Dir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, ref := range x.refs {
		wantGone(t, v, ref, x.keys[i].Parent)
	}
	v.Close()
	writeFile(t, v.path(keyringFile), oldRing)
	openFails(t, v.Dir(), "with the old keyring", ErrDamaged)
}

func TestRotateThatFailsAtAnyStepGoesOnLater(t *testing.T) {
	t.Parallel()
	for _, op := range rotationSteps(t) {
		for _, ending := range []string{"again", "reopen", "kept broken, reopen"} {
			t.Run(op+", "+ending, func(t *testing.T) {
				t.Parallel()
				x := newFilled(t, 60)
				v := x.Vault
				v.opt.chunk, v.slots.opt.chunk = 25, 25
				x.f.set(op)
				if err := v.Rotate(t.Context()); !errors.Is(err, errFault) {
					t.Fatalf("got %v", err)
				}
				x.whole(t, v) // it serves, whatever came of it
				if ending != "kept broken, reopen" {
					x.f.set("")
					more := put(t, v, NewKey{Key: seal.Key{9}})
					wantKey(t, v, more[0], nil, seal.Key{9})
					if err := v.Destroy(append(more, x.refs[3])...); err != nil {
						t.Fatal(err)
					}
					x.gone = append(x.gone, x.refs[3])
					if err := v.AddTenant("late"); err != nil {
						t.Fatal(err)
					}
				}
				if ending == "again" {
					if err := v.Rotate(t.Context()); err != nil {
						t.Fatal(err)
					}
					oneEpoch(t, v)
				}
				x.whole(t, v)
				v = reopen(t, v)
				x.whole(t, v)
				oneEpoch(t, v)
				if _, ok := v.Tenant("late"); ok != (ending != "kept broken, reopen") {
					t.Error("the late tenant")
				}
				if err := v.Rotate(t.Context()); err != nil {
					t.Fatal(err)
				}
				x.whole(t, v)
			})
		}
	}
}

// When it is not known whether the keyring on disk is under the new key, that key
// is neither destroyed nor replaced by another of the same epoch.
func TestANewKeyThatMayBeInUseIsKept(t *testing.T) {
	t.Parallel()
	for _, second := range []string{"epoch.write", "epoch.renamed", "keyring.write"} {
		x := newFilled(t, 10)
		for _, op := range []string{"keyring.renamed", second} {
			x.f.set(op)
			if err := x.Rotate(t.Context()); !errors.Is(err, errFault) {
				t.Fatal(err)
			}
		}
		v := reopen(t, x.Vault)
		x.whole(t, v)
		oneEpoch(t, v)
		if v.Epoch() != 2 {
			t.Errorf("%s: epoch %d", second, v.Epoch())
		}
	}
}

// A Put that has chosen the old epoch is on its way to the disk while a rotation
// finds nothing to renew: the old key must outlive it.
func TestRotateWaitsForAPutUnderTheOldEpoch(t *testing.T) {
	t.Parallel()
	v, _ := newVault(t)
	writing, goOn, renamed := make(chan bool), make(chan bool), make(chan bool)
	hook := func(op string) error {
		switch op {
		case "slots.write":
			writing <- true
			<-goOn
		case "keyring.renamed":
			close(renamed)
		}
		return nil
	}
	v.opt.Fault, v.slots.opt.Fault = hook, hook
	var refs []seal.Ref
	var wg sync.WaitGroup
	wg.Go(func() { refs, _ = v.Put([]NewKey{{Key: seal.Key{3}}}) })
	<-writing
	wg.Go(func() {
		if err := v.Rotate(t.Context()); err != nil {
			t.Error(err)
		}
	})
	<-renamed
	<-time.After(50 * time.Millisecond) // long enough for one that does not wait
	close(goOn)
	wg.Wait()
	wantKey(t, v, refs[0], nil, seal.Key{3})
	oneEpoch(t, v)
}

// A Destroy comes between a rotation's look at a slot and its writing: the key
// must not come back.
func TestRotateDoesNotBringBackWhatIsDestroyedMeanwhile(t *testing.T) {
	t.Parallel()
	x := newFilled(t, 20)
	v := x.Vault
	writing, goOn, renamed := make(chan bool), make(chan bool), make(chan bool)
	hook := func(op string) error {
		switch op {
		case "slots.write":
			writing <- true
			<-goOn
		case "keyring.renamed":
			close(renamed)
		}
		return nil
	}
	v.opt.Fault, v.slots.opt.Fault = hook, hook
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := v.Destroy(x.refs[1]); err != nil {
			t.Error(err)
		}
	})
	<-writing
	wg.Go(func() {
		if err := v.Rotate(t.Context()); err != nil {
			t.Error(err)
		}
	})
	<-renamed
	<-time.After(50 * time.Millisecond) // it has looked, and waits for its turn
	close(goOn)
	wg.Wait()
	x.gone = append(x.gone, x.refs[1])
	x.whole(t, v)
	oneEpoch(t, v)
	if b := slotBytes(t, v, x.refs[1]); !bytes.Equal(b, emptySlot[:]) {
		t.Error("its slot is not empty")
	}
}

func TestOpenRefusesAKeyringFromBeforeARotation(t *testing.T) {
	t.Parallel()
	x := newFilled(t, 10)
	ring, epoch := readFile(t, x.path(keyringFile)), readFile(t, x.path(epochFile(1)))
	if err := x.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	x.Close()
	writeFile(t, x.path(keyringFile), ring)
	writeFile(t, x.path(epochFile(1)), epoch)
	openFails(t, x.Dir(), "with keyring and epoch key from before", ErrDamaged)
}

// A whole rotation between the two things that Key reads.
func TestKeyFindsASlotThatWasRenewedMeanwhile(t *testing.T) {
	t.Parallel()
	x := newFilled(t, 10)
	rotations := 0
	x.opt.between = func() {
		if rotations < 3 {
			rotations++
			if err := x.Rotate(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
	wantKey(t, x.Vault, x.refs[1], x.keys[1].Parent, x.keys[1].Key)
	if rotations != 3 {
		t.Errorf("%d rotations", rotations)
	}
}

// rotationSteps are the steps of a rotation by name.
func rotationSteps(t testing.TB) []string {
	t.Helper()
	x := newFilled(t, 10)
	x.f.set("")
	if err := x.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	var steps []string
	for _, op := range x.f.saw {
		if !slices.Contains(steps, op) {
			steps = append(steps, op)
		}
	}
	if len(steps) != 14 {
		t.Fatalf("the steps are %v", steps)
	}
	return steps
}

// A chunk that could not be written holds up whoever writes slots after it, and
// nobody who reads them: no key is taken for gone.
func TestUnwrittenChunkIsServedAndComesFirst(t *testing.T) {
	t.Parallel()
	x := newFilled(t, 20)
	x.f.set("rewrap.sync")
	if err := x.Rotate(t.Context()); !errors.Is(err, ErrUnfinished) || !errors.Is(err, errFault) {
		t.Fatalf("got %v", err)
	}
	// As a failed write-back may leave it.
	for _, ref := range x.refs {
		if _, err := x.slots.file.WriteAt([]byte("torn"), slotAt(int(ref.Slot))+40); err != nil {
			t.Fatal(err)
		}
	}
	x.whole(t, x.Vault)
	if err := x.Destroy(x.refs[1]); !errors.Is(err, errFault) {
		t.Fatalf("destroyed before the chunk was written: %v", err)
	}
	if level, err := x.KeyDestroyed(x.refs[1]); level != Held || err != nil {
		t.Errorf("level %v, %v", level, err)
	}
	x.f.set("")
	if err := x.Destroy(x.refs[1]); err != nil {
		t.Fatal(err)
	}
	x.gone = append(x.gone, x.refs[1])
	if log := readFile(t, x.path(rewrapFile)); len(bytes.Trim(log, "\x00")) > 0 {
		t.Error("a copy of the slots is left beside them")
	}
	x.whole(t, reopen(t, x.Vault))
}

// What a loss of power leaves of a chunk: any slot old, new or torn, and the
// log whole. Or the log torn, and every slot old.
func TestPowerLossInAChunk(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 20 {
		x := newFilled(t, 60)
		before := readFile(t, x.path(slotsFile))
		x.f.set("rewrap.sync")
		if err := x.Rotate(t.Context()); !errors.Is(err, errFault) {
			t.Fatal(err)
		}
		after, log := readFile(t, x.path(slotsFile)), readFile(t, x.path(rewrapFile))
		x.Close()
		mixed := bytes.Clone(after)
		for _, ref := range x.refs {
			at := slotAt(int(ref.Slot))
			copy(mixed[at:at+int64(r.IntN(slotSize+1))], before[at:])
			if r.IntN(2) == 0 {
				copy(mixed[at:at+slotSize], before[at:])
			}
		}
		if round%2 == 1 {
			mixed = before
			clear(log[r.IntN(len(log)-5):])
		}
		writeFile(t, x.path(slotsFile), mixed)
		writeFile(t, x.path(rewrapFile), log)
		v, err := Open(x.Dir(), Options{})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		x.whole(t, v)
		oneEpoch(t, v)
		v.Close()
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
}

func TestOpenRefusesAnUnreadableEpochThatIsNeeded(t *testing.T) {
	t.Parallel()
	x := newFilled(t, 10)
	x.f.set("rewrap.log")
	if err := x.Rotate(t.Context()); !errors.Is(err, errFault) {
		t.Fatal(err)
	}
	good := readFile(t, x.path(epochFile(1)))
	x.Close()
	for _, bad := range [][]byte{nil, good[:40], make([]byte, len(good)), append(bytes.Clone(good[:50]), make([]byte, len(good)-50)...)} {
		writeFile(t, x.path(epochFile(1)), bad)
		openFails(t, x.Dir(), "with an unreadable old epoch", ErrDamaged)
	}
	writeFile(t, x.path(epochFile(1)), good)
	ring := readFile(t, x.path(keyringFile))
	v, err := Open(x.Dir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	x.whole(t, v)
	if !bytes.Equal(ring, readFile(t, x.path(keyringFile))) {
		t.Error("the keyring was written again")
	}
	// Needed by nothing, it is what a crash left of a destruction.
	v.Close()
	writeFile(t, x.path(epochFile(1)), good[:40])
	if v, err = Open(x.Dir(), Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	oneEpoch(t, v)
}

func TestRotateEndsWithItsContext(t *testing.T) {
	t.Parallel()
	x := newFilled(t, 10)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := x.Rotate(ctx); !errors.Is(err, context.Canceled) || !errors.Is(err, ErrUnfinished) {
		t.Errorf("got %v", err)
	}
	x.whole(t, x.Vault)
	if err := x.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	x.whole(t, x.Vault)
	oneEpoch(t, x.Vault)
}

// Everything at once; each key is looked for all the time, and must never be
// missing; what was destroyed must never come back.
func TestRotateBesidePutKeyDestroyAppend(t *testing.T) {
	t.Parallel()
	x := newFilled(t, 3000)
	v := x.Vault
	v.opt.chunk = 500
	var wg sync.WaitGroup
	var stop atomic.Bool
	run := func(f func(i int) error) {
		wg.Go(func() {
			for i := 0; !stop.Load(); i++ {
				if err := f(i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	gone := map[seal.Ref]bool{}
	for _, ref := range x.gone {
		gone[ref] = true
	}
	for range 2 {
		run(func(int) error {
			i := rand.IntN(len(x.refs))
			got, err := v.Key(x.refs[i], x.keys[i].Parent)
			if gone[x.refs[i]] {
				if !errors.Is(err, ErrKeyGone) {
					return fmt.Errorf("slot %d came back: %w", x.refs[i].Slot, err)
				}
			} else if err != nil || got != x.keys[i].Key {
				return fmt.Errorf("slot %d: %w", x.refs[i].Slot, err)
			}
			return nil
		})
	}
	run(func(i int) error {
		key := seal.NewKey()
		refs, err := v.Put([]NewKey{{Key: key}, {Key: key, Parent: &x.parent}})
		if err != nil {
			return err
		}
		for j, parent := range []*seal.Key{nil, &x.parent} {
			if got, err := v.Key(refs[j], parent); err != nil || got != key {
				return fmt.Errorf("just put: %w", err)
			}
		}
		if err := v.Destroy(refs...); err != nil {
			return err
		}
		if level, err := v.KeyDestroyed(refs[0]); err != nil || level != Purged {
			return fmt.Errorf("just destroyed: %v, %w", level, err)
		}
		return nil
	})
	run(func(i int) error { return v.Append([]Record{record("t", uint64(6+i))}) })
	run(func(i int) error { return v.AddTenant(fmt.Sprint("tenant", i%30)) })
	for range 4 {
		if err := v.Rotate(t.Context()); err != nil {
			t.Error(err)
		}
	}
	stop.Store(true)
	wg.Wait()
	if v.Epoch() != 5 {
		t.Errorf("epoch %d", v.Epoch())
	}
	again := reopen(t, v)
	for i, ref := range x.refs {
		if !gone[ref] {
			wantKey(t, again, ref, x.keys[i].Parent, x.keys[i].Key)
		}
	}
	if used, _ := again.Slots(); used != len(x.refs)-len(x.gone) {
		t.Errorf("%d slots in use", used)
	}
}

// Close does not wait for a rotation to end, and the next Open does.
func TestCloseInterruptsARotation(t *testing.T) {
	t.Parallel()
	x := newFilled(t, 400)
	v := x.Vault
	v.opt.chunk = 10
	done := make(chan error)
	go func() { done <- v.Rotate(context.Background()) }()
	for deadline := time.Now().Add(5 * time.Second); v.Epoch() == 1 && time.Now().Before(deadline); {
	}
	if err := v.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil && !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v", err)
	}
	again, err := Open(v.Dir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { again.Close() })
	x.whole(t, again)
	oneEpoch(t, again)
}

func TestKeyDestroyedSaysNoMoreThanIsTrue(t *testing.T) {
	t.Parallel()
	v, f := newVault(t)
	refs := put(t, v, NewKey{Key: seal.Key{1}}, NewKey{Key: seal.Key{2}}, NewKey{Key: seal.Key{3}}, NewKey{Key: seal.Key{4}})
	want := func(when string, ref seal.Ref, want Level) {
		t.Helper()
		if got, err := v.KeyDestroyed(ref); got != want || err != nil {
			t.Errorf("%s: %v, %v; want %v", when, got, err, want)
		}
	}
	want("never destroyed", refs[0], Held)
	for _, op := range []string{"slots.write", "slots.sync", "slots.synced"} {
		f.set(op)
		if err := v.Destroy(refs[0]); !errors.Is(err, errFault) {
			t.Fatal(err)
		}
		if got, err := v.KeyDestroyed(refs[0]); got == Purged || err != nil {
			t.Errorf("failed at %s: %v, %v", op, got, err)
		}
	}
	f.set("")
	if err := v.Destroy(refs[0], refs[1]); err != nil {
		t.Fatal(err)
	}
	want("destroyed", refs[0], Purged)
	reused := put(t, v, NewKey{Key: seal.Key{5}})
	if reused[0].Slot != refs[0].Slot {
		t.Fatal("the slot was not given out again")
	}
	want("its slot holds another", refs[0], Purged)
	want("which is there", reused[0], Held)
	want("of a slot that never was", seal.Ref{Slot: 1 << 20, ID: [16]byte{1}}, Absent)
	if _, err := v.slots.file.WriteAt([]byte("torn"), slotAt(int(refs[2].Slot))+30); err != nil {
		t.Fatal(err)
	}
	want("torn", refs[2], Absent)

	if _, err := v.Backup(io.Discard, []byte("a long passphrase")); err != nil {
		t.Fatal(err)
	}
	want("a backup may hold it", refs[1], Absent)
	if err := v.Destroy(refs[3]); err != nil {
		t.Fatal(err)
	}
	want("a backup does hold it", refs[3], Absent)
	if err := v.Rotate(t.Context()); err != nil { // is of no use against that
		t.Fatal(err)
	}
	want("after a rotation", refs[3], Absent)
	v = reopen(t, v)
	want("after a reopening", refs[3], Absent)
	if err := v.BackupDestroyed(9); !errors.Is(err, ErrNoBackup) {
		t.Errorf("got %v", err)
	}
	if err := v.BackupDestroyed(1); err != nil || len(v.Backups()) != 0 {
		t.Errorf("got %v", err)
	}
	want("the backup is destroyed", refs[3], Purged)
}

func TestRotationIsConfirmedByEveryHolder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		r         Rotation
		deletedIn uint32
		want      Level
	}{
		{Rotation{Epoch: 3}, 3, Absent},
		{Rotation{Epoch: 4}, 3, Purged},
		{Rotation{Epoch: 4, Waiting: []string{"gateway-2"}}, 3, Absent},
		{Rotation{Epoch: 2}, 3, Absent},
	} {
		if got := c.r.Level(c.deletedIn); got != c.want {
			t.Errorf("%+v, deleted in %d: %v, want %v", c.r, c.deletedIn, got, c.want)
		}
	}
	if s := fmt.Sprint(Held, Absent, Purged, Level(9)); s != "held absent purged Level(9)" {
		t.Error(s)
	}
}

// A file that is not a slot's renewal is never written over slots.
func TestRewrapLogIsReadWithCare(t *testing.T) {
	t.Parallel()
	x := newFilled(t, 5)
	x.f.set("rewrap.slots")
	if err := x.Rotate(t.Context()); !errors.Is(err, errFault) {
		t.Fatal(err)
	}
	log := readFile(t, x.path(rewrapFile))
	for i := range log {
		bad := bytes.Clone(log)
		bad[i] ^= 1
		if redo, err := parseRedo(bad, x.id); len(redo) != 0 || err != nil {
			t.Errorf("byte %d flipped: %d slots, %v", i, len(redo), err)
		}
		if redo, err := parseRedo(log[:i], x.id); len(redo) != 0 || err != nil {
			t.Errorf("cut at %d: %d slots, %v", i, len(redo), err)
		}
	}
	if redo, err := parseRedo(log, x.id); len(redo) != 4 || err != nil {
		t.Errorf("whole: %d slots, %v", len(redo), err)
	}
	if _, err := parseRedo(log, [16]byte{1}); !errors.Is(err, ErrDamaged) {
		t.Errorf("of another vault: %v", err)
	}
}
