package retrieval

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// A Specimen is a document as it lies there, before it is erased.
type Specimen struct {
	Row      DocRow
	Meta     DocMeta // zero when it does not open
	Opened   bool
	AAD      []byte // that Row.Sealed is bound to
	Passages []SpecimenPassage
}

// A SpecimenPassage is a passage as it lies there; Head and Body are zero when
// it does not open.
type SpecimenPassage struct {
	Ref        PassageRef
	SealedHead []byte
	SealedBody []byte
	Head       Head
	Body       Body
	Opened     bool
}

// gatherBatch is how many documents Gather reads at a time.
const gatherBatch = 200

// Gather calls f with every condemned document, as it lies there and opened as
// far as it opens, one at a time. It changes nothing. The next batch is read while
// one is opened: each is a half of the time.
func (s *Service) Gather(ctx context.Context, t consent.TenantID, w Which, f func(*Specimen) error) error {
	batches := make(chan *lying, 1)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(batches)
		for {
			rows, err := s.condemned(ctx, t, w, gatherBatch)
			if err != nil {
				return err
			}
			some, err := s.lie(ctx, t, rows)
			if err != nil {
				return err
			}
			select {
			case batches <- some:
			case <-ctx.Done():
				return ctx.Err()
			}
			if len(rows) < gatherBatch {
				return nil
			}
			for i := range rows {
				w.Pass(&rows[i])
			}
		}
	})
	g.Go(func() error {
		for some := range batches {
			specimens, err := s.lift(ctx, t, some)
			if err != nil {
				return err
			}
			for i := range specimens {
				if err := f(&specimens[i]); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return g.Wait()
}

func (s *Service) specimens(ctx context.Context, t consent.TenantID, rows []DocRow) ([]Specimen, error) {
	some, err := s.lie(ctx, t, rows)
	if err != nil {
		return nil, err
	}
	return s.lift(ctx, t, some)
}

// lying are versions and their parts as they lie there.
type lying struct {
	rows  []DocRow
	parts map[PassageRef]*SpecimenPassage
}

func (s *Service) lie(ctx context.Context, t consent.TenantID, rows []DocRow) (*lying, error) {
	var refs []PassageRef
	for _, r := range rows {
		for n := range r.Passages {
			refs = append(refs, PassageRef{r.Num, n})
		}
	}
	heads, err := s.Condemning.Heads(ctx, t, refs)
	if err != nil {
		return nil, err
	}
	bodies, err := s.Catalogue.Bodies(ctx, t, refs)
	if err != nil {
		return nil, err
	}
	l := &lying{rows: rows, parts: make(map[PassageRef]*SpecimenPassage, len(refs))}
	at := func(ref PassageRef) *SpecimenPassage {
		if l.parts[ref] == nil {
			l.parts[ref] = &SpecimenPassage{Ref: ref}
		}
		return l.parts[ref]
	}
	for _, h := range heads {
		at(h.Ref).SealedHead = h.Sealed
	}
	for _, b := range bodies {
		at(b.Ref).SealedBody = b.Sealed
	}
	return l, nil
}

// lift opens what lies there. The key of a version's people, of whom most have
// many, is opened once.
func (s *Service) lift(ctx context.Context, t consent.TenantID, l *lying) ([]Specimen, error) {
	type key struct {
		parent *seal.Key
		err    error
	}
	parents := map[string]key{}
	out := make([]Specimen, len(l.rows))
	for i, r := range l.rows {
		out[i].Row, out[i].AAD = r, metaAAD(t, &r)
		people := fmt.Sprint(r.Owners, r.Mentions)
		k, known := parents[people]
		if !known {
			k.parent, k.err = s.parent(ctx, t, &r)
			parents[people] = k
		}
		var o *opened
		err := k.err
		if err == nil {
			o, err = s.openUnder(t, r, k.parent)
		}
		if err != nil && !closed(err) {
			return nil, err
		}
		if err == nil {
			out[i].Meta, out[i].Opened = o.meta, true
		}
		for n := range r.Passages {
			if p := l.parts[PassageRef{r.Num, n}]; p != nil {
				s.liftPassage(t, o, p)
				out[i].Passages = append(out[i].Passages, *p)
			}
		}
	}
	return out, nil
}

// liftPassage opens a passage of a version that opened; nil: it did not.
func (s *Service) liftPassage(t consent.TenantID, o *opened, p *SpecimenPassage) {
	if o == nil {
		return
	}
	h, headErr := Head{}, error(nil)
	if !o.meta.Stripped {
		h, headErr = s.openHead(t, o, PartRow{p.Ref, p.SealedHead})
	}
	b, bodyErr := s.openBody(t, o, PartRow{p.Ref, p.SealedBody})
	if headErr == nil && bodyErr == nil {
		p.Head, p.Body, p.Opened = h, b, true
	}
}
