package postgres

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/assent-gateway/assent/consent"
)

const (
	// remembering is how long the outcome of a write is kept (DESIGN §6).
	remembering = consent.Time(24 * time.Hour)
	// pruneLimit bounds what a write clears away of older ones, beyond twice
	// what it adds.
	pruneLimit = 64
)

// remember keeps outcomes; consent.ErrRemembered when a key has one that is
// not yet too old. One without a time gets the database's. It clears away some
// of what no longer needs remembering, any tenant's, unless another write is
// about to.
func (b *batch) remember(t consent.TenantID, outcomes []consent.Remembered) {
	if len(outcomes) == 0 {
		return
	}
	outcomes = slices.Clone(outcomes)
	slices.SortFunc(outcomes, func(a, b consent.Remembered) int { return bytes.Compare(a.Key[:], b.Key[:]) })
	oldest := int64(b.x.now - remembering)
	for _, r := range outcomes {
		if r.At == 0 {
			r.At = b.x.now
		}
		b.exec(all(1, consent.ErrRemembered), `INSERT INTO remembered (tenant, key, body, outcome, at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (tenant, key) DO UPDATE SET body = $3, outcome = $4, at = $5 WHERE remembered.at <= $6`,
			t, r.Key[:], r.Body[:], r.Outcome, int64(r.At), oldest)
	}
	b.exec(nil, `DELETE FROM remembered WHERE (tenant, key) IN
		(SELECT tenant, key FROM remembered WHERE at <= $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)`,
		oldest, pruneLimit+2*len(outcomes))
}

// Recall implements consent.Store.
func (db *DB) Recall(ctx context.Context, t consent.TenantID, key [32]byte) (consent.Remembered, bool, error) {
	r := consent.Remembered{Key: key}
	var found bool
	err := db.reading(ctx, "recall an outcome", func(s *session) (err error) {
		found, err = s.one(ctx, `SELECT body, outcome, at FROM remembered
			WHERE tenant = $1 AND key = $2 AND at > coalesce($3::bigint, `+clockSQL+`) - $4`,
			[]any{t, key[:], db.instead(), int64(remembering)}, fixed(r.Body[:]), &r.Outcome, into(&r.At))
		return err
	})
	if err != nil || !found {
		return consent.Remembered{}, false, ledgerError(err)
	}
	return r, true, nil
}
