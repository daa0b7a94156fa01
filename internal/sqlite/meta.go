package sqlite

import (
	"context"
	"encoding/binary"
)

// VaultID returns the id of the vault this database belongs to; nil when none
// was set.
func (db *DB) VaultID(ctx context.Context) (id []byte, err error) {
	const doing = "read the vault's id"
	err = db.reading(doing, func() error {
		_, err := one(ctx, db.readers, doing, `SELECT value FROM meta WHERE name = 'vault_id'`, nil, &id)
		return err
	})
	return id, err
}

// SetVaultID stores the id of the vault this database belongs to, in place of
// any earlier one. An id is not empty.
func (db *DB) SetVaultID(ctx context.Context, id []byte) error {
	return db.write(ctx, "store the vault's id", func(x *tx) error {
		_, err := x.change(`INSERT INTO meta (name, value) VALUES ('vault_id', ?)
			ON CONFLICT (name) DO UPDATE SET value = excluded.value`, id)
		return err
	})
}

// VaultGeneration returns the vault's generation at the newest start with this
// database; 0 when none was stored.
func (db *DB) VaultGeneration(ctx context.Context) (uint64, error) {
	const doing = "read the vault's generation"
	var b []byte
	err := db.reading(doing, func() error {
		_, err := one(ctx, db.readers, doing, `SELECT value FROM meta WHERE name = 'vault_generation'`, nil, &b)
		return err
	})
	if err != nil || len(b) != 8 {
		return 0, err
	}
	return binary.BigEndian.Uint64(b), nil
}

// SetVaultGeneration stores the vault's generation.
func (db *DB) SetVaultGeneration(ctx context.Context, generation uint64) error {
	return db.write(ctx, "store the vault's generation", func(x *tx) error {
		_, err := x.change(`INSERT INTO meta (name, value) VALUES ('vault_generation', ?)
			ON CONFLICT (name) DO UPDATE SET value = excluded.value`, binary.BigEndian.AppendUint64(nil, generation))
		return err
	})
}
