package retrieval

import (
	"context"

	"github.com/assent-gateway/assent/consent"
)

// Vectors returns the stored unit vectors of passages from their sealed
// bodies, in order; nil for one that is gone or does not open. It is the
// Vectors port of the embedded index.
//
// A version that is replaced is gone from the database a moment before it is
// gone from the index. An index that asks in between is answered when that
// moment is over, so that it finds the replacement and not neither.
func (s *Service) Vectors(ctx context.Context, c CollectionID, refs []PassageRef) ([][]float32, error) {
	t, ok := s.home(c)
	if !ok {
		return make([][]float32, len(refs)), nil
	}
	rows, err := s.rows(ctx, t, refs)
	if err != nil {
		return nil, err
	}
	parts, err := s.Catalogue.Bodies(ctx, t, refs)
	if err != nil {
		return nil, err
	}
	docs := make(map[DocNum]*opened, len(rows))
	for num, row := range rows {
		o, err := s.open(ctx, t, *row)
		if err == nil {
			docs[num] = o
		} else if !closed(err) {
			return nil, err
		}
	}
	at := make(map[PassageRef][]float32, len(parts))
	for _, p := range parts {
		if o := docs[p.Ref.Doc]; o != nil {
			if b, err := s.openBody(t, o, p); err == nil {
				at[p.Ref] = b.Vector
			}
		}
	}
	out := make([][]float32, len(refs))
	for i, ref := range refs {
		out[i] = at[ref]
	}
	if len(at) < len(refs) {
		s.settled(ctx, t)
	}
	return out, nil
}

// holding marks the context of who holds the intake: to wait for it would be
// to wait for oneself.
type holding struct{}

// settled waits until a change that is in the database is in the index.
func (s *Service) settled(ctx context.Context, t consent.TenantID) {
	if ctx.Value(holding{}) != nil {
		return
	}
	if sh, err := s.shelf(ctx, t); err == nil {
		sh.intake.RLock() // all that matters is that it was free
		defer sh.intake.RUnlock()
	}
}

// home returns the tenant that a collection belongs to.
func (s *Service) home(c CollectionID) (consent.TenantID, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for t, sh := range s.tenants {
		sh.mu.RLock()
		_, ok := sh.byID[c]
		sh.mu.RUnlock()
		if ok {
			return t, true
		}
	}
	return "", false
}
