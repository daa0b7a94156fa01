package erasure

import (
	"context"

	"github.com/assent-gateway/assent/consent"
)

// standing is a person's mark, and how often somebody was behind it, when a
// request looked for an open erasure of the same. The zero standing is of whom
// somebody is, or whom nobody knows.
type standing struct {
	mark  consent.SubjectNum
	round int
}

// same returns the open erasure that a request for a person asks for again.
// While nobody is behind their mark, that is any which is open: the one that took
// away who came back last may have ended while an earlier one is held.
func (s *Service) same(ctx context.Context, k Keys, t consent.TenantID, who consent.Subject) (e Erasure, open bool, at standing, err error) {
	if at.mark, at.round, err = s.Ledger.Marked(ctx, t, who); err != nil || at.mark == 0 {
		return e, false, at, err
	}
	for round := at.round; round >= 0 && !open && err == nil; round-- {
		e, open, err = s.open(ctx, k, t, personName(k, at.mark, round))
	}
	return e, open, at, err
}

// moved reports whether a suppression would be of nobody, under a mark that was
// not looked at as it is now: an erasure of the same may be open.
func (at standing) moved(now consent.Suppressed) bool {
	return now.Mark != 0 && !now.Behind && now.Key.IsZero() && at != standing{now.Mark, now.Round}
}

// sameDocuments returns the open erasure that a request for documents asks for again.
// One that is open does not reach what came after it, as under an id that is used
// again or from a source that goes on: where there is any, the request is not for the
// same, and the erasure that it makes is named after that one.
func (s *Service) sameDocuments(ctx context.Context, k Keys, t consent.TenantID, sc Scope, r *consent.Removal) (e Erasure, open bool, after consent.Position, err error) {
	for {
		e, open, err = s.open(ctx, k, t, removalName(k, sc, r, after))
		if !open || err != nil || r.Expired || len(r.Versions) > 0 {
			return e, open, after, err
		}
		later, err := s.Corpus.Since(ctx, t, *r, e.Position)
		if !later || err != nil {
			return e, true, after, err
		}
		after = e.Position
	}
}
