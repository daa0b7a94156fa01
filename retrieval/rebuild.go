package retrieval

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// # Rebuilds
//
// An index outside may keep bytes of what was taken out of it for as long as it
// likes. A rebuild ends that: another generation of the collection is filled
// from what the gateway itself has, searches go over to it, and the old one is
// dropped whole. What a collection has is in its row, so that every call, which
// reads the head first, knows it (shelf):
//
//	filling   searches ask Serving; changes go to both
//	draining  searches ask what was filled; changes go to both, for those that
//	          began before the switch
//	dropping  nothing goes to the old one any more, and it is deleted
//
// Each is one compare-and-swap of the row. A crash leaves one of these states,
// and whoever leads next goes on from it: a filling is compared with what is
// live, a deletion repeated.
//
// An ingest places before it commits, and a generation may begin in between. So
// the commit looks, under the lock that orders it against changes of the row,
// whether it placed into every generation that there is (placedEverywhere):
// what was committed before a filling began is found by it, what is committed
// later is in it. What takes out reads the row after its commit (withdraw).

// A Generation is one filling of what an index outside has of a collection,
// under names of its own.
type Generation struct {
	Number uint64       `json:"number,omitempty"` // random, never used again; 0 is a collection's first
	Began  consent.Time `json:"began,omitempty"`  // nothing that ended before was ever put into it; 0: not known
}

// Generations are those that a collection has in an index outside.
type Generations struct {
	Change   uint64       `json:"change,omitempty"` // counts them
	Serving  Generation   `json:"serving,omitzero"` // what searches ask
	Filling  *Generation  `json:"filling,omitempty"`
	Draining *Generation  `json:"draining,omitempty"`
	Switched consent.Time `json:"switched,omitempty"` // when Draining was Serving last
	Dropping *Generation  `json:"dropping,omitempty"`
}

// Written are the numbers of those that changes go to, Serving first.
func (g *Generations) Written() []uint64 {
	out := []uint64{g.Serving.Number}
	for _, other := range []*Generation{g.Filling, g.Draining} {
		if other != nil {
			out = append(out, other.Number)
		}
	}
	return out
}

// RebuildState is where a collection's rebuild stands.
type RebuildState string

// The states of rebuilds.
const (
	NotRebuilding RebuildState = "idle"
	Filling       RebuildState = "filling"
	Draining      RebuildState = "draining"
	Dropping      RebuildState = "dropping"
)

// State is where the rebuild stands.
func (g *Generations) State() RebuildState {
	switch {
	case g.Filling != nil:
		return Filling
	case g.Draining != nil:
		return Draining
	case g.Dropping != nil:
		return Dropping
	}
	return NotRebuilding
}

// A Rebuilder is an index outside that can keep generations apart. It is told
// of them by Create (Shape.Generations) before anything is asked of them.
type Rebuilder interface {
	// Lead reports whether this gateway is the one that rebuilds a tenant's
	// collections, for a while that each call begins anew.
	Lead(ctx context.Context, t consent.TenantID) (bool, error)
	// Fill returns when the generation that is being filled holds every live
	// passage, and nothing that is not live or reserved. Repeatable.
	Fill(ctx context.Context, c CollectionID) error
	// DropGeneration deletes one, and returns when it is gone; absent is fine.
	DropGeneration(ctx context.Context, c CollectionID, number uint64) error
}

// A Rebuild is where one collection stands.
type Rebuild struct {
	Collection string
	State      RebuildState
	Began      consent.Time // of the newest generation; 0: not known
}

// ErrNoRebuild: the index is none that can be rebuilt.
var ErrNoRebuild = errors.New("retrieval: the index has nothing to rebuild")

// outsideNow are the collections of a tenant that an index outside has
// something of, by name.
func (s *Service) outsideNow(ctx context.Context, t consent.TenantID) ([]*Collection, consent.Head, error) {
	if _, can := s.Index.(Rebuilder); s.Outside == nil || !can {
		return nil, consent.Head{}, ErrNoRebuild
	}
	sh, head, err := s.current(ctx, t)
	if err != nil {
		return nil, head, err
	}
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	var out []*Collection
	for _, col := range sh.byID {
		if col.pinned() {
			out = append(out, col)
		}
	}
	slices.SortFunc(out, func(a, b *Collection) int { return strings.Compare(a.Name, b.Name) })
	return out, head, nil
}

