package retrieval

import (
	"context"
	"crypto/rand"
	"strings"
	"unicode/utf8"

	"github.com/assent-gateway/assent/consent"
)

// maxRounds bounds how often a search is repeated because the second gate
// dropped hits that the index still held permitted.
const maxRounds = 4

// Search answers with the top K of the permitted passages.
//
// Order: permit (the ledger is asked first), embed, search under the permit,
// re-check every hit, answer. A hit that the second gate drops makes the
// search start over under a new permit, so that the answer is not shortened.
func (s *Service) Search(ctx context.Context, c Caller, collection string, r SearchRequest) (Answer, error) {
	permit, err := s.permit(ctx, c.Tenant, r.Purpose, r.MinPosition)
	if err != nil {
		return Answer{}, err
	}
	col, err := s.collection(ctx, c, collection)
	if err != nil {
		return Answer{}, err
	}
	q, err := s.query(ctx, c, col, r)
	if err != nil {
		return Answer{}, err
	}
	answer := Answer{Mode: q.Mode, Privacy: Privacy{Purpose: r.Purpose, DecisionID: rand.Text()}}
	for round := 1; ; round++ {
		var found []Found
		if col.pinned() {
			if found, err = s.Index.Search(ctx, permit, q); err != nil {
				return Answer{}, err
			}
		}
		g := &gate{Service: s, caller: c, col: col, permit: permit, filter: q.Filter}
		hits, err := g.hits(ctx, found)
		if err != nil {
			return Answer{}, err
		}
		answer.Hits = hits
		answer.Privacy.Position, answer.Privacy.PolicyDigest = g.ruling.Position, g.ruling.PolicyDigest
		switch {
		case len(hits) == r.K:
			answer.Privacy.Completeness = Complete
		case len(hits) == len(found):
			answer.Privacy.Completeness = Short
		case round == maxRounds:
			answer.Privacy.Completeness, answer.Privacy.CompletenessReason = Degraded, "changed_during_search"
		default:
			if permit, err = s.Ledger.Permit(ctx, c.Tenant, r.Purpose); err != nil {
				return Answer{}, err
			}
			continue
		}
		for i := range answer.Hits {
			if q.Mode == ModeHybrid {
				answer.Hits[i].Score *= RRFScale
			}
		}
		return answer, nil
	}
}

// query checks a request and makes it into what an index takes.
func (s *Service) query(ctx context.Context, c Caller, col *Collection, r SearchRequest) (Query, error) {
	q := Query{Collection: col.ID, Rule: col.Rule(), Principal: c.Principal, K: r.K, Mode: r.Mode}
	switch {
	case r.K < 1 || r.K > MaxK:
		return q, Invalid("k", "is not between 1 and 1000")
	case r.Query == "" && r.Vector == nil:
		return q, Invalid("query", "or vector is required")
	case len(r.Query) > maxQuery || !utf8.ValidString(r.Query) || strings.Contains(r.Query, "\x00"):
		return q, Invalid("query", "is longer than 32768 bytes or not UTF-8 without NUL")
	}
	var err error
	if r.Filter != nil {
		if q.Filter, err = ParseFilter(r.Filter, col.Spec.Filterable); err != nil {
			return q, err
		}
	}
	if !c.Principal.Subject.IsZero() {
		if q.PrincipalNum, err = s.Ledger.Find(ctx, c.Tenant, c.Principal.Subject); err != nil {
			return q, err
		}
	}
	if q.Mode, err = chooseMode(col, r); err != nil {
		return q, err
	}
	if q.Mode != ModeVector {
		k, err := s.keys(c.Tenant)
		if err != nil {
			return q, err
		}
		q.Terms = QueryTerms(termsKey(k, col.ID), r.Query)
	}
	if q.Mode != ModeKeyword && col.pinned() {
		q.Vector, err = s.queryVector(ctx, col, r)
	}
	return q, err
}

// maxQuery is the longest query in bytes.
const maxQuery = 32 << 10

// chooseMode settles the mode: hybrid where there is a text, and a vector can
// be had; a text over supplied vectors ranks by keywords alone.
func chooseMode(col *Collection, r SearchRequest) (Mode, error) {
	text := r.Query != ""
	vector := r.Vector != nil || text && col.Embedder.Name != ClientEmbedder
	switch r.Mode {
	case ModeDefault:
		switch {
		case text && vector:
			return ModeHybrid, nil
		case text:
			return ModeKeyword, nil
		}
		return ModeVector, nil
	case ModeKeyword:
		if !text {
			return 0, Invalid("query", "is required for keyword mode")
		}
	case ModeHybrid:
		if !text {
			return 0, Invalid("query", "is required for hybrid mode")
		}
		if !vector {
			return 0, Invalid("vector", "is required: the collection holds supplied vectors")
		}
	case ModeVector:
		if !vector {
			return 0, Invalid("vector", "is required: the collection holds supplied vectors")
		}
	default:
		return 0, ErrModeUnavailable
	}
	return r.Mode, nil
}

