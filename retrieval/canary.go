package retrieval

import (
	"context"
	"encoding/binary"
	"math/rand/v2"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// Every index holds a canary in each collection: a passage whose owner is
// consent.Canary, who is denied always. It is made of the tenant's keys and rests
// in no table: it has no row, no position in the corpus and no text, so that
// nothing lists, counts or exports it, and statistics over the permitted leave it
// out as they leave out everybody who is denied. Of a passage that is not
// permitted it differs in nothing that an index is told. One that comes out of a
// search says that the index did not keep to the permit: the second gate drops
// it, as it drops everything without a row, and raises an alarm.

// canaryOf is the canary of a pinned collection.
func canaryOf(k Keys, col *Collection) *IndexPassage {
	p := &IndexPassage{Owners: []consent.SubjectNum{consent.Canary}, Vector: canaryVector(k, col)}
	term := seal.MAC(k.Terms, "assent canary term", idBytes(int64(col.ID)))
	p.Head = Head{
		Ref: PassageRef{Doc: canaryNum(k, col.ID)}, Personal: true, Visibility: Visibility{Level: TenantWide},
		Terms:  []TermCount{{Hash: binary.BigEndian.Uint64(term[:]), Count: 1}},
		Length: 1, Codes: Quantise(p.Vector),
	}
	return p
}

// canaryNum is the number that no version of a document has, but by a chance of
// the kind that two of them are the same.
func canaryNum(k Keys, c CollectionID) DocNum {
	mac := seal.MAC(k.Catalogue, "assent canary", idBytes(int64(c)))
	return DocNum(binary.BigEndian.Uint64(mac[:])>>1 | 1)
}

func canaryVector(k Keys, col *Collection) []float32 {
	rng := rand.New(rand.NewChaCha8(seal.MAC(k.Catalogue, "assent canary vector", idBytes(int64(col.ID)))))
	v := make([]float32, col.Embedder.Dimensions)
	for {
		for i := range v {
			v[i] = float32(rng.NormFloat64())
		}
		if unit, err := Unit(v); err == nil {
			return unit
		}
	}
}

// isCanary reports whether a number is that of a collection's canary.
func (s *Service) isCanary(t consent.TenantID, c CollectionID, num DocNum) bool {
	k, err := s.keys(t)
	return err == nil && num == canaryNum(k, c)
}

// canaryAsked is the vector of a collection's canary, for an index that ranks it.
func (s *Service) canaryAsked(t consent.TenantID, c CollectionID) ([]float32, error) {
	k, err := s.keys(t)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	sh := s.tenants[t]
	s.mu.Unlock()
	if sh == nil {
		return nil, consent.ErrUnknownTenant
	}
	col, _ := sh.get(c)
	if col == nil || !col.pinned() {
		return nil, nil
	}
	return canaryVector(k, col), nil
}

// alarm says that an index did not keep to a permit.
func (s *Service) alarm() {
	s.alarms.Add(1)
	s.Log.Error("a canary came out of the index: it does not keep to what the ledger permits; answers are without it")
	s.Observer.Dropped("canary")
}

// Alarms is how often a canary came out of an index since this process began.
func (s *Service) Alarms() uint64 { return s.alarms.Load() }

// CanarySang is how an index outside says, of the search that ctx is for, that
// its store returned the canary of the collection, and that it was dropped there.
func CanarySang(ctx context.Context) {
	if m := memoOf(ctx); m != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.sang = true
	}
}

func (m *memo) heardCanary() bool {
	if m == nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sang
}

// ProbeCanaries puts a tenant's canaries back where an index has lost them, and
// then searches for each in its own place, under the permit of every purpose: by
// its vector, and by its word where the index has words. None may be found. It
// returns how many searches were made, and in how many a canary sang; each of
// those raised the alarm.
func (s *Service) ProbeCanaries(ctx context.Context, t consent.TenantID) (asked, sang int, err error) {
	sh, _, err := s.current(ctx, t)
	if err != nil {
		return 0, 0, err
	}
	purposes, _, err := s.Ledger.Purposes(ctx, t)
	if err != nil {
		return 0, 0, err
	}
	for _, col := range sh.all() {
		if !col.pinned() {
			continue
		}
		if err := s.create(ctx, t, col); err != nil {
			return asked, sang, err
		}
		for _, purpose := range purposes {
			n, heard, err := s.probeCanary(ctx, t, col, purpose)
			asked, sang = asked+n, sang+heard
			if err != nil {
				return asked, sang, err
			}
		}
	}
	return asked, sang, nil
}

func (s *Service) probeCanary(ctx context.Context, t consent.TenantID, col *Collection, purpose string) (asked, sang int, err error) {
	k, err := s.keys(t)
	if err != nil {
		return 0, 0, err
	}
	permit, err := s.permit(ctx, t, purpose, 0)
	if err != nil {
		return 0, 0, err
	}
	canary := canaryOf(k, col)
	q := Query{
		Collection: col.ID, Rule: col.Rule(), K: 10, Mode: ModeVector,
		Vector: canary.Vector, Terms: []uint64{canary.Head.Terms[0].Hash},
	}
	modes := []Mode{ModeVector}
	if s.Outside == nil {
		modes = append(modes, ModeKeyword, ModeHybrid)
	}
	for _, q.Mode = range modes {
		ctx := withMemo(ctx)
		found, err := s.Index.Search(ctx, permit, q)
		if err != nil {
			return asked, sang, err
		}
		asked++
		heard := memoOf(ctx).heardCanary()
		for _, f := range found {
			heard = heard || f.Ref == canary.Head.Ref
		}
		if heard {
			sang++
			s.alarm()
		}
	}
	return asked, sang, nil
}
