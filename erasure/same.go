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

// documentRounds is how many erasures of the same documents have names that do not
// depend on when they were asked for.
const documentRounds = 4

// sameDocuments returns the open erasure that a request for documents asks for again,
// or the round by which a new one is to be named. One that is open does not reach
// what came after it, as under an id that is used again or from a source that goes on:
// where there is any, the request is not for the same.
func (s *Service) sameDocuments(ctx context.Context, k Keys, t consent.TenantID, sc Scope, r *consent.Removal) (newest Erasure, open bool, round int, err error) {
	rounds := documentRounds
	if r.Expired || len(r.Versions) > 0 { // nothing comes after
		rounds = 1
	}
	free := -1
	for n := range rounds {
		e, there, err := s.open(ctx, k, t, removalName(k, sc, r, n))
		if err != nil {
			return e, false, 0, err
		}
		if !there && free < 0 {
			free = n
		}
		if there && e.Position > newest.Position {
			newest, open = e, true
		}
	}
	if rounds == 1 || !open {
		return newest, open, max(free, 0), nil
	}
	for { // any more are named after the one before, each
		next := documentRounds + int(newest.Position)
		e, there, err := s.open(ctx, k, t, removalName(k, sc, r, next))
		if err != nil {
			return e, false, 0, err
		}
		if !there {
			if free < 0 {
				free = next
			}
			break
		}
		newest = e
	}
	later, err := s.Corpus.Since(ctx, t, *r, newest.Position)
	return newest, !later, free, err
}
