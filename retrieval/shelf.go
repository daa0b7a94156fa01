package retrieval

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/assent-gateway/assent/consent"
)

// shelf is what a Service keeps of a tenant: its collections by name, and how
// far it has followed the corpus.
//
// # Several gateways
//
// What another gateway changed is told by the ledger's head, which every call
// reads first: Shelf counts changes of collections, Corpus is the corpus
// position. Who finds this gateway behind brings it up before going on, and
// others wait for that (follow). So a call sees what was acknowledged before it
// began, by any gateway; nothing depends on being notified.
//
// Where there is a Feed, the index of this process changes only by it, in
// corpus order, also by what this gateway stored itself: there is one writer,
// and no order of two commits that it could get wrong. Without one, either no
// other process changes the corpus, and the intake below keeps the order, or
// the index is not this process's own.
type shelf struct {
	// intake makes a transaction of the corpus and its application to the index
	// one step within this process, where nobody else changes the corpus. A
	// search that was overtaken by a change reads under it, so that rows and
	// index say the same.
	intake sync.RWMutex

	following sync.Mutex // held while this gateway catches up

	mu      sync.RWMutex
	byName  map[string]*Collection
	byID    map[CollectionID]*Collection
	stored  map[CollectionID][]byte // what is sealed in the row, which a change of it must name
	version uint64                  // Head.Shelf as of which collections were read, at least
	applied CorpusPosition          // up to which the feed is applied
}

func newShelf(head consent.Head) *shelf {
	return &shelf{
		byName: map[string]*Collection{}, byID: map[CollectionID]*Collection{}, stored: map[CollectionID][]byte{},
		version: head.Shelf, applied: CorpusPosition(head.Corpus),
	}
}

func (sh *shelf) put(col *Collection, sealed []byte) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.byName[col.Name], sh.byID[col.ID], sh.stored[col.ID] = col, col, sealed
}

func (sh *shelf) remove(col *Collection) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	delete(sh.byName, col.Name)
	delete(sh.byID, col.ID)
	delete(sh.stored, col.ID)
}

// get returns a collection by its id and what is sealed in its row; nil when
// it is not there.
func (sh *shelf) get(id CollectionID) (*Collection, []byte) {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.byID[id], sh.stored[id]
}

// all returns the collections.
func (sh *shelf) all() []*Collection {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return slices.Collect(maps.Values(sh.byID))
}

// lacks reports how far a shelf is behind a head.
func (sh *shelf) lacks(head consent.Head) (collections, documents bool) {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return head.Shelf > sh.version, CorpusPosition(head.Corpus) > sh.applied
}

// current returns a tenant's shelf, brought up to a head that was read after
// the call, and that head.
func (s *Service) current(ctx context.Context, t consent.TenantID) (*shelf, consent.Head, error) {
	head, err := s.Ledger.Head(ctx, t)
	if err != nil {
		return nil, head, err
	}
	sh, err := s.shelf(ctx, t)
	if err != nil {
		return nil, head, err
	}
	return sh, head, s.follow(ctx, t, sh, head, nil)
}

// Refresh brings a tenant up to date, as every call about it does first. It is
// for a notification that something changed.
func (s *Service) Refresh(ctx context.Context, t consent.TenantID) error {
	_, _, err := s.current(ctx, t)
	return err
}

// followPatience bounds how long one call may read what others wait for.
const followPatience = 5 * time.Minute

// follow brings a shelf up to a head. own are passages that this gateway has
// stored itself, which need not be opened again.
func (s *Service) follow(ctx context.Context, t consent.TenantID, sh *shelf, head consent.Head, own []IndexPassage) error {
	if collections, documents := sh.lacks(head); !collections && (!documents || s.Feed == nil) {
		return nil
	}
	sh.following.Lock()
	defer sh.following.Unlock()
	ctx, cancel := context.WithTimeout(ctx, followPatience) // others wait for it
	defer cancel()
	collections, documents := sh.lacks(head)
	if collections {
		if err := s.readShelf(ctx, t, sh, head.Shelf); err != nil {
			return err
		}
	}
	if documents && s.Feed != nil {
		return s.readFeed(ctx, t, sh, own)
	}
	return nil
}

