package vault

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/assent-gateway/assent/internal/seal"
)

// epochs are the keys of the epochs there are: one, during a rotation two.
type epochs struct {
	keys map[uint32]func() seal.Key
	// unreadable are older epochs' files that do not hold what they should:
	// half overwritten by a crash, or damaged. Which, the slots tell.
	unreadable []uint32
}

func (e *epochs) with(n uint32, key seal.Key) *epochs {
	out := &epochs{keys: maps.Clone(e.keys)}
	out.keys[n] = seal.Hold(key)
	return out
}

func (e *epochs) without(n uint32) *epochs {
	out := &epochs{keys: maps.Clone(e.keys)}
	delete(out.keys, n)
	return out
}

// besides lists, ascending, the epochs that are not n.
func (e *epochs) besides(n uint32) []uint32 {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(e.keys)), func(m uint32) bool { return m == n })
}

func epochFile(n uint32) string { return epochPrefix + strconv.FormatUint(uint64(n), 10) }

// encodeEpoch returns what the file of an epoch holds, after the header and the
// epoch's number u32: the key in clear, or behind their lengths (u16 each) the
// name of a KMS's key and what that KMS made of ours; and a crc32c of it all.
func encodeEpoch(ctx context.Context, id [16]byte, n uint32, key seal.Key, o Options) ([]byte, error) {
	if o.KMSKey == "" {
		b := binary.BigEndian.AppendUint32(header(epochMagic, id), n)
		b = append(b, key[:]...)
		return binary.BigEndian.AppendUint32(b, checksum(b)), nil
	}
	wrapped, err := wrapEpoch(ctx, id, n, key, o)
	if err != nil {
		return nil, err
	}
	b := binary.BigEndian.AppendUint32(header(wrappedMagic, id), n)
	for _, part := range [][]byte{[]byte(o.KMSKey), wrapped} {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(part))), part...)
	}
	return binary.BigEndian.AppendUint32(b, checksum(b)), nil
}

// epochContent is an epoch's file, read but not unwrapped.
type epochContent struct {
	n       uint32
	key     seal.Key // zero when a KMS has to be asked
	name    string
	wrapped []byte
}

func decodeEpoch(file string, id [16]byte, b []byte) (c epochContent, err error) {
	magic := epochMagic
	if len(b) >= 8 && string(b[:8]) == wrappedMagic {
		magic = wrappedMagic
	}
	got, err := checkHeader(file, magic, b)
	if err != nil {
		return c, err
	}
	if len(b) < headerSize+8 || checksum(b[:len(b)-4]) != binary.BigEndian.Uint32(b[len(b)-4:]) {
		return c, damaged(file, headerSize, "checksum")
	}
	c.n = binary.BigEndian.Uint32(b[headerSize:])
	if got != id || file != epochFile(c.n) {
		return c, damaged(file, 0, "belongs elsewhere")
	}
	body := b[headerSize+4 : len(b)-4]
	if magic == epochMagic {
		if len(body) != len(c.key) {
			return c, damaged(file, headerSize, "length")
		}
		c.key = seal.Key(body)
		return c, nil
	}
	var ok1, ok2 bool
	var name []byte
	name, body, ok1 = cutPart(body)
	c.wrapped, body, ok2 = cutPart(body)
	c.name = string(name)
	if !ok1 || !ok2 || len(body) > 0 {
		return c, damaged(file, headerSize, "malformed")
	}
	return c, nil
}

func cutPart(b []byte) (part, rest []byte, ok bool) {
	if len(b) < 2 || len(b) < 2+int(binary.BigEndian.Uint16(b)) {
		return nil, nil, false
	}
	n := 2 + int(binary.BigEndian.Uint16(b))
	return b[2:n], b[n:], true
}

// loadEpochs reads every epoch key there is; current is the keyring's epoch.
func loadEpochs(ctx context.Context, dir string, id [16]byte, current uint32, o Options) (*epochs, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	out := &epochs{keys: map[uint32]func() seal.Key{}}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), epochPrefix) {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("vault: %w", err)
		}
		c, err := decodeEpoch(e.Name(), id, b)
		if n, ok := epochNumber(e.Name()); ok && n < current && errors.Is(err, ErrDamaged) {
			out.unreadable = append(out.unreadable, n)
			continue
		}
		if err != nil {
			return nil, err
		}
		// A crash before its first use left it; nothing depends on it, and the
		// KMS need not be asked.
		if c.n <= current && c.wrapped != nil {
			if c.key, err = unwrapEpoch(ctx, id, c, o); err != nil {
				return nil, err
			}
		}
		out.keys[c.n] = seal.Hold(c.key)
	}
	return out, nil
}

func epochNumber(file string) (uint32, bool) {
	n, err := strconv.ParseUint(strings.TrimPrefix(file, epochPrefix), 10, 32)
	return uint32(n), err == nil && epochFile(uint32(n)) == file
}

// destroyEpoch overwrites the file of an epoch key in place, syncs and removes
// it. A crash leaves the whole file, or one that loadEpochs cannot read: the
// next Open begins here again. Repeatable.
func destroyEpoch(dir string, n uint32, o Options) error {
	if err := o.fault("epoch.wipe"); err != nil {
		return err
	}
	path := filepath.Join(dir, epochFile(n))
	if err := overwrite(path); errors.Is(err, fs.ErrNotExist) {
		return syncDir(dir)
	} else if err != nil {
		return err
	}
	if err := o.fault("epoch.wiped"); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	if err := o.fault("epoch.removed"); err != nil {
		return err
	}
	return syncDir(dir)
}

// overwrite makes every byte of a file zero, in place and durably.
func overwrite(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	info, err := f.Stat()
	if err == nil {
		_, err = f.WriteAt(make([]byte, info.Size()), 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("vault: overwrite: %w", err)
	}
	return nil
}
