package retrieval

import (
	"context"
	"maps"
	"slices"

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
	docs, parts, err := s.openRecords(ctx, t, refs)
	if err != nil {
		return nil, err
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
		if out[i] = at[ref]; out[i] == nil && s.isCanary(t, c, ref.Doc) { // it is not to be found; then the gate shall see it
			if at[ref], err = s.canaryAsked(t, c); err != nil {
				return nil, err
			}
			out[i] = at[ref]
		}
	}
	if len(at) < len(refs) {
		return out, s.settled(ctx, t)
	}
	return out, nil
}

// openRecords opens the live versions that passages belong to, as far as they
// open, and reads the passages' bodies.
func (s *Service) openRecords(ctx context.Context, t consent.TenantID, refs []PassageRef) (map[DocNum]*opened, map[PassageRef]PartRow, error) {
	rows, err := s.rows(ctx, t, refs)
	if err != nil {
		return nil, nil, err
	}
	parts, err := s.Catalogue.Bodies(ctx, t, refs)
	if err != nil {
		return nil, nil, err
	}
	if err := s.warm(ctx, t, slices.Collect(maps.Values(rows))); err != nil {
		return nil, nil, err
	}
	docs := make(map[DocNum]*opened, len(rows))
	for num, row := range rows {
		o, err := s.open(ctx, t, *row)
		if err == nil {
			docs[num] = o
		} else if !closed(err) {
			return nil, nil, err
		}
	}
	at := make(map[PassageRef]PartRow, len(parts))
	for _, p := range parts {
		at[p.Ref] = p
	}
	return docs, at, nil
}

// holding marks the context of who holds the intake: to wait for it would be
// to wait for oneself.
type holding struct{}

// settled waits until a change that is in the database is in the index, and
// brings one that another gateway made there.
func (s *Service) settled(ctx context.Context, t consent.TenantID) error {
	if s.Feed != nil {
		return s.Refresh(ctx, t)
	}
	if ctx.Value(holding{}) != nil {
		return nil
	}
	sh, err := s.shelf(ctx, t)
	if err != nil {
		return err
	}
	sh.intake.RLock() // all that matters is that it was free
	defer sh.intake.RUnlock()
	return nil
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