// Rebuilds says where a tenant's collections stand.
func (s *Service) Rebuilds(ctx context.Context, t consent.TenantID) ([]Rebuild, error) {
	cols, _, err := s.outsideNow(ctx, t)
	out := make([]Rebuild, 0, len(cols))
	for _, col := range cols {
		g := &col.Generations
		r := Rebuild{Collection: col.Name, State: g.State(), Began: g.Serving.Began}
		if g.Filling != nil {
			r.Began = g.Filling.Began
		}
		out = append(out, r)
	}
	return out, err
}

// RebuiltSince reports whether nothing that ended before a time is in any
// generation that there is: each began later, and those before are gone.
func (s *Service) RebuiltSince(ctx context.Context, t consent.TenantID, since consent.Time) (bool, error) {
	cols, _, err := s.outsideNow(ctx, t)
	if err != nil {
		return false, err
	}
	for _, col := range cols {
		if g := &col.Generations; g.Serving.Began <= since || g.Draining != nil || g.Dropping != nil {
			return false, nil
		}
	}
	return true, nil
}

// StartRebuild begins a rebuild of every collection that is not being rebuilt.
// Rebuild goes on with it.
func (s *Service) StartRebuild(ctx context.Context, t consent.TenantID) error {
	cols, head, err := s.outsideNow(ctx, t)
	if err != nil {
		return err
	}
	for _, col := range cols {
		err := s.changeGenerations(ctx, t, col.ID, func(g *Generations) bool {
			if g.State() != NotRebuilding {
				return false
			}
			g.Filling = &Generation{Number: uint64(randomID()), Began: head.Now}
			return true
		})
		if err != nil && !errors.Is(err, ErrNotFound) { // dropped meanwhile
			return err
		}
		s.Step("rebuild.begun") // a crash here: a generation that is filled by whoever leads next
	}
	return nil
}

// Rebuild takes every rebuild of a tenant as far as it goes now, if this gateway
// leads. It reports whether any is still under way.
func (s *Service) Rebuild(ctx context.Context, t consent.TenantID) (busy bool, err error) {
	cols, _, err := s.outsideNow(ctx, t)
	if err != nil {
		return false, err
	}
	index := s.Index.(Rebuilder)
	for _, col := range cols {
		for col.Generations.State() != NotRebuilding {
			if lead, err := index.Lead(ctx, t); err != nil || !lead {
				return true, err
			}
			on, err := s.rebuildOn(ctx, t, col)
			if errors.Is(err, ErrNotFound) { // dropped meanwhile
				break
			}
			if err != nil {
				return true, err
			}
			if !on {
				busy = true
				break
			}
			sh, err := s.shelf(ctx, t)
			if err != nil {
				return true, err
			}
			if col, _ = sh.get(col.ID); col == nil {
				break
			}
		}
	}
	return busy, nil
}

// rebuildOn takes the next step of one rebuild; false when it is not time yet.
func (s *Service) rebuildOn(ctx context.Context, t consent.TenantID, col *Collection) (bool, error) {
	index, was := s.Index.(Rebuilder), col.Generations
	switch was.State() {
	case Filling:
		if err := index.Fill(ctx, col.ID); err != nil {
			return false, err
		}
		s.Step("rebuild.filled") // a crash here: what is there is compared again
		head, err := s.Ledger.Head(ctx, t)
		if err != nil {
			return false, err
		}
		err = s.changeGenerations(ctx, t, col.ID, func(g *Generations) bool {
			if g.Filling == nil || g.Filling.Number != was.Filling.Number {
				return false
			}
			old := g.Serving
			g.Serving, g.Filling, g.Draining, g.Switched = *g.Filling, nil, &old, head.Now
			return true
		})
		s.Step("rebuild.switched") // a crash here: both are written until whoever leads next drops the old one
		return true, err
	case Draining:
		head, err := s.Ledger.Head(ctx, t)
		if err != nil || head.Now <= was.Switched+consent.Time(lease) {
			return false, err
		}
		err = s.changeGenerations(ctx, t, col.ID, func(g *Generations) bool {
			if g.Draining == nil || g.Draining.Number != was.Draining.Number {
				return false
			}
			g.Draining, g.Dropping = nil, g.Draining
			return true
		})
		s.Step("rebuild.drained") // a crash here: the old one is named still, and deleted by whoever leads next
		return true, err
	case Dropping:
		if err := index.DropGeneration(ctx, col.ID, was.Dropping.Number); err != nil {
			return false, err
		}
		s.Step("rebuild.dropped") // a crash here: deleted again, which finds nothing
		err := s.changeGenerations(ctx, t, col.ID, func(g *Generations) bool {
			if g.Dropping == nil || g.Dropping.Number != was.Dropping.Number {
				return false
			}
			g.Dropping = nil
			return true
		})
		s.Step("rebuild.ended")
		return true, err
	}
	return false, nil
}

