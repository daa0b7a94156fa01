package vault

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/assent-gateway/assent/internal/seal"
)

var (
	// ErrKeyGone: the slot is empty, holds another key, is torn, or was
	// wrapped in an epoch whose key is destroyed. The key will not come back.
	ErrKeyGone = errors.New("vault: key is gone")
	// ErrWrongParent: the key is there, but not for this parent.
	ErrWrongParent = errors.New("vault: wrong parent key")
)

// NewKey is a key to be stored. Neither key may be all zeros.
type NewKey struct {
	Key    seal.Key
	Parent *seal.Key // nil: wrapped by the epoch only
}

const slotsHeader = 4096 // one page, so that no slot shares it

type slots struct {
	space
	dir   string
	id    [16]byte
	file  *os.File
	opt   Options
	group group[*slotOp]
	end   int64    // guarded by group.turn: up to here the file has slots
	redo  []redone // guarded by group.turn: see rewrap.go
	log   *os.File // guarded by group.turn

	// over holds slots whose bytes in the file are being replaced by a
	// rotation: they are served from here. The lock is held for one read or for
	// memory only.
	reading sync.RWMutex
	over    map[uint32]*[slotSize]byte
}

// slotOp is one Put or one wiping, all of it or nothing.
type slotOp struct {
	put  []uint32 // ascending; their content is data
	data []byte

	wipe    []seal.Ref
	touched []uint32 // by wipe: slots that zeros were written over
	wiped   int      // of these, how many were not empty before
}

