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
		out[i] = at[ref]
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
