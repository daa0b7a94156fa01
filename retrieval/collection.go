package retrieval

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// Analyser names the default analyser and its version; a collection is pinned
// to it at its first document.
const Analyser = "unicode-1"

// ClientEmbedder is the name of the pin of a collection of supplied vectors.
const ClientEmbedder = "client"

// Spec is how a collection is set up. All but Dimensions, Keyword and
// Filterable may change while it holds documents.
type Spec struct {
	Dimensions        int                   `json:"dimensions,omitempty"` // 0: the embedder's, or the first document's
	DefaultVisibility Level                 `json:"default_visibility"`
	Joint             consent.Joint         `json:"joint_ownership,omitempty"`
	Mentions          consent.MentionPolicy `json:"mentions,omitempty"`
	Jurisdiction      consent.Jurisdiction  `json:"jurisdiction,omitempty"`
	Filterable        []string              `json:"filterable,omitempty"` // nil: every field (an index outside: none)
	Keyword           bool                  `json:"keyword,omitempty"`    // an index outside keeps texts, too
	OnErasure         OnErasure             `json:"on_erasure,omitempty"`
}

// OnErasure says what becomes of a document of several people when one of them
// is erased. The numbers are on disk.
type OnErasure uint8

// The choices. A document whose only owner is erased always goes.
const (
	Remove OnErasure = iota // it goes
	Redact                  // it is kept for the others, without what is the person's
)

// A Collection is a searchable set of documents in a tenant.
type Collection struct {
	ID       CollectionID `json:"-"`
	Name     string       `json:"name"`
	Spec     Spec         `json:"spec"`
	Embedder EmbedderPin  `json:"embedder,omitzero"` // zero until the first document
	Analyser string       `json:"analyser,omitempty"`
	// Generations are what an index outside has of it.
	Generations Generations `json:"generations,omitzero"`
}

// Rule is how the people of its documents combine.
func (c *Collection) Rule() consent.Rule {
	return consent.Rule{Joint: c.Spec.Joint, Mentions: c.Spec.Mentions, Default: c.Spec.Jurisdiction}
}

// ValidCollectionName reports whether s may name a collection:
// [A-Za-z0-9][A-Za-z0-9._-]{0,127}.
func ValidCollectionName(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && (i == 0 || c != '.' && c != '_' && c != '-') {
			return false
		}
	}
	return true
}

func (s Spec) check() error {
	switch {
	case s.Dimensions < 0 || s.Dimensions > MaxDimensions:
		return Invalid("dimensions", "is not between 1 and 4096")
	case s.DefaultVisibility != Private && s.DefaultVisibility != TenantWide:
		return Invalid("default_visibility", "is neither private nor tenant")
	case len(s.Filterable) > MaxMetadataFields:
		return Invalid("filterable", "names too many fields")
	}
	for _, f := range s.Filterable {
		if !validFieldName(f) {
			return Invalid("filterable", "holds a name that no field can have")
		}
	}
	return nil
}

// manyAttempts bounds how often a change of a collection begins anew, because
// another gateway's was faster. Each time one of them is done, so that only very
// many at once could use it up.
const manyAttempts = 100

// PutCollection makes a collection or changes its spec. What documents were
// stored under (dimensions, filterable fields) is fixed once there are any:
// ErrConflict. How the people of its documents combine, and what their silence
// means, is no longer its maker's to change, nor to reset by leaving it out:
// ErrForbidden for who may not change rules.
func (s *Service) PutCollection(ctx context.Context, c Caller, name string, spec Spec) (col Collection, created bool, err error) {
	if !ValidCollectionName(name) {
		return col, false, Invalid("collection", "is not [A-Za-z0-9][A-Za-z0-9._-]{0,127}")
	}
	if err := spec.check(); err != nil {
		return col, false, err
	}
	if !c.sees(name) {
		return col, false, ErrNotFound
	}
	if len(spec.Filterable) == 0 {
		spec.Filterable = nil // every field
	}
	for attempt := 0; ; attempt++ {
		var changed bool // by another gateway meanwhile
		col, created, changed, err = s.putCollection(ctx, c, name, spec)
		if !changed || attempt == manyAttempts {
			return col, created, err
		}
	}
}

