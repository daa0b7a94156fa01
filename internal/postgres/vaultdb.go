package postgres

import (
	"context"
	"embed"
	"io/fs"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

//go:embed vault/migrations/*.sql
var vaultFiles embed.FS

// A Vault is the database of the vault that several gateways share, as
// internal/pgvault uses it: it keeps boxes and hands them out, and knows the key
// of none. It is another database than that of the data, on the same server or
// better on another one; [DB.Shares] tells. Connections, their checks, durable
// steps and errors are those of a DB.
type Vault struct{ db *DB }

// OpenVault opens a vault's database as Open does one for data.
func OpenVault(ctx context.Context, url string, o Options) (*Vault, error) {
	schema, err := fs.Sub(vaultFiles, "vault")
	if err != nil {
		return nil, fail("read migrations", err)
	}
	db, err := connect(ctx, url, o, schema)
	if err != nil {
		return nil, err
	}
	return &Vault{db}, nil
}

// Close closes the connections, as DB.Close does.
func (v *Vault) Close() error { return v.db.Close() }

// SynchronousReplication is as that of DB.
func (v *Vault) SynchronousReplication() bool { return v.db.SynchronousReplication() }

// Shares reports whether a URL names the same database: whoever copies or
// restores the one would copy or restore the other. It takes an advisory lock
// in one and looks for it in the other, since names and addresses prove nothing.
// Nothing is made there.
func (db *DB) Shares(ctx context.Context, url string) (shared bool, err error) {
	const doing = "compare the databases"
	if db.closed.Load() {
		return false, &failure{doing: doing, kind: ErrClosed}
	}
	c, err := pgx.ParseConfig(url)
	if err != nil {
		return false, &failure{doing: "read the database's URL", kind: ErrURL}
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTimeout
	}
	c.ValidateConnect = validatePrimary
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return false, fail(doing, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	other := &session{c: conn, doing: doing}
	a, b := rand.Int32(), rand.Int32()
	err = db.reading(ctx, doing, func(s *session) error {
		if _, err := s.one(ctx, `SELECT pg_try_advisory_lock($1, $2)`, []any{a, b}, nil); err != nil {
			return err
		}
		_, err := other.one(ctx, `SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory'
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
			AND classid = $1::bigint AND objid = $2::bigint AND objsubid = 2)`, []any{int64(a), int64(b)}, &shared)
		if err != nil {
			return err
		}
		_, err = s.one(ctx, `SELECT pg_advisory_unlock($1, $2)`, []any{a, b}, nil)
		return err
	})
	return shared, err
}

// A VaultRow says which vault a database holds.
type VaultRow struct {
	ID         [16]byte
	Epoch      uint32 // whose key wraps everything
	System     []byte // the system key, sealed
	Admin      []byte // the bootstrap key, sealed; nil: none
	Generation uint64
	Accepted   bool
}

// Row returns the vault's row; false when no vault was begun here.
func (v *Vault) Row(ctx context.Context) (r VaultRow, found bool, err error) {
	err = v.db.reading(ctx, "read the vault's name", func(s *session) (err error) {
		found, err = s.one(ctx, `SELECT id, epoch, system, admin, generation, accepted FROM vault`, nil,
			fixed(r.ID[:]), into(&r.Epoch), &r.System, &r.Admin, into(&r.Generation), &r.Accepted)
		return err
	})
	return r, found, err
}

// Begin begins a vault, unless there is one; which it is, Row says.
func (v *Vault) Begin(ctx context.Context, r VaultRow) error {
	return v.db.write(ctx, "begin a vault", func(x *tx) error {
		b := x.batch()
		b.exec(nil, `INSERT INTO vault (id, epoch, system) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
			r.ID[:], int64(r.Epoch), r.System)
		return b.send()
	})
}

// SetAdmin keeps the sealed bootstrap key, unless there is one; which it is,
// Row says.
func (v *Vault) SetAdmin(ctx context.Context, sealed []byte) error {
	return v.db.write(ctx, "store the bootstrap key", func(x *tx) error {
		b := x.batch()
		b.exec(nil, `UPDATE vault SET admin = coalesce(admin, $1)`, sealed)
		return b.send()
	})
}

// Advance makes the generation one more than it was, and more than seen.
func (v *Vault) Advance(ctx context.Context, seen uint64) (generation uint64, err error) {
	err = v.db.write(ctx, "advance the vault's generation", func(x *tx) error {
		b := x.batch()
		b.one(nil, `UPDATE vault SET generation = greatest(generation, $1) + 1 RETURNING generation`,
			[]any{int64(seen)}, into(&generation))
		return b.send()
	})
	return generation, err
}

// SetAccepted notes whether the operator takes the data for right where it is
// ahead of the vault.
func (v *Vault) SetAccepted(ctx context.Context, accepted bool) error {
	return v.db.write(ctx, "store what was accepted", func(x *tx) error {
		b := x.batch()
		b.exec(nil, `UPDATE vault SET accepted = $1`, accepted)
		return b.send()
	})
}

// AddKeyring keeps a tenant's keys, unless it has some; which, Keyring says.
func (v *Vault) AddKeyring(ctx context.Context, tenant string, keys []byte) error {
	return v.db.write(ctx, "store a tenant's keys", func(x *tx) error {
		b := x.batch()
		b.exec(nil, `INSERT INTO keyrings (tenant, keys) VALUES ($1, $2) ON CONFLICT DO NOTHING`, tenant, keys)
		b.exec(nil, `INSERT INTO journal_heads (tenant) VALUES ($1) ON CONFLICT DO NOTHING`, tenant)
		return b.send()
	})
}

// Keyring returns a tenant's keys; nil when there are none.
func (v *Vault) Keyring(ctx context.Context, tenant string) (keys []byte, err error) {
	err = v.db.reading(ctx, "read a tenant's keys", func(s *session) error {
		_, err := s.one(ctx, `SELECT keys FROM keyrings WHERE tenant = $1`, []any{tenant}, &keys)
		return err
	})
	return keys, err
}

// Tenants lists the tenants that have keys.
func (v *Vault) Tenants(ctx context.Context) (tenants []string, err error) {
	err = v.db.reading(ctx, "read the vault's tenants", func(s *session) error {
		return s.each(ctx, `SELECT tenant FROM keyrings ORDER BY tenant`, nil, func(read scan) error {
			var t string
			err := read(&t)
			tenants = append(tenants, t)
			return err
		})
	})
	return tenants, err
}

// A SlotRow is a wrapped key.
type SlotRow struct {
	ID      [16]byte
	Epoch   uint32
	Kind    byte
	Wrapped []byte
}

// PutSlots keeps keys, made now by this server's clock. Their ids are fresh.
func (v *Vault) PutSlots(ctx context.Context, rows []SlotRow) error {
	ids, boxes := make([][]byte, len(rows)), make([][]byte, len(rows))
	epochs, kinds := make([]int64, len(rows)), make([]int16, len(rows))
	for i := range rows {
		r := &rows[i]
		ids[i], boxes[i], epochs[i], kinds[i] = r.ID[:], r.Wrapped, int64(r.Epoch), int16(r.Kind)
	}
	return v.db.write(ctx, "store keys", func(x *tx) error {
		b := x.batch()
		b.exec(nil, `INSERT INTO slots (id, epoch, kind, wrapped, made_at)
			SELECT *, coalesce($5::bigint, `+clockSQL+`) FROM unnest($1::bytea[], $2::bigint[], $3::smallint[], $4::bytea[])`,
			ids, epochs, kinds, boxes, v.db.instead())
		return b.send()
	})
}

// Slots returns the keys with these ids, in any order; absent ones are left out.
func (v *Vault) Slots(ctx context.Context, ids [][]byte) (rows []SlotRow, err error) {
	err = v.db.reading(ctx, "read keys", func(s *session) error {
		return s.each(ctx, `SELECT id, epoch, kind, wrapped FROM slots WHERE id = ANY ($1)`, []any{ids}, func(read scan) error {
			var r SlotRow
			err := read(fixed(r.ID[:]), into(&r.Epoch), into(&r.Kind), &r.Wrapped)
			rows = append(rows, r)
			return err
		})
	})
	return rows, err
}

// DeleteSlots deletes keys and returns how many there were.
func (v *Vault) DeleteSlots(ctx context.Context, ids [][]byte) (deleted int, err error) {
	err = v.db.write(ctx, "destroy keys", func(x *tx) error {
		b := x.batch()
		b.exec(func(n int64) error { deleted = int(n); return nil }, `DELETE FROM slots WHERE id = ANY ($1)`, ids)
		return b.send()
	})
	return deleted, err
}

// OldSlots calls f with the id of every key that was made longer ago than age,
// by this server's clock.
func (v *Vault) OldSlots(ctx context.Context, age time.Duration, f func(id [16]byte)) error {
	return v.db.streaming(ctx, "read old keys", func(s *session) error {
		return s.each(ctx, `SELECT id FROM slots WHERE made_at < coalesce($1::bigint, `+clockSQL+`) - $2`,
			[]any{v.db.instead(), age.Nanoseconds()}, func(read scan) error {
				var id [16]byte
				if err := read(fixed(id[:])); err != nil {
					return err
				}
				f(id)
				return nil
			})
	})
}

// CountSlots is how many keys there are.
func (v *Vault) CountSlots(ctx context.Context) (n int, err error) {
	err = v.db.reading(ctx, "count keys", func(s *session) error {
		_, err := s.one(ctx, `SELECT count(*) FROM slots`, nil, into(&n))
		return err
	})
	return n, err
}
