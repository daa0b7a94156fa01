package retrieval

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"time"
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
	ctx, end := s.Observer.Begin(ctx, StepSearch)
	answer, err := s.search(ctx, c, collection, r)
	end(err)
	if err == nil {
		s.Observer.Searched(answer.Mode, answer.Privacy.Completeness)
	}
	return answer, err
}

func (s *Service) search(ctx context.Context, c Caller, collection string, r SearchRequest) (Answer, error) {
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
		again, err := s.round(ctx, c, col, permit, q, round, &answer)
		if err != nil {
			return Answer{}, err
		}
		if !again {
			break
		}
		if permit, err = s.permit(ctx, c.Tenant, r.Purpose, 0); err != nil {
			return Answer{}, err
		}
	}
	if q.Mode == ModeHybrid {
		for i := range answer.Hits {
			answer.Hits[i].Score *= RRFScale
		}
	}
	return answer, nil
}

// round searches once and passes the second gate. It reports whether to search
// again, since hits fell there. The first round waits for nobody. Later ones
// hold the intake: between the commit of a change and its application to the
// index, rows and index differ, and no round would be whole.
func (s *Service) round(ctx context.Context, c Caller, col *Collection, permit consent.Permit, q Query, round int, answer *Answer) (again bool, err error) {
	if round > 1 {
		sh, err := s.shelf(ctx, c.Tenant)
		if err != nil {
			return false, err
		}
		sh.intake.RLock()
		defer sh.intake.RUnlock()
		ctx = context.WithValue(ctx, holding{}, true)
	}
	if s.Outside != nil {
		ctx = withMemo(ctx)
	}
	var found []Found
	if col.pinned() {
		within, end := s.Observer.Begin(ctx, StepIndex)
		found, err = s.Index.Search(within, permit, q)
		end(err)
		if err != nil {
			return false, err
		}
		if memoOf(ctx).heardCanary() {
			s.alarm()
		}
	}
	g := &gate{Service: s, caller: c, col: col, permit: permit, filter: q.Filter}
	if answer.Hits, err = g.hits(ctx, found); err != nil {
		return false, err
	}
	p := &answer.Privacy
	p.Position, p.PolicyDigest, p.CompletenessReason = g.ruling.Position, g.ruling.PolicyDigest, ""
	overtaken := memoOf(ctx).wasOvertaken()
	switch {
	case len(answer.Hits) == q.K && !overtaken:
		p.Completeness = Complete
	case len(answer.Hits) == len(found) && !overtaken:
		p.Completeness = Short
	default:
		p.Completeness, p.CompletenessReason = Degraded, "changed_during_search"
		if err := g.quarantine(ctx); err != nil {
			return false, err
		}
		return round < maxRounds, nil
	}
	return false, nil
}

// query checks a request and makes it into what an index takes.
func (s *Service) query(ctx context.Context, c Caller, col *Collection, r SearchRequest) (Query, error) {
	q := Query{Collection: col.ID, Rule: col.Rule(), Principal: c.Principal, K: r.K, Mode: r.Mode, Exact: r.Exact}
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
		fields := col.Spec.Filterable
		if s.Outside != nil && fields == nil {
			fields = []string{} // there only what was declared can be filtered on
		}
		if q.Filter, err = ParseFilter(r.Filter, fields); err != nil {
			return q, err
		}
	}
	if !c.Principal.Subject.IsZero() {
		if q.PrincipalNum, err = s.Ledger.Find(ctx, c.Tenant, c.Principal.Subject); err != nil {
			return q, err
		}
	}
	words := s.Outside == nil || col.Spec.Keyword
	if q.Mode, err = chooseMode(col, r, words); err != nil {
		return q, err
	}
	if col.pinned() {
		if err := s.madeBy(col, q.Mode); err != nil {
			return q, err
		}
	}
	if q.Mode != ModeVector {
		k, err := s.keys(c.Tenant)
		if err != nil {
			return q, err
		}
		q.Terms, q.Text = QueryTerms(termsKey(k, col.ID), r.Query), r.Query
	}
	if q.Mode != ModeKeyword && col.pinned() {
		q.Vector, err = s.queryVector(ctx, col, r)
	}
	return q, err
}

// madeBy refuses a mode whose ranking this gateway cannot make as the
// collection was made: ErrEmbedderMismatch, also when the query's vector was
// supplied, and for terms of another analyser.
func (s *Service) madeBy(col *Collection, m Mode) error {
	if m != ModeVector && col.Analyser != Analyser {
		return ErrEmbedderMismatch
	}
	if m == ModeKeyword || col.Embedder.Name == ClientEmbedder {
		return nil
	}
	_, err := s.embedder(col)
	return err
}

// maxQuery is the longest query in bytes.
const maxQuery = 32 << 10

