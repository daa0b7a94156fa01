package postgres

import (
	"context"
	"encoding/binary"
)

// VaultID returns the id of the vault this database belongs to; nil when none
// was set.
func (db *DB) VaultID(ctx context.Context) (id []byte, err error) {
	err = db.reading(ctx, "read the vault's id", func(s *session) error {
		_, err := s.one(ctx, `SELECT value FROM meta WHERE name = 'vault_id'`, nil, &id)
		return err
	})
	return id, err
}

// SetVaultID stores the id of the vault this database belongs to, unless there
// is one: of gateways that bind it at once, one does. An id is not empty.
func (db *DB) SetVaultID(ctx context.Context, id []byte) error {
	return db.write(ctx, "store the vault's id", func(x *tx) error {
		b := x.batch()
		b.exec(nil, `INSERT INTO meta (name, value) VALUES ('vault_id', $1) ON CONFLICT DO NOTHING`, id)
		return b.send()
	})
}

// VaultGeneration returns the highest generation of the vault that a gateway
// started with; 0 when none was stored.
func (db *DB) VaultGeneration(ctx context.Context) (uint64, error) {
	var b []byte
	err := db.reading(ctx, "read the vault's generation", func(s *session) error {
		_, err := s.one(ctx, `SELECT value FROM meta WHERE name = 'vault_generation'`, nil, &b)
		return err
	})
	if err != nil || len(b) != 8 {
		return 0, err
	}
	return binary.BigEndian.Uint64(b), nil
}

// SetVaultGeneration stores the vault's generation, unless a higher one is
// there: gateways that start together write in any order.
func (db *DB) SetVaultGeneration(ctx context.Context, generation uint64) error {
	return db.write(ctx, "store the vault's generation", func(x *tx) error {
		b := x.batch()
		b.exec(nil, `INSERT INTO meta (name, value) VALUES ('vault_generation', $1)
			ON CONFLICT (name) DO UPDATE SET value = greatest(meta.value, excluded.value)`,
			binary.BigEndian.AppendUint64(nil, generation))
		return b.send()
	})
}

// SetReplayed stores the number of a replay of this data; see
// consent.Head.Replayed.
func (db *DB) SetReplayed(ctx context.Context, number uint64) error {
	return db.write(ctx, "store the number of a replay", func(x *tx) error {
		b := x.batch()
		b.exec(nil, `INSERT INTO meta (name, value) VALUES ('replayed', $1)
			ON CONFLICT (name) DO UPDATE SET value = excluded.value`, binary.BigEndian.AppendUint64(nil, number))
		return b.send()
	})
}