func (s *Service) queryVector(ctx context.Context, col *Collection, r SearchRequest) ([]float32, error) {
	if r.Vector != nil {
		if len(r.Vector) != col.Embedder.Dimensions {
			return nil, Invalid("vector", "has another number of dimensions than the collection")
		}
		unit, err := Unit(r.Vector)
		if err != nil {
			return nil, Invalid("vector", "is zero or not finite")
		}
		return unit, nil
	}
	e, err := s.embedder(col)
	if err != nil {
		return nil, err
	}
	vectors, err := embedUnit(ctx, e, []string{r.Query})
	if err != nil {
		return nil, err
	}
	return vectors[0], nil
}

// Check returns which of the passages an application still holds may still be
// used. Those that are gone, hidden or refused are left out alike.
func (s *Service) Check(ctx context.Context, c Caller, purpose string, ids []string, min consent.Position) (Checked, error) {
	permit, err := s.permit(ctx, c.Tenant, purpose, min)
	if err != nil {
		return Checked{}, err
	}
	sh, err := s.shelf(ctx, c.Tenant)
	if err != nil {
		return Checked{}, err
	}
	refs := make([]PassageRef, 0, len(ids))
	of := make([]int, 0, len(ids))
	for i, id := range ids {
		if ref, ok := parsePassageID(id); ok {
			refs, of = append(refs, ref), append(of, i)
		}
	}
	rows, err := s.rows(ctx, c.Tenant, refs)
	if err != nil {
		return Checked{}, err
	}
	permitted := make([]bool, len(ids))
	out := Checked{}
	byCollection := map[CollectionID][]int{}
	for i, ref := range refs {
		if row := rows[ref.Doc]; row != nil && ref.N < row.Passages {
			byCollection[row.Collection] = append(byCollection[row.Collection], i)
		}
	}
	for id, which := range byCollection {
		sh.mu.RLock()
		col := sh.byID[id]
		sh.mu.RUnlock()
		if col == nil || !c.sees(col.Name) {
			continue
		}
		g := &gate{Service: s, caller: c, col: col, permit: permit}
		some := make([]PassageRef, len(which))
		for i, w := range which {
			some[i] = refs[w]
		}
		ok, err := g.pass(ctx, some, rows)
		if err != nil {
			return Checked{}, err
		}
		for i, w := range which {
			permitted[of[w]] = ok[i]
		}
	}
	// Nothing between here and the answer: what was refused meanwhile shows.
	ruling := permit.Recheck(consent.Rule{}, nil, nil)
	out.Position, out.Permitted = ruling.Position, []string{}
	for i, id := range ids {
		if permitted[i] {
			out.Permitted = append(out.Permitted, id)
		}
	}
	return out, nil
}

// Document returns a document that passes both gates; ErrNotFound for one
// that is absent, hidden or refused.
func (s *Service) Document(ctx context.Context, c Caller, collection, id, purpose string) (DocumentAnswer, error) {
	permit, err := s.permit(ctx, c.Tenant, purpose, 0)
	if err != nil {
		return DocumentAnswer{}, err
	}
	col, err := s.collection(ctx, c, collection)
	if err != nil {
		return DocumentAnswer{}, err
	}
	k, err := s.keys(c.Tenant)
	if err != nil {
		return DocumentAnswer{}, err
	}
	rows, err := s.Catalogue.DocsByLookup(ctx, c.Tenant, col.ID, [][32]byte{s.docLookup(k, col.ID, id)})
	if err != nil {
		return DocumentAnswer{}, err
	}
	if len(rows) != 1 {
		return DocumentAnswer{}, ErrNotFound
	}
	found := make([]Found, rows[0].Passages)
	for n := range found {
		found[n].Ref = PassageRef{rows[0].Num, uint32(n)}
	}
	g := &gate{Service: s, caller: c, col: col, permit: permit}
	hits, err := g.hits(ctx, found)
	if err != nil {
		return DocumentAnswer{}, err
	}
	if len(hits) == 0 || len(hits) != len(found) || hits[0].DocumentID != id {
		return DocumentAnswer{}, ErrNotFound
	}
	o := g.opened[rows[0].Num]
	a := DocumentAnswer{
		ID: id, Title: o.meta.Title, Passages: hits, Metadata: o.meta.Metadata, Source: o.meta.Source,
		StoredAt: o.meta.Provenance.At.Time(),
		Privacy: Privacy{
			Position: g.ruling.Position, PolicyDigest: g.ruling.PolicyDigest, Purpose: purpose,
			Completeness: Complete, DecisionID: rand.Text(),
		},
	}
	if !o.meta.Supplied {
		a.Text = stitch(g.bodies)
	}
	return a, nil
}

// stitch puts chunked passages together again: they overlap, in order.
func stitch(bodies []Body) string {
	var b strings.Builder
	end := uint32(0)
	for _, p := range bodies {
		switch {
		case p.Start >= end:
			b.WriteString(strings.Repeat(" ", int(p.Start-end))) // white space between chunks
			b.WriteString(p.Text)
		case p.End > end:
			b.WriteString(p.Text[end-p.Start:])
		}
		end = max(end, p.End)
	}
	return b.String()
}
