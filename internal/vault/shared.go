package vault

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/assent-gateway/assent/internal/seal"
)

// What follows is for a vault whose keys rest elsewhere, wrapped: in a
// database that several gateways share (internal/pgvault). Of its directory,
// each gateway has the epoch key and nothing else; the forms are those of this
// package's slots, keyring and journal.

// ErrOwnKeys: the directory holds a whole vault, with keys of its own.
var ErrOwnKeys = errors.New("vault: the directory holds a vault with keys of its own")

// An Epoch is an epoch's key and the vault it belongs to. It prints nothing.
type Epoch struct {
	id     [16]byte
	number uint32
	key    func() seal.Key
}

// OpenEpoch reads the newest epoch key of a directory that holds no more of a
// vault than that; ErrNotExist when there is none.
func OpenEpoch(dir string, o Options) (*Epoch, error) {
	if err := checkDir(dir); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(filepath.Join(dir, keyringFile)); err == nil {
		return nil, ErrOwnKeys
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	newest, found := uint32(0), false
	for _, e := range entries {
		if n, ok := epochNumber(e.Name()); ok && n >= newest {
			newest, found = n, true
		}
	}
	if !found {
		return nil, ErrNotExist
	}
	return readEpoch(dir, newest, o)
}

func readEpoch(dir string, n uint32, o Options) (*Epoch, error) {
	name := epochFile(n)
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	if len(b) < headerSize {
		return nil, damaged(name, int64(len(b)), "header cut short")
	}
	id := [16]byte(b[12:28]) // decodeEpoch checks what is around it
	c, err := decodeEpoch(name, id, b)
	if err != nil {
		return nil, err
	}
	if c.wrapped != nil {
		ctx, cancel := context.WithTimeout(context.Background(), KMSTimeout)
		defer cancel()
		if c.key, err = unwrapEpoch(ctx, id, c, o); err != nil {
			return nil, err
		}
	}
	return &Epoch{id: id, number: n, key: seal.Hold(c.key)}, nil
}

// CreateEpoch makes the first epoch key of a new vault in dir, which it makes
// too, and returns it when it is durable. Of several that do so in one
// directory at once, all return the same. A crash leaves the whole file, or one
// with the suffix .tmp that nothing reads.
func CreateEpoch(dir string, o Options) (*Epoch, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("vault: create: %w", err)
	}
	var id [16]byte
	rand.Read(id[:])
	ctx, cancel := context.WithTimeout(context.Background(), KMSTimeout)
	defer cancel()
	content, err := encodeEpoch(ctx, id, 1, seal.NewKey(), o)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, epochFile(1))
	own := path + "." + rand.Text() + unfinished
	if err := writeSynced(own, content); err != nil {
		return nil, err
	}
	err = os.Link(own, path) // unlike a rename, it refuses what is there
	err = errors.Join(ignoreExist(err), os.Remove(own))
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("vault: create: %w", err)
	}
	return OpenEpoch(dir, o)
}

func ignoreExist(err error) error {
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// RemoveEpoch overwrites and removes the key of an epoch that wraps nothing.
func (e *Epoch) RemoveEpoch(dir string) error { return destroyEpoch(dir, e.number, Options{}) }

// ID is the vault's random name.
func (e *Epoch) ID() [16]byte { return e.id }

// Number is the epoch's.
func (e *Epoch) Number() uint32 { return e.number }

// File is the name of the file that holds the epoch's key.
func (e *Epoch) File() string { return epochFile(e.number) }

// EpochFile is the name of the file that holds the key of an epoch.
func EpochFile(n uint32) string { return epochFile(n) }

// Format prints a placeholder.
func (e *Epoch) Format(f fmt.State, _ rune) { io.WriteString(f, "vault.Epoch(redacted)") }

// KindEpoch is the kind of a key that is wrapped under the epoch alone.
const KindEpoch byte = kindEpoch

// A Wrapped is a key as it rests: what a slot holds, without its number and
// checksum.
type Wrapped struct {
	ID    [16]byte
	Epoch uint32
	Kind  byte
	Box   []byte // 96 bytes
}

// Wrap wraps a key under the epoch, and its parent when it has one. Its id is
// fresh.
func (e *Epoch) Wrap(k NewKey) Wrapped {
	s := slot{epoch: e.number}
	rand.Read(s.id[:])
	s.wrap(e.key(), k.Key, k.Parent)
	return Wrapped{ID: s.id, Epoch: s.epoch, Kind: s.kind, Box: s.wrapped[:]}
}

// Unwrap is Wrap's inverse; ErrKeyGone when it is not what this epoch wrapped,
// ErrWrongParent when the parent does not fit.
func (e *Epoch) Unwrap(w Wrapped, parent *seal.Key) (seal.Key, error) {
	if w.Epoch != e.number || len(w.Box) != wrapSize || w.Kind != kindEpoch && w.Kind != kindParent {
		return seal.Key{}, ErrKeyGone
	}
	s := slot{id: w.ID, epoch: w.Epoch, kind: w.Kind, wrapped: [wrapSize]byte(w.Box)}
	return s.unwrap(e.key(), parent)
}

// Seal seals what belongs to the vault and is no slot, bound to what it is.
func (e *Epoch) Seal(what string, plain []byte) []byte {
	return seal.Seal(seal.Derive(e.key(), keyringLabel), plain, e.aad(what))
}

// Open opens what Seal sealed.
func (e *Epoch) Open(what string, box []byte) ([]byte, error) {
	return seal.Open(seal.Derive(e.key(), keyringLabel), box, e.aad(what))
}

func (e *Epoch) aad(what string) []byte {
	return append(append([]byte("assent shared vault\x00"), e.id[:]...), what...)
}

// NewTenantKeys makes the keys of a tenant.
func NewTenantKeys() TenantKeys {
	var t TenantKeys
	for _, k := range t.all() {
		*k = seal.NewKey()
	}
	return t
}

// SealTenant seals a tenant's keys under the epoch.
func (e *Epoch) SealTenant(tenant string, t TenantKeys) []byte {
	var plain []byte
	for _, k := range t.all() {
		plain = append(plain, k[:]...)
	}
	defer clear(plain)
	return e.Seal("tenant\x00"+tenant, plain)
}

// OpenTenant is SealTenant's inverse.
func (e *Epoch) OpenTenant(tenant string, box []byte) (TenantKeys, error) {
	var t TenantKeys
	plain, err := e.Open("tenant\x00"+tenant, box)
	if err != nil {
		return t, err
	}
	defer clear(plain)
	if len(plain) != tenantKeys*len(seal.Key{}) {
		return t, seal.ErrOpen
	}
	rest := plain
	for _, k := range t.all() {
		rest = rest[copy(k[:], rest):]
	}
	return t, nil
}

// SealPayload seals the payload of a journal record, bound to its place. An empty
// one is sealed as well: where records rest, others may write, and one without a
// payload would replay a refusal as something of which only the leaf is left.
func (r *Record) SealPayload(key seal.Key) ([]byte, error) {
	if len(r.Payload) > maxPayload {
		return nil, fmt.Errorf("vault: payload of %d bytes, at most %d", len(r.Payload), maxPayload)
	}
	return seal.Seal(key, r.Payload, r.aad()), nil
}

// OpenPayload is SealPayload's inverse; it sets Payload.
func (r *Record) OpenPayload(key seal.Key, box []byte) (err error) {
	r.Payload, err = seal.Open(key, box, r.aad())
	return err
}
