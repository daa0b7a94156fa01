package vault

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/assent-gateway/assent/internal/seal"
)

// A rotation overwrites slots that hold live keys. Put and Destroy may tear a
// slot when the power fails, since nobody was told of the key, or it shall go
// anyway; here a torn slot would be a lost key. So renewed slots go to the file
// rewrap first, and in place when they are durable there:
//
//	header 32 ‖ count u32 ‖ count × (number u32 ‖ slot 128) ‖ crc32c
//
// It is wiped before the turn is given up: no slot changes while a copy of it
// lies here, so that a destroyed key has no second copy, and what Open finds
// here may be written over whatever is in the slots.
const rewrapChunk = 4096

type redone struct {
	number uint32
	slot   [slotSize]byte
}

// rewrap renews n slots from the given one that are wrapped under an older
// epoch whose key is in known. The cryptography is done before the turn is
// taken, so that Put and Destroy wait for three syncs and no more.
func (s *slots) rewrap(from, n int, known *epochs, epoch uint32) error {
	b := make([]byte, n*slotSize)
	got, err := s.file.ReadAt(b, slotAt(from))
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("vault: slots: %w", err)
	}
	b = b[:got/slotSize*slotSize]
	renewed := renew(b, from, known, epoch)
	if len(renewed) == 0 {
		return nil
	}
	s.group.turn.Lock()
	defer s.group.turn.Unlock()
	if err := s.rewrite(); err != nil { // what an earlier call could not finish
		return err
	}
	now := make([]byte, len(b))
	if _, err := s.file.ReadAt(now, slotAt(from)); err != nil {
		return fmt.Errorf("vault: slots: %w", err)
	}
	for _, r := range renewed {
		// What changed in between was destroyed, or put under the new epoch.
		at := (int(r.number) - from) * slotSize
		if bytes.Equal(now[at:at+slotSize], b[at:at+slotSize]) {
			s.redo = append(s.redo, r)
		}
	}
	return s.rewrite()
}

// renew returns the slots of b, which begins at slot from, wrapped anew. A slot
// that does not open under its epoch is left: no key is lost with that epoch's.
func renew(b []byte, from int, known *epochs, epoch uint32) []redone {
	var out []redone
	next := known.keys[epoch]()
	for i := 0; i*slotSize < len(b); i++ {
		var sl slot
		number := uint32(from + i)
		if !sl.decode(number, b[i*slotSize:(i+1)*slotSize]) || sl.epoch == epoch {
			continue
		}
		old, ok := known.keys[sl.epoch]
		if !ok || !sl.rewrap(old(), next, epoch) {
			continue
		}
		r := redone{number: number}
		sl.encode(number, r.slot[:])
		out = append(out, r)
	}
	return out
}

// rewrite makes s.redo durable in the slots, if there is any; the caller has the
// turn. After an error it stays to be done again, from the start and before any
// other write: what is durable by then is unknown, and bytes are written anew
// rather than synced again. A crash
//
//	before the log is synced     leaves the slots as they were: Open wipes it
//	before the slots are synced  leaves any of them old, new or torn: Open
//	                             writes them again from the log
//	before the log is wiped      the same, which changes nothing
func (s *slots) rewrite() error {
	if len(s.redo) == 0 {
		return nil
	}
	if err := s.logRedo(); err != nil {
		return fmt.Errorf("vault: rewrap: %w", err)
	}
	if err := s.applyRedo(); err != nil {
		return fmt.Errorf("vault: rewrap: %w", err)
	}
	if err := s.voidRedo(); err != nil {
		return fmt.Errorf("vault: rewrap: %w", err)
	}
	s.redo = nil
	return nil
}

func (s *slots) logRedo() (err error) {
	if err := s.opt.fault("rewrap.log"); err != nil {
		return err
	}
	if s.log == nil {
		if s.log, err = os.OpenFile(filepath.Join(s.dir, rewrapFile), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600); err != nil {
			return err
		}
		if err := syncDir(s.dir); err != nil {
			return err
		}
	}
	b := binary.BigEndian.AppendUint32(header(rewrapMagic, s.id), uint32(len(s.redo)))
	for i := range s.redo {
		b = append(binary.BigEndian.AppendUint32(b, s.redo[i].number), s.redo[i].slot[:]...)
	}
	b = binary.BigEndian.AppendUint32(b, checksum(b))
	if _, err := s.log.WriteAt(b, 0); err != nil {
		return err
	}
	if err := s.opt.fault("rewrap.logsync"); err != nil {
		return err
	}
	return datasync(s.log)
}

