package retrieval

import (
	"context"
	"errors"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// A PastQuery asks for the documents of some collections as they were at a
// corpus position. It is not a way out: who asks decides by the ledger what
// may leave, and by the second gate again when it does.
type PastQuery struct {
	Collections []CollectionID
	At          CorpusPosition
	Filter      *Filter
	Levels      []Level // of visibility; others are passed over
}

// A PastDocument is a version as it was. Of one that is Gone, because it was
// replaced, deleted or erased since, or is to be, only Num, Collection, the people and the
// number of passages are known, and not whether it matches the query.
type PastDocument struct {
	Num         DocNum
	Collection  CollectionID
	People      consent.People
	RetainUntil consent.Time
	Passages    int
	Gone        bool
	Meta        DocMeta
	Bodies      []Body
}

// PassageID returns the public name of a passage of the document.
func (d *PastDocument) PassageID(n int) string { return passageID(PassageRef{d.Num, uint32(n)}) }

// pastWorkers open documents at the same time.
const pastWorkers = 2

// Past calls f with some of the documents a query finds, in the order of
// ingest from after a mark on, and returns the mark to go on from; done when
// there are no more.
func (s *Service) Past(ctx context.Context, t consent.TenantID, q PastQuery, after int64, f func(*PastDocument) error) (mark int64, done bool, err error) {
	const page = 512
	versions, err := s.Catalogue.VersionsAt(ctx, t, q.Collections, q.At, after, page)
	if err != nil || len(versions) == 0 {
		return after, err == nil, err
	}
	docs := make([]*PastDocument, len(versions))
	g, gctx := errgroup.WithContext(ctx)
	for w := range pastWorkers {
		g.Go(func() error {
			for i := w; i < len(versions); i += pastWorkers {
				d, err := s.past(gctx, t, &q, &versions[i])
				if err != nil {
					return err
				}
				docs[i] = d
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return after, false, err
	}
	for _, d := range docs {
		if d == nil {
			continue
		}
		if err := f(d); err != nil {
			return after, false, err
		}
	}
	return versions[len(versions)-1].Mark, false, nil
}

// past opens a version; nil for one that the query does not ask for.
func (s *Service) past(ctx context.Context, t consent.TenantID, q *PastQuery, v *Version) (*PastDocument, error) {
	d := &PastDocument{
		Num: v.Num, Collection: v.Collection, RetainUntil: v.RetainUntil, Passages: int(v.Passages), Gone: true,
		People: consent.People{Owners: v.Owners, Mentions: v.Mentions},
	}
	if v.To != 0 || s.Ledger.Condemned(t, pieceOf(&v.DocRow)) {
		return d, nil
	}
	o, err := s.open(ctx, t, v.DocRow)
	if closed(err) {
		return d, nil
	}
	if err != nil {
		return nil, err
	}
	if !slices.Contains(q.Levels, o.meta.Visibility.Level) || !q.Filter.Match(o.meta.Metadata) {
		return nil, nil
	}
	d.Meta, d.People = o.meta, o.people
	for _, part := range v.Bodies {
		b, err := s.openBody(t, o, part)
		if errors.Is(err, seal.ErrOpen) || errors.Is(err, ErrRecord) {
			return d, nil
		}
		if err != nil {
			return nil, err
		}
		d.Bodies = append(d.Bodies, b)
	}
	d.Gone = len(d.Bodies) != d.Passages // its parts ended between two reads
	return d, nil
}

// Selection is collections and a filter over all of them, for documents that
// are looked back to. ErrNotFound for a collection that the caller may not
// know of.
func (s *Service) Selection(ctx context.Context, c Caller, collections []string, filter []byte) ([]Collection, *Filter, error) {
	var out []Collection
	var parsed *Filter
	for _, name := range collections {
		col, err := s.Collection(ctx, c, name)
		if err != nil {
			return nil, nil, err
		}
		out = append(out, col)
		if filter != nil {
			if parsed, err = ParseFilter(filter, col.Spec.Filterable); err != nil {
				return nil, nil, err
			}
		}
	}
	return out, parsed, nil
}

// CollectionByID returns a collection of a tenant as it is now; ErrNotFound.
func (s *Service) CollectionByID(ctx context.Context, t consent.TenantID, id CollectionID) (Collection, error) {
	sh, err := s.shelf(ctx, t)
	if err != nil {
		return Collection{}, err
	}
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	if col := sh.byID[id]; col != nil {
		return *col, nil
	}
	return Collection{}, ErrNotFound
}