func (s *Service) putCollection(ctx context.Context, c Caller, name string, spec Spec) (col Collection, created, changed bool, err error) {
	sh, _, err := s.current(ctx, c.Tenant)
	if err != nil {
		return col, false, false, err
	}
	sh.intake.Lock()
	defer sh.intake.Unlock()
	old, err := sh.find(c, name)
	var was []byte
	if errors.Is(err, ErrNotFound) {
		col, created = Collection{ID: CollectionID(randomID()), Name: name, Spec: spec}, true
	} else {
		col = *old
		if col.pinned() && (spec.Dimensions != 0 && spec.Dimensions != col.Embedder.Dimensions || !slices.Equal(spec.Filterable, col.Spec.Filterable) ||
			s.Outside != nil && spec.Keyword != col.Spec.Keyword) {
			return col, false, false, ErrConflict
		}
		col.Spec = spec
		if (col.Rule() != old.Rule() || col.Spec.OnErasure != old.Spec.OnErasure) && !c.may(MayChangeRules) {
			return *old, false, false, ErrForbidden
		}
		_, was = sh.get(col.ID)
	}
	err = s.saveCollection(ctx, c.Tenant, sh, col, was)
	return col, created, errors.Is(err, ErrConflict), err
}

func (c *Collection) pinned() bool { return c.Embedder != EmbedderPin{} }

// saveCollection writes a collection's row in place of what was there (nil:
// of none), and shelves it; ErrConflict. The caller holds intake.
func (s *Service) saveCollection(ctx context.Context, t consent.TenantID, sh *shelf, col Collection, was []byte) error {
	row, err := s.collectionRow(t, &col)
	if err != nil {
		return err
	}
	if err := s.Catalogue.PutCollection(ctx, t, row, was, nil); err != nil {
		return err
	}
	if col.pinned() {
		if err := s.create(ctx, t, &col); err != nil {
			return err
		}
	}
	sh.put(&col, row.Sealed)
	return nil
}

// create makes a pinned collection's index.
func (s *Service) create(ctx context.Context, t consent.TenantID, col *Collection) error {
	k, err := s.keys(t)
	if err != nil {
		return err
	}
	return s.Index.Create(ctx, col.ID, Shape{
		Canary:     canaryOf(k, col),
		Dimensions: col.Embedder.Dimensions, Tenant: t, Rule: col.Rule(), Filterable: col.Spec.Filterable, Keyword: col.Spec.Keyword,
		Key: seal.Derive(k.Catalogue, "assent index outside", idBytes(int64(col.ID))), Generations: col.Generations,
	})
}

func (s *Service) collectionRow(t consent.TenantID, col *Collection) (CollectionRow, error) {
	k, err := s.keys(t)
	if err != nil {
		return CollectionRow{}, err
	}
	plain, err := json.Marshal(col)
	if err != nil {
		return CollectionRow{}, err
	}
	return CollectionRow{
		ID: col.ID, Lookup: collectionLookup(k, col.Name),
		Sealed: seal.Seal(k.Payload, plain, collectionAAD(t, col.ID)),
	}, nil
}

func collectionAAD(t consent.TenantID, id CollectionID) []byte {
	b := append([]byte("assent collection\x00"), t...)
	return binary.BigEndian.AppendUint64(append(b, 0), uint64(id))
}

func (s *Service) openCollection(t consent.TenantID, row CollectionRow) (*Collection, error) {
	k, err := s.keys(t)
	if err != nil {
		return nil, err
	}
	plain, err := seal.Open(k.Payload, row.Sealed, collectionAAD(t, row.ID))
	if err != nil {
		return nil, err
	}
	col := &Collection{ID: row.ID}
	return col, json.Unmarshal(plain, col)
}

// sees reports whether the credential is not limited to other collections.
func (c Caller) sees(name string) bool {
	return c.Collections == nil || slices.Contains(c.Collections, name)
}