// applyRedo writes in place. Meanwhile the slots are served from memory, and
// after an error until it is mended, since what a failed write left in the file
// is no proof that a key is gone.
func (s *slots) applyRedo() error {
	if err := s.opt.fault("rewrap.slots"); err != nil {
		return err
	}
	over := make(map[uint32]*[slotSize]byte, len(s.redo))
	for i := range s.redo {
		over[s.redo[i].number] = &s.redo[i].slot
	}
	s.serve(over)
	for i := 0; i < len(s.redo); {
		var run []byte
		first := s.redo[i].number
		for ; i < len(s.redo) && s.redo[i].number == first+uint32(len(run)/slotSize); i++ {
			run = append(run, s.redo[i].slot[:]...)
		}
		if _, err := s.file.WriteAt(run, slotAt(int(first))); err != nil {
			return err
		}
	}
	if err := s.opt.fault("rewrap.sync"); err != nil {
		return err
	}
	if err := datasync(s.file); err != nil {
		return err
	}
	s.serve(nil)
	return nil
}

func (s *slots) serve(over map[uint32]*[slotSize]byte) {
	s.reading.Lock()
	defer s.reading.Unlock()
	s.over = over
}

// voidRedo overwrites the log with zeros, in place and synced.
func (s *slots) voidRedo() error {
	if err := s.opt.fault("rewrap.void"); err != nil {
		return err
	}
	info, err := s.log.Stat()
	if err != nil {
		return err
	}
	if _, err := s.log.WriteAt(make([]byte, info.Size()), 0); err != nil {
		return err
	}
	if err := datasync(s.log); err != nil {
		return err
	}
	return s.opt.fault("rewrap.voided")
}

// recoverRedo finishes, before anything else is done with the slots, what a
// crash interrupted.
func (s *slots) recoverRedo() error {
	path := filepath.Join(s.dir, rewrapFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	if s.log, err = os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW, 0); err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	if s.redo, err = parseRedo(b, s.id); err != nil {
		return err
	}
	if len(s.redo) > 0 {
		err = s.applyRedo()
		s.redo = nil
	}
	if err == nil {
		err = s.voidRedo() // also what is left of a torn one
	}
	if err == nil {
		err = s.removeLog()
	}
	if err != nil {
		return fmt.Errorf("vault: rewrap: %w", err)
	}
	return nil
}

// parseRedo returns nothing for a log that was not written whole: then no slot
// was touched yet, or all were durable.
func parseRedo(b []byte, id [16]byte) ([]redone, error) {
	const front, entry = headerSize + 4, 4 + slotSize
	if len(b) < front {
		return nil, nil
	}
	n := int(binary.BigEndian.Uint32(b[headerSize:]))
	size := front + n*entry
	if size+4 > len(b) || checksum(b[:size]) != binary.BigEndian.Uint32(b[size:]) {
		return nil, nil
	}
	got, err := checkHeader(rewrapFile, rewrapMagic, b)
	if err != nil {
		if errors.Is(err, ErrDamaged) { // zeros have a checksum, too
			return nil, nil
		}
		return nil, err
	}
	if got != id {
		return nil, damaged(rewrapFile, 12, "belongs to another vault")
	}
	var out []redone
	for at := front; at < size; at += entry {
		r := redone{number: binary.BigEndian.Uint32(b[at:]), slot: [slotSize]byte(b[at+4:])}
		var sl slot
		if !sl.decode(r.number, r.slot[:]) {
			return nil, damaged(rewrapFile, int64(at), "not a slot")
		}
		out = append(out, r)
	}
	return out, nil
}

// removeLog removes the wiped log at the end of a rotation.
func (s *slots) removeLog() error {
	if s.log == nil {
		return nil
	}
	if err := s.opt.fault("rewrap.remove"); err != nil {
		return err
	}
	err := os.Remove(filepath.Join(s.dir, rewrapFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := s.log.Close(); err != nil {
		return err
	}
	s.log = nil
	return syncDir(s.dir)
}

// needing returns a slot that one of these keys still opens; false when there
// is none. It is what a rotation asks before it destroys them.
func (s *slots) needing(known *epochs, epoch uint32) (number int, found bool, err error) {
	err = s.scan(s.size(), func(i int, b []byte) {
		var sl slot
		if found || !sl.decode(uint32(i), b) || sl.epoch == epoch {
			return
		}
		if old, ok := known.keys[sl.epoch]; ok && sl.rewrap(old(), seal.Key{}, epoch) {
			number, found = i, true
		}
	})
	return number, found, err
}
