package consent

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/assent-gateway/assent/internal/seal"
)

// An InputError names the field of a request that is not valid. It never
// holds the field's value.
type InputError struct {
	Field  string
	Reason string // a constant sentence fragment
}

func (e *InputError) Error() string { return "consent: " + e.Field + ": " + e.Reason }

// maxBatch bounds how many entries one transaction commits.
const maxBatch = 1024

// maxSealed bounds the sealed part of an entry, so that it fits the log.
const maxSealed = 60_000

// An Entry is what a caller asks to be recorded about a person.
type Entry struct {
	Subject      Subject
	Type         Type
	Status       Status
	Jurisdiction Jurisdiction
	ActedAt      Time // 0: now
	ExpiresAt    Time // 0: never; only for Granted
	Audit        Audit
}

// Once makes a write repeatable: MACs of the Idempotency-Key (with credential
// and route) and of the body. The zero Once remembers nothing.
type Once struct{ Key, Body [32]byte }

// Recorded is what became of an Entry.
type Recorded struct {
	New        bool     `json:"new"` // false: it only repeated the current state
	Position   Position `json:"position"`
	RecordedAt Time     `json:"recorded_at"`
	Allowed    bool     `json:"allowed"`
	Reason     Reason   `json:"reason"`
}

// Result is a Recorded or why there is none: an *InputError, ErrKeyMismatch,
// or an error that wraps ErrUnavailable.
type Result struct {
	Recorded
	Err error
}

// A write waits in a tenant's queue to be committed together with others.
type write struct {
	subject Subject // zero for entries of the tenant itself
	build   func(now Time, p Position) (Row, any, error)
	once    Once
	result  Result
	done    chan struct{}
}

// queue gathers writes while a commit runs: whoever finds no leader starts
// one, and it commits for everyone who came meanwhile, until nobody waits.
type queue struct {
	mu         sync.Mutex
	waiting    []*write
	leading    bool
	committing sync.Mutex // held from before the transaction until memory changed
}

// Record records entries in the order given, in as few transactions as may
// be; each is judged by itself. once, when not zero, holds for a single entry.
func (l *Ledger) Record(ctx context.Context, id TenantID, entries []Entry, once Once) ([]Result, error) {
	writes := make([]*write, len(entries))
	for i, e := range entries {
		writes[i] = &write{subject: e.Subject, once: once, build: e.row}
	}
	if err := l.submit(ctx, id, writes); err != nil {
		return nil, err
	}
	out := make([]Result, len(writes))
	for i, w := range writes {
		out[i] = w.result
	}
	return out, nil
}

// row builds the row of an entry, short of subject and leaf.
func (e Entry) row(now Time, p Position) (Row, any, error) {
	switch {
	case e.Subject.IsZero():
		return Row{}, nil, &InputError{"user_id", "is required"}
	case e.Status == StatusNone || e.Status > Unrestricted:
		return Row{}, nil, &InputError{"status", "is not one of the six statuses"}
	case e.ActedAt > now:
		return Row{}, nil, &InputError{"timestamp", "lies in the future"}
	case e.ActedAt < 0 || e.ExpiresAt < 0:
		return Row{}, nil, &InputError{"timestamp", "lies before 1970"}
	case e.ExpiresAt != 0 && e.Status != Granted:
		return Row{}, nil, &InputError{"expires_at", "only a grant expires"}
	}
	e.Audit.Subject = e.Subject.Reveal()
	return Row{
		Kind: KindConsent, Type: e.Type, Status: e.Status, Jurisdiction: e.Jurisdiction,
		ActedAt: e.ActedAt, ExpiresAt: e.ExpiresAt, RecordedAt: now, Position: p,
	}, e.Audit, nil
}

func (l *Ledger) submit(ctx context.Context, id TenantID, writes []*write) error {
	t, err := l.tenant(ctx, id)
	if err != nil {
		return err
	}
	for _, w := range writes {
		w.done = make(chan struct{})
	}
	q := &t.queue
	q.mu.Lock()
	q.waiting = append(q.waiting, writes...)
	lead := !q.leading
	q.leading = true
	q.mu.Unlock()
	if lead {
		// In a goroutine of its own: under load it goes on for those who came
		// after, and no caller should wait for them.
		go l.lead(context.WithoutCancel(ctx), t)
	}
	// A write that was queued is committed whether its caller waits or not.
	for _, w := range writes {
		<-w.done
	}
	return nil
}

