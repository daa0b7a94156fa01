package training

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
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

// A scan turns the documents of a selection, as they were, into records.
type scan struct {
	b        *build
	ctx      context.Context
	past     consent.Time
	judge    *consent.Judge
	secrets  *secrets
	key      func() seal.Key
	cols     map[int64]int
	sorter   *sorter
	excluded map[string]uint64
	gone     uint64
	sources  []period

	sha  bool
	line []byte
	leaf []byte
	rec  record
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
		b: b, ctx: ctx, past: fold.Time(), judge: judge, key: seal.Hold(mkey),
		secrets:  newSecrets(b.Ledger, b.t, mkey, in.Splits),
		cols:     map[int64]int{},
		sorter:   &sorter{files: b.Files, dir: b.path("work"), key: seal.Hold(fkey), limit: b.SortBytes},
		excluded: map[string]uint64{}, sources: make([]period, len(b.job.Cols)), sha: in.Linkable,
	}
	for i, c := range b.job.Cols {
		s.cols[c.ID] = i
	}
	sel := Selection{Collections: b.job.Cols, Filter: b.job.Spec.Filter, Visibilities: b.job.Spec.Visibilities, At: b.job.Spec.AtCorpus}
	for mark, done := int64(0), false; !done; {
		if mark, done, err = b.Corpus.Page(ctx, b.t, sel, mark, s.document); err != nil {
			return nil, err
		}
		b.setProgress(b.row.ID, 0.7*(1-1/(1+float64(s.rows())/float64(b.ShardRows))))
	}
	return s, nil
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
	col := &s.b.job.Cols[at]
	said := s.judge.Decide(col.Rule, d.People)
	switch {
	case !said.Allowed:
		s.excluded[string(said.Reason)] += n
		return nil
	case d.RetainUntil != 0 && d.RetainUntil <= s.past:
		s.excluded[reasonRetention] += n
		return nil
	}
	c, err := s.secrets.cast(s.ctx, d.People, col.Name, d.ID)
	if errors.Is(err, consent.ErrKeyGone) || errors.Is(err, consent.ErrNoPerson) {
		s.gone += n
		return nil
	}
	if err != nil {
		return err
	}
	if c.conflict {
		s.excluded[reasonSplit] += n
		return nil
	}
	p := &s.sources[at]
	p.rows += n
	p.from, p.to = min(orMax(p.from), d.StoredAt), max(p.to, d.StoredAt)
	s.begin(d, c, at, said)
	for i, text := range d.Texts {
		if err := s.passage(d, c.secret(), uint32(i), text); err != nil {
			return err
		}
	}
	return nil
}

func orMax(t consent.Time) consent.Time {
	if t == 0 {
		return 1<<63 - 1
	}
	return t
}

// begin fills in what the rows of a document have in common.
func (s *scan) begin(d *Document, c cast, at int, said consent.Judgement) {
	s.rec.entry = entry{
		split: c.split, collection: uint32(at), doc: d.Num, nobody: d.People.Nobody, retain: d.RetainUntil,
		owners: d.People.Owners, mentions: d.People.Mentions,
	}
	s.rec.content = true
	name := s.b.job.Cols[at].Name
	s.rec.row = Row{
		Document: token(c.secret(), "assent document", []byte(name), []byte(d.ID)),
		Subjects: c.pseudonyms, Types: typeNames(said.Types), Basis: basis(said.Bases, d.People.Nobody),
		Split: s.secrets.splits[c.split].Name,
	}
	if d.Source != "" {
		s.rec.row.Source = token(s.key(), "assent source", []byte(d.Source))
	}
}

// passage adds a row.
func (s *scan) passage(d *Document, secret seal.Key, n uint32, text string) error {
	row := &s.rec.row
	number := binary.BigEndian.AppendUint32(nil, n)
	row.Token = token(secret, "assent row", row.Document[:], number)
	row.Content = seal.MAC(secret, "assent content", []byte(text))
	row.Text, row.PassageID, row.DocumentID = "", "", ""
	if s.b.job.Spec.IncludeText {
		row.Text = text
	}
	if s.sha {
		row.PassageID, row.DocumentID, row.SHA256 = d.PassageID(int(n)), d.ID, sha256.Sum256([]byte(text))
	}
	s.rec.n, s.rec.token = n, row.Token
	s.line = row.AppendLine(s.line[:0], s.b.columns())
	s.rec.leaf, s.leaf = leafOf(s.line, s.leaf)
	return s.sorter.add(s.rec.append)
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
