package vault

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	lockFile    = "lock"
	keyringFile = "keyring"
	slotsFile   = "slots"
	journalFile = "journal"
	adminFile   = "admin.key"
	unfinished  = ".tmp" // suffix of a file on its way to replace another
	epochPrefix = "epoch-"
	rewrapFile  = "rewrap"
	stateFile   = "state"
)

// Every file but lock and admin.key begins with the same header, in this
// version and all later ones: magic 8 ‖ version u32 ‖ vault id 16 ‖ crc32c.
// The vault id keeps files of two vaults from being mixed.
const (
	headerSize    = 32
	formatVersion = 1

	keyringMagic = "assentKR"
	epochMagic   = "assentEP" // the key in clear
	wrappedMagic = "assentEK" // the key wrapped by a KMS
	rewrapMagic  = "assentRW"
	stateMagic   = "assentST"
	slotsMagic   = "assentSL"
	journalMagic = "assentJL"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

func checksumUpdate(crc uint32, b []byte) uint32 { return crc32.Update(crc, castagnoli, b) }

func header(magic string, id [16]byte) []byte {
	h := append(make([]byte, 0, headerSize), magic...)
	h = binary.BigEndian.AppendUint32(h, formatVersion)
	h = append(h, id[:]...)
	return binary.BigEndian.AppendUint32(h, checksum(h))
}

// checkHeader checks the header in front of b and returns the vault id in it.
// The checksum comes before the version, so that a flipped bit there is damage
// and not a format from the future.
func checkHeader(file, magic string, b []byte) ([16]byte, error) {
	if len(b) < headerSize {
		return [16]byte{}, damaged(file, int64(len(b)), "header cut short")
	}
	if string(b[:8]) != magic {
		return [16]byte{}, damaged(file, 0, "not such a file")
	}
	if binary.BigEndian.Uint32(b[28:]) != checksum(b[:28]) {
		return [16]byte{}, damaged(file, 0, "header checksum")
	}
	if v := binary.BigEndian.Uint32(b[8:]); v != formatVersion {
		return [16]byte{}, fmt.Errorf("%w: %s has version %d, known is %d", ErrFormat, file, v, formatVersion)
	}
	return [16]byte(b[12:28]), nil
}

// openFile opens a file of the vault with this id for reading and writing.
func openFile(path, magic string, id [16]byte) (*os.File, error) {
	name := filepath.Base(path)
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, damaged(name, 0, "missing")
	}
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	if err := checkFileHeader(f, name, magic, id); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func checkFileHeader(f *os.File, name, magic string, id [16]byte) error {
	var h [headerSize]byte
	n, err := f.ReadAt(h[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("vault: %w", err)
	}
	got, err := checkHeader(name, magic, h[:n])
	if err == nil && got != id {
		err = damaged(name, 12, "belongs to another vault")
	}
	return err
}

func damaged(file string, offset int64, what string) error {
	return fmt.Errorf("%w: %s at offset %d: %s", ErrDamaged, file, offset, what)
}

// checkDir refuses a directory that is not there, not ours or not private,
// with everything in it, before anything is read.
func checkDir(dir string) error {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNotExist
	}
	if err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	if err := private(".", info); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	if len(entries) == 0 {
		return ErrNotExist
	}
	for _, e := range entries {
		info, err := e.Info() // of a link, not of where it leads: links are refused by their mode
		if errors.Is(err, fs.ErrNotExist) {
			continue // another process is at work; the lock decides
		}
		if err != nil {
			return fmt.Errorf("vault: %w", err)
		}
		if err := private(e.Name(), info); err != nil {
			return err
		}
	}
	return nil
}

func private(name string, info fs.FileInfo) error {
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return fmt.Errorf("%w: %s has mode %#o", ErrPermissions, name, perm)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%w: %s belongs to another user", ErrPermissions, name)
	}
	return nil
}

// takeLock holds path until the file is closed, by us or by our death.
func takeLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("vault: lock: %w", err)
	}
	err = control(f, func(fd int) error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrLocked
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// dropLock unlocks before it closes: a child that this process is just forking
// has the descriptor as well, and would hold the lock until its exec.
func dropLock(f *os.File) error {
	err := control(f, func(fd int) error { return unix.Flock(fd, unix.LOCK_UN) })
	return errors.Join(err, f.Close())
}

// replace puts content in place of the file name: after a crash there is the
// old one or the new one, whole. A crash before the rename leaves name.tmp,
// which the next Open removes. Durable on return; after an error, either.
func replace(dir, name string, content []byte, o Options) error {
	return replaceAs("keyring", dir, name, content, o)
}

// replaceAs is replace with steps of another name.
func replaceAs(step, dir, name string, content []byte, o Options) error {
	path := filepath.Join(dir, name)
	if err := o.fault(step + ".write"); err != nil {
		return err
	}
	if err := writeSynced(path+unfinished, content); err != nil {
		return err
	}
	if err := os.Rename(path+unfinished, path); err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	if err := o.fault(step + ".renamed"); err != nil {
		return err
	}
	return syncDir(dir)
}

func removeUnfinished(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), unfinished) {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return fmt.Errorf("vault: %w", err)
			}
		}
	}
	return nil
}

func writeSynced(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	return nil
}

// datasync makes what was written to f durable, and its length.
func datasync(f *os.File) error { return control(f, unix.Fdatasync) }

// control calls fn with the descriptor of f, which stays open meanwhile.
func control(f *os.File, fn func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	var called error
	err = conn.Control(func(fd uintptr) {
		for {
			if called = fn(int(fd)); !errors.Is(called, unix.EINTR) {
				return
			}
		}
	})
	return errors.Join(err, called)
}
