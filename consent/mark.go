package consent

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/assent-gateway/assent/internal/seal"
)

// # What an erasure leaves of a person
//
// Entries are never changed, and each has the number of its person in clear. So
// that nothing leads from a name to the entries of whoever is erased, the entry of
// a suppression is not about that number. It is about a mark: a random number of
// its own, whose row is found by a MAC of the person's keyed lookup, and which has
// no other entries than those about suppressions. In the same transaction the row
// of the person becomes nameless.
//
// What leads from the mark to the person, as long as there is something to delete
// or to take back, is a box in the entry, the link, under a one-time key of the
// vault: Forget destroys it when the erasure is completed. The box stays, like
// every ciphertext of an erased person. From then on nobody can tell whose mark
// it was, the gateway no more than whoever has all of its keys: of an identifier
// there is left that it is suppressed, and since when; of a number, that it is
// somebody's who was erased.
//
// Who comes back, with any identifier that they had, gets another number, and
// inherits from the mark that they were suppressed. The mark stays as it is, for
// the next time.
//
// Entries from before there were links are about the person's own number, whose
// row then becomes the mark: they are read as they are.

// Versions of what a person's row is found by.
const (
	lookupVersion   = 1 // an identifier
	markedVersion   = 2 // the suppression mark
	namelessVersion = 3 // nothing: Lookup is random
)

// A marked says whose a suppression mark is, and since when.
type marked struct {
	num  SubjectNum
	at   Position
	time Time
}

// A suppression is what the ledger remembers of an entry that suppresses.
type suppression struct {
	at      Position
	mark    SubjectNum
	erasure string
	lifted  bool
	round   int                 // how often somebody was behind the mark, with this one
	was     map[[32]byte]marked // whose the marks were before
	link    link                // zero: nobody is behind it, or nobody knows any more
	key     seal.Ref            // of the link; zero: there never was one
}

// suppressions are those of a tenant, by position, by mark in order, and by who is
// behind them.
type suppressions struct {
	suppressedAt map[Position]*suppression
	suppressedBy map[SubjectNum][]*suppression
	behind       map[SubjectNum][]*suppression
}

func newSuppressions() suppressions {
	return suppressions{map[Position]*suppression{}, map[SubjectNum][]*suppression{}, map[SubjectNum][]*suppression{}}
}

// mark is the suppression mark of a keyed lookup: what an erased person is
// recognised by.
func (t *tenant) mark(lookup [32]byte) [32]byte {
	return seal.MAC(t.keys.Suppression, "assent suppression", lookup[:])
}

// markRow is the row of a mark. Nothing in it is sealed, and it has no key.
func (t *tenant) markRow(num SubjectNum, mark [32]byte) SubjectRow {
	return t.signed(SubjectRow{Num: num, Lookup: mark, LookupVersion: markedVersion}, nil)
}

// nameless is a person's row without what they are found by.
func (t *tenant) nameless(num SubjectNum, key seal.Ref, box []byte) SubjectRow {
	return t.signed(SubjectRow{Num: num, Lookup: [32]byte(seal.NewKey()), LookupVersion: namelessVersion, Key: key}, box)
}

func (t *tenant) signed(row SubjectRow, box []byte) SubjectRow {
	mac := t.subjectMAC(&row, box)
	row.Sealed = append(mac[:], box...)
	return row
}

// box is the sealed identifier of a row.
func (row *SubjectRow) box() []byte { return row.Sealed[min(len(row.Sealed), len([32]byte{})):] }

// stateOf returns a person's state, made when there is none. The caller holds mu.
func (t *tenant) stateOf(num SubjectNum) *state {
	s := t.state(num)
	if s == nil {
		s = &state{num: num, ord: uint32(len(t.states))}
		t.ords.add(num, s.ord)
		t.states = append(t.states, s)
	}
	return s
}

func (t *tenant) refreshAll(s *state) {
	for k, m := range t.masks {
		t.refresh(k, m, s)
	}
}

