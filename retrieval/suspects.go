package retrieval

import (
	"cmp"
	"context"
	"crypto/rand"
	"math"
	"slices"
	"strings"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// A Suspect is a document of others that seems to name a person: where, never
// how. It holds for one version.
type Suspect struct {
	Collection CollectionID
	Doc        DocNum
	Title      []Span
	Passages   []SuspectPassage
}

// A SuspectPassage is a passage of it; Spans are bytes of its text.
type SuspectPassage struct {
	N     uint32
	Spans []Span
}

// A Holder is an index that knows which documents hold terms.
type Holder interface {
	// Holding returns the documents of which some passage holds every term of
	// one of the sets. It asks no permit: who calls it lets nothing out.
	Holding(c CollectionID, sets [][]uint64) []DocNum
}

// Suspects looks for documents that name a person in title or text and are not
// theirs, and returns at most most of them, and how many there are. Where the
// index knows terms, those are opened that hold the terms of a name; else all.
// It is no way out: what it returns says where a name stands in what version.
func (s *Service) Suspects(ctx context.Context, t consent.TenantID, person consent.SubjectNum, who []consent.Subject, most int) ([]Suspect, int, error) {
	sh, _, err := s.current(ctx, t)
	if err != nil {
		return nil, 0, err
	}
	k, err := s.keys(t)
	if err != nil {
		return nil, 0, err
	}
	sh.mu.RLock()
	var cols []CollectionID
	for id, col := range sh.byID {
		if col.pinned() {
			cols = append(cols, id)
		}
	}
	sh.mu.RUnlock()
	slices.Sort(cols)
	names := NamesOf(who)
	var out []Suspect
	total := 0
	for _, c := range cols {
		err := s.candidates(ctx, t, k, c, who, func(rows []DocRow) error {
			rows = slices.DeleteFunc(rows, func(r DocRow) bool {
				return r.Collection != c || slices.Contains(r.Owners, person) || slices.Contains(r.Mentions, person)
			})
			opened, err := s.openWas(ctx, t, rows)
			for i := range opened {
				if found, ok := names.suspect(&opened[i]); ok {
					if total++; len(out) < most {
						out = append(out, found)
					}
				}
			}
			return err
		})
		if err != nil {
			return nil, 0, err
		}
	}
	return out, total, nil
}

// candidates calls f with live versions of a collection that may hold a name.
func (s *Service) candidates(ctx context.Context, t consent.TenantID, k Keys, c CollectionID, who []consent.Subject, f func([]DocRow) error) error {
	var nums []DocNum
	if h, ok := s.Index.(Holder); ok {
		var sets [][]uint64
		for _, w := range who {
			sets = append(sets, suspectSets(termsKey(k, c), w)...)
		}
		nums = h.Holding(c, sets)
	} else {
		err := s.Catalogue.Live(ctx, t, func(r DocRow, _ []PartRow) error {
			if r.Collection == c {
				nums = append(nums, r.Num)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for some := range slices.Chunk(nums, gatherBatch) {
		rows, err := s.Catalogue.Docs(ctx, t, some)
		if err != nil {
			return err
		}
		if err := f(rows); err != nil {
			return err
		}
	}
	return nil
}

// suspectSets are the sets of hashes of which a passage that names somebody by an
// identifier holds one.
func suspectSets(k seal.Key, w consent.Subject) [][]uint64 {
	_, bare, _ := strings.Cut(w.Reveal(), ":") // who is named in full is named so, too
	sets := pieceSets(k, bare)
	for _, form := range spoken(w.Reveal()) {
		if terms := QueryTerms(k, form); len(terms) > 0 {
			sets = append(sets, terms)
		}
	}
	return sets
}

// spoken are the forms in which an index that knows terms is asked for an
// identifier beside its pieces, which documents from before there were pieces are
// not listed under. Its analyser makes one term of words that an apostrophe, a colon
// or a full stop joins: of a name with its namespace, in the genitive, or in a link.
func spoken(full string) []string {
	_, bare, _ := strings.Cut(full, ":")
	forms := []string{bare, full, "mailto:" + bare}
	for _, end := range []string{"'s", "\u2019s"} {
		forms = append(forms, bare+end, full+end)
	}
	return forms
}

func (n Names) suspect(w *was) (Suspect, bool) {
	out := Suspect{Collection: w.row.Collection, Doc: w.row.Num, Title: n.spans(w.meta.Title)}
	for i, b := range w.bodies {
		if spans := n.spans(b.Text); len(spans) > 0 {
			out.Passages = append(out.Passages, SuspectPassage{uint32(i), spans})
		}
	}
	return out, len(out.Title)+len(out.Passages) > 0
}

// A SuspectPlace is where a suspect is, as clients name it.
type SuspectPlace struct {
	Collection, Document string
	Passages             []string // their ids
	Title                bool
}

// Place names a suspect; false when that version is not there any more.
func (s *Service) Place(ctx context.Context, t consent.TenantID, p Suspect) (SuspectPlace, bool, error) {
	col, err := s.CollectionByID(ctx, t, p.Collection)
	if err != nil {
		return SuspectPlace{}, false, nil // dropped, or not on this shelf
	}
	rows, err := s.Catalogue.Docs(ctx, t, []DocNum{p.Doc})
	if err != nil || len(rows) == 0 {
		return SuspectPlace{}, false, err
	}
	o, err := s.open(ctx, t, rows[0])
	if closed(err) {
		return SuspectPlace{}, false, nil
	}
	if err != nil {
		return SuspectPlace{}, false, err
	}
	out := SuspectPlace{Collection: col.Name, Document: o.meta.ID, Title: len(p.Title) > 0}
	for _, passage := range p.Passages {
		out.Passages = append(out.Passages, passageID(PassageRef{p.Doc, passage.N}))
	}
	return out, true, nil
}

// RedactSuspect writes the version anew with RedactionMark where the name stands,
// as Redact does; ErrConflict when it is not there any more, or its people do not
// permit it to be embedded again.
func (s *Service) RedactSuspect(ctx context.Context, t consent.TenantID, p Suspect) error {
	w := Which{Before: math.MaxInt64, Versions: []DocNum{p.Doc}}
	out, err := s.rewrite(ctx, t, rewriting{which: w, version: p.version})
	if err == nil && out.Documents == 0 {
		err = ErrConflict
	}
	return err
}

func (p *Suspect) version(col *Collection, w *was) *job {
	supplied := col.Embedder.Name == ClientEmbedder
	meta := w.meta
	meta.Redacted, meta.Stripped = true, false
	doc := &Document{
		ID: meta.ID, Nobody: meta.Nobody, Title: blot(meta.Title, p.Title), Metadata: meta.Metadata, Visibility: meta.Visibility,
		Source: meta.Source, RetainUntil: w.row.RetainUntil.Time(),
	}
	at := map[uint32][]Span{}
	var all []Span // in the document's text
	for _, passage := range p.Passages {
		at[passage.N] = passage.Spans
		if int(passage.N) < len(w.bodies) {
			start := int(w.bodies[passage.N].Start)
			for _, span := range passage.Spans {
				all = append(all, Span{start + span.Start, start + span.End})
			}
		}
	}
	j := &job{doc: doc, owners: sorted(w.row.Owners), mentions: sorted(w.row.Mentions), was: &meta}
	rand.Read(j.digest[:])
	if !meta.Supplied {
		doc.Text = blot(stitch(w.bodies), all)
		return j
	}
	for n, b := range w.bodies {
		spans := at[uint32(n)]
		if supplied && len(spans)+len(p.Title) > 0 {
			continue // its vector cannot be had again
		}
		passage := Passage{Text: blot(b.Text, spans)}
		if supplied {
			passage.Vector = b.Vector
		}
		doc.Passages, j.by = append(doc.Passages, passage), append(j.by, b.By)
	}
	if len(doc.Passages) == 0 {
		return nil
	}
	return j
}

// blot puts RedactionMark in place of spans, which may repeat.
func blot(text string, spans []Span) string {
	spans = slices.Clone(spans)
	slices.SortFunc(spans, func(a, b Span) int { return cmp.Compare(a.Start, b.Start) })
	var out strings.Builder
	end := 0
	for _, s := range spans {
		if s.Start < end || s.End > len(text) {
			continue
		}
		out.WriteString(text[end:s.Start])
		out.WriteString(RedactionMark)
		end = s.End
	}
	out.WriteString(text[end:])
	return out.String()
}
