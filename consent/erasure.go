package consent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/assent-gateway/assent/internal/seal"
)

// Errors of erasures.
var (
	// ErrErasureOpen: Append met another open erasure of the same.
	ErrErasureOpen = errors.New("consent: an erasure of the same is open")
	// ErrErasureChanged: an erasure's row is not of the version before the one
	// that was to be written; the caller reads it and begins anew.
	ErrErasureChanged = errors.New("consent: an erasure was changed meanwhile")
	// ErrReturned: the person has acted since the suppression and has another
	// key, so that the suppression cannot be taken back as if nothing happened.
	ErrReturned = errors.New("consent: the person has acted since the suppression")
	// ErrIdentifierTaken: the identifier belongs to another person.
	ErrIdentifierTaken = errors.New("consent: the identifier belongs to another person")
)

// An ErasureRow is an erasure as stored, and the job that carries it out: the
// ledger commits it together with the entry that suppresses. What it says
// beyond numbers is sealed; the ledger does not read it.
type ErasureRow struct {
	ID       string
	Name     [32]byte // MAC of what is to be erased: of one name, one is open
	State    uint8    // of the erasure package
	Open     bool
	Version  uint64 // 1 when it is made, one more with every change
	Position Position
	Created  Time
	Due      Time
	Key      seal.Ref // vault slot of the one-time key of its probe material
	Sealed   []byte
	// Archive is the evidence that law makes the controller keep, sealed by
	// itself, until ArchiveUntil.
	Archive      []byte
	ArchiveUntil Time
	Receipt      []byte
}

// An ErasureEvent is the body of an entry about an erasure, in clear: a random
// id, words of closed lists and counters. It names nobody.
type ErasureEvent struct {
	Event      string `json:"event"` // requested, approved, completed, held, released, lifted
	ID         string `json:"id"`
	Scope      string `json:"scope,omitempty"`
	Regulation string `json:"regulation,omitempty"`
	State      string `json:"state,omitempty"`
	// Digest is SHA-256 of the receipt's statement, in hex.
	Digest    string `json:"digest,omitempty"`
	Documents uint64 `json:"documents,omitempty"`
	// What says which documents, sealed under the tenant's payload key.
	What []byte `json:"what,omitempty"`
	// Who and Link say who is suppressed (see mark.go): under the tenant's payload
	// key, by which marks the person is known and which key opens the link; and
	// under that, as long as it is there, the person's number.
	Who  []byte `json:"who,omitempty"`
	Link []byte `json:"link,omitempty"`
}

// Events that stop and start deletion.
const (
	EventHeld     = "held"
	EventReleased = "released"
	EventApproved = "approved" // by a second key, what was requested in the state "received"
)

// stateReceived is in the entry of a request that waits for approval.
const stateReceived = "received"

// Why nothing of an erasure may be deleted.
const (
	waitsHeld uint8 = 1 << iota
	waitsUnapproved
)

// A Removal says which documents are to be erased: those of a collection, of
// a source, one, or those past their retention; what is zero does not narrow.
// Lookup and Source are the catalogue's keyed names.
type Removal struct {
	Collection int64    `json:"collection,omitempty"`
	Lookup     [32]byte `json:"lookup,omitzero"`
	Source     [32]byte `json:"source,omitzero"`
	Expired    bool     `json:"expired,omitempty"` // past retention when the entry was made
	// Versions are the random numbers of versions of documents, and then all that
	// it is about; ascending, at most MaxVersions. Vectors: of them, the vectors
	// alone.
	Versions []int64 `json:"versions,omitempty"`
	Vectors  bool    `json:"vectors,omitempty"`
}

// MaxVersions is how many versions a Removal may name: its entry must fit the log.
const MaxVersions = 1000

// covers reports whether a removal is about a document.
func (r *Removal) covers(d Piece) bool {
	if len(r.Versions) > 0 {
		_, found := slices.BinarySearch(r.Versions, d.Version)
		return found
	}
	named := r.Collection != 0 || r.Source != [32]byte{}
	return named && !r.Expired && (r.Collection == 0 || r.Collection == d.Collection) &&
		(r.Lookup == [32]byte{} || r.Lookup == d.Lookup) && (r.Source == [32]byte{} || r.Source == d.Source)
}

// A Piece is what a removal needs to know of a document.
type Piece struct {
	Collection int64
	Lookup     [32]byte
	Source     [32]byte
	DecidedAt  Position
	Version    int64 // random number; 0: of one that is not stored yet
}

