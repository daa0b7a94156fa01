package training

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// Reasons of exclusion besides the ledger's.
const (
	reasonRetention = "retention_expired"
	reasonSplit     = "split_conflict"
)

// A scan judges the documents of a selection, as they were, in their order, and
// hands those that were permitted to scribes, one a core, who make records of
// their rows. Which scribe makes which does not show: the records are sorted.
type scan struct {
	b        *build
	ctx      context.Context
	past     consent.Time
	judge    *consent.Judge
	secrets  *secrets
	cols     map[int64]int
	alone    map[loner]*heard
	runs     *runs
	excluded map[string]uint64
	gone     uint64
	sources  []period
	scribes  *scribes
}

// loner is one person in one collection: most documents have one owner and
// mention nobody, so that all of one owner are judged alike.
type loner struct {
	num consent.SubjectNum
	at  int
}

// heard is what the ledger says of a document, and what names its people.
type heard struct {
	reason string // why it was not permitted; "" when it was
	types  []string
	basis  string
	cast   cast
	gone   bool // a key is
}

// period is what a Source is made of.
type period struct {
	rows     uint64
	from, to consent.Time
}

// scan fills a sorter with the rows that were permitted at the position.
func (b *build) scan(ctx context.Context, in Inputs, mkey, fkey seal.Key) (*scan, error) {
	fold, err := b.foldTo(ctx, b.t, b.job.Spec.AtPosition)
	if err != nil {
		return nil, err
	}
	judge, err := fold.Judge(b.job.Spec.Purpose)
	if err != nil {
		return nil, err
	}
	s := &scan{
		b: b, ctx: ctx, past: fold.Time(), judge: judge,
		secrets: newSecrets(b.Ledger, b.t, mkey, in.Splits),
		cols:    map[int64]int{}, alone: map[loner]*heard{},
		runs:     &runs{files: b.Files, dir: b.path("work"), key: seal.Hold(fkey), log: b.Log},
		excluded: map[string]uint64{}, sources: make([]period, len(b.job.Cols)),
	}
	for i, c := range b.job.Cols {
		s.cols[c.ID] = i
	}
	sel := Selection{Collections: b.job.Cols, Filter: b.job.Spec.Filter, Visibilities: b.job.Spec.Visibilities, At: b.job.Spec.AtCorpus}
	s.scribes = newScribes(ctx, b, mkey, s.runs)
	defer s.scribes.stop()
	for mark, done := int64(0), false; !done; {
		if mark, done, err = b.Corpus.Page(ctx, b.t, sel, mark, s.document); err != nil {
			return nil, s.scribes.first(err)
		}
		b.setProgress(b.row.ID, 0.7*(1-1/(1+float64(s.rows())/float64(b.ShardRows))))
	}
	return s, s.scribes.finish()
}

func (s *scan) rows() (n uint64) {
	for _, p := range s.sources {
		n += p.rows
	}
	return n
}

// document judges a document and adds its passages.
func (s *scan) document(d *Document) error {
	at, ok := s.cols[d.Collection]
	n := uint64(d.Passages)
	switch {
	case !ok:
		return nil
	case d.Gone:
		s.gone += n
		return nil
	}
	h, err := s.hear(d, at)
	switch {
	case err != nil:
		return err
	case h.reason != "":
		s.excluded[h.reason] += n
		return nil
	case d.RetainUntil != 0 && d.RetainUntil <= s.past:
		s.excluded[reasonRetention] += n
		return nil
	case h.gone:
		s.gone += n
		return nil
	case h.cast.conflict:
		s.excluded[reasonSplit] += n
		return nil
	}
	p := &s.sources[at]
	p.rows += n
	p.from, p.to = min(orMax(p.from), d.StoredAt), max(p.to, d.StoredAt)
	return s.scribes.give(task{d, h, at})
}

// hear asks what the ledger says of a document.
func (s *scan) hear(d *Document, at int) (*heard, error) {
	if d.People.Nobody || len(d.People.Owners) != 1 || len(d.People.Mentions) != 0 {
		return s.ask(d, at)
	}
	k := loner{d.People.Owners[0], at}
	h := s.alone[k]
	if h == nil {
		var err error
		if h, err = s.ask(d, at); err != nil {
			return nil, err
		}
		s.alone[k] = h
	}
	return h, nil
}

func (s *scan) ask(d *Document, at int) (*heard, error) {
	col := &s.b.job.Cols[at]
	said := s.judge.Decide(col.Rule, d.People)
	if !said.Allowed {
		return &heard{reason: string(said.Reason)}, nil
	}
	h := &heard{types: typeNames(said.Types), basis: basis(said.Bases, d.People.Nobody)}
	var err error
	h.cast, err = s.secrets.cast(s.ctx, d.People, col.Name, d.ID)
	if errors.Is(err, consent.ErrKeyGone) || errors.Is(err, consent.ErrNoPerson) {
		h.gone, err = true, nil
	}
	return h, err
}

func orMax(t consent.Time) consent.Time {
	if t == 0 {
		return 1<<63 - 1
	}
	return t
}

// basis of a row: the distinct lawful bases of its people.
func basis(bases []string, nobody bool) string {
	if nobody {
		return "not_personal"
	}
	if len(bases) == 1 {
		return bases[0]
	}
	bases = slices.Clone(bases)
	slices.Sort(bases)
	return strings.Join(slices.Compact(bases), ",")
}

func typeNames(types []consent.Type) []string {
	if len(types) == 0 {
		return nil
	}
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = t.String()
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// sourcesOf are the categories of data and when they were collected.
func (s *scan) sourcesOf() []Source {
	out := []Source{}
	for i, p := range s.sources {
		if p.rows > 0 {
			const day = "2006-01-02"
			out = append(out, Source{s.b.job.Cols[i].Name, p.rows, p.from.Time().Format(day), p.to.Time().Format(day)})
		}
	}
	return out
}
