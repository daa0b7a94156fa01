package vault

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/assent-gateway/assent/internal/seal"
)

// TenantKeys are the long-lived secrets of one tenant, each for one use. They
// are redacted in fmt and slog, with the same limit as a seal.Key: not as an
// unexported field of another struct (keep the tenant's id there, and ask).
type TenantKeys struct {
	Lookup      seal.Key // keyed lookup of identifiers
	Suppression seal.Key // the mark that stays after erasure
	MAC         seal.Key // of ledger rows above the newest checkpoint
	Payload     seal.Key // sealed columns that belong to no one subject
	Journal     seal.Key // payloads of journal records
	Index       seal.Key // keyed terms and tokens of indexes
	Signing     [32]byte // Ed25519 seed (RFC 8032) of the log's key

	// The log's keys before Signing: of the newest of them the seed, as long as
	// it signs, too (zero: none does), of the others the public keys.
	Retiring [32]byte
	Retired  [][32]byte
}

const redactedTenant = "vault.TenantKeys(redacted)"

// Format prints a placeholder, whatever the verb.
func (TenantKeys) Format(f fmt.State, _ rune) { io.WriteString(f, redactedTenant) }

// GoString is for callers that ask for it without fmt.
func (TenantKeys) GoString() string { return redactedTenant }

// LogValue keeps the keys out of slog.
func (TenantKeys) LogValue() slog.Value { return slog.StringValue(redactedTenant) }

// MarshalText keeps the keys out of encoding/json.
func (TenantKeys) MarshalText() ([]byte, error) { return []byte(redactedTenant), nil }

// all lists the keys that every tenant has, in the order in which they rest on
// disk.
func (t *TenantKeys) all() []*seal.Key {
	return []*seal.Key{
		&t.Lookup, &t.Suppression, &t.MAC, &t.Payload, &t.Journal, &t.Index,
		(*seal.Key)(&t.Signing),
	}
}

// All are a tenant's keys.
func (t *TenantKeys) All() []seal.Key {
	var out []seal.Key
	for _, k := range t.all() {
		out = append(out, *k)
	}
	return out
}

// keyring is what the file of that name holds: header ‖ epoch u32 ‖ box, the
// box sealed under the key of that epoch, with what stands before it as
// additional data. In the box: system key, then per tenant length u8, id, keys;
// then, after a byte 0, for tenants whose log's key was rotated: length u8, id,
// Retiring, number u8 and public keys of Retired.
type keyring struct {
	epoch   uint32
	system  seal.Key
	tenants map[string]*TenantKeys
}

const (
	tenantKeys   = 7
	maxTenantID  = 255
	keyringLabel = "vault/keyring"
)

// AddTenant makes keys for the tenant, which are durable on return. It does
// nothing for one that has them. After an error the tenant has no keys in this
// process; on disk it may have some, which nobody was given: another call
// replaces them.
func (v *Vault) AddTenant(id string) error {
	if len(id) == 0 || len(id) > maxTenantID {
		return fmt.Errorf("vault: tenant id must have 1 to %d bytes", maxTenantID)
	}
	v.adding.Lock()
	defer v.adding.Unlock()
	old := v.keyring.Load()
	if _, ok := old.tenants[id]; ok {
		return nil
	}
	added := new(TenantKeys)
	for _, k := range added.all() {
		*k = seal.NewKey()
	}
	next := old.clone()
	next.tenants[id] = added
	if err := next.store(v.dir, v.id, v.epochs.Load().keys[next.epoch](), v.opt); err != nil {
		return err
	}
	v.keyring.Store(next)
	return nil
}

// Tenant returns the tenant's keys; false when it was never added.
func (v *Vault) Tenant(id string) (TenantKeys, bool) {
	if t, ok := v.keyring.Load().tenants[id]; ok {
		return *t, true
	}
	return TenantKeys{}, false
}

func (v *Vault) known(id string) bool {
	_, ok := v.keyring.Load().tenants[id]
	return ok
}

// Tenants lists the ids of all tenants, in byte order.
func (v *Vault) Tenants() []string {
	return slices.Sorted(maps.Keys(v.keyring.Load().tenants))
}

// System returns the key for what lies outside every tenant.
func (v *Vault) System() seal.Key { return v.keyring.Load().system }

// clone shares the tenants' keys, which are never changed in place.
func (k *keyring) clone() *keyring {
	return &keyring{epoch: k.epoch, system: k.system, tenants: maps.Clone(k.tenants)}
}

func (k *keyring) store(dir string, id [16]byte, epochKey seal.Key, o Options) error {
	plain := slices.Clone(k.system[:])
	for _, tenant := range slices.Sorted(maps.Keys(k.tenants)) {
		plain = append(append(plain, byte(len(tenant))), tenant...)
		for _, key := range k.tenants[tenant].all() {
			plain = append(plain, key[:]...)
		}
	}
	plain = k.appendLogKeys(plain)
	defer clear(plain)
	front := binary.BigEndian.AppendUint32(header(keyringMagic, id), k.epoch)
	content := seal.AppendSeal(slices.Clone(front), seal.Derive(epochKey, keyringLabel), plain, front)
	return replace(dir, keyringFile, content, o)
}

func parseKeyring(plain []byte, epoch uint32) (*keyring, bool) {
	k := &keyring{epoch: epoch, tenants: map[string]*TenantKeys{}}
	if len(plain) < len(k.system) {
		return nil, false
	}
	plain = plain[copy(k.system[:], plain):]
	for len(plain) > 0 {
		n := int(plain[0])
		if n == 0 {
			return k, k.parseLogKeys(plain[1:])
		}
		if len(plain) < 1+n+tenantKeys*len(seal.Key{}) {
			return nil, false
		}
		t := new(TenantKeys)
		tenant, rest := string(plain[1:1+n]), plain[1+n:]
		for _, key := range t.all() {
			rest = rest[copy(key[:], rest):]
		}
		k.tenants[tenant], plain = t, rest
	}
	return k, true
}

// loadKeyring reads the keyring and the epoch keys, and the vault's id from the
// keyring's header.
func loadKeyring(ctx context.Context, dir string, o Options) (*keyring, [16]byte, *epochs, error) {
	var id [16]byte
	content, err := os.ReadFile(filepath.Join(dir, keyringFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, id, nil, damaged(keyringFile, 0, "missing")
	}
	if err != nil {
		return nil, id, nil, fmt.Errorf("vault: %w", err)
	}
	if id, err = checkHeader(keyringFile, keyringMagic, content); err != nil {
		return nil, id, nil, err
	}
	const front = headerSize + 4
	if len(content) < front {
		return nil, id, nil, damaged(keyringFile, headerSize, "cut short")
	}
	epoch := binary.BigEndian.Uint32(content[headerSize:])
	all, err := loadEpochs(ctx, dir, id, epoch, o)
	if err != nil {
		return nil, id, nil, err
	}
	key, ok := all.keys[epoch]
	if !ok {
		return nil, id, nil, damaged(epochFile(epoch), 0, "missing, and the keyring is sealed under it")
	}
	plain, err := seal.Open(seal.Derive(key(), keyringLabel), content[front:], content[:front])
	if err != nil {
		return nil, id, nil, damaged(keyringFile, front, "does not open")
	}
	defer clear(plain)
	k, ok := parseKeyring(plain, epoch)
	if !ok {
		return nil, id, nil, damaged(keyringFile, front, "malformed")
	}
	return k, id, all, nil
}