// changeGenerations changes a collection's row, looking again when somebody else
// was faster. f reports whether there is anything to change.
func (s *Service) changeGenerations(ctx context.Context, t consent.TenantID, c CollectionID, f func(*Generations) bool) error {
	for attempt := 0; ; attempt++ {
		sh, _, err := s.current(ctx, t)
		if err != nil {
			return err
		}
		err = func() error {
			sh.intake.Lock()
			defer sh.intake.Unlock()
			cur, was := sh.get(c)
			if cur == nil {
				return ErrNotFound
			}
			col := *cur
			if !f(&col.Generations) {
				return nil
			}
			col.Generations.Change++
			return s.saveCollection(ctx, t, sh, col, was)
		}()
		if err == nil || errors.Is(err, ErrNotFound) || attempt == manyAttempts {
			return err
		}
		// Its row may have changed all the same, or been another's.
		if again := s.reshelve(ctx, t, sh); again != nil || !errors.Is(err, ErrConflict) {
			return err
		}
	}
}

// reshelve reads a tenant's collections again, whatever the head says.
func (s *Service) reshelve(ctx context.Context, t consent.TenantID, sh *shelf) error {
	sh.following.Lock()
	defer sh.following.Unlock()
	return s.readShelf(ctx, t, sh, 0)
}

// whereto notes which generations the collection has, before it is placed into
// those that it has then or later.
func (in *intake) whereto(ctx context.Context) error {
	sh, err := in.shelf(ctx, in.caller.Tenant)
	if err != nil {
		return err
	}
	col, sealed := sh.get(in.col.ID)
	if col == nil {
		return ErrNotFound
	}
	in.placed, in.placedAs = &col.Generations, sealed
	return nil
}

// placedEverywhere is ErrConflict when documents are not in every generation
// that there is now. It is called under the lock that orders a commit against
// changes of the collection's row.
func (in *intake) placedEverywhere(ctx context.Context) error {
	if in.Outside == nil || in.placed == nil {
		return nil
	}
	row, found, err := in.Catalogue.CollectionByLookup(ctx, in.caller.Tenant, collectionLookup(in.keys, in.col.Name))
	if err != nil || !found || bytes.Equal(row.Sealed, in.placedAs) { // not there: the commit says so
		return err
	}
	col, err := in.openCollection(in.caller.Tenant, row)
	if err != nil {
		return err
	}
	into := in.placed.Written()
	for _, number := range col.Generations.Written() {
		if !slices.Contains(into, number) {
			in.moved = true
			return ErrConflict
		}
	}
	return nil
}

// IndexHome is the key by which an index outside knows what is a tenant's there.
func (s *Service) IndexHome(t consent.TenantID) (seal.Key, error) {
	k, err := s.keys(t)
	if err != nil {
		return seal.Key{}, err
	}
	return seal.Derive(k.Catalogue, "assent tenant outside"), nil
}

// EachLive calls f with what Known says of every passage of a collection that
// was live when it began, a page at a time, with no transaction open in between;
// of one that went since, or does not open, there is Head.Ref alone.
func (s *Service) EachLive(ctx context.Context, c CollectionID, f func([]IndexPassage) error) error {
	t, ok := s.home(c)
	if !ok {
		return nil
	}
	at, err := s.Catalogue.CorpusHead(ctx, t)
	if err != nil || at == 0 {
		return err
	}
	const page = 256
	for after := int64(0); ; {
		versions, err := s.Catalogue.VersionsAt(ctx, t, []CollectionID{c}, at, after, page)
		if err != nil || len(versions) == 0 {
			return err
		}
		after = versions[len(versions)-1].Mark
		var refs []PassageRef
		for i := range versions {
			for n := range versions[i].Passages {
				if versions[i].To == 0 {
					refs = append(refs, PassageRef{versions[i].Num, n})
				}
			}
		}
		known, err := s.Known(ctx, c, refs)
		if err != nil {
			return err
		}
		for i := range known {
			known[i].Head.Ref = refs[i]
		}
		if len(known) > 0 {
			s.Step("rebuild.page") // a crash here: what was put in is compared, and the rest put in
			if err := f(known); err != nil {
				return err
			}
		}
	}
}
