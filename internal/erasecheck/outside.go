package erasecheck

import (
	"context"
	"errors"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/retrieval"
)

// Why an index outside is not known to be purged.
const (
	whyUnreadable = "files not readable: this gateway was not told where Weaviate keeps its files (ASSENT_WEAVIATE_DATA), or cannot read them"
	whyServers    = "files not readable: Weaviate has another number of servers than this gateway was told directories of"
	whyBlind      = "the files that this gateway was told of did not hold these passages before either: they prove nothing"
	whyStill      = "Weaviate's files still hold ids, tokens or vectors of what was erased"
)

// An OutsideIndex is what is asked of an index outside to look at its files.
type OutsideIndex interface {
	// Forms are the bytes by which objects, documents and a person (0: none) are
	// called in every generation that a collection has.
	Forms(c retrieval.CollectionID, refs []retrieval.PassageRef, who consent.SubjectNum) (ids, tokens [][]byte)
	// Servers is how many keep files.
	Servers(ctx context.Context) (int, error)
	// EachKnown calls f with what lives in a collection.
	EachKnown(ctx context.Context, c retrieval.CollectionID, f func([]retrieval.IndexPassage) error) error
}

// outsideFiles are what the files of an index outside say.
type outsideFiles struct {
	level erasure.Level
	how   string // what was done beside asking
	why   string // not higher
}

// vectorOutside takes a vector as it lies in the files of an index outside.
func (m *material) vectorOutside(v []float32) {
	before := len(m.Needles)
	m.vector(v)
	m.Outside = append(m.Outside, m.Needles[before:]...)
	m.Needles = m.Needles[:before]
}

// lookOutside takes the names that things have outside, and looks for them while
// they are there.
func (c *Checker) lookOutside(ctx context.Context, o erasure.Order, m *material) error {
	if c.Outside == nil || len(c.IndexDirs) == 0 {
		m.Outside = nil
		return nil
	}
	add := func(k kind, forms [][]byte) {
		for _, f := range forms {
			m.Outside = append(m.Outside, needle{k, f[:min(len(f), maxNeedle)]})
		}
	}
	for id, s := range m.Collections {
		ids, named := c.Outside.Forms(id, s.Refs, o.Subject)
		add(object, ids)
		add(tokens, named)
	}
	h := newHaystack(m.Outside)
	s, err := h.scan(ctx, c.IndexDirs)
	if errors.Is(err, errScan) {
		return nil // as is told when it is checked
	}
	m.Before.Outside, _ = h.count(&s, object, tokens, vector)
	return err
}

// outside reads the files of an index outside.
func (c *Checker) outside(ctx context.Context, m *material, r *report) (outsideFiles, error) {
	out := outsideFiles{level: erasure.Absent, why: whyOutside}
	if c.Outside == nil || !c.Rebuilds {
		return out, nil
	}
	if len(c.IndexDirs) == 0 {
		out.why = whyUnreadable
		return out, nil
	}
	servers, err := c.Outside.Servers(ctx)
	if err != nil {
		return out, err
	}
	if servers != len(c.IndexDirs) {
		out.why = whyServers
		return out, nil
	}
	h := newHaystack(m.Outside)
	s, err := h.scan(ctx, c.IndexDirs)
	if errors.Is(err, errScan) {
		out.why = whyUnreadable
		return out, nil
	}
	if err != nil {
		return out, err
	}
	others, err := c.excuse(ctx, m, h, &s)
	if err != nil {
		return out, err
	}
	if len(m.Outside) > 0 && m.Before.Outside == 0 {
		out.why = whyBlind
		return out, nil
	}
	hits := uint64(0)
	for _, k := range []kind{object, tokens, vector} {
		found, asked := h.count(&s, k)
		hits += found
		r.probe("files of the index outside: "+kindNames[k], asked, s.bytes, found, true)
	}
	if hits > 0 {
		out.why = whyStill
		return out, nil
	}
	out.level, out.why = erasure.Purged, ""
	out.how = "; made anew since from what lives; and every file of its servers read for the ids of objects, tokens and vectors, which were in them before"
	if others > 0 {
		out.how += "; vectors that passages of others have as well were not counted"
	}
	return out, nil
}

// excuse takes out of what was seen the vectors that living passages have: the
// same words make the same vector, whoever said them.
func (c *Checker) excuse(ctx context.Context, m *material, h *haystack, s *sight) (others int, err error) {
	var seen []needle
	var at []int
	for i, n := range h.needles {
		if n.Kind == vector && s.found[i] {
			seen, at = append(seen, n), append(at, i)
		}
	}
	if len(seen) == 0 {
		return 0, nil
	}
	alive := newHaystack(seen)
	lives := alive.sight()
	for id := range m.Collections {
		err := c.Outside.EachKnown(ctx, id, func(ps []retrieval.IndexPassage) error {
			for i := range ps {
				b := vectorBytes(ps[i].Vector)
				alive.look(b, &lives)
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	for i, found := range lives.found {
		if found {
			s.found[at[i]] = false
			others++
		}
	}
	return others, nil
}
