package retrieval

import (
	"context"
	"errors"

	"github.com/assent-gateway/assent/consent"
)

// RetireKeyless ends those of the versions that are live still and were said to
// have no key any more: nobody can open them again. It takes them out of the
// index and returns how many there were. The caller made sure that their keys are
// gone for good, and not about to go with the rows of an erasure in progress.
func (s *Service) RetireKeyless(ctx context.Context, t consent.TenantID, nums []DocNum) (int, error) {
	retired, err := s.retireKeyless(ctx, t, nums)
	if err != nil || s.Outside == nil {
		return len(retired), err
	}
	for c, nums := range byCollection(retired) { // with no lock held
		if err := s.withdraw(ctx, t, c, nums); err != nil {
			return len(retired), err
		}
	}
	return len(retired), nil
}

func (s *Service) retireKeyless(ctx context.Context, t consent.TenantID, nums []DocNum) (retired []DocRow, err error) {
	sh, err := s.shelf(ctx, t)
	if err != nil {
		return nil, err
	}
	sh.intake.Lock()
	defer sh.intake.Unlock()
	rows, err := s.Catalogue.Docs(ctx, t, nums)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	head, retired, err := s.Catalogue.Commit(ctx, t, nil, func(consent.Head) (Intake, error) {
		return Intake{Retire: numsOf(rows), Outside: s.Outside != nil}, nil
	})
	if errors.Is(err, ErrConflict) {
		return nil, nil // another gateway was faster
	}
	if err != nil {
		return nil, err
	}
	if s.Feed != nil {
		return retired, s.apply(ctx, t, sh, head, 0, Change{})
	}
	if s.Outside == nil {
		for c, nums := range byCollection(retired) {
			if err := s.Index.Apply(ctx, c, Change{Remove: nums}); err != nil {
				return retired, err
			}
		}
	}
	return retired, nil
}

// CollectionIDs returns a tenant's collections by number.
func (s *Service) CollectionIDs(ctx context.Context, t consent.TenantID) ([]CollectionID, error) {
	sh, _, err := s.current(ctx, t)
	if err != nil {
		return nil, err
	}
	var out []CollectionID
	for _, col := range sh.all() {
		out = append(out, col.ID)
	}
	return out, nil
}
