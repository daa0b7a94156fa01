package consent

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/assent-gateway/assent/internal/seal"
)

// tenant is one tenant's ledger in memory: a fold over its entries up to
// applied. mu guards everything below it; catching is held while rows are
// read and applied, so that two readers do not do the same work.
type tenant struct {
	id   TenantID
	keys Keys
	tree TenantTree

	catching sync.Mutex
	queue    queue
	heads    headReads
	closed   atomic.Pointer[closure] // nil: open
	replayed uint64                  // Head.Replayed, as Open found it

	mu       sync.RWMutex
	applied  Position
	clock    Time // the newest database clock seen; never goes back
	recorded Time // of the newest entry
	rules    rules
	states   []*state // by ordinal
	ords     numbers  // of those who have a state
	who      map[SubjectNum]subjectRef
	byLookup map[[32]byte]SubjectNum
	byMark   map[[32]byte]marked // by suppression mark (see mark.go)
	suppressions
	heirs      map[SubjectNum]SubjectNum // by mark: who came back
	aliases    map[SubjectNum][][32]byte // lookups of people's further identifiers
	completed  map[string]bool           // erasures, by id
	stale      map[[32]byte]SubjectNum   // lookups that rows have, of people who left
	loading    bool                      // nobody asks yet, and rows of people are newer than what is applied
	removals   map[string]removal        // that are not carried out yet, by the erasure's id
	departures []departure               // also those that were taken back, by position
	waits      map[string]uint8          // erasures of which nothing may be deleted now, by id, and why
	masks      map[maskKey]*mask
	notes      map[Kind][]Position // of keys, restores and the vault
	news       chan struct{}       // closed at the next entry; nil when nobody waits
}

// subjectRef is what is needed to name and to seal for a person.
type subjectRef struct {
	lookup  [32]byte // zero for who is found by nothing
	key     seal.Ref
	version uint8 // of the lookup
	covered bool  // lookup is a name of the journal's, not uncovered yet
}

func refOf(row *SubjectRow) subjectRef {
	who := subjectRef{lookup: row.Lookup, key: row.Key, version: row.LookupVersion}
	if who.version == namelessVersion {
		who.lookup = [32]byte{}
	}
	return who
}

// closure says why a ledger is closed and whether it may be mended in place.
type closure struct {
	err     error
	mending bool
}

func newTenant(id TenantID, keys Keys) *tenant {
	return &tenant{
		id: id, keys: keys, tree: noTree{},
		rules:        rules{registry: newRegistry()},
		who:          map[SubjectNum]subjectRef{},
		byLookup:     map[[32]byte]SubjectNum{},
		byMark:       map[[32]byte]marked{},
		suppressions: newSuppressions(),
		heirs:        map[SubjectNum]SubjectNum{},
		aliases:      map[SubjectNum][][32]byte{}, completed: map[string]bool{}, stale: map[[32]byte]SubjectNum{},
		removals: map[string]removal{},
		waits:    map[string]uint8{},
		masks:    map[maskKey]*mask{},
		notes:    map[Kind][]Position{},
	}
}

// lookup is the keyed name under which a person is found.
func (t *tenant) lookup(s Subject) [32]byte {
	return seal.MAC(t.keys.Lookup, "assent subject", []byte(s.Reveal()))
}

// vouched reports whether a subject's row is as it was written: else the
// lookup of one person could be put on the number of another.
func (t *tenant) vouched(row *SubjectRow) bool {
	mac := t.subjectMAC(row, row.Sealed[min(len(row.Sealed), len([32]byte{})):])
	return len(row.Sealed) >= len(mac) && [32]byte(row.Sealed[:len(mac)]) == mac
}

func (t *tenant) subjectMAC(row *SubjectRow, box []byte) [32]byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(row.Num))
	b = append(append(b, row.Lookup[:]...), row.LookupVersion)
	b = binary.BigEndian.AppendUint32(b, row.Key.Slot)
	b = append(b, row.Key.ID[:]...)
	return seal.MAC(t.keys.MAC, "assent subject row", b, box)
}