// removal is a Removal that is not carried out yet. Documents decided later
// than its entry are new ones, and not its.
type removal struct {
	Removal
	at    Position
	asked Time
	done  Time // it was carried out; kept for a day, for an ingest that began before
}

// A Suppression asks for a person's suppression, or for a removal.
type Suppression struct {
	Subject      Subject // zero: Removal says what
	Removal      Removal
	Regulation   string
	Scope        string
	ID           string
	Jurisdiction Jurisdiction
	Waits        bool // nothing is deleted before it is approved
	Once         Once // of the event that asks; committed with the entry
	// Ended: the documents are to go because nobody permits them, which is judged
	// again under the head's lock: ErrPermitted unless each has come to that end.
	Ended []Storage
	// Job makes the row that is committed with the entry. It is called under
	// the head's lock, perhaps more than once, and must not call the ledger.
	Job func(Suppressed) (ErasureRow, error)
}

// A Suppressed says where a suppression stands and what it condemns.
type Suppressed struct {
	Position Position
	At       Time
	// Mark is what the entry is about; see Ledger.Behind. Key is that of the
	// person where the entry is about their own number, as in older ledgers.
	Mark   SubjectNum
	Key    seal.Ref
	Behind bool // somebody is
	Round  int  // how often somebody was
}

// Suppress enters an erasure: entry, mark and job in one transaction, then the
// journal. When it returns without error, no permit of any gateway that is
// asked later permits anything of what is to be erased. A person whom nobody
// knows is made, so that they are suppressed as well as anybody.
// ErrErasureOpen when the job's name is open already; ErrRemembered, and nothing
// entered, when the event that asks was applied before.
func (l *Ledger) Suppress(ctx context.Context, id TenantID, s Suppression) (Suppressed, error) {
	t, err := l.tenant(ctx, id)
	if err != nil {
		return Suppressed{}, err
	}
	ev := ErasureEvent{Event: "requested", ID: s.ID, Scope: s.Scope, Regulation: s.Regulation}
	if s.Waits {
		ev.State = stateReceived
	}
	kind := KindErasure
	if s.Subject.IsZero() {
		kind = KindRemoval
	}
	var out Suppressed
	w := &write{subject: s.Subject, alone: true, keyless: true, once: s.Once}
	w.build = func(now Time, p Position) (Row, any, error) {
		if err := t.stillEnded(&s, now); err != nil {
			return Row{}, nil, err
		}
		if kind == KindRemoval {
			plain, err := json.Marshal(s.Removal)
			if err != nil {
				return Row{}, nil, err
			}
			ev.What = seal.Seal(t.keys.Payload, plain, whatAAD(id, p))
		}
		return Row{Kind: kind, RecordedAt: now, Position: p, Jurisdiction: s.Jurisdiction}, ev, nil
	}
	w.job = func(row *Row, key seal.Ref) (ErasureRow, error) {
		out = Suppressed{Position: row.Position, At: row.RecordedAt, Mark: row.Subject, Key: key, Behind: w.linked, Round: w.round}
		return s.Job(out)
	}
	if err := l.submit(ctx, id, []*write{w}); err != nil {
		return Suppressed{}, err
	}
	if w.repeated && w.result.Err == nil {
		return Suppressed{}, ErrRemembered
	}
	return out, w.result.Err
}

