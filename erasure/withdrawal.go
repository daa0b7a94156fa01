package erasure

import (
	"context"
	"errors"

	"github.com/assent-gateway/assent/consent"
)

// Why an erasure began that nobody asked for; it rests with its evidence.
const (
	whyEnded    = "no purpose of the policy permits the documents any longer, and the grace that the policy gives is over"
	whyVectors  = "embedding is not permitted any longer, and the grace that the policy gives is over: the vectors go"
	bySweep     = "" // no key asked
	sweepRounds = 16 // of consent.MaxVersions documents, in one sweep
)

// EndStorage starts the erasure of what nobody permits any more, for longer than
// the policy's grace. The ledger judges it again under the lock of its head,
// when the erasure is entered: a grant that came before stops it, also at
// another gateway, and so do a hold and an erasure that are about the document.
func (s *Service) EndStorage(ctx context.Context, t consent.TenantID) error {
	for range sweepRounds {
		found, err := s.Corpus.Withdrawn(ctx, t)
		if err != nil || len(found) == 0 {
			return err
		}
		for _, w := range found {
			why := whyEnded
			if w.Removal.Vectors {
				why = whyVectors
			}
			_, err := s.Request(ctx, t, Request{Scope: ScopeWithdrawal, Evidence: Evidence{Reason: why}, By: bySweep, withdrawal: w})
			if errors.Is(err, consent.ErrPermitted) {
				return nil // it changed since it was looked at: the next sweep looks again
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}