// collection returns a collection that the caller may know of; ErrNotFound. It
// is as new as the head that the call has read before.
func (s *Service) collection(ctx context.Context, c Caller, name string) (*Collection, error) {
	sh, err := s.shelf(ctx, c.Tenant)
	if err != nil {
		return nil, err
	}
	return sh.find(c, name)
}

func (sh *shelf) find(c Caller, name string) (*Collection, error) {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	col := sh.byName[name]
	if col == nil || !c.sees(name) {
		return nil, ErrNotFound
	}
	return col, nil
}

// Collection returns one collection; ErrNotFound.
func (s *Service) Collection(ctx context.Context, c Caller, name string) (Collection, error) {
	sh, _, err := s.current(ctx, c.Tenant)
	if err != nil {
		return Collection{}, err
	}
	col, err := sh.find(c, name)
	if err != nil {
		return Collection{}, err
	}
	return *col, nil
}

// Collections returns those the caller may know of, by name.
func (s *Service) Collections(ctx context.Context, c Caller) ([]Collection, error) {
	sh, _, err := s.current(ctx, c.Tenant)
	if err != nil {
		return nil, err
	}
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	out := []Collection{}
	for name, col := range sh.byName {
		if c.sees(name) {
			out = append(out, *col)
		}
	}
	slices.SortFunc(out, func(a, b Collection) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// DropCollection deletes a collection with all its documents; absent is fine.
func (s *Service) DropCollection(ctx context.Context, c Caller, name string) error {
	sh, err := s.shelf(ctx, c.Tenant)
	if err != nil {
		return err
	}
	if !c.sees(name) {
		return nil
	}
	// Begun is finished, whether the client waits or not.
	ctx = context.WithoutCancel(ctx)
	sh.intake.Lock()
	defer sh.intake.Unlock()
	// From the database, not the shelf: a deletion that was cut short has left
	// a row there, and its repeat goes on where it ended.
	col, err := s.storedCollection(ctx, c.Tenant, name)
	if errors.Is(err, ErrNotFound) { // perhaps the repeat of a deletion that left keys
		return s.destroyNow(nil)
	}
	if err != nil {
		return err
	}
	held, err := s.Held(ctx, c.Tenant, Which{Before: math.MaxInt64, Collection: col.ID})
	if err == nil && held {
		err = ErrConflict
	}
	if err != nil {
		return err
	}
	// Out of sight first, in this gateway; in others with the row. After a crash
	// from here on the collection is there again with what is left of it, and
	// the repeat deletes the rest.
	_, sealed := sh.get(col.ID)
	sh.remove(col)
	if err := s.Index.Drop(ctx, col.ID); err != nil {
		sh.put(col, sealed)
		return err
	}
	for {
		gone, err := s.Catalogue.DropCollection(ctx, c.Tenant, col.ID, 500)
		if err != nil {
			return err
		}
		if err := s.destroyNow(keysOf(gone)); err != nil {
			return err
		}
		if len(gone) == 0 {
			break
		}
	}
	_, _, err = s.current(ctx, c.Tenant) // a search may have shelved it again meanwhile
	return err
}

// storedCollection returns a collection as its row says; ErrNotFound.
func (s *Service) storedCollection(ctx context.Context, t consent.TenantID, name string) (*Collection, error) {
	k, err := s.keys(t)
	if err != nil {
		return nil, err
	}
	row, found, err := s.Catalogue.CollectionByLookup(ctx, t, collectionLookup(k, name))
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, ErrNotFound
	}
	return s.openCollection(t, row)
}

func collectionLookup(k Keys, name string) [32]byte {
	return seal.MAC(k.Catalogue, "assent collection", []byte(name))
}

func keysOf(rows []DocRow) []seal.Ref {
	refs := make([]seal.Ref, 0, len(rows))
	for _, r := range rows {
		if !r.Key.IsZero() {
			refs = append(refs, r.Key)
		}
	}
	return refs
}

// randomID is a random positive number, for rows that must not tell an order.
func randomID() int64 {
	var b [8]byte
	for {
		rand.Read(b[:])
		if n := int64(binary.BigEndian.Uint64(b[:]) >> 1); n != 0 {
			return n
		}
	}
}
