package pgvault

import (
	"errors"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/postgres"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/internal/vault"
)

// ErasureKeys returns a tenant's keys for erasures; false when unknown.
func (v *Vault) ErasureKeys(t consent.TenantID) (erasure.Keys, bool) {
	keys, ok := v.keys(t)
	if !ok {
		return erasure.Keys{}, false
	}
	return keys.ForErasures(), true
}

// NewKey stores a fresh key that no parent wraps, and returns its ref.
func (v *Vault) NewKey() (seal.Ref, error) {
	refs, err := v.Put([]vault.NewKey{{Key: seal.NewKey()}})
	if err != nil {
		return seal.Ref{}, err
	}
	return refs[0], nil
}

// PutProbe makes the probe material of an erasure durable, for whichever gateway
// goes on with it.
func (v *Vault) PutProbe(id string, box []byte) error {
	ctx, cancel := calling()
	defer cancel()
	return v.db.PutProbe(ctx, id, box)
}

// Probe returns the probe material of an erasure; vault.ErrNotExist.
func (v *Vault) Probe(id string) ([]byte, error) {
	ctx, cancel := calling()
	defer cancel()
	box, err := v.db.Probe(ctx, id)
	if err == nil && box == nil {
		err = vault.ErrNotExist
	}
	return box, err
}

// DropProbe deletes the probe material of an erasure; absent is fine. What
// makes it unreadable is that its key is destroyed.
func (v *Vault) DropProbe(id string) error {
	ctx, cancel := calling()
	defer cancel()
	return v.db.DropProbe(ctx, id)
}

// Probes lists the erasures that have material here.
func (v *Vault) Probes() ([]string, error) {
	ctx, cancel := calling()
	defer cancel()
	return v.db.Probes(ctx)
}

// maxRemaining bounds how many keys of slots Remaining reads.
const maxRemaining = 20_000

// Remaining calls f with keys that are left and that open without another: the
// system's, the tenant's, and those in slots, some of them where there are many.
// It is for verification.
func (v *Vault) Remaining(tenant string, f func(seal.Key) error) error {
	ctx, cancel := calling()
	defer cancel()
	keys, ok, err := v.tenant(ctx, tenant)
	if err != nil {
		return err
	}
	left := []seal.Key{v.System()}
	if ok {
		left = append(left, keys.All()...)
	}
	err = v.db.EachSlot(ctx, vault.KindEpoch, maxRemaining, func(r postgres.SlotRow) error {
		key, err := v.epoch.Unwrap(wrapped(r), nil)
		if err == nil {
			left = append(left, key)
		} else if !errors.Is(err, vault.ErrKeyGone) {
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, key := range left {
		if err := f(key); err != nil {
			return err
		}
	}
	return nil
}
