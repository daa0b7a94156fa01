package retrieval

import (
	"context"
	"slices"

	"github.com/assent-gateway/assent/consent"
)

// held reports whether a version is held: nobody deletes or replaces it.
func (s *Service) held(t consent.TenantID, r *DocRow) bool {
	return s.Ledger.Held(t, pieceOf(r), append(slices.Clone(r.Owners), r.Mentions...))
}

// Held reports whether any live version that w selects is held.
func (s *Service) Held(ctx context.Context, t consent.TenantID, w Which) (bool, error) {
	if any, err := s.Ledger.Holds(ctx, t); !any || err != nil {
		return false, err
	}
	for {
		rows, err := s.condemned(ctx, t, w, eraseBatch)
		if err != nil {
			return false, err
		}
		for i := range rows {
			if s.held(t, &rows[i]) {
				return true, nil
			}
			w.Pass(&rows[i])
		}
		if len(rows) < eraseBatch {
			return false, nil
		}
	}
}

// Selected returns at most limit live versions that w selects, as an erasure
// does, in the order of their ingest.
func (s *Service) Selected(ctx context.Context, t consent.TenantID, w Which, limit int) ([]DocRow, error) {
	return s.condemned(ctx, t, w, limit)
}

// expired are versions past their retention, but for those that are held: what
// goes by itself passes them over, and finds them once they are released.
func (s *Service) expired(ctx context.Context, t consent.TenantID, w Which, limit int) (out []DocRow, err error) {
	page := max(limit, gatherBatch)
	for {
		rows, err := s.Condemning.Condemned(ctx, t, w, page)
		if err != nil {
			return nil, err
		}
		for i := range rows {
			if w.Pass(&rows[i]); !s.held(t, &rows[i]) && len(out) < limit {
				out = append(out, rows[i])
			}
		}
		if len(rows) < page || len(out) == limit {
			return out, nil
		}
	}
}