// stillEnded judges anew what a suppression is for.
func (t *tenant) stillEnded(s *Suppression, now Time) error {
	want := EndedStorage
	if s.Removal.Vectors {
		want = EndedVectors
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, d := range s.Ended {
		if t.end(d, now) < want {
			return &refusal{ErrPermitted}
		}
	}
	return nil
}

func whatAAD(t TenantID, p Position) []byte { return append(rowAAD(t, p), " what"...) }

// Follow enters what became of an erasure, with its changed row, in one
// transaction. KindLift ends a suppression as if it had never been:
// ErrReturned when the person has acted since. ErrErasureChanged as in Append.
func (l *Ledger) Follow(ctx context.Context, id TenantID, kind Kind, num SubjectNum, key seal.Ref, ev ErasureEvent,
	job func(Position, Time) (ErasureRow, error)) (Position, error) {
	t, err := l.tenant(ctx, id)
	if err != nil {
		return 0, err
	}
	switch kind {
	case KindHold, KindLift, KindErased:
	default:
		return 0, errors.New("consent: not a kind of entry that follows an erasure")
	}
	w := &write{alone: true, keyless: true}
	w.build = func(now Time, p Position) (Row, any, error) {
		row := Row{Kind: kind, RecordedAt: now, Position: p}
		if kind == KindHold || num == 0 {
			return row, ev, nil
		}
		row.Subject = num
		if kind == KindErased {
			return row, ev, nil
		}
		t.mu.RLock()
		defer t.mu.RUnlock()
		if t.who[num].key != key || t.state(num) == nil || !t.state(num).condemned {
			return row, nil, &refusal{ErrReturned}
		}
		if newest := t.open(num); newest != nil && newest.erasure != ev.ID { // and been suppressed again
			return row, nil, &refusal{ErrReturned}
		}
		return row, ev, nil
	}
	w.job = func(row *Row, _ seal.Ref) (ErasureRow, error) { return job(row.Position, row.RecordedAt) }
	if err := l.submit(ctx, id, []*write{w}); err != nil {
		return 0, err
	}
	return w.result.Position, w.result.Err
}

// addErasure adds an entry about an erasure, and its job.
func (b *builder) addErasure(ctx context.Context, w *write, row Row, body any) error {
	ev, ok := body.(ErasureEvent)
	if !ok || w.job == nil {
		return errors.New("consent: an erasure without event or job")
	}
	var key seal.Ref
	var err error
	if !w.subject.IsZero() {
		if key, err = b.condemn(ctx, w, &row, &ev); err != nil {
			return err
		}
	}
	if row.Sealed, err = json.Marshal(ev); err != nil {
		return fmt.Errorf("consent: encode an erasure's entry: %w", err)
	}
	if row.Kind == KindLift && row.Subject != 0 {
		if err := b.unmark(ctx, row.Subject); err != nil {
			return err
		}
	}
	row.sign(b.t.keys.MAC)
	job, err := w.job(&row, key)
	if err != nil {
		return err
	}
	b.rows = append(b.rows, row)
	b.batch.Erasures = append(b.batch.Erasures, job)
	w.result.Recorded = Recorded{New: true, Position: row.Position, RecordedAt: row.RecordedAt}
	return nil
}

// applyErasure folds an entry about an erasure in. The caller holds mu.
func (t *tenant) applyErasure(row Row, show *shown) error {
	var ev ErasureEvent
	if json.Unmarshal(row.Sealed, &ev) != nil {
		return fmt.Errorf("%w: an entry about an erasure", ErrTampered)
	}
	t.wait(&ev)
	switch row.Kind {
	case KindErasure:
		t.state(row.Subject).erasure = ev.ID
		return t.applySuppression(&row, &ev, show)
	case KindRemoval:
		plain, err := seal.Open(t.keys.Payload, ev.What, whatAAD(t.id, row.Position))
		var r Removal
		if err != nil || json.Unmarshal(plain, &r) != nil {
			return fmt.Errorf("%w: an entry about an erasure", ErrTampered)
		}
		t.removals[ev.ID] = removal{Removal: r, at: row.Position, asked: row.RecordedAt}
	case KindLift:
		delete(t.removals, ev.ID)
	case KindErased:
		t.completed[ev.ID] = true
		if s := t.state(row.Subject); s != nil && s.erasure == ev.ID {
			s.before = nil // nothing leads back from here
		}
		const day = Time(24 * time.Hour)
		maps.DeleteFunc(t.removals, func(_ string, r removal) bool { return r.done != 0 && r.done < row.RecordedAt-day })
		if r, ok := t.removals[ev.ID]; ok {
			r.done = row.RecordedAt
			t.removals[ev.ID] = r
			if len(r.Versions) > 0 { // their numbers are never used again
				delete(t.removals, ev.ID)
			}
		}
	}
	return nil
}

// wait folds in what stops deletion, and what lets it go on. The caller holds mu.
func (t *tenant) wait(ev *ErasureEvent) {
	w := t.waits[ev.ID]
	switch ev.Event {
	case "requested":
		if ev.State == stateReceived {
			w |= waitsUnapproved
		}
	case EventHeld:
		w |= waitsHeld
	case EventReleased:
		w &^= waitsHeld
	case EventApproved:
		w &^= waitsUnapproved
	default: // it ended
		w = 0
	}
	if t.waits[ev.ID] = w; w == 0 {
		delete(t.waits, ev.ID)
	}
}

// Condemned reports whether a document is to be erased by an entry that the
// gateway has applied.
func (p Permit) Condemned(d Piece) bool {
	if p.t == nil {
		return true
	}
	p.t.mu.RLock()
	defer p.t.mu.RUnlock()
	for _, r := range p.t.removals {
		if d.DecidedAt < r.at && r.covers(d) {
			return true
		}
	}
	return false
}

// Scrub takes from a person's row the key that was destroyed and what is sealed
// under it, and, where a row still has it, what names them. A person who has
// another key acted since: then nothing is left to scrub. It may be repeated.
func (l *Ledger) Scrub(ctx context.Context, id TenantID, num SubjectNum, key seal.Ref) error {
	t, err := l.tenant(ctx, id)
	if err != nil {
		return err
	}
	t.queue.committing.Lock() // a commit in progress may give the person a new key
	defer t.queue.committing.Unlock()
	var now SubjectRow
	err = l.store.Append(ctx, id, func(Head) (Batch, error) {
		now = SubjectRow{}
		rows, err := l.store.SubjectsBy(ctx, id, []SubjectNum{num})
		if err != nil || len(rows) == 0 {
			return Batch{}, err
		}
		if now = rows[0]; !t.vouched(&now) {
			return Batch{}, ErrTampered
		}
		if now.Key != key || now.LookupVersion == namelessVersion && key.IsZero() {
			return Batch{}, nil
		}
		if now = t.scrubbed(now); now.LookupVersion == rows[0].LookupVersion && now.LookupVersion == markedVersion {
			return Batch{}, nil
		}
		return Batch{Rekey: []SubjectRow{now}}, nil
	})
	if err != nil || now.Num == 0 {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.stale, func(_ [32]byte, of SubjectNum) bool { return of == num })
	t.addSubject(now)
	return nil
}

// scrubbed is what remains of an erased person's row: nothing that names them;
// or, of who was suppressed before there were links, their mark.
func (t *tenant) scrubbed(row SubjectRow) SubjectRow {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if s := t.state(row.Num); s == nil || !s.gone {
		if row.LookupVersion == markedVersion {
			return row
		}
		return t.markRow(row.Num, t.mark(row.Lookup))
	}
	return t.nameless(row.Num, seal.Ref{}, nil)
}

// Unscrubbed returns every erased person whose row has a key yet, or a name, and
// that key: erasures that a restored database knows nothing of, or that are not
// finished.
func (l *Ledger) Unscrubbed(ctx context.Context, id TenantID) (map[SubjectNum]seal.Ref, error) {
	t, _, err := l.fresh(ctx, id)
	if err != nil {
		return nil, err
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	out := map[SubjectNum]seal.Ref{}
	for _, s := range t.states {
		if t.unscrubbed(s) {
			out[s.num] = t.who[s.num].key
		}
	}
	for _, num := range t.stale {
		out[num] = t.who[num].key
	}
	return out, nil
}

func (t *tenant) unscrubbed(s *state) bool {
	who := t.who[s.num]
	return s.gone && !who.key.IsZero() || s.condemned && who.version == lookupVersion
}

// A Condemned is a person whose data may be deleted: suppressed, and neither held
// nor waiting for approval.
type Condemned struct {
	Num    SubjectNum
	Mark   SubjectNum // of the suppression; Num where nobody can tell
	Round  int        // how often somebody was behind it
	Before Position   // whatever was decided earlier
}

// Suppressions returns everyone who is suppressed and whose data may be deleted.
func (l *Ledger) Suppressions(ctx context.Context, id TenantID) ([]Condemned, error) {
	t, gone, err := l.gone(ctx, id)
	if err != nil {
		return nil, err
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	var out []Condemned
	for _, s := range t.states {
		if who, ok := t.condemnedBy(s, func() bool { return gone[s.num] }); ok {
			out = append(out, who)
		}
	}
	return out, nil
}

// Still reports whether somebody whom Suppressions returned is suppressed by the same
// entry yet, and whether their row has a key or a name as Unscrubbed says: since then
// it may have been held or taken back, or carried out.
func (l *Ledger) Still(ctx context.Context, id TenantID, who Condemned) (still, named bool, err error) {
	t, _, err := l.fresh(ctx, id)
	if err != nil {
		return false, false, err
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	s := t.state(who.Num)
	if s == nil {
		return false, false, nil
	}
	wasGone := func() bool { return len(t.behind[s.num]) == 0 }
	now, ok := t.condemnedBy(s, wasGone)
	if ok && now.Before != who.Before && !(s.gone && wasGone()) {
		return false, false, nil
	}
	return ok, t.unscrubbed(s) || slices.Contains(slices.Collect(maps.Values(t.stale)), who.Num), nil
}

// condemnedBy is by what entry somebody is suppressed, if their data may be deleted.
// gone says whether nobody can name them any more. The caller holds mu.
func (t *tenant) condemnedBy(s *state, gone func() bool) (Condemned, bool) {
	var sup *suppression
	for _, b := range t.behind[s.num] {
		if !b.lifted {
			sup = b
		}
	}
	switch {
	case sup != nil:
		return Condemned{s.num, sup.mark, sup.round, sup.at}, t.waits[sup.erasure] == 0
	case s.gone: // else their suppression is about to be applied
		return Condemned{s.num, s.num, 0, t.applied + 1}, gone()
	}
	return Condemned{s.num, s.num, t.round(s.num), s.suppressedPos}, s.suppressedPos != 0 && s.suppressed && t.waits[s.erasure] == 0
}

// A PendingRemoval is one that the ledger has no completion of.
type PendingRemoval struct {
	ID string
	Removal
	Position Position
	At       Time
}

// Removals returns those that are not carried out and may be.
func (l *Ledger) Removals(ctx context.Context, id TenantID) ([]PendingRemoval, error) {
	t, _, err := l.fresh(ctx, id)
	if err != nil {
		return nil, err
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	var out []PendingRemoval
	for name, r := range t.removals {
		if r.done == 0 && t.waits[name] == 0 {
			out = append(out, PendingRemoval{name, r.Removal, r.at, r.asked})
		}
	}
	return out, nil
}

// ErasureDeadline returns the framework by which an erasure is to be answered,
// and within which time; 0 where the policy names none. regulation names a
// framework of the policy; "" is the one of the jurisdiction, else of where
// the person is known to be.
func (l *Ledger) ErasureDeadline(ctx context.Context, id TenantID, regulation string, j Jurisdiction, who Subject) (string, time.Duration, error) {
	t, _, err := l.fresh(ctx, id)
	if err != nil {
		return "", 0, err
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	p := t.rules.policy
	if p == nil {
		return "", 0, fmt.Errorf("%w: no policy is in force", ErrUnavailable)
	}
	if regulation == "" {
		if j == "" && !who.IsZero() {
			if _, s := t.find(who); s != nil {
				j = s.jurisdiction
			}
		}
		if regulation = p.where[j]; regulation == "" {
			regulation = p.where[j.Country()]
		}
		if regulation == "" {
			return "", 0, nil
		}
	}
	f, known := p.Frameworks[regulation]
	if !known {
		return "", 0, &InputError{"regulation", "is not a framework of the policy"}
	}
	d, err := ParseDuration(f.Deadlines["erasure"])
	return regulation, d, err
}

// Condemned reports whether a document is to be erased, by what the ledger
// says now. It is for an ingest that would replace it, or that began earlier.
func (l *Ledger) Condemned(id TenantID, d Piece) bool {
	l.mu.RLock()
	t := l.tenants[id]
	l.mu.RUnlock()
	return Permit{t: t}.Condemned(d)
}

// Held reports whether a document is held, by the erasure that it or any of its
// people is the matter of: nobody deletes it until that is released or taken
// back. It is judged by what this gateway has applied.
func (l *Ledger) Held(id TenantID, d Piece, people []SubjectNum) bool {
	l.mu.RLock()
	t := l.tenants[id]
	l.mu.RUnlock()
	if t == nil {
		return false
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	if !t.holds() {
		return false
	}
	for name, r := range t.removals {
		if t.waits[name]&waitsHeld != 0 && d.DecidedAt < r.at && r.covers(d) {
			return true
		}
	}
	for _, num := range people {
		for _, sup := range t.behind[num] {
			if !sup.lifted && t.waits[sup.erasure]&waitsHeld != 0 && d.DecidedAt < sup.at {
				return true
			}
		}
		s := t.state(num)
		if s != nil && s.suppressed && s.erasure != "" && t.waits[s.erasure]&waitsHeld != 0 && d.DecidedAt < s.suppressedPos {
			return true
		}
	}
	return false
}

// Holds reports whether anything is held, by the newest state.
func (l *Ledger) Holds(ctx context.Context, id TenantID) (bool, error) {
	t, _, err := l.fresh(ctx, id)
	if err != nil {
		return false, err
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.holds(), nil
}

func (t *tenant) holds() bool {
	for _, w := range t.waits {
		if w&waitsHeld != 0 {
			return true
		}
	}
	return false
}