// lead commits batches until none wait.
func (l *Ledger) lead(ctx context.Context, t *tenant) {
	q := &t.queue
	for {
		q.mu.Lock()
		batch := q.waiting[:batchLen(q.waiting)]
		q.waiting = q.waiting[len(batch):]
		if len(batch) == 0 {
			q.leading = false
			q.waiting = nil
			q.mu.Unlock()
			return
		}
		q.mu.Unlock()
		q.committing.Lock()
		err := l.guarded(ctx, t, batch)
		q.committing.Unlock()
		for _, w := range batch {
			if err != nil {
				w.result = Result{Err: err}
			}
			close(w.done)
		}
	}
}

// guarded is commit, and closes the ledger where it panics: this goroutine is
// nobody's request, and what a panic would print could be anybody's data.
func (l *Ledger) guarded(ctx context.Context, t *tenant, batch []*write) (err error) {
	defer func() {
		if p := recover(); p != nil {
			l.log.Error("a commit panicked", "panic_type", fmt.Sprintf("%T", p))
			l.shut(t, ErrUnavailable)
			err = ErrUnavailable
		}
	}()
	return l.commit(ctx, t, batch)
}

// batchLen is how many of the waiting writes the next transaction takes. An
// entry of the tenant itself goes alone: it changes how others are judged.
func batchLen(waiting []*write) int {
	n := 0
	for n < len(waiting) && n < maxBatch && !waiting[n].subject.IsZero() {
		n++
	}
	return max(n, min(1, len(waiting)))
}

// commit writes a batch in the order that Ledger documents.
func (l *Ledger) commit(ctx context.Context, t *tenant, batch []*write) error {
	if c := t.closed.Load(); c != nil {
		return c.err
	}
	for {
		fresh, err := l.newcomers(ctx, t, batch)
		if err != nil {
			return err
		}
		l.step("slots.synced") // a crash here leaves slots that no row names: wiped at the next start
		b := builder{l: l, t: t, fresh: fresh}
		err = l.store.Append(ctx, t.id, func(head Head) (Batch, error) { return b.prepare(ctx, head, batch) })
		if err == nil {
			return l.finish(t, &b)
		}
		switch {
		case errors.Is(err, ErrSubjectExists): // newcomers finds them now
			l.discard(b.rolledBack())
			continue
		case b.refused != nil && errors.Is(err, b.refused):
			l.discard(b.rolledBack())
			return asUnavailable(err)
		}
		l.discard(b.unused())
		// The transaction may have happened. Until the database says so, or
		// says not, nobody is told anything: closed, then mended from what is there.
		l.shut(t, ErrUnavailable)
		return asUnavailable(err)
	}
}

// newcomers makes keys for people the batch names first. They are durable in
// the vault before any row names them.
func (l *Ledger) newcomers(ctx context.Context, t *tenant, batch []*write) (map[Subject]*newcomer, error) {
	fresh := map[Subject]*newcomer{}
	for _, w := range batch {
		if w.subject.IsZero() || fresh[w.subject] != nil {
			continue
		}
		known, err := l.known(ctx, t, w.subject)
		if err != nil {
			return nil, err
		}
		if !known {
			fresh[w.subject] = nil
		}
	}
	if err := l.makeKeys(t, fresh); err != nil {
		return nil, err
	}
	return fresh, nil
}

// known reports whether a person has a number, in memory or, made by another
// gateway, in the database.
func (l *Ledger) known(ctx context.Context, t *tenant, s Subject) (bool, error) {
	lookup := t.lookup(s)
	t.mu.RLock()
	_, ok := t.byLookup[lookup]
	t.mu.RUnlock()
	if ok {
		return true, nil
	}
	row, ok, err := l.store.SubjectByLookup(ctx, t.id, lookup)
	if err != nil || !ok {
		return false, err
	}
	if !t.vouched(&row) {
		return false, ErrTampered
	}
	t.mu.Lock()
	t.addSubject(row)
	t.mu.Unlock()
	return true, nil
}

// A newcomer is a person who is about to be made.
type newcomer struct {
	row  SubjectRow
	key  seal.Key
	used bool
}

func (l *Ledger) makeKeys(t *tenant, fresh map[Subject]*newcomer) error {
	if len(fresh) == 0 {
		return nil
	}
	keys, refs, err := l.vault.NewSubjectKeys(len(fresh))
	if err != nil {
		return fmt.Errorf("%w: make keys in the vault", ErrUnavailable)
	}
	i := 0
	for s := range fresh {
		num, lookup := randomNum(), t.lookup(s)
		row := SubjectRow{Num: num, Lookup: lookup, LookupVersion: 1, Key: refs[i]}
		box := seal.Seal(keys[i], []byte(s.Reveal()), subjectAAD(t.id, num))
		mac := t.subjectMAC(&row, box)
		row.Sealed = append(mac[:], box...)
		fresh[s] = &newcomer{key: keys[i], row: row}
		i++
	}
	return nil
}