// readShelf reads a tenant's collections, which were as of version or later.
func (s *Service) readShelf(ctx context.Context, t consent.TenantID, sh *shelf, version uint64) error {
	rows, err := s.Catalogue.Collections(ctx, t)
	if err != nil {
		return err
	}
	next := newShelf(consent.Head{})
	for _, row := range rows {
		col, sealed := sh.get(row.ID)
		if col == nil || !bytes.Equal(sealed, row.Sealed) {
			if col, err = s.openCollection(t, row); err != nil {
				return fmt.Errorf("retrieval: open a collection: %w", err)
			}
			if col.pinned() {
				if err := s.create(ctx, t, col); err != nil {
					return err
				}
			}
		}
		next.put(col, row.Sealed)
	}
	for _, id := range sh.replace(next, version) {
		if err := s.Index.Drop(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// replace puts the collections of next on the shelf and returns those that are
// gone.
func (sh *shelf) replace(next *shelf, version uint64) (gone []CollectionID) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for id := range sh.byID {
		if next.byID[id] == nil {
			gone = append(gone, id)
		}
	}
	sh.byName, sh.byID, sh.stored, sh.version = next.byName, next.byID, next.stored, max(version, sh.version)
	return gone
}

// readFeed applies to the index what changed in the corpus since the last
// time, each collection in one step. The caller holds following.
func (s *Service) readFeed(ctx context.Context, t consent.TenantID, sh *shelf, own []IndexPassage) error {
	mine := map[DocNum][]IndexPassage{}
	for _, p := range own {
		mine[p.Head.Ref.Doc] = append(mine[p.Head.Ref.Doc], p)
	}
	changes := map[CollectionID]*Change{}
	strangers := false
	var came []stored
	head, err := s.Feed.Changed(ctx, t, sh.applied, func(row DocRow, heads []PartRow) error {
		ch := changes[row.Collection]
		if ch == nil {
			ch = &Change{}
			changes[row.Collection] = ch
			col, _ := sh.get(row.Collection)
			strangers = strangers || col == nil || !col.pinned()
		}
		switch passages := mine[row.Num]; {
		case row.To != 0:
			ch.Remove = append(ch.Remove, row.Num)
		case passages != nil:
			ch.Add = append(ch.Add, passages...)
		default:
			came = append(came, stored{row, heads})
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := s.openCame(ctx, t, came, changes); err != nil {
		return err
	}
	if strangers { // in a collection made, or pinned, since collections were read; or dropped
		if err := s.readShelf(ctx, t, sh, 0); err != nil {
			return err
		}
	}
	for c, ch := range changes {
		if col, _ := sh.get(c); col == nil || !col.pinned() {
			continue
		}
		if err := s.Index.Apply(ctx, c, *ch); err != nil {
			return err
		}
	}
	sh.mu.Lock()
	sh.applied = max(sh.applied, head)
	sh.mu.Unlock()
	return nil
}

// openCame opens versions that came, and adds their passages to changes.
func (s *Service) openCame(ctx context.Context, t consent.TenantID, came []stored, changes map[CollectionID]*Change) error {
	damaged := 0
	for some := range slices.Chunk(came, openBatch) {
		if err := s.warmAll(ctx, t, some); err != nil {
			return err
		}
		for _, st := range some {
			d, err := s.decode(ctx, t, st)
			if err != nil {
				return err
			}
			if len(d.passages) == 0 && !d.gone && !d.stripped { // gone: ended meanwhile, which the next reading says
				damaged++
			}
			changes[d.col].Add = append(changes[d.col].Add, d.passages...)
		}
	}
	if damaged > 0 {
		s.Log.Error("documents left out of the index: they do not open with their key", "count", damaged)
	}
	return nil
}
