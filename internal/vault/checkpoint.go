package vault

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/translog"
)

// The newest checkpoint of each tenant's log rests in a file of its own, in
// clear: it holds nothing of a person and is meant to be published.
//
//	header ‖ length u8 ‖ tenant ‖ length u32 ‖ checkpoint ‖ crc32c
//
// A crash during SetCheckpoint leaves the old one or the new one, whole, and
// perhaps checkpoint-….tmp, which Open removes.
const (
	checkpointMagic  = "assentCP"
	checkpointPrefix = "checkpoint-"
	maxCheckpoint    = 1 << 16
)

// ErrCheckpoint: the newest checkpoint is not the one that was to be replaced.
var ErrCheckpoint = errors.New("vault: another checkpoint is the newest")

func checkpointFile(tenant string) string {
	sum := sha256.Sum256([]byte(tenant))
	return checkpointPrefix + hex.EncodeToString(sum[:16])
}

// Checkpoint returns the tenant's newest checkpoint; nil when there is none.
func (v *Vault) Checkpoint(tenant string) ([]byte, error) {
	name := checkpointFile(tenant)
	b, err := os.ReadFile(filepath.Join(v.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	id, err := checkHeader(name, checkpointMagic, b)
	if err != nil {
		return nil, err
	}
	if id != v.id {
		return nil, damaged(name, 12, "belongs to another vault")
	}
	return parseCheckpoint(name, tenant, b)
}

func parseCheckpoint(name, tenant string, b []byte) ([]byte, error) {
	if len(b) < headerSize+1+4+4 || checksum(b[:len(b)-4]) != binary.BigEndian.Uint32(b[len(b)-4:]) {
		return nil, damaged(name, headerSize, "checksum")
	}
	rest := b[headerSize : len(b)-4]
	n := int(rest[0])
	if len(rest) < 1+n+4 || string(rest[1:1+n]) != tenant {
		return nil, damaged(name, headerSize, "belongs elsewhere")
	}
	rest = rest[1+n:]
	if size := binary.BigEndian.Uint32(rest); size == 0 || int64(size) != int64(len(rest)-4) {
		return nil, damaged(name, headerSize, "malformed")
	}
	return rest[4:], nil
}

// SetCheckpoint puts a checkpoint in place of old (nil: of none); durable on
// return. ErrCheckpoint, and nothing changed, when the newest is not old;
// ErrNoTenant. After any other error it may have happened. Changes of keyring
// and checkpoints come one after the other.
//
// Options.Fault is called with "checkpoint.write" before the new file is
// written beside the old one, and with "checkpoint.renamed" when it is in its
// place: an error there is "failed but happened".
func (v *Vault) SetCheckpoint(tenant string, old, checkpoint []byte) error {
	if !v.known(tenant) {
		return ErrNoTenant
	}
	if len(checkpoint) == 0 || len(checkpoint) > maxCheckpoint {
		return fmt.Errorf("vault: a checkpoint must have 1 to %d bytes", maxCheckpoint)
	}
	v.adding.Lock()
	defer v.adding.Unlock()
	current, err := v.Checkpoint(tenant)
	if err != nil {
		return err
	}
	if !bytes.Equal(current, old) {
		return ErrCheckpoint
	}
	b := append(header(checkpointMagic, v.id), byte(len(tenant)))
	b = append(b, tenant...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(checkpoint)))
	b = append(b, checkpoint...)
	return v.putCheckpoint(checkpointFile(tenant), binary.BigEndian.AppendUint32(b, checksum(b)))
}

func (v *Vault) putCheckpoint(name string, content []byte) error {
	path := filepath.Join(v.dir, name)
	if err := v.opt.fault("checkpoint.write"); err != nil {
		return err
	}
	if err := writeSynced(path+unfinished, content); err != nil {
		return err
	}
	if err := os.Rename(path+unfinished, path); err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	if err := v.opt.fault("checkpoint.renamed"); err != nil {
		return err
	}
	return syncDir(v.dir)
}

// Log returns the vault as the transparency log's port.
func (v *Vault) Log() translog.Vault { return logPort{v} }

type logPort struct{ v *Vault }

func (p logPort) LogKeys(t consent.TenantID) (translog.Keys, bool) {
	k, ok := p.v.Tenant(string(t))
	return k.ForLog(), ok
}

// ForLog are the keys that a tenant's log signs with, and has signed with.
func (t TenantKeys) ForLog() translog.Keys {
	return translog.Keys{Retired: t.Retired, Seeds: func() [][32]byte {
		if t.Retiring == [32]byte{} {
			return [][32]byte{t.Signing}
		}
		return [][32]byte{t.Signing, t.Retiring}
	}}
}

func (p logPort) JournalHead(t consent.TenantID) (consent.Position, error) {
	return consent.Position(p.v.Head(string(t))), nil
}

func (p logPort) Checkpoint(t consent.TenantID) ([]byte, error) { return p.v.Checkpoint(string(t)) }

func (p logPort) SetCheckpoint(t consent.TenantID, old, checkpoint []byte) error {
	err := p.v.SetCheckpoint(string(t), old, checkpoint)
	if errors.Is(err, ErrCheckpoint) {
		return translog.ErrConflict
	}
	return err
}
