package sqlite

import (
	"context"
	"time"

	"github.com/assent-gateway/assent/consent"
)

const (
	// remembering is how long the outcome of a write is kept (DESIGN §6).
	remembering = consent.Time(24 * time.Hour)
	// pruneLimit bounds what a write clears away of older ones.
	pruneLimit = 64
)

// remember keeps outcomes; consent.ErrRemembered when a key has one that is
// not yet too old. One without a time gets the database's.
func (x *tx) remember(t consent.TenantID, outcomes []consent.Remembered) error {
	now := x.db.clock()
	for _, r := range outcomes {
		if r.At == 0 {
			r.At = now
		}
		n, err := x.change(`INSERT INTO remembered (tenant, key, body, outcome, at) VALUES (?1, ?2, ?3, ?4, ?5)
			ON CONFLICT (tenant, key) DO UPDATE SET body = ?3, outcome = ?4, at = ?5 WHERE at <= ?6`,
			t, r.Key[:], r.Body[:], r.Outcome, r.At, now-remembering)
		if err != nil {
			return err
		}
		if n == 0 {
			return consent.ErrRemembered
		}
	}
	return nil
}

// prune clears away some of what no longer needs remembering, any tenant's.
func (x *tx) prune() error {
	_, err := x.change(`DELETE FROM remembered WHERE (tenant, key) IN
		(SELECT tenant, key FROM remembered WHERE at <= ? ORDER BY at LIMIT ?)`, x.db.clock()-remembering, pruneLimit)
	return err
}

// Recall implements consent.Store.
func (db *DB) Recall(ctx context.Context, t consent.TenantID, key [32]byte) (consent.Remembered, bool, error) {
	const doing = "recall an outcome"
	r := consent.Remembered{Key: key}
	var found bool
	err := db.reading(doing, func() (err error) {
		found, err = one(ctx, db.readers, doing, `SELECT body, outcome, at FROM remembered
			WHERE tenant = ? AND key = ? AND at > ?`, []any{t, key[:], db.clock() - remembering},
			fixed(r.Body[:]), &r.Outcome, into(&r.At))
		return err
	})
	if err != nil || !found {
		return consent.Remembered{}, false, ledgerError(err)
	}
	return r, true, nil
}
