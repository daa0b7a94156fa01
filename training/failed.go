package training

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// EraseFailed destroys what failed builds keep of a person, so that Resume
// begins anew, and returns of how many. Whom those of another gateway keep, only
// that one could tell: they go, too. It is repeatable, and what an erasure calls:
// a manifest that failed is not yet one that holds anybody.
func (s *Service) EraseFailed(ctx context.Context, t consent.TenantID, who consent.SubjectNum) (uint64, error) {
	if err := s.destroyLeft(); err != nil {
		return 0, err
	}
	rows, err := s.Contents.AllManifests(ctx, t)
	if err != nil {
		return 0, err
	}
	n := uint64(0)
	for _, row := range rows {
		if row.State != Failed || row.Key.IsZero() {
			continue
		}
		b, err := s.open(t, row)
		if errors.Is(err, ErrDamaged) { // nobody can go on with it, or say what is in it
			erased, err := s.EraseCounted(ctx, t, row.ID)
			if erased {
				n++
			}
			if err != nil {
				return n, err
			}
			continue
		}
		if err != nil {
			return n, err
		}
		there, err := b.keeps(func(e *entry) bool { return slices.Contains(e.owners, who) || slices.Contains(e.mentions, who) })
		if err != nil {
			return n, err
		}
		if there {
			if err := b.renewed(ctx); err != nil {
				return n, err
			}
			n++
		}
	}
	return n, nil
}

// keeps reports whether a failed build kept a row. What cannot be told, its
// list being damaged, not whole or elsewhere, is taken for yes.
func (b *build) keeps(f func(*entry) bool) (bool, error) {
	if b.job.Phase != phaseRender { // nothing was kept
		return false, nil
	}
	if b.row.Holder != b.Files.Holder() {
		return true, nil
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
	return b.renewed(ctx)
}

// forgetFailed does for every build that failed here what a crash behind its failure
// left undone.
func (s *Service) forgetFailed(ctx context.Context) {
	held, err := s.Manifests.Unfinished(ctx, s.Files.Holder(), Failed)
	for _, h := range held {
		if h.Row.Key.IsZero() {
			continue
		}
		failed := guarded(s.Log, func() error {
			b, err := s.open(h.Tenant, h.Row)
			if err != nil {
				return err
			}
			return b.forget(ctx)
		})
		err = cmp.Or(err, failed)
	}
	if err != nil && ctx.Err() == nil {
		s.Log.Error("what failed manifests keep could not be judged", "error", err)
	}
}

// renewed destroys what a failed build keeps. One that was resumed meanwhile
// begins anew, under another key: who asked for it is not to ask again. Its files
// are then left to it.
func (b *build) renewed(ctx context.Context) error {
	b.turn.Lock()
	defer b.turn.Unlock()
	for {
		row, found, err := b.Manifests.Manifest(ctx, b.t, b.row.ID)
		if err != nil || !found || row.Key != b.row.Key {
			return err // or somebody else did it
		}
		if row.State != Building {
			_, err = b.erase(ctx, b.t, row)
		} else {
			err = b.anew(ctx, row)
		}
		if !errors.Is(err, ErrConflict) {
			return err
		}
	}
}

// anew gives a build another key, and its beginning.
func (b *build) anew(ctx context.Context, row ManifestRow) error {
	again, err := b.open(b.t, row)
	if err != nil {
		return err
	}
	again.row.Key = seal.Ref{}
	if err := again.renew(); err != nil {
		return err
	}
	if err := again.save(ctx); err != nil {
		_ = b.Vault.Destroy(again.row.Key) // else the next start does it
		return err
	}
	b.kick()
	return b.Vault.Destroy(row.Key) // a crash before it leaves a key that no row names
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
