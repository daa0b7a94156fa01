package vault

import (
	"crypto/ed25519"
	"errors"
	"maps"
	"math"
	"slices"

	"github.com/assent-gateway/assent/internal/seal"
)

var (
	// ErrRetiring: the log's key before this one still signs. RetireLogKey first.
	ErrRetiring = errors.New("vault: an earlier key of the log is still in use: retire it first")
	// ErrNotRetiring: no earlier key of the log is in use.
	ErrNotRetiring = errors.New("vault: no earlier key of the log is in use")
)

// RotateLogKey makes a new key for a tenant's log. From then on both sign every
// checkpoint, until RetireLogKey: whoever pinned the older one sees in it that
// its holder vouches for what the new one signs. Durable on return; after an
// error it may have happened, and a repeat says ErrRetiring.
func (v *Vault) RotateLogKey(tenant string) error {
	return v.changeLogKeys(tenant, func(t *TenantKeys) error {
		if t.Retiring != [32]byte{} {
			return ErrRetiring
		}
		t.Retiring, t.Signing = t.Signing, seal.NewKey()
		return nil
	})
}

// RetireLogKey ends the use of the log's earlier key: of it only the public
// half stays. The keyring that held it is replaced, not overwritten: Rotate
// makes what the disk may keep of it worthless.
func (v *Vault) RetireLogKey(tenant string) error {
	return v.changeLogKeys(tenant, func(t *TenantKeys) error {
		if t.Retiring == [32]byte{} {
			return ErrNotRetiring
		}
		if len(t.Retired) == math.MaxUint8 {
			return errors.New("vault: the log's key was rotated too often")
		}
		public := ed25519.NewKeyFromSeed(t.Retiring[:]).Public().(ed25519.PublicKey)
		t.Retired = append(slices.Clone(t.Retired), [32]byte(public))
		t.Retiring = [32]byte{}
		return nil
	})
}

func (v *Vault) changeLogKeys(tenant string, change func(*TenantKeys) error) error {
	v.adding.Lock()
	defer v.adding.Unlock()
	next := v.keyring.Load().clone()
	old, ok := next.tenants[tenant]
	if !ok {
		return ErrNoTenant
	}
	changed := *old
	if err := change(&changed); err != nil {
		return err
	}
	next.tenants[tenant] = &changed
	if err := next.store(v.dir, v.id, v.epochs.Load().keys[next.epoch](), v.opt); err != nil {
		return err
	}
	v.keyring.Store(next)
	return nil
}

// LogKeys are the public keys that the tenant's log has and had, oldest first.
func (t TenantKeys) LogKeys() [][32]byte {
	out := slices.Clone(t.Retired)
	for _, seed := range [][32]byte{t.Retiring, t.Signing} {
		if seed != [32]byte{} {
			out = append(out, [32]byte(ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey)))
		}
	}
	return out
}

func (k *keyring) appendLogKeys(b []byte) []byte {
	began := false
	for _, tenant := range slices.Sorted(maps.Keys(k.tenants)) {
		t := k.tenants[tenant]
		if t.Retiring == [32]byte{} && len(t.Retired) == 0 {
			continue
		}
		if !began {
			b, began = append(b, 0), true
		}
		b = append(append(b, byte(len(tenant))), tenant...)
		b = append(append(b, t.Retiring[:]...), byte(len(t.Retired)))
		for _, public := range t.Retired {
			b = append(b, public[:]...)
		}
	}
	return b
}

// parseLogKeys is the inverse; false when b is nothing that was written.
func (k *keyring) parseLogKeys(b []byte) bool {
	for len(b) > 0 {
		n := 1 + int(b[0])
		if len(b) < n+33 {
			return false
		}
		t := k.tenants[string(b[1:n])]
		count := int(b[n+32])
		if t == nil || len(b) < n+33+32*count {
			return false
		}
		t.Retiring = [32]byte(b[n:])
		b = b[n+33:]
		for range count {
			t.Retired = append(t.Retired, [32]byte(b))
			b = b[32:]
		}
	}
	return true
}