// openSlots also returns how many slots each epoch wraps.
func openSlots(dir string, id [16]byte, o Options) (*slots, map[uint32]int, error) {
	f, err := openFile(filepath.Join(dir, slotsFile), slotsMagic, id)
	if err != nil {
		return nil, nil, err
	}
	s := &slots{dir: dir, id: id, file: f, opt: o}
	s.group.flush = s.flush
	wrapped := map[uint32]int{}
	if err = s.recoverRedo(); err == nil {
		err = s.load(wrapped)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return s, wrapped, nil
}

// load finds out which slots are occupied, and counts them by epoch. A process
// that was killed may have left writes that are not durable: the sync makes
// them what we saw.
func (s *slots) load(wrapped map[uint32]int) error {
	if err := datasync(s.file); err != nil {
		return fmt.Errorf("vault: slots: %w", err)
	}
	info, err := s.file.Stat()
	if err != nil {
		return fmt.Errorf("vault: slots: %w", err)
	}
	if info.Size() < slotsHeader {
		return damaged(slotsFile, info.Size(), "header cut short")
	}
	// A slot cut short at the end is the rest of a growth that failed; the next
	// growth writes over it.
	n := int((info.Size() - slotsHeader) / slotSize)
	s.end = slotAt(n)
	s.state = make([]byte, n)
	s.low = n
	err = s.scan(n, func(i int, b []byte) {
		if bytes.Equal(b, emptySlot[:]) {
			s.low = min(s.low, i)
			s.free++
			return
		}
		s.state[i] = used
		s.used++
		var now slot
		if now.decode(uint32(i), b) {
			wrapped[now.epoch]++
		}
	})
	return err
}

var emptySlot [slotSize]byte // read only

func slotAt(n int) int64 { return slotsHeader + int64(n)*slotSize }

// scan calls fn with the number and content of the first n slots that the file
// has. fn must not keep b.
func (s *slots) scan(n int, fn func(i int, b []byte)) error {
	buf := make([]byte, min(n, 8192)*slotSize)
	for i := 0; i < n; {
		chunk := buf[:min(len(buf), (n-i)*slotSize)]
		got, err := s.file.ReadAt(chunk, slotAt(i))
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("vault: slots: %w", err)
		}
		for b := chunk[:got/slotSize*slotSize]; len(b) > 0; b = b[slotSize:] {
			fn(i, b[:slotSize])
			i++
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
	}
	return nil
}

// Put stores keys in free slots, with one sync for all, and returns their refs
// in the same order. They are durable on return. After an error none is
// stored: what was written is never served, since nobody has its ref, and its
// slots stay out of use until Sweep wipes them.
//
// A crash before the caller's rows name the refs leaves slots that no row
// names; Sweep wipes them at the next start.
func (v *Vault) Put(keys []NewKey) ([]seal.Ref, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	for i := range keys {
		if keys[i].Key.IsZero() || keys[i].Parent != nil && keys[i].Parent.IsZero() {
			return nil, fmt.Errorf("vault: key %d or its parent is all zeros", i)
		}
	}
	// Until what is wrapped under this epoch is written: a rotation waits for
	// it before it looks for slots of an older epoch.
	v.puts.RLock()
	defer v.puts.RUnlock()
	epoch := v.keyring.Load().epoch
	epochKey := v.epochs.Load().keys[epoch]()
	numbers, err := v.slots.reserve(len(keys))
	if err != nil {
		return nil, err
	}
	op := &slotOp{put: numbers, data: make([]byte, len(keys)*slotSize)}
	ids := make([]byte, 16*len(keys))
	rand.Read(ids)
	refs := make([]seal.Ref, len(keys))
	for i, k := range keys {
		s := slot{id: [16]byte(ids[16*i:]), epoch: epoch}
		s.wrap(epochKey, k.Key, k.Parent)
		s.encode(numbers[i], op.data[i*slotSize:])
		refs[i] = seal.Ref{Slot: numbers[i], ID: s.id}
	}
	if err := v.slots.group.do(op); err != nil {
		return nil, fmt.Errorf("vault: put: %w", err)
	}
	return refs, nil
}

// Key returns the key that ref names, unwrapped with the parent it was put
// with, or ErrKeyGone or ErrWrongParent. Any other error is the disk's, and
// says nothing about whether the key is there.
func (v *Vault) Key(ref seal.Ref, parent *seal.Key) (seal.Key, error) {
	for {
		// Before the slot is read: of an epoch that a rotation destroys after
		// this, we have the key; one that it began after this makes us look
		// again.
		known := v.epochs.Load()
		if v.opt.between != nil {
			v.opt.between()
		}
		var s slot
		if ok, err := v.slots.read(ref, &s); err != nil {
			return seal.Key{}, err
		} else if !ok {
			return seal.Key{}, ErrKeyGone
		}
		if epochKey, ok := known.keys[s.epoch]; ok {
			return s.unwrap(epochKey(), parent)
		}
		if v.epochs.Load() == known {
			return seal.Key{}, ErrKeyGone
		}
	}
}

// Holds tells whether the slot that ref names holds the key of this id; whether
// it opens is for Key to say.
func (v *Vault) Holds(ref seal.Ref) (bool, error) {
	var s slot
	return v.slots.read(ref, &s)
}

// read reads the slot that ref names; false when another key is there, or none.
//
// A read beside the write that destroys the slot may see half of it; the
// checksum refuses that, and gone it is. Beside a rotation that would be wrong,
// which is why over is asked first.
func (s *slots) read(ref seal.Ref, into *slot) (bool, error) {
	var b [slotSize]byte
	s.reading.RLock()
	defer s.reading.RUnlock()
	if over, ok := s.over[ref.Slot]; ok {
		b = *over
	} else if _, err := s.file.ReadAt(b[:], slotAt(int(ref.Slot))); errors.Is(err, io.EOF) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("vault: read slot: %w", err)
	}
	return into.decode(ref.Slot, b[:]) && into.id == ref.ID, nil
}

// Destroy overwrites with zeros the slots that refs name, in place, with one
// sync for all. On return the wrapped keys are gone from the file. A slot that
// holds another key by now is left alone; an empty one is written and synced
// again, since the zeros we see may be those of a call that failed. After an
// error any of them may be gone: call it again.
func (v *Vault) Destroy(refs ...seal.Ref) error {
	op := &slotOp{}
	for _, ref := range refs {
		if !ref.IsZero() {
			op.wipe = append(op.wipe, ref)
		}
	}
	if len(op.wipe) == 0 {
		return nil
	}
	if err := v.slots.group.do(op); err != nil {
		return fmt.Errorf("vault: destroy: %w", err)
	}
	return nil
}

