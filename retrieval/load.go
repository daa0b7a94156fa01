package retrieval

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/assent-gateway/assent/consent"
)

// Loaded counts what a tenant's start found.
type Loaded struct {
	Collections, Documents, Passages int
	Dropped                          int // documents whose key is gone
	Damaged                          int // documents that do not open with their key
}

// openBatch is how many versions are warmed at a time.
const openBatch = 256

func (s *Service) warmAll(ctx context.Context, t consent.TenantID, some []stored) error {
	rows := make([]*DocRow, len(some))
	for i := range some {
		rows[i] = &some[i].row
	}
	return s.warm(ctx, t, rows)
}

// loadBatch is how many passages one change of the index takes at start.
const loadBatch = 4096

// Load opens a tenant's collections and reads its heads into the index, on
// all cores. Documents whose key is gone are dropped, counted, and, when the
// ledger is not closed, retired: they can never be opened again. What does not
// open although its key is there was damaged: it is dropped and counted, and
// left where it is for whoever looks into it.
func (s *Service) Load(ctx context.Context, t consent.TenantID) (Loaded, error) {
	head, err := s.Ledger.Head(ctx, t) // first: what is read is as new, or newer
	if err != nil {
		return Loaded{}, err
	}
	sh := newShelf(head)
	rows, err := s.Catalogue.Collections(ctx, t)
	if err != nil {
		return Loaded{}, err
	}
	for _, row := range rows {
		col, err := s.openCollection(t, row)
		if err != nil {
			return Loaded{}, fmt.Errorf("retrieval: open a collection: %w", err)
		}
		if col.pinned() {
			if err := s.create(ctx, t, col); err != nil {
				return Loaded{}, err
			}
		}
		sh.put(col, row.Sealed)
	}
	l := &loader{Service: s, tenant: t, shelf: sh, held: map[CollectionID]int{}}
	if err := l.run(ctx); err != nil {
		return Loaded{}, err
	}
	s.mu.Lock()
	s.tenants[t] = sh
	s.mu.Unlock()
	if err := l.refill(ctx); err != nil {
		return Loaded{}, err
	}
	l.out.Collections = len(rows)
	return l.out, nil
}

type loader struct {
	*Service
	tenant consent.TenantID
	shelf  *shelf
	out    Loaded
	gone   []DocNum
	held   map[CollectionID]int // passages
}

type stored struct {
	row   DocRow
	heads []PartRow
}

type decoded struct {
	doc      DocNum
	col      CollectionID
	passages []IndexPassage // none: it does not open
	gone     bool           // because its key is gone
	stripped bool           // it opens, and has no vectors: it is in no index
}

func (l *loader) run(ctx context.Context) error {
	const workers = 2
	in, out := make(chan stored, 256), make(chan decoded, 256)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(in)
		var some []stored
		give := func() error {
			err := l.warmAll(gctx, l.tenant, some)
			for _, s := range some {
				select {
				case in <- s:
				case <-gctx.Done():
					return gctx.Err()
				}
			}
			some = some[:0]
			return err
		}
		err := l.Catalogue.Live(gctx, l.tenant, func(row DocRow, heads []PartRow) error {
			if some = append(some, stored{row, heads}); len(some) < openBatch {
				return nil
			}
			return give()
		})
		if err != nil {
			return err
		}
		return give()
	})
	work, wctx := errgroup.WithContext(gctx)
	for range workers {
		work.Go(func() error {
			for s := range in {
				d, err := l.decode(wctx, l.tenant, s)
				if err != nil {
					return err
				}
				select {
				case out <- d:
				case <-wctx.Done():
					return wctx.Err()
				}
			}
			return nil
		})
	}
	g.Go(func() error {
		defer close(out)
		return work.Wait()
	})
	g.Go(func() error { return l.fill(gctx, out) })
	if err := g.Wait(); err != nil {
		return err
	}
	return l.retire(ctx)
}

// decode opens a version's heads.
func (s *Service) decode(ctx context.Context, t consent.TenantID, st stored) (decoded, error) {
	d := decoded{doc: st.row.Num, col: st.row.Collection}
	o, err := s.open(ctx, t, st.row)
	if err != nil {
		d.gone = errors.Is(err, ErrKeyGone)
		if closed(err) {
			err = nil
		}
		return d, err
	}
	if o.meta.Stripped {
		d.stripped = true
		return d, nil
	}
	var passages []IndexPassage
	for _, part := range st.heads {
		h, err := s.openHead(t, o, part)
		if err != nil || h.DocID != o.meta.ID || h.Personal == o.meta.Nobody {
			return d, nil
		}
		passages = append(passages, IndexPassage{
			Head: h, Owners: st.row.Owners, Mentions: st.row.Mentions, RetainUntil: st.row.RetainUntil,
		})
	}
	if len(passages) == int(st.row.Passages) {
		d.passages = passages
	}
	return d, nil
}