// leave takes from a person what they are found by: they were suppressed, and
// whoever comes with their identifiers is somebody else. The caller holds mu.
func (t *tenant) leave(num SubjectNum) {
	who := t.who[num]
	for _, lookup := range append([][32]byte{who.lookup}, t.aliases[num]...) {
		if t.byLookup[lookup] != num {
			continue
		}
		delete(t.byLookup, lookup)
		if t.loading && lookup == who.lookup {
			t.stale[lookup] = num
		}
	}
	if t.loading && who.version == markedVersion { // of a suppression that was taken back
		t.stale[who.lookup] = num
	}
	who.lookup, who.version = [32]byte{}, namelessVersion
	t.who[num] = who
	s := t.stateOf(num)
	s.gone = true
	if t.heirs[s.mark] == num {
		delete(t.heirs, s.mark)
	}
	t.refreshAll(s)
}

// come undoes leave.
func (t *tenant) come(k link) {
	t.who[k.num] = subjectRef{lookup: k.lookup, key: k.key, version: lookupVersion}
	t.byLookup[k.lookup] = k.num
	delete(t.stale, k.lookup)
	for _, alias := range t.aliases[k.num] {
		t.byLookup[alias] = k.num
	}
	s := t.stateOf(k.num)
	s.gone = false
	if s.mark != 0 {
		t.heirs[s.mark] = k.num
	}
	t.refreshAll(s)
}

// inherit lets whoever has one of an erased person's identifiers begin as
// suppressed. The caller holds mu.
func (t *tenant) inherit(s *state, lookup [32]byte) {
	if len(t.byMark) == 0 || lookup == [32]byte{} {
		return
	}
	m, ok := t.byMark[t.mark(lookup)]
	if !ok || m.num == s.num {
		return
	}
	s.suppressed, s.suppressedAt = true, max(s.suppressedAt, m.time)
	if was := t.state(m.num); was != nil && s.newest != 0 { // they have acted since
		was.condemned = false
		s.mark, t.heirs[m.num] = m.num, s.num
	}
}

// inheritLate is inherit for somebody who came back and was suppressed again, and
// whose name was taken when this gateway folded in what they said: it learns who
// they are by the link of that suppression. What they said under it counts as far as
// it would have. The caller holds mu.
func (t *tenant) inheritLate(num SubjectNum, was marked) {
	s, m := t.state(num), t.state(was.num)
	if s == nil || m == nil || s.mark != 0 || was.num == num || s.newest < was.at {
		return
	}
	s.suppressed, s.suppressedAt, s.mark = true, max(s.suppressedAt, was.time), was.num
	if m.before != nil { // as it is when the newest suppression is taken back
		m.before.condemned = false
	}
	for i := range s.purposes {
		p := &s.purposes[i]
		p.grants = slices.DeleteFunc(p.grants, func(g grant) bool { return g.at <= s.suppressedAt })
		if p.returned = len(p.grants) > 0; !p.returned && p.current.status == Granted {
			p.current = effective{}
		}
	}
}

// condemn makes an entry one about the mark of a person, and the person nameless,
// in the same transaction. Somebody whom nobody knows is made first, so that an
// ingest that makes them at the same time meets their row. It returns the person's
// key where the entry is about their own number: in ledgers from before there were
// links, as long as that erasure is not done.
func (b *builder) condemn(ctx context.Context, w *write, row *Row, ev *ErasureEvent) (seal.Ref, error) {
	t := b.t
	w.linked, w.round = false, 0
	t.mu.RLock()
	num := t.resolve(w.subject)
	who, old, rounds := t.who[num], t.condemned(num), t.round(num)
	t.mu.RUnlock()
	var person SubjectRow
	switch {
	case old:
		row.Subject = num
		return who.key, nil
	case who.version == markedVersion: // again: nobody is behind it
		row.Subject, w.round = num, rounds
		ev.Who = sealWho(t.keys.Payload, t.id, row.Position, seal.Ref{}, [][32]byte{t.mark(t.lookup(w.subject))})
		return seal.Ref{}, nil
	case num == 0:
		n := b.fresh[w.subject]
		if n == nil {
			return seal.Ref{}, ErrSubjectExists
		}
		b.adopt(n)
		person = n.row
	default:
		rows, err := b.l.store.SubjectsBy(ctx, t.id, []SubjectNum{num})
		if err != nil {
			return seal.Ref{}, err
		}
		if len(rows) != 1 || !t.vouched(&rows[0]) || refOf(&rows[0]) != who {
			return seal.Ref{}, ErrTampered
		}
		person = rows[0]
	}
	var marks [][32]byte
	if row.Subject, marks = t.marksOf(&person); row.Subject == 0 {
		row.Subject = randomNum()
		b.batch.Subjects = append(b.batch.Subjects, t.markRow(row.Subject, marks[0]))
	}
	t.mu.RLock()
	w.round = t.round(row.Subject) + 1
	t.mu.RUnlock()
	key := b.linking.row.Key
	ev.Who = sealWho(t.keys.Payload, t.id, row.Position, key, marks)
	ev.Link = link{person.Num, person.Key, person.Lookup}.seal(b.linking.key, t.id, row.Position)
	b.linking.used, w.linked = true, true
	b.batch.Rekey = append(b.batch.Rekey, t.nameless(person.Num, person.Key, person.box()))
	return seal.Ref{}, nil
}

