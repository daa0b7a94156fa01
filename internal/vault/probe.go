package vault

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/assent-gateway/assent/internal/seal"
)

// The probe material of an open erasure rests in a file of its own, sealed by
// the caller under a one-time key that has a slot here:
//
//	header ‖ box
//
// A crash during PutProbe leaves the old one, the new one, or none, whole.
const (
	probeMagic  = "assentPM"
	probePrefix = "probe-"
)

func validProbe(id string) bool {
	return id != "" && len(id) <= 64 && strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

// NewKey stores a fresh key that no parent wraps, and returns its ref.
func (v *Vault) NewKey() (seal.Ref, error) {
	refs, err := v.Put([]NewKey{{Key: seal.NewKey()}})
	if err != nil {
		return seal.Ref{}, err
	}
	return refs[0], nil
}

// PutProbe makes the material of an erasure durable, in place of what it had.
func (v *Vault) PutProbe(id string, box []byte) error {
	if !validProbe(id) {
		return errors.New("vault: not the id of an erasure")
	}
	v.adding.Lock()
	defer v.adding.Unlock()
	return replaceAs("probe", v.dir, probePrefix+id, append(header(probeMagic, v.id), box...), v.opt)
}

// Probe returns the material of an erasure; ErrNotExist when there is none.
func (v *Vault) Probe(id string) ([]byte, error) {
	if !validProbe(id) {
		return nil, ErrNotExist
	}
	name := probePrefix + id
	b, err := os.ReadFile(filepath.Join(v.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	got, err := checkHeader(name, probeMagic, b)
	if err != nil {
		return nil, err
	}
	if got != v.id {
		return nil, damaged(name, 12, "belongs to another vault")
	}
	return b[headerSize:], nil
}

// DropProbe overwrites the material of an erasure and removes it; absent is
// fine. What makes it unreadable is that its key is destroyed.
func (v *Vault) DropProbe(id string) error {
	if !validProbe(id) {
		return nil
	}
	v.adding.Lock()
	defer v.adding.Unlock()
	path := filepath.Join(v.dir, probePrefix+id)
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	zeros := make([]byte, 64<<10)
	for at := int64(0); at < info.Size() && err == nil; at += int64(len(zeros)) {
		_, err = f.WriteAt(zeros[:min(int64(len(zeros)), info.Size()-at)], at)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	return syncDir(v.dir)
}

// Probes lists the erasures that have material here.
func (v *Vault) Probes() ([]string, error) {
	entries, err := os.ReadDir(v.dir)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	var ids []string
	for _, e := range entries {
		if id, ok := strings.CutPrefix(e.Name(), probePrefix); ok && validProbe(id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// Remaining calls f with every key that is left and that opens without
// another: the tenant's, and those in slots. It is for verification.
func (v *Vault) Remaining(tenant string, f func(seal.Key) error) error {
	k := v.keyring.Load()
	keys := []seal.Key{k.system}
	if t := k.tenants[tenant]; t != nil {
		for _, key := range t.all() {
			keys = append(keys, *key)
		}
	}
	v.rotating.Lock() // a rotation replaces what is read here
	defer v.rotating.Unlock()
	known := v.epochs.Load()
	err := v.slots.scan(v.slots.size(), func(i int, b []byte) {
		var s slot
		if !s.decode(uint32(i), b) || s.kind != kindEpoch {
			return
		}
		if epochKey, ok := known.keys[s.epoch]; ok {
			if key, err := s.unwrap(epochKey(), nil); err == nil {
				keys = append(keys, key)
			}
		}
	})
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := f(key); err != nil {
			return err
		}
	}
	return nil
}
