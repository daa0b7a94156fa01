package training

import (
	"cmp"
	"context"
	"slices"
)

// A Change is a row that one manifest has and another has not. A row is named
// by its token in the manifest that has it.
type Change struct {
	Op     string // added | removed
	Row    Token
	Reason string // why it was removed, as far as the ledger's head says
}

// passage is a row's place in the corpus, by which manifests are compared:
// inside, since their tokens have nothing in common.
type passage struct {
	doc int64
	n   uint32
}

func (p passage) compare(q passage) int {
	return cmp.Or(cmp.Compare(p.doc, q.doc), cmp.Compare(p.n, q.n))
}

// Diff calls f with every row of a manifest that another has not (removed),
// then with every row that only the other has (added). It keeps 16 bytes a row
// in memory.
func (s *Service) Diff(ctx context.Context, c Caller, id, other string, f func(Change) error) error {
	from, err := s.ready(ctx, c, id)
	if err != nil {
		return err
	}
	to, err := s.ready(ctx, c, other)
	if err != nil {
		return err
	}
	before, err := from.passages(ctx)
	if err != nil {
		return err
	}
	after, err := to.passages(ctx)
	if err != nil {
		return err
	}
	if err := from.removed(ctx, after, f); err != nil {
		return err
	}
	return to.others(ctx, before, func(e *entry) error { return f(Change{Op: "added", Row: e.token}) })
}

// others calls f with the rows of a manifest's files that are not among some,
// in the order of their tokens: that of documents would join manifests by rank.
func (b *build) others(ctx context.Context, some []passage, f func(*entry) error) error {
	parts, err := b.parts(ctx)
	if err != nil {
		return err
	}
	for i := range b.job.Shards {
		err := b.eachListed(i, parts[i], func(e *entry) error {
			if _, both := slices.BinarySearchFunc(some, passage{e.doc, e.n}, passage.compare); both {
				return nil
			}
			return f(e)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// passages of a manifest's files, in order.
func (b *build) passages(ctx context.Context) ([]passage, error) {
	if b.row.Holder != b.Files.Holder() {
		return nil, ErrElsewhere
	}
	parts, err := b.parts(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]passage, 0, b.job.Rows)
	for i := range b.job.Shards {
		err := b.eachListed(i, parts[i], func(e *entry) error {
			out = append(out, passage{e.doc, e.n})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, passage.compare)
	return out, nil
}

// removed calls f with the rows that are not in after, and why.
func (b *build) removed(ctx context.Context, after []passage, f func(Change) error) error {
	st, err := b.standingOrNone(ctx)
	if err == nil {
		err = st.documents(ctx, b)
	}
	if err != nil {
		return err
	}
	return b.others(ctx, after, func(e *entry) error {
		why := st.why(e)
		if why == "" {
			why = whyUnchosen // replaced, deleted, or of another selection
		}
		return f(Change{"removed", e.token, why})
	})
}