// marksOf returns the marks of everything that a person is found by, and whose
// number they have from an earlier suppression; 0 when there was none.
func (t *tenant) marksOf(person *SubjectRow) (mark SubjectNum, marks [][32]byte) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, lookup := range append([][32]byte{person.Lookup}, t.aliases[person.Num]...) {
		m := t.mark(lookup)
		marks = append(marks, m)
		if was := t.byMark[m]; mark == 0 && t.who[was.num].version == markedVersion {
			mark = was.num
		}
	}
	for m, was := range t.byMark {
		if was.num == person.Num { // an identifier from before there were links
			marks = append(marks, m)
		}
	}
	return mark, marks
}

// unmark gives the person behind a mark their name back, in the transaction of the
// entry that lifts the suppression: the newest one, see Follow.
func (b *builder) unmark(ctx context.Context, mark SubjectNum) error {
	t := b.t
	t.mu.RLock()
	sup, s := t.open(mark), t.state(mark)
	t.mu.RUnlock()
	if sup == nil {
		return nil
	}
	if s != nil && (s.before == nil || s.before.suppressedPos == 0) {
		b.batch.Rekey = append(b.batch.Rekey, t.nameless(mark, seal.Ref{}, nil))
	}
	if sup.link.num == 0 {
		return nil
	}
	rows, err := b.l.store.SubjectsBy(ctx, t.id, []SubjectNum{sup.link.num})
	if err != nil {
		return err
	}
	if len(rows) != 1 || !t.vouched(&rows[0]) || rows[0].Key != sup.link.key {
		return ErrTampered
	}
	back := SubjectRow{Num: sup.link.num, Lookup: sup.link.lookup, LookupVersion: lookupVersion, Key: sup.link.key}
	b.batch.Rekey = append(b.batch.Rekey, t.signed(back, rows[0].box()))
	return nil
}

// applySuppression folds in who is suppressed. The caller holds mu.
func (t *tenant) applySuppression(row *Row, ev *ErasureEvent, show *shown) error {
	if len(ev.Who) == 0 { // of the number itself
		t.departures = append(t.departures, departure{row.Subject, row.Position, false})
		if who := t.who[row.Subject]; who.version == markedVersion {
			t.byMark[who.lookup] = marked{row.Subject, row.Position, t.state(row.Subject).suppressedAt}
		}
		return nil
	}
	key, marks, err := openWho(t.keys.Payload, ev.Who, t.id, row.Position)
	if err != nil {
		return err
	}
	sup := &suppression{at: row.Position, mark: row.Subject, erasure: ev.ID, was: map[[32]byte]marked{}, key: key}
	for _, m := range marks {
		sup.was[m] = t.byMark[m]
		t.byMark[m] = marked{row.Subject, row.Position, t.state(row.Subject).suppressedAt}
	}
	t.suppressedAt[row.Position] = sup
	t.suppressedBy[row.Subject] = append(t.suppressedBy[row.Subject], sup)
	sup.round = t.round(row.Subject)
	switch {
	case show == nil: // nobody was behind it
	case !show.gone:
		sup.link = show.link
		t.departures = append(t.departures, departure{sup.link.num, row.Position, false})
		t.behind[sup.link.num] = append(t.behind[sup.link.num], sup)
		t.inheritLate(sup.link.num, sup.was[t.mark(sup.link.lookup)])
		t.leave(show.link.num)
	}
	return nil
}