// subjectAAD binds a sealed identifier to its person.
func subjectAAD(t TenantID, num SubjectNum) []byte {
	b := append([]byte("assent subject\x00"), t...)
	return binary.BigEndian.AppendUint64(append(b, 0), uint64(num))
}

func randomNum() SubjectNum {
	var b [8]byte
	for {
		rand.Read(b[:])
		if n := SubjectNum(binary.BigEndian.Uint64(b[:]) >> 1); n != 0 {
			return n
		}
	}
}

// discard destroys keys that no row names. A failure leaves them to the next start.
func (l *Ledger) discard(refs []seal.Ref) {
	if len(refs) == 0 {
		return
	}
	if err := l.vault.Destroy(refs...); err != nil {
		l.log.Warn("unused keys left for the next start", "count", len(refs))
	}
}

// finish makes a committed batch durable in the journal, then visible, then
// known to its callers.
func (l *Ledger) finish(t *tenant, b *builder) error {
	l.step("tx.committed") // a crash here leaves entries that the journal lacks: Open appends them
	rows := b.rows
	recs := make([]JournalRecord, len(rows))
	t.mu.Lock()
	for _, s := range b.batch.Subjects {
		t.addSubject(s)
	}
	for i := range rows {
		recs[i] = t.journalRecord(&rows[i])
	}
	t.mu.Unlock()
	if len(recs) > 0 {
		if err := l.vault.AppendJournal(t.id, recs); err != nil {
			l.shut(t, ErrJournal)
			return ErrJournal
		}
	}
	l.step("journal.synced") // a crash here leaves entries nobody was told of: a repeat meets them
	t.mu.Lock()
	var err error
	for _, row := range rows {
		if err = t.apply(row, t.body(row)); err != nil {
			break
		}
	}
	t.mu.Unlock()
	if err != nil {
		l.shut(t, err)
		return err
	}
	l.step("applied")
	t.tree.Wake()
	l.discard(b.unused())
	return nil
}

// builder prepares one transaction. It may be asked more than once.
type builder struct {
	l       *Ledger
	t       *tenant
	fresh   map[Subject]*newcomer
	rows    []Row
	batch   Batch
	tried   map[SubjectNum]*state // people as the batch leaves them
	rules   rules
	refused error
}

// rolledBack returns the keys of everyone the batch would have made.
func (b *builder) rolledBack() []seal.Ref {
	refs := make([]seal.Ref, 0, len(b.fresh))
	for _, n := range b.fresh {
		refs = append(refs, n.row.Key)
	}
	return refs
}

// unused returns the keys of those whom the batch did not make after all.
func (b *builder) unused() []seal.Ref {
	var refs []seal.Ref
	for _, n := range b.fresh {
		if !n.used {
			refs = append(refs, n.row.Key)
		}
	}
	return refs
}

// prepare judges each write by the state that the ones before it leave.
func (b *builder) prepare(ctx context.Context, head Head, writes []*write) (Batch, error) {
	if err := b.l.catchUp(ctx, b.t, head.Position); err != nil {
		b.refused = err
		return Batch{}, err
	}
	b.rows, b.batch, b.tried = nil, Batch{}, map[SubjectNum]*state{}
	for _, n := range b.fresh {
		n.used = false
	}
	b.t.mu.RLock()
	b.rules = b.t.rules
	b.t.mu.RUnlock()
	remembered := map[[32]byte]bool{}
	for _, w := range writes {
		err := b.add(ctx, w, head, remembered)
		var input *InputError
		var refused *refusal
		switch {
		case err == nil:
		case errors.As(err, &input), errors.As(err, &refused), errors.Is(err, ErrKeyMismatch):
			w.result = Result{Err: err}
		default:
			b.refused = err
			return Batch{}, err
		}
	}
	b.batch.Rows = b.rows
	return b.batch, nil
}

