package postgres

import "context"

// VaultID returns the id of the vault this database belongs to; nil when none
// was set.
func (db *DB) VaultID(ctx context.Context) (id []byte, err error) {
	err = db.reading(ctx, "read the vault's id", func(s *session) error {
		_, err := s.one(ctx, `SELECT value FROM meta WHERE name = 'vault_id'`, nil, &id)
		return err
	})
	return id, err
}

// SetVaultID stores the id of the vault this database belongs to, in place of
// any earlier one. An id is not empty.
func (db *DB) SetVaultID(ctx context.Context, id []byte) error {
	return db.write(ctx, "store the vault's id", func(x *tx) error {
		b := x.batch()
		b.exec(nil, `INSERT INTO meta (name, value) VALUES ('vault_id', $1)
			ON CONFLICT (name) DO UPDATE SET value = excluded.value`, id)
		return b.send()
	})
}