// chooseMode settles the mode: hybrid where there is a text, and a vector can
// be had; a text over supplied vectors ranks by keywords alone. words says that
// the collection can be searched by keywords.
func chooseMode(col *Collection, r SearchRequest, words bool) (Mode, error) {
	text := r.Query != ""
	if !words && (r.Mode == ModeKeyword || r.Mode == ModeHybrid) {
		return 0, ErrModeUnavailable
	}
	vector := r.Vector != nil || text && col.Embedder.Name != ClientEmbedder
	switch r.Mode {
	case ModeDefault:
		switch {
		case text && vector && words:
			return ModeHybrid, nil
		case text && words:
			return ModeKeyword, nil
		case !vector:
			return 0, ErrModeUnavailable
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
	vectors, err := s.embedUnit(ctx, e, []string{r.Query})
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
	gates := map[CollectionID]*gate{}
	for _, ref := range refs {
		row := rows[ref.Doc]
		if row == nil || gates[row.Collection] != nil {
			continue
		}
		col, _ := sh.get(row.Collection)
		if col == nil || !c.sees(col.Name) {
			continue
		}
		g := &gate{Service: s, caller: c, col: col, permit: permit, asked: true}
		if err := g.openAll(ctx, within(refs, rows, col.ID), rows); err != nil {
			return Checked{}, err
		}
		gates[row.Collection] = g
	}
	// Every document is open: now all are judged from one state, the newest.
	claims, ok := make([]consent.Claim, len(refs)), make([]bool, len(refs))
	for i, ref := range refs {
		claims[i] = claimOf(gates, rows, ref)
	}
	ruling := permit.Recheck(claims, ok)
	out := Checked{Position: ruling.Position, Permitted: []string{}}
	for i := range refs {
		if ok[i] {
			out.Permitted = append(out.Permitted, ids[of[i]])
		}
	}
	return out, nil
}

// within returns the passages whose documents are in a collection.
func within(refs []PassageRef, rows map[DocNum]*DocRow, c CollectionID) []PassageRef {
	var out []PassageRef
	for _, ref := range refs {
		if row := rows[ref.Doc]; row != nil && row.Collection == c {
			out = append(out, ref)
		}
	}
	return out
}

// claimOf is a passage at the second gate; one that did not open is nobody's
// and everybody's no: a claim without owners.
func claimOf(gates map[CollectionID]*gate, rows map[DocNum]*DocRow, ref PassageRef) consent.Claim {
	row := rows[ref.Doc]
	if row == nil || ref.N >= row.Passages {
		return consent.Claim{}
	}
	g := gates[row.Collection]
	if g == nil || g.opened[ref.Doc] == nil {
		return consent.Claim{}
	}
	return consent.Claim{Rule: g.col.Rule(), People: g.opened[ref.Doc].people}
}

// notFoundTakes is how long it takes at least to say that a document is not
// there. A hidden one costs more work than an absent one, and whoever times
// answers could tell them apart; both fit well within this.
const notFoundTakes = 5 * time.Millisecond

// Document returns a document that passes both gates; ErrNotFound for one
// that is absent, hidden or refused, and after the same time.
func (s *Service) Document(ctx context.Context, c Caller, collection, id, purpose string) (DocumentAnswer, error) {
	floor := time.NewTimer(notFoundTakes)
	defer floor.Stop()
	a, err := s.findDocument(ctx, c, collection, id, purpose)
	if errors.Is(err, ErrNotFound) {
		select {
		case <-floor.C:
		case <-ctx.Done():
		}
	}
	return a, err
}

func (s *Service) findDocument(ctx context.Context, c Caller, collection, id, purpose string) (DocumentAnswer, error) {
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
	lookup := s.docLookup(k, col.ID, id)
	a, overtaken, err := s.document(ctx, c, col, permit, lookup)
	if overtaken { // replaced between two reads: once more, and let nothing change
		sh, shelfErr := s.shelf(ctx, c.Tenant)
		if shelfErr != nil {
			return DocumentAnswer{}, shelfErr
		}
		sh.intake.RLock()
		defer sh.intake.RUnlock()
		a, _, err = s.document(ctx, c, col, permit, lookup)
	}
	if err != nil {
		return DocumentAnswer{}, err
	}
	if a.ID != id {
		return DocumentAnswer{}, ErrNotFound
	}
	a.Privacy.Purpose, a.Privacy.Completeness, a.Privacy.DecisionID = purpose, Complete, rand.Text()
	return a, nil
}

// document reads one document through the second gate; ErrNotFound when it is
// absent or may not leave. overtaken says that it was there and then was not.
func (s *Service) document(ctx context.Context, c Caller, col *Collection, permit consent.Permit, lookup [32]byte) (a DocumentAnswer, overtaken bool, err error) {
	rows, err := s.Catalogue.DocsByLookup(ctx, c.Tenant, col.ID, [][32]byte{lookup})
	if err != nil {
		return a, false, err
	}
	if len(rows) != 1 {
		return a, false, ErrNotFound
	}
	// Judged first by what its row says: one that is refused should cost about
	// what an absent one costs.
	ok := []bool{false}
	permit.Recheck([]consent.Claim{{Rule: col.Rule(), People: peopleOf(&rows[0])}}, ok)
	if !ok[0] {
		return a, false, ErrNotFound
	}
	found := make([]Found, rows[0].Passages)
	for n := range found {
		found[n].Ref = PassageRef{rows[0].Num, uint32(n)}
	}
	g := &gate{Service: s, caller: c, col: col, permit: permit, asked: true}
	hits, err := g.hits(ctx, found)
	if err != nil {
		return a, false, err
	}
	o := g.opened[rows[0].Num]
	if o == nil || len(hits) != len(found) {
		return a, g.gone, ErrNotFound
	}
	a = DocumentAnswer{
		ID: o.meta.ID, Title: o.meta.Title, Passages: hits, Metadata: o.meta.Metadata, Source: o.meta.Source,
		StoredAt: o.meta.Provenance.At.Time(),
		Privacy:  Privacy{Position: g.ruling.Position, PolicyDigest: g.ruling.PolicyDigest},
	}
	if !o.meta.Supplied {
		a.Text = stitch(g.bodies)
	}
	return a, false, nil
}

// peopleOf is whom a row says it is about, before anything vouches for it.
func peopleOf(r *DocRow) consent.People {
	return consent.People{Owners: r.Owners, Mentions: r.Mentions, Nobody: !r.Personal}
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
