package vault

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// state is what a vault knows of its own past: header ‖ JSON ‖ crc32c, replaced
// as a whole. A vault that was never backed up and never advanced has none.
type state struct {
	// Generation only grows: with each backup, and each time a gateway starts.
	Generation uint64    `json:"generation"`
	Backups    []Backup  `json:"backups,omitempty"`
	Restored   *Restored `json:"restored,omitempty"`
	// Accepted: the operator says that the data is right where it is ahead.
	Accepted bool `json:"accepted,omitempty"`
	// Started is the generation of the newest start of a gateway.
	Started uint64 `json:"started,omitempty"`
	// Era numbers the blocks of corpus positions that were given out.
	Era uint64 `json:"era,omitempty"`
	// Rotated is the newest epoch that Events tells of, or told of.
	Rotated uint32 `json:"rotated,omitempty"`
	// Events are to be entered in ledgers.
	Events []Event `json:"events,omitempty"`
}

// Backup is a backup that was begun and not reported destroyed. As long as it
// exists, so do the keys in it.
type Backup struct {
	Generation uint64    `json:"generation"`
	Taken      time.Time `json:"taken"`
}

// Restored says which backup this vault was restored from; what happened after
// it, the vault does not know.
type Restored struct {
	Generation uint64    `json:"generation"`
	Taken      time.Time `json:"taken"`
}

// ErrNoBackup: no such backup is on the vault's list.
var ErrNoBackup = errors.New("vault: no backup of this generation is known")

func loadState(dir string, id [16]byte) (s state, err error) {
	b, err := os.ReadFile(filepath.Join(dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("vault: %w", err)
	}
	got, err := checkHeader(stateFile, stateMagic, b)
	if err != nil {
		return s, err
	}
	if len(b) < headerSize+4 || checksum(b[:len(b)-4]) != binary.BigEndian.Uint32(b[len(b)-4:]) {
		return s, damaged(stateFile, headerSize, "checksum")
	}
	if got != id {
		return s, damaged(stateFile, 12, "belongs to another vault")
	}
	d := json.NewDecoder(bytes.NewReader(b[headerSize : len(b)-4]))
	d.DisallowUnknownFields()
	if d.Decode(&s) != nil {
		return s, fmt.Errorf("%w: %s", ErrFormat, stateFile)
	}
	return s, nil
}

func (s state) store(dir string, id [16]byte, o Options) error {
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("vault: state: %w", err)
	}
	b := append(header(stateMagic, id), text...)
	return replaceAs("state", dir, stateFile, binary.BigEndian.AppendUint32(b, checksum(b)), o)
}

// change stores a changed copy of the state, durable on return. After an error
// memory is as it was, and the disk may be either.
func (v *Vault) change(f func(*state) error) (state, error) {
	v.adding.Lock()
	defer v.adding.Unlock()
	next := v.state
	next.Backups, next.Events = slices.Clone(next.Backups), cloneEvents(next.Events)
	if err := f(&next); err != nil {
		return v.state, err
	}
	if err := next.store(v.dir, v.id, v.opt); err != nil {
		return v.state, err
	}
	v.state = next
	return next, nil
}

func (v *Vault) past() state {
	v.adding.Lock()
	defer v.adding.Unlock()
	return v.state
}

// Generation counts backups and starts. Data that has seen a later generation
// than the vault's was used with a newer copy of it.
func (v *Vault) Generation() uint64 { return v.past().Generation }

// Advance makes the generation one more than it was, and more than seen, and
// returns it. It is durable on return.
func (v *Vault) Advance(seen uint64) (uint64, error) {
	s, err := v.change(func(s *state) error {
		s.Generation = max(s.Generation, seen) + 1
		s.Started = s.Generation
		return nil
	})
	return s.Generation, err
}

// Started is the generation of the newest start of a gateway; 0 when that is
// not known. Data that has not seen it is a copy from before that start, or a
// crash came between the two.
func (v *Vault) Started() uint64 { return v.past().Started }

// NextEra begins a new block of corpus positions and returns its number, which
// no call returned before. It is durable on return.
func (v *Vault) NextEra() (uint64, error) {
	s, err := v.change(func(s *state) error { s.Era++; return nil })
	return s.Era, err
}

// Backups lists the backups that may still exist, oldest first.
func (v *Vault) Backups() []Backup { return slices.Clone(v.past().Backups) }

// BackupDestroyed takes a backup off the list, on the caller's word that every
// copy of it is destroyed; ErrNoBackup when it is not there.
func (v *Vault) BackupDestroyed(generation uint64) error {
	_, err := v.change(func(s *state) error {
		before := len(s.Backups)
		s.Backups = slices.DeleteFunc(s.Backups, func(b Backup) bool { return b.Generation == generation })
		if len(s.Backups) == before {
			return ErrNoBackup
		}
		v.tell(s, Event{Event: BackupForgotten, Generation: generation})
		return nil
	})
	return err
}

// Restored returns the backup that this vault was restored from; false when it
// was not, or Settled since.
func (v *Vault) Restored() (Restored, bool) {
	if r := v.past().Restored; r != nil {
		return *r, true
	}
	return Restored{}, false
}

// Accept records that the operator takes the data for right where it is ahead
// of this vault. It holds until Settled.
func (v *Vault) Accept() error {
	_, err := v.change(func(s *state) error {
		if !s.Accepted {
			v.tell(s, Event{Event: Accepted})
		}
		s.Accepted = true
		return nil
	})
	return err
}

// Accepted tells whether Accept was called since Settled.
func (v *Vault) Accepted() bool { return v.past().Accepted }

// Settled ends what a restore began: vault and data were compared, the journal
// is complete, and what no row names is wiped.
func (v *Vault) Settled() error {
	if s := v.past(); s.Restored == nil && !s.Accepted {
		return nil
	}
	_, err := v.change(func(s *state) error { s.Restored, s.Accepted = nil, false; return nil })
	return err
}
