package sqlite

import (
	"context"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/credential"
)

var _ credential.Store = (*DB)(nil)

// Tenants implements credential.Store.
func (db *DB) Tenants(ctx context.Context) ([]credential.TenantRow, error) {
	const doing = "read tenants"
	var tenants []credential.TenantRow
	err := db.reading(doing, func() error {
		return each(ctx, db.readers, doing, `SELECT id, sealed, created_at FROM tenants ORDER BY created_at, id`, nil,
			func(read scan) error {
				var t credential.TenantRow
				err := read((*string)(&t.ID), &t.Sealed, into(&t.CreatedAt))
				tenants = append(tenants, t)
				return err
			})
	})
	if err != nil {
		return nil, err
	}
	return tenants, nil
}

// AddTenant implements credential.Store. Outcomes are remembered under the new
// tenant; first must be its own keys.
func (db *DB) AddTenant(ctx context.Context, t credential.TenantRow, first []credential.KeyRow, remember []consent.Remembered) error {
	return db.write(ctx, "add a tenant", func(x *tx) error {
		if err := x.remember(t.ID, remember); err != nil {
			return err
		}
		err := x.insert(credential.ErrExists, `INSERT INTO tenants (id, sealed, created_at) VALUES (?, ?, ?)`,
			t.ID, t.Sealed, t.CreatedAt)
		if err != nil {
			return err
		}
		for _, k := range first {
			if k.Tenant != t.ID {
				return &failure{doing: "add a tenant: a key is another tenant's", kind: ErrOther}
			}
			if err := x.addKey(k); err != nil {
				return err
			}
		}
		return x.prune()
	})
}

// AddKey implements credential.Store. Ids and hashes are unique over all
// tenants.
func (db *DB) AddKey(ctx context.Context, k credential.KeyRow, remember []consent.Remembered) error {
	return db.write(ctx, "add a key", func(x *tx) error {
		known, err := one(ctx, x, x.doing, `SELECT 1 FROM tenants WHERE id = ?`, []any{k.Tenant}, new(int))
		if err != nil {
			return err
		}
		if !known {
			return credential.ErrNotFound
		}
		if err := x.remember(k.Tenant, remember); err != nil {
			return err
		}
		if err := x.addKey(k); err != nil {
			return err
		}
		return x.prune()
	})
}

func (x *tx) addKey(k credential.KeyRow) error {
	return x.insert(credential.ErrExists, `INSERT INTO api_keys
		(id, tenant, hash, sealed, created_at, expires_at, revoked_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		k.ID, k.Tenant, k.Hash[:], k.Sealed, k.CreatedAt, k.ExpiresAt, k.RevokedAt)
}

const keyColumns = `id, tenant, hash, sealed, created_at, expires_at, revoked_at`

func keyDst(k *credential.KeyRow) []any {
	return []any{&k.ID, (*string)(&k.Tenant), fixed(k.Hash[:]), &k.Sealed,
		into(&k.CreatedAt), into(&k.ExpiresAt), into(&k.RevokedAt)}
}

// Keys implements credential.Store.
func (db *DB) Keys(ctx context.Context, t consent.TenantID) ([]credential.KeyRow, error) {
	const doing = "read keys"
	var keys []credential.KeyRow
	err := db.reading(doing, func() error {
		return each(ctx, db.readers, doing, `SELECT `+keyColumns+` FROM api_keys
			WHERE tenant = ? ORDER BY created_at, id`, []any{t}, func(read scan) error {
			var k credential.KeyRow
			err := read(keyDst(&k)...)
			keys = append(keys, k)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return keys, nil
}

// KeyByHash implements credential.Store.
func (db *DB) KeyByHash(ctx context.Context, hash [32]byte) (credential.KeyRow, error) {
	const doing = "look a key up"
	var k credential.KeyRow
	err := db.reading(doing, func() error {
		found, err := one(ctx, db.readers, doing, `SELECT `+keyColumns+` FROM api_keys WHERE hash = ?`,
			[]any{hash[:]}, keyDst(&k)...)
		if err == nil && !found {
			err = credential.ErrNotFound
		}
		return err
	})
	if err != nil {
		return credential.KeyRow{}, err
	}
	return k, nil
}

// RevokeKey implements credential.Store.
func (db *DB) RevokeKey(ctx context.Context, t consent.TenantID, id string) error {
	return db.write(ctx, "revoke a key", func(x *tx) error {
		n, err := x.change(`UPDATE api_keys SET revoked_at = CASE revoked_at WHEN 0 THEN ? ELSE revoked_at END
			WHERE tenant = ? AND id = ?`, db.clock(), t, id)
		if err == nil && n == 0 {
			err = credential.ErrNotFound
		}
		return err
	})
}

// Now implements credential.Store.
func (db *DB) Now(context.Context) (consent.Time, error) {
	var now consent.Time
	err := db.reading("read the clock", func() error {
		now = db.clock()
		return nil
	})
	return now, err
}
