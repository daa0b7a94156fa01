package training

import (
	"context"
	"errors"
	"slices"

	"github.com/assent-gateway/assent/consent"
)

// EraseFailed destroys what failed builds keep of a person, so that Resume
// begins anew, and returns of how many. It is repeatable, and what an erasure
// calls: a manifest that failed is not yet one that holds anybody.
func (s *Service) EraseFailed(ctx context.Context, t consent.TenantID, who consent.SubjectNum) (uint64, error) {
	held, err := s.Manifests.Unfinished(ctx, s.Files.Holder(), Failed)
	if err != nil {
		return 0, err
	}
	n := uint64(0)
	for _, h := range held {
		if h.Tenant != t || h.Row.Key.IsZero() {
			continue
		}
		b, err := s.open(t, h.Row)
		if err != nil {
			return n, err
		}
		there, err := b.keeps(func(e *entry) bool { return slices.Contains(e.owners, who) || slices.Contains(e.mentions, who) })
		if err != nil {
			return n, err
		}
		if there {
			if err := s.Erase(ctx, t, h.Row.ID); err != nil {
				return n, err
			}
			n++
		}
	}
	return n, nil
}

// keeps reports whether a failed build kept a row. What cannot be told, its
// list being damaged or not whole, is taken for yes.
func (b *build) keeps(f func(*entry) bool) (bool, error) {
	if b.job.Phase != phaseRender { // nothing was kept
		return false, nil
	}
	there := false
	for i := range b.job.Shards {
		err := b.eachEntry(i, func(_ uint32, e *entry) error {
			there = there || f(e)
			return nil
		})
		if errors.Is(err, ErrDamaged) {
			return true, nil
		}
		if there || err != nil {
			return there, err
		}
	}
	return false, nil
}

// forget destroys what a build that has just failed keeps, when it is of
// somebody who was erased meanwhile. Whoever is erased later is found by
// EraseFailed.
func (b *build) forget(ctx context.Context) error {
	st, err := b.standingOrNone(ctx)
	if err != nil {
		return err
	}
	erased, err := b.keeps(func(e *entry) bool { return st.why(e) == whyErased })
	if err != nil || !erased {
		return err
	}
	return b.Erase(ctx, b.t, b.row.ID)
}

// renew gives a build that was forgotten another key, and its beginning.
func (b *build) renew() error {
	if !b.row.Key.IsZero() {
		return nil
	}
	_, ref, err := b.Vault.NewFileKey() // a crash here leaves a key that no row names
	b.row.Key, b.job.Phase = ref, phaseScan
	return err
}