func (b *builder) add(ctx context.Context, w *write, head Head, remembered map[[32]byte]bool) error {
	w.result = Result{}
	if w.once != (Once{}) {
		if remembered[w.once.Key] {
			return ErrKeyMismatch // two writes of one batch; callers hold a lock per key, so never
		}
		remembered[w.once.Key] = true
		outcome, found, err := b.l.recall(ctx, b.t, w.once)
		if err != nil {
			return err
		}
		if found {
			if err := json.Unmarshal(outcome, &w.result.Recorded); err != nil {
				return fmt.Errorf("%w: a remembered outcome", ErrTampered)
			}
			return nil
		}
	}
	position := head.Position + Position(len(b.rows)) + 1
	row, body, err := w.build(head.Now, position)
	if err != nil {
		return err
	}
	if row.Kind == KindConsent {
		err = b.addConsent(w, row, body, head.Now)
	} else {
		err = b.addOther(w, row, body)
	}
	if err != nil {
		return err
	}
	return b.remember(w, head.Now)
}

// addConsent judges an entry about a person: a repeat, or a new row.
func (b *builder) addConsent(w *write, row Row, body any, now Time) error {
	if err := b.checkType(row); err != nil {
		return err
	}
	num, key, s, err := b.person(w.subject)
	if err != nil {
		return err
	}
	if cur, ok := s.repeats(row, &b.rules); ok {
		w.result.Recorded = Recorded{Position: cur.position, RecordedAt: cur.recorded}
	} else {
		row.Subject = num
		if row.Sealed, err = sealBody(key, b.t.id, row.Position, body); err != nil {
			return err
		}
		if len(row.Sealed) > maxSealed {
			return &InputError{"", "is too large for an entry of the ledger"}
		}
		row.sign(b.t.keys.MAC)
		s.apply(row, &b.rules.registry)
		b.rows = append(b.rows, row)
		b.adopt(w.subject)
		w.result.Recorded = Recorded{New: true, Position: row.Position, RecordedAt: row.RecordedAt}
	}
	d := b.rules.decide(s, Question{Purpose: row.Type.Purpose, Now: now})
	w.result.Allowed, w.result.Reason = d.Allowed, d.Reason
	return nil
}

// checkType refuses purposes that the policy does not know, and grants of
// texts that nobody published: a refusal is taken for any version.
func (b *builder) checkType(row Row) error {
	if b.rules.policy == nil {
		return fmt.Errorf("%w: no policy is in force", ErrUnavailable)
	}
	if _, ok := b.rules.policy.Purposes[row.Type.Purpose]; !ok {
		return &InputError{"consent_type", "is of a purpose that the policy does not know"}
	}
	if _, ok := b.rules.registry.types[row.Type]; !ok && row.Status == Granted {
		return &InputError{"consent_type", "was never published in this version"}
	}
	return nil
}

// addOther adds an entry of the tenant itself, sealed under its payload key.
func (b *builder) addOther(w *write, row Row, body any) (err error) {
	if row.Sealed, err = sealBody(b.t.keys.Payload, b.t.id, row.Position, body); err != nil {
		return err
	}
	if len(row.Sealed) > maxSealed {
		return &InputError{"", "is too large for an entry of the ledger"}
	}
	row.sign(b.t.keys.MAC)
	b.rows = append(b.rows, row)
	w.result.Recorded = Recorded{New: true, Position: row.Position, RecordedAt: row.RecordedAt}
	return nil
}

// person returns a copy of a person's state that the batch may change.
func (b *builder) person(who Subject) (SubjectNum, seal.Key, *state, error) {
	b.t.mu.RLock()
	num, known := b.t.byLookup[b.t.lookup(who)]
	ref, s := b.t.who[num].key, b.t.byNum[num]
	b.t.mu.RUnlock()
	if !known {
		n := b.fresh[who]
		if n == nil {
			return 0, seal.Key{}, nil, ErrSubjectExists
		}
		if b.tried[n.row.Num] == nil {
			b.tried[n.row.Num] = &state{num: n.row.Num}
		}
		return n.row.Num, n.key, b.tried[n.row.Num], nil
	}
	if b.tried[num] == nil {
		if s == nil {
			s = &state{num: num}
		}
		b.tried[num] = s.clone()
	}
	key, err := b.l.vault.SubjectKey(ref)
	if err != nil {
		return 0, seal.Key{}, nil, fmt.Errorf("%w: open a person's key", ErrUnavailable)
	}
	return num, key, b.tried[num], nil
}

// adopt makes a newcomer part of the transaction.
func (b *builder) adopt(who Subject) {
	if n := b.fresh[who]; n != nil && !n.used {
		n.used = true
		b.batch.Subjects = append(b.batch.Subjects, n.row)
	}
}

func (b *builder) remember(w *write, now Time) error {
	if w.once == (Once{}) {
		return nil
	}
	outcome, err := json.Marshal(w.result.Recorded)
	if err != nil {
		return err
	}
	b.batch.Remember = append(b.batch.Remember, b.l.remembered(b.t, w.once, outcome, now))
	return nil
}
