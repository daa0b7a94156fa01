package retrieval

import (
	"context"
	"maps"
	"slices"

	"github.com/assent-gateway/assent/consent"
)

// Withdrawn are documents that nobody permits any more, and what of them is to go.
type Withdrawn struct {
	Removal consent.Removal
	Storage []consent.Storage // the same documents, to be judged again
}

// Withdrawn finds documents that have come to an end by what their people said,
// for longer than the policy's grace: those that no purpose permits are to go,
// of those that embedding alone does not, the vectors. At most
// consent.MaxVersions of each; what there is more of is found when these are gone.
func (s *Service) Withdrawn(ctx context.Context, t consent.TenantID) ([]Withdrawn, error) {
	sh, head, err := s.current(ctx, t)
	if err != nil {
		return nil, err
	}
	people, err := s.Ledger.Withdrawn(ctx, t, sh.jurisdictions())
	if err != nil {
		return nil, err
	}
	slices.Sort(people)
	whole, vectors := Withdrawn{}, Withdrawn{Removal: consent.Removal{Vectors: true}}
	seen := map[DocNum]bool{}
	for _, num := range people {
		w := Which{Before: head.Position + 1, Subject: num}
		for more := true; more && len(whole.Storage) < consent.MaxVersions; {
			rows, err := s.condemned(ctx, t, w, gatherBatch)
			if err != nil {
				return nil, err
			}
			more = len(rows) == gatherBatch
			rows = slices.DeleteFunc(rows, func(r DocRow) bool {
				w.Pass(&r)
				known := seen[r.Num]
				seen[r.Num] = true
				return known
			})
			if err := s.sortEnds(ctx, t, sh, rows, &whole, &vectors); err != nil {
				return nil, err
			}
		}
	}
	slices.Sort(whole.Removal.Versions)
	slices.Sort(vectors.Removal.Versions)
	return slices.DeleteFunc([]Withdrawn{whole, vectors}, func(w Withdrawn) bool { return len(w.Storage) == 0 }), nil
}

func (s *Service) sortEnds(ctx context.Context, t consent.TenantID, sh *shelf, rows []DocRow, whole, vectors *Withdrawn) error {
	var docs []consent.Storage
	var of []*DocRow
	for i := range rows {
		r := &rows[i]
		if col, _ := sh.get(r.Collection); col != nil {
			docs = append(docs, consent.Storage{Claim: consent.Claim{Rule: col.Rule(), People: peopleOf(r)}, Piece: pieceOf(r)})
			of = append(of, r)
		}
	}
	ends, err := s.Ledger.Ends(ctx, t, docs)
	if err != nil {
		return err
	}
	for i, end := range ends {
		to := whole
		switch {
		case end == consent.StillPermitted, end == consent.EndedVectors && of[i].stripped():
			continue
		case end == consent.EndedVectors:
			to = vectors
		}
		if len(to.Storage) < consent.MaxVersions {
			to.Storage = append(to.Storage, docs[i])
			to.Removal.Versions = append(to.Removal.Versions, int64(of[i].Num))
		}
	}
	return nil
}

// jurisdictions are where people are taken to be in some collection, and nowhere.
func (sh *shelf) jurisdictions() []consent.Jurisdiction {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	seen := map[consent.Jurisdiction]bool{"": true}
	for _, col := range sh.byID {
		seen[col.Spec.Jurisdiction] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

// stripped reports whether a row is of a version without vectors, which no
// ingested content is equal to. What is sealed in it says so, too.
func (r *DocRow) stripped() bool { return r.Digest == [32]byte{} }

// Strip takes the vectors of versions away, and with them everything that an
// index has of them: each is written anew with its texts alone. What is sealed
// then is in no index, and is found again only when it is ingested again.
func (s *Service) Strip(ctx context.Context, t consent.TenantID, w Which) (Erased, error) {
	return s.rewrite(ctx, t, rewriting{which: w, version: func(_ *Collection, w *was) *job {
		if w.meta.Stripped {
			return nil
		}
		meta := w.meta
		meta.Stripped = true
		doc := &Document{
			ID: meta.ID, Nobody: meta.Nobody, Title: meta.Title, Metadata: meta.Metadata, Visibility: meta.Visibility, Source: meta.Source,
			RetainUntil: w.row.RetainUntil.Time(),
		}
		return &job{doc: doc, owners: sorted(w.row.Owners), mentions: sorted(w.row.Mentions), was: &meta}
	}})
}

// strip makes the row and bodies of a version without vectors.
func (j *job) strip(bodies []Body) error {
	j.row = *j.old
	j.row.Num, j.row.Digest, j.row.Owners, j.row.Mentions = DocNum(randomID()), [32]byte{}, j.owners, j.mentions
	j.bodies = make([]PartRow, len(bodies))
	for n, b := range bodies {
		b.Vector = nil
		plain, err := b.AppendBinary(nil)
		if err != nil {
			return err
		}
		j.bodies[n] = PartRow{Ref: PassageRef{j.row.Num, uint32(n)}, Sealed: plain}
	}
	return nil
}