// addSubject makes a vouched row known, in place of an older one. The caller
// holds mu.
func (t *tenant) addSubject(row SubjectRow) {
	old := t.who[row.Num]
	if t.byLookup[old.lookup] == row.Num {
		delete(t.byLookup, old.lookup)
	}
	who := refOf(&row)
	t.who[row.Num] = who
	known := t.state(row.Num) != nil
	switch who.version {
	case namelessVersion:
		if old.version == lookupVersion { // else it is a mark that is taken back
			t.depart(row.Num)
		}
		t.leave(row.Num)
		return
	case markedVersion:
		if t.byMark[row.Lookup].num != row.Num {
			t.byMark[row.Lookup] = marked{num: row.Num}
		}
	default:
		if was := t.byLookup[row.Lookup]; was != 0 && was != row.Num && t.who[was].lookup == row.Lookup {
			t.depart(was) // two rows never have a name at once: who had it was suppressed
		}
		t.byLookup[row.Lookup] = row.Num
	}
	if known || t.loading {
		return
	}
	// Until its first entry is applied, which may be a moment later, nobody is
	// permitted more than they were.
	s := &state{suppressed: who.version == markedVersion}
	if !s.suppressed {
		t.inherit(s, row.Lookup)
	}
	if s.suppressed {
		t.stateOf(row.Num).suppressed = true
		t.stateOf(row.Num).suppressedAt = s.suppressedAt
		t.refreshAll(t.state(row.Num))
	}
}

// resolve returns a person's number; 0 for one the tenant does not know.
func (t *tenant) resolve(s Subject) SubjectNum {
	lookup := t.lookup(s)
	num := t.byLookup[lookup]
	if num == 0 && len(t.byMark) > 0 {
		num = t.byMark[t.mark(lookup)].num
		if heir := t.heirs[num]; heir != 0 {
			num = heir
		}
	}
	return num
}

// find returns a person's number and state; nil when there are no entries.
func (t *tenant) find(s Subject) (SubjectNum, *state) {
	num := t.resolve(s)
	return num, t.state(num)
}

// state returns what the ledger says about a person; nil when there are no
// entries.
func (t *tenant) state(num SubjectNum) *state {
	if ord, ok := t.ords.find(num); ok {
		return t.states[ord]
	}
	return nil
}

// apply folds a verified row in. The caller holds mu for writing. Rows come
// in order; one that was applied already is passed over, a gap is an error.
// show is what reveal made of it.
func (t *tenant) apply(row Row, body func() ([]byte, error), show *shown) error {
	if row.Position <= t.applied {
		return nil
	}
	if row.Position != t.applied+1 {
		return fmt.Errorf("%w: a gap before an entry", ErrTampered)
	}
	if err := t.tree.Grow(row.Leaf); err != nil {
		return err
	}
	everyone := false
	switch row.Kind {
	case KindPolicy, KindType:
		plain, err := body()
		if err != nil {
			return fmt.Errorf("%w: open an entry of the tenant", ErrTampered)
		}
		if err := t.applyRules(row, plain); err != nil {
			return err
		}
		everyone = true
	case KindKey, KindRestore, KindVault:
		t.notes[row.Kind] = append(t.notes[row.Kind], row.Position)
	case KindRemoval, KindErased, KindHold:
		if err := t.applyErasure(row, nil); err != nil {
			return err
		}
	case KindIdentifier:
		if err := t.applyIdentifier(row, body, show); err != nil {
			return err
		}
	case KindConsent, KindErasure, KindLost, KindLift:
		if row.Kind == KindLift {
			if err := t.applyErasure(row, nil); err != nil {
				return err
			}
		}
		if (row.Kind == KindLost || row.Kind == KindLift) && row.Subject == 0 {
			break // of whom, the journal did not keep; or of documents
		}
		if _, known := t.who[row.Subject]; !known {
			return fmt.Errorf("%w: an entry about nobody the ledger knows", ErrTampered)
		}
		s := t.spoke(row)
		s.apply(row, &t.rules.registry)
		switch row.Kind {
		case KindErasure:
			if err := t.applyErasure(row, show); err != nil {
				return err
			}
		case KindLift:
			t.applyLift(row.Subject)
		}
		t.refreshAll(s)
	}
	t.applied = row.Position
	t.announce()
	t.recorded = max(t.recorded, row.RecordedAt)
	if everyone {
		for k, m := range t.masks {
			t.rebuild(k, m)
		}
	}
	return nil
}