// depart is leave, of whom a row says so. The caller holds mu.
func (t *tenant) depart(num SubjectNum) {
	if s := t.state(num); !t.loading && (s == nil || !s.gone) {
		t.departures = append(t.departures, departure{num, t.applied + 1, true})
	}
	t.leave(num)
}

// ended returns who is behind the suppression whose erasure an entry completes, as
// long as it is known. The caller holds mu.
func (t *tenant) ended(row *Row) SubjectNum {
	var ev ErasureEvent
	if row.Kind != KindErased || row.Subject == 0 || json.Unmarshal(row.Sealed, &ev) != nil {
		return 0
	}
	if s := t.suppressedFor(row.Subject, ev.ID); s != nil {
		return s.link.num
	}
	return 0
}

// ghosts reads anew the rows of everyone whom this gateway takes for people who
// were suppressed by entries whose link is gone: completed before it heard of them.
// A row that is nameless by now is of who left; one that is not, of who came back.
func (l *Ledger) ghosts(ctx context.Context, t *tenant, rows []Row, shows []*shown) ([]SubjectRow, error) {
	gone := map[[32]byte]bool{}
	for i := range rows {
		var ev ErasureEvent
		if rows[i].Kind != KindErasure || shows[i] == nil || !shows[i].gone || json.Unmarshal(rows[i].Sealed, &ev) != nil {
			continue
		}
		_, marks, err := openWho(t.keys.Payload, ev.Who, t.id, rows[i].Position)
		if err != nil {
			return nil, err
		}
		for _, m := range marks {
			gone[m] = true
		}
	}
	if len(gone) == 0 {
		return nil, nil
	}
	var nums []SubjectNum
	t.mu.RLock()
	for lookup, num := range t.byLookup {
		if gone[t.mark(lookup)] {
			nums = append(nums, num)
		}
	}
	for _, s := range t.states { // whose name somebody else had when this gateway met them
		if s.gone && !t.who[s.num].key.IsZero() && len(t.behind[s.num]) == 0 {
			nums = append(nums, s.num)
		}
	}
	t.mu.RUnlock()
	return l.store.SubjectsBy(ctx, t.id, nums)
}

// leaveGhosts lets everyone leave, at a start, who is found by an identifier that
// was suppressed after they last spoke: rows that were put back. The caller holds mu.
func (t *tenant) leaveGhosts() {
	if len(t.byMark) == 0 {
		return
	}
	var ghosts []SubjectNum
	for lookup, num := range t.byLookup {
		m, ok := t.byMark[t.mark(lookup)]
		if s := t.state(num); ok && m.num != num && (s == nil || s.newest < m.at) {
			ghosts = append(ghosts, num)
		}
	}
	for _, num := range ghosts {
		t.departures = append(t.departures, departure{num, t.applied + 1, true})
		t.leave(num)
	}
}

// applyLift takes the newest suppression of a mark back. The caller holds mu.
func (t *tenant) applyLift(num SubjectNum) {
	sup := t.open(num)
	if sup == nil {
		return
	}
	sup.lifted = true
	for m, was := range sup.was {
		if was.num == 0 {
			delete(t.byMark, m)
		} else {
			t.byMark[m] = was
		}
	}
	if s := t.state(num); s != nil && s.suppressedPos == 0 {
		t.leave(num)
	}
	if sup.link.num != 0 {
		t.come(sup.link)
	}
}

// open returns the newest suppression of a mark that is not taken back.
func (t *tenant) open(mark SubjectNum) *suppression {
	for _, s := range slices.Backward(t.suppressedBy[mark]) {
		if !s.lifted {
			return s
		}
	}
	return nil
}

// suppressedFor returns the suppression of a mark that an erasure made.
func (t *tenant) suppressedFor(mark SubjectNum, erasure string) *suppression {
	for _, s := range t.suppressedBy[mark] {
		if s.erasure == erasure {
			return s
		}
	}
	return nil
}