func (l *loader) fill(ctx context.Context, in <-chan decoded) error {
	batches := map[CollectionID]*Change{}
	flush := func(c CollectionID, ch *Change) error {
		if col, _ := l.shelf.get(c); col == nil || !col.pinned() || l.Outside != nil {
			return nil // of one whose deletion was cut short, or that another gateway made since; or in the index already
		}
		return l.Index.Apply(ctx, c, *ch)
	}
	for d := range in {
		switch {
		case d.gone:
			l.out.Dropped++
			l.gone = append(l.gone, d.doc)
			continue
		case d.stripped:
			l.out.Documents++
			continue
		case len(d.passages) == 0:
			l.out.Damaged++
			continue
		}
		l.out.Documents++
		l.out.Passages += len(d.passages)
		l.held[d.col] += len(d.passages)
		ch := batches[d.col]
		if ch == nil {
			ch = &Change{}
			batches[d.col] = ch
		}
		ch.Add = append(ch.Add, d.passages...)
		if len(ch.Add) >= loadBatch {
			if err := flush(d.col, ch); err != nil {
				return err
			}
			batches[d.col] = nil
		}
	}
	for c, ch := range batches {
		if ch == nil {
			continue
		}
		if err := flush(c, ch); err != nil {
			return err
		}
	}
	return nil
}

// retire ends versions that can never be opened again.
func (l *loader) retire(ctx context.Context) error {
	if l.out.Damaged > 0 {
		l.Log.Error("documents dropped at start: they do not open with their key", "count", l.out.Damaged)
	}
	if len(l.gone) == 0 {
		return nil
	}
	l.Log.Warn("documents dropped at start: their key is gone", "count", len(l.gone))
	if _, err := l.Ledger.Head(ctx, l.tenant); err != nil {
		return nil // closed: nothing is changed until it is mended
	}
	_, retired, err := l.Catalogue.Commit(ctx, l.tenant, nil, func(consent.Head) (Intake, error) {
		return Intake{Retire: l.gone, Outside: l.Outside != nil}, nil
	})
	if err != nil {
		return err
	}
	l.destroy(keysOf(retired))
	return nil
}

// Delete deletes a document: its rows, every trace in the index, its key. It
// returns when none is left; absent is fine.
func (s *Service) Delete(ctx context.Context, c Caller, collection, id string) error {
	sh, _, err := s.current(ctx, c.Tenant)
	if err != nil {
		return err
	}
	col, err := sh.find(c, collection)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	k, err := s.keys(c.Tenant)
	if err != nil {
		return err
	}
	lookup := s.docLookup(k, col.ID, id)
	for attempt := 0; ; attempt++ {
		left, err := s.delete(ctx, c.Tenant, sh, col.ID, lookup)
		if !errors.Is(err, ErrConflict) || attempt == maxAttempts {
			if err == nil { // with no lock held; the rows are gone, whether the client waits or not
				err = s.withdraw(context.WithoutCancel(ctx), c.Tenant, col.ID, left)
			}
			return err
		}
	}
}

// delete deletes all but what an index outside holds: that is returned.
func (s *Service) delete(ctx context.Context, t consent.TenantID, sh *shelf, col CollectionID, lookup [32]byte) (outside []DocNum, err error) {
	sh.intake.Lock()
	defer sh.intake.Unlock()
	rows, err := s.Catalogue.DocsByLookup(ctx, t, col, [][32]byte{lookup})
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 { // perhaps the repeat of a deletion that left a key, or objects outside
		if err := s.destroyNow(nil); err != nil {
			return nil, err
		}
		_, err := s.Sweep(ctx, t)
		return nil, err
	}
	if s.held(t, &rows[0]) {
		return nil, nil // nobody sees it; whoever holds it says when it goes
	}
	nums := []DocNum{rows[0].Num}
	confirmed := false
	head, retired, err := s.Catalogue.Commit(ctx, t, nil, func(consent.Head) (Intake, error) {
		confirmed = true
		return Intake{Retire: nums, Outside: s.Outside != nil}, nil
	})
	if err != nil {
		if confirmed && !errors.Is(err, ErrConflict) {
			s.unsettled(ctx, t, col, nums, nil)
		}
		return nil, err
	}
	s.Step("tx.committed") // a crash here: the rows are gone, the key is wiped at the next start
	if s.Outside != nil {
		return nums, s.destroyNow(keysOf(retired))
	}
	err = s.apply(ctx, t, sh, head, col, Change{Remove: nums})
	return nil, cmp.Or(s.destroyNow(keysOf(retired)), err) // the keys in any case: the repeat finds no row that names them
}
