package postgres

import (
	"context"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/credential"
)

var _ credential.Store = (*DB)(nil)

// Tenants implements credential.Store.
func (db *DB) Tenants(ctx context.Context) ([]credential.TenantRow, error) {
	var tenants []credential.TenantRow
	err := db.reading(ctx, "read tenants", func(s *session) error {
		return s.each(ctx, `SELECT id, sealed, created_at FROM tenants ORDER BY created_at, id`, nil, func(read scan) error {
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
		for _, k := range first {
			if k.Tenant != t.ID {
				return &failure{doing: "add a tenant: a key is another tenant's", kind: ErrOther}
			}
		}
		b := x.batch()
		b.clock()
		if err := b.send(); err != nil {
			return err
		}
		b = x.batch()
		b.remember(t.ID, remember)
		b.exec(all(1, credential.ErrExists), `INSERT INTO tenants (id, sealed, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
			t.ID, t.Sealed, int64(t.CreatedAt))
		b.exec(nil, `INSERT INTO ledger_heads (tenant) VALUES ($1)`, t.ID)
		b.exec(nil, `INSERT INTO corpus_heads (tenant) VALUES ($1)`, t.ID)
		for _, k := range first {
			b.addKey(k)
		}
		return b.send()
	})
}

// AddKey implements credential.Store. Ids and hashes are unique over all
// tenants.
func (db *DB) AddKey(ctx context.Context, k credential.KeyRow, remember []consent.Remembered) error {
	return db.write(ctx, "add a key", func(x *tx) error {
		b := x.batch()
		b.one(credential.ErrNotFound, `SELECT 1 FROM tenants WHERE id = $1`, []any{k.Tenant}, nil)
		b.clock()
		if err := b.send(); err != nil {
			return err
		}
		b = x.batch()
		b.remember(k.Tenant, remember)
		b.addKey(k)
		return b.send()
	})
}

func (b *batch) addKey(k credential.KeyRow) {
	b.exec(all(1, credential.ErrExists), `INSERT INTO api_keys (`+keyColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
		k.ID, k.Tenant, k.Hash[:], k.Sealed, int64(k.CreatedAt), int64(k.ExpiresAt), int64(k.RevokedAt))
}

const keyColumns = `id, tenant, hash, sealed, created_at, expires_at, revoked_at`

func keyDst(k *credential.KeyRow) []any {
	return []any{&k.ID, (*string)(&k.Tenant), fixed(k.Hash[:]), &k.Sealed,
		into(&k.CreatedAt), into(&k.ExpiresAt), into(&k.RevokedAt)}
}

// Keys implements credential.Store.
func (db *DB) Keys(ctx context.Context, t consent.TenantID) ([]credential.KeyRow, error) {
	var keys []credential.KeyRow
	err := db.reading(ctx, "read keys", func(s *session) error {
		return s.each(ctx, `SELECT `+keyColumns+` FROM api_keys WHERE tenant = $1 ORDER BY created_at, id`, []any{t}, func(read scan) error {
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

// KeyByHash implements credential.Store. The server is asked to be a primary
// still, as by Head: a standby may not know yet that a key was revoked.
func (db *DB) KeyByHash(ctx context.Context, hash [32]byte) (credential.KeyRow, error) {
	var k credential.KeyRow
	err := db.reading(ctx, "look a key up", func(s *session) error {
		var standby bool
		found, err := s.one(ctx, `SELECT `+keyColumns+`, pg_is_in_recovery() FROM api_keys WHERE hash = $1`,
			[]any{hash[:]}, append(keyDst(&k), &standby)...)
		if err == nil && !found {
			err = credential.ErrNotFound
		}
		return s.orStandby(standby, err)
	})
	if err != nil {
		return credential.KeyRow{}, err
	}
	return k, nil
}

// RevokeKey implements credential.Store.
func (db *DB) RevokeKey(ctx context.Context, t consent.TenantID, id string) error {
	return db.write(ctx, "revoke a key", func(x *tx) error {
		b := x.batch()
		b.exec(all(1, credential.ErrNotFound), `UPDATE api_keys
			SET revoked_at = CASE revoked_at WHEN 0 THEN coalesce($3::bigint, `+clockSQL+`) ELSE revoked_at END
			WHERE tenant = $1 AND id = $2`, t, id, db.instead())
		return b.send()
	})
}

// Now implements credential.Store.
func (db *DB) Now(ctx context.Context) (now consent.Time, err error) {
	err = db.reading(ctx, "read the clock", func(s *session) error {
		_, err := s.one(ctx, `SELECT `+clockSQL, nil, into(&now))
		now = db.clock(now)
		return err
	})
	if err != nil {
		return 0, err
	}
	return now, nil
}