// spoke returns the state of a person who speaks. At the first time that is of
// someone who comes back after an erasure, perhaps.
func (t *tenant) spoke(row Row) *state {
	s := t.stateOf(row.Subject)
	if row.Kind == KindErasure || row.Kind == KindLift {
		return s
	}
	first := s.newest == 0
	s.newest = row.Position
	if who := t.who[row.Subject]; first && who.version == lookupVersion {
		t.inherit(s, who.lookup)
	}
	return s
}

func (t *tenant) applyRules(row Row, plain []byte) error {
	if row.Kind == KindType {
		pub, err := decodeType(plain)
		if err != nil {
			return fmt.Errorf("%w: a consent type", ErrTampered)
		}
		t.rules.registry.publish(pub, row.Position)
		t.rules.changed = row.RecordedAt
		return nil
	}
	p, err := ParsePolicy(plain)
	if err != nil {
		return fmt.Errorf("%w: a policy", ErrTampered)
	}
	t.rules.policy, t.rules.changed = p, row.RecordedAt
	for _, pub := range p.ConsentTypes {
		t.rules.registry.publish(pub, row.Position)
	}
	return nil
}

// body opens the sealed part of a row of the tenant itself.
func (t *tenant) body(row Row) func() ([]byte, error) {
	return func() ([]byte, error) { return seal.Open(t.keys.Payload, row.Sealed, rowAAD(t.id, row.Position)) }
}

var errEnough = errors.New("consent: enough rows")

// catchUp applies committed rows up to head.
func (l *Ledger) catchUp(ctx context.Context, t *tenant, head Position) error {
	t.mu.RLock()
	applied := t.applied
	t.mu.RUnlock()
	if applied >= head {
		return nil
	}
	t.catching.Lock()
	defer t.catching.Unlock()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	t.mu.RLock()
	applied = t.applied
	t.mu.RUnlock()
	var rows []Row
	var strangers []SubjectNum
	if applied >= head {
		return nil
	}
	err := l.store.Rows(ctx, t.id, applied, func(r Row) error {
		if r.Position > head {
			return errEnough // committed after the head was read: not ours to show
		}
		if err := l.genuine(t, &r); err != nil {
			return err
		}
		rows = append(rows, r)
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	if len(rows) < int(head-applied) {
		return fmt.Errorf("%w: entries are missing", ErrTampered)
	}
	t.mu.RLock()
	for _, r := range rows {
		// Someone who is erased, or was, may have come again with another key.
		_, known := t.who[r.Subject]
		if r.Subject != 0 && (!known || r.Kind == KindErasure || t.condemned(r.Subject)) {
			strangers = append(strangers, r.Subject)
		}
		if num := t.ended(&r); num != 0 { // their row has lost its key
			strangers = append(strangers, num)
		}
	}
	t.mu.RUnlock()
	people, err := l.store.SubjectsBy(ctx, t.id, strangers)
	if err != nil {
		return err
	}
	shows, err := l.revealAll(t, rows, people)
	if err != nil {
		return err
	}
	ghosts, err := l.ghosts(ctx, t, rows, shows)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range append(people, ghosts...) {
		if !t.vouched(&p) {
			return ErrTampered
		}
		t.addSubject(p)
	}
	for i, r := range rows {
		if err := t.apply(r, t.body(r), shows[i]); err != nil {
			return err
		}
	}
	return nil
}

// revealAll is reveal for entries and the rows of people that were read with them.
func (l *Ledger) revealAll(t *tenant, rows []Row, people []SubjectRow) ([]*shown, error) {
	fresh := map[SubjectNum]seal.Ref{}
	for _, p := range people {
		fresh[p.Num] = p.Key
	}
	key := func(num SubjectNum) seal.Ref {
		if ref, ok := fresh[num]; ok {
			return ref
		}
		t.mu.RLock()
		defer t.mu.RUnlock()
		return t.who[num].key
	}
	shows := make([]*shown, len(rows))
	for i := range rows {
		var err error
		if shows[i], err = l.reveal(t, &rows[i], key); err != nil {
			return nil, err
		}
	}
	return shows, nil
}
