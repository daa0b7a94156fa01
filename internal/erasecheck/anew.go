package erasecheck

import (
	"bytes"
	"context"
	"slices"

	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/retrieval"
)

// anew takes out of what was seen in files the keyed ids and digests of documents
// that came after the erasure was entered: an id may be used again, by the same
// owner or another, with the same content or other. What is theirs is no trace of
// what was condemned. That is a version of another number, decided later: what was
// decided before the entry is condemned, whatever its number, and stays found, as
// does every record, key and number of what was.
func (c *Checker) anew(ctx context.Context, o erasure.Order, m *material, h *haystack, s *sight) error {
	seen := false
	for i, found := range s.found {
		seen = seen || found && h.needles[i].Kind == lookup
	}
	if !seen {
		return nil
	}
	theirs := &material{}
	for id, of := range m.Collections {
		for part := range slices.Chunk(of.Lookups, 200) {
			living, err := c.Corpus.Living(ctx, o.Tenant, id, part)
			if err != nil {
				return err
			}
			for i := range living {
				if r := &living[i].Row; r.DecidedAt >= o.Position && !slices.Contains(of.Docs, r.Num) {
					theirs.names(r)
				}
			}
		}
	}
	for i, found := range s.found {
		same := func(n needle) bool { return bytes.Equal(n.Data, h.needles[i].Data) }
		if found && h.needles[i].Kind == lookup && slices.ContainsFunc(theirs.Needles, same) {
			s.found[i] = false
		}
	}
	return nil
}

// names takes by what a row is found: they may become another version's.
func (m *material) names(r *retrieval.DocRow) {
	m.needle(lookup, r.Lookup[:])
	m.needle(lookup, r.Digest[:])
}