// Sweep wipes every occupied slot whose ref is not named, and every torn one,
// and returns how many. It is for the start, before anyone calls Put: a key
// whose row is not committed yet is named by nothing, and would be wiped.
func (v *Vault) Sweep(named func(seal.Ref) bool) (wiped int, err error) {
	v.rotating.Lock() // it looks at bytes that a rotation replaces
	defer v.rotating.Unlock()
	op := &slotOp{}
	err = v.slots.scan(v.slots.size(), func(i int, b []byte) {
		var s slot
		valid := s.decode(uint32(i), b)
		switch {
		case valid && named(seal.Ref{Slot: uint32(i), ID: s.id}):
			v.slots.adopt(uint32(i))
		case valid:
			op.wipe = append(op.wipe, seal.Ref{Slot: uint32(i), ID: s.id})
		case !bytes.Equal(b, emptySlot[:]) || v.slots.at(i) == limbo:
			op.wipe = append(op.wipe, seal.Ref{Slot: uint32(i)})
		}
	})
	if err != nil || len(op.wipe) == 0 {
		return 0, err
	}
	if err := v.slots.group.do(op); err != nil {
		return 0, fmt.Errorf("vault: sweep: %w", err)
	}
	return op.wiped, nil
}

// Slots counts the slots that hold a key, and those that may be given out.
// Slots of a Put or Destroy that failed are neither.
func (v *Vault) Slots() (used, free int) { return v.slots.counts() }

func (s *slots) flush(batch []*request[*slotOp]) {
	err := s.apply(batch)
	for _, r := range batch {
		s.settle(r.item.put, r.item.touched, err)
		r.err = err
	}
}

// apply writes a batch in the order of its arrival and syncs it. A crash before
// the sync leaves each slot as it was, or as it shall be, or torn: keys of a
// Put are named by no row yet and Sweep wipes them; a Destroy was not
// acknowledged and its caller repeats it.
func (s *slots) apply(batch []*request[*slotOp]) error {
	if err := s.rewrite(); err != nil { // what a rotation could not finish comes first
		return err
	}
	if err := s.opt.fault("slots.write"); err != nil {
		return err
	}
	end, err := s.grow(batch)
	if err != nil {
		return err
	}
	for _, r := range batch {
		if err := errors.Join(s.write(r.item), s.wipe(r.item)); err != nil {
			return err
		}
	}
	if err := s.opt.fault("slots.sync"); err != nil {
		return err
	}
	// A failed sync is not repeated: the kernel may have dropped the pages and
	// would report success. The slots go to limbo and are written anew.
	if err := datasync(s.file); err != nil {
		return err
	}
	s.end = end
	return s.opt.fault("slots.synced")
}

// grow fills the file with zeros up to the last slot that was given out, so
// that slots are only ever overwritten in place.
func (s *slots) grow(batch []*request[*slotOp]) (end int64, err error) {
	last := -1
	for _, r := range batch {
		if n := len(r.item.put); n > 0 {
			last = max(last, int(r.item.put[n-1]))
		}
	}
	if slotAt(last+1) <= s.end {
		return s.end, nil
	}
	end = slotAt(s.size())
	_, err = s.file.WriteAt(make([]byte, end-s.end), s.end)
	return end, err
}

// write writes the slots of a Put, neighbours together.
func (s *slots) write(op *slotOp) error {
	for i := 0; i < len(op.put); {
		j := i + 1
		for j < len(op.put) && op.put[j] == op.put[j-1]+1 {
			j++
		}
		if _, err := s.file.WriteAt(op.data[i*slotSize:j*slotSize], slotAt(int(op.put[i]))); err != nil {
			return err
		}
		i = j
	}
	return nil
}

// wipe decides and writes under the turn, so that no Put comes between.
func (s *slots) wipe(op *slotOp) error {
	for _, ref := range op.wipe {
		var b [slotSize]byte
		if _, err := s.file.ReadAt(b[:], slotAt(int(ref.Slot))); errors.Is(err, io.EOF) {
			continue
		} else if err != nil {
			return err
		}
		var now slot
		if now.decode(ref.Slot, b[:]) && now.id != ref.ID {
			continue
		}
		op.touched = append(op.touched, ref.Slot)
		if b != emptySlot {
			op.wiped++
		}
		if _, err := s.file.WriteAt(emptySlot[:], slotAt(int(ref.Slot))); err != nil {
			return err
		}
	}
	return nil
}

func (s *slots) close() error {
	s.group.turn.Lock()
	defer s.group.turn.Unlock()
	err := s.file.Close()
	if s.log != nil {
		err = errors.Join(err, s.log.Close())
	}
	return err
}
