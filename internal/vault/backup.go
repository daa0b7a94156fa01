package vault

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// contentsFile is the first member of a backup: what is in it.
const contentsFile = "backup.json"

// Contents says what a backup holds.
type Contents struct {
	Vault      [16]byte          `json:"vault"`
	Generation uint64            `json:"generation"`
	Taken      time.Time         `json:"taken"`
	Heads      map[string]uint64 `json:"heads"` // of the journal, by tenant
}

func (c Contents) encode() ([]byte, error) { return json.Marshal(c) }

// Backup writes a backup of the vault to w, encrypted under passphrase, and
// returns what is in it. Meanwhile the vault serves; a rotation waits.
//
// It holds all that was durable when Backup was called: the journal as of then,
// every key put and not destroyed by then, the epoch key. Of what was put or
// destroyed meanwhile it may hold either. Whoever has it and the passphrase has
// every key in it, destroyed since or not: before the first byte is written the
// backup goes on the vault's list, and stays there, after an error too, until
// BackupDestroyed; see KeyDestroyed.
//
// Where a KMS wraps the epoch key, the backup holds it wrapped, and is worth
// nothing without the KMS.
func (v *Vault) Backup(w io.Writer, passphrase []byte) (Contents, error) {
	v.rotating.Lock()
	defer v.rotating.Unlock()
	c, err := v.backup(w, passphrase)
	if err != nil {
		return Contents{}, fmt.Errorf("vault: backup: %w", err)
	}
	return c, nil
}

func (v *Vault) backup(w io.Writer, passphrase []byte) (c Contents, err error) {
	if v.closed.Load() {
		return c, os.ErrClosed
	}
	if len(passphrase) < MinPassphrase {
		return c, ErrShortPassphrase
	}
	c = Contents{Vault: v.id, Taken: time.Now().UTC().Truncate(time.Second)}
	s, err := v.change(func(s *state) error {
		s.Generation++
		s.Backups = append(s.Backups, Backup{Generation: s.Generation, Taken: c.Taken})
		v.tell(s, Event{Event: BackupMade, Generation: s.Generation, Taken: &c.Taken})
		return nil
	})
	if err != nil {
		return c, err
	}
	c.Generation = s.Generation
	envelope, err := newSealWriter(w, passphrase)
	if err != nil {
		return c, err
	}
	out := tar.NewWriter(envelope)
	// In this order: the keyring knows every tenant of the journal, and the
	// slots hold the key of everyone the journal speaks of.
	end, heads := v.journal.durable()
	c.Heads = heads
	text, err := c.encode()
	if err != nil {
		return c, err
	}
	for _, step := range []func() error{
		func() error { return member(out, contentsFile, text) },
		func() error { return v.backupSmall(out) },
		func() error { return v.backupJournal(out, end) },
		func() error { return v.backupSlots(out) },
		out.Close,
		envelope.Close,
	} {
		if err := step(); err != nil {
			return c, err
		}
	}
	return c, nil
}

func member(out *tar.Writer, name string, content []byte) error {
	if err := out.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(content))}); err != nil {
		return err
	}
	_, err := out.Write(content)
	return err
}

// backupSmall writes every file that is replaced as a whole: all but lock,
// slots and journal.
func (v *Vault) backupSmall(out *tar.Writer) error {
	v.adding.Lock()
	defer v.adding.Unlock()
	entries, err := os.ReadDir(v.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch name := e.Name(); {
		case name == lockFile, name == slotsFile, name == journalFile, name == rewrapFile,
			strings.HasSuffix(name, unfinished):
		default:
			content, err := os.ReadFile(filepath.Join(v.dir, name))
			if err != nil {
				return err
			}
			if err := member(out, name, content); err != nil {
				return err
			}
		}
	}
	return nil
}

// durable returns the journal's end and heads, all of them durable.
func (j *journal) durable() (int64, map[string]uint64) {
	j.group.turn.Lock() // end and index change together, under both
	defer j.group.turn.Unlock()
	j.mu.RLock()
	defer j.mu.RUnlock()
	heads := map[string]uint64{}
	for tenant, offsets := range j.index {
		heads[tenant] = uint64(len(offsets))
	}
	return j.end, heads
}

// backupJournal writes the journal up to end, which only grows.
func (v *Vault) backupJournal(out *tar.Writer, end int64) error {
	if err := out.WriteHeader(&tar.Header{Name: journalFile, Mode: 0o600, Size: end}); err != nil {
		return err
	}
	f, err := os.Open(filepath.Join(v.dir, journalFile)) // ours is replaced by Mend
	if err != nil {
		return err
	}
	_, err = io.Copy(out, io.NewSectionReader(f, 0, end))
	return errors.Join(err, f.Close())
}

// backupSlots writes the slots, each as it is before or after a write.
func (v *Vault) backupSlots(out *tar.Writer) error {
	s := v.slots
	s.group.turn.Lock()
	err, end := s.rewrite(), s.end
	s.group.turn.Unlock()
	if err != nil {
		return err
	}
	if err := out.WriteHeader(&tar.Header{Name: slotsFile, Mode: 0o600, Size: end}); err != nil {
		return err
	}
	buf := make([]byte, 1<<20)
	for at := int64(0); at < end; {
		b := buf[:min(int64(len(buf)), end-at)]
		s.group.turn.Lock()
		_, err := s.file.ReadAt(b, at)
		s.group.turn.Unlock()
		if err != nil {
			return err
		}
		if _, err := out.Write(b); err != nil {
			return err
		}
		at += int64(len(b))
	}
	return nil
}
