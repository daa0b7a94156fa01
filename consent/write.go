package consent

import (
	"context"
	"crypto/rand"
	"encoding/binary"
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
type Once struct {
	Key, Body [32]byte
	since     Time // remembered as of then; 0: as of now (EventOnce)
}

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
	alone   bool    // in a transaction of its own
	keyless bool    // nothing is sealed under the person's key
	linked  bool    // of a suppression: somebody is behind it
	round   int     // and how often somebody was
	// job makes the row of an erasure that is committed with the entry; key is
	// the person's at that moment.
	job    func(row *Row, key seal.Ref) (ErasureRow, error)
	build  func(now Time, p Position) (Row, any, error)
	once   Once
	result Result
	// repeated is set when the result is that of an earlier write.
	repeated bool
	done     chan struct{}
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
	for n < len(waiting) && n < maxBatch && !waiting[n].subject.IsZero() && !waiting[n].alone {
		n++
	}
	return max(n, min(1, len(waiting)))
}

// commit writes a batch in the order that Ledger documents.
func (l *Ledger) commit(ctx context.Context, t *tenant, batch []*write) error {
	if c := t.closed.Load(); c != nil {
		return c.err
	}
	whole := ctx
	for {
		// A store that does not answer holds nobody for ever; and what names the
		// keys made here commits within their lease.
		ctx, cancel := context.WithTimeout(whole, min(patience, KeyLease))
		defer cancel()
		fresh, again, err := l.newcomers(ctx, t, batch)
		if err != nil {
			return err
		}
		linking, err := l.linkKey(batch)
		if err != nil {
			return err
		}
		l.step("slots.synced") // a crash here leaves slots that no row names: wiped at the next start
		b := builder{l: l, t: t, fresh: fresh, again: again, linking: linking, pads: map[SubjectNum][32]byte{}}
		within, end := l.watch.Begin(ctx, StepAppend)
		err = l.store.Append(within, t.id, func(head Head) (Batch, error) { return b.prepare(within, head, batch) })
		end(err)
		if err == nil {
			return l.finish(whole, t, &b)
		}
		switch {
		case errors.Is(err, ErrSubjectExists), // newcomers finds them now
			errors.Is(err, ErrRemembered): // and prepare recalls it
			l.discard(b.rolledBack())
			continue
		case errors.Is(err, ErrErasureOpen), errors.Is(err, ErrErasureChanged): // rolled back
			l.discard(b.rolledBack())
			return err
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

// newcomers makes keys for people the batch names first, and for those who
// come again after their erasure. They are durable in the vault before any row
// names them.
func (l *Ledger) newcomers(ctx context.Context, t *tenant, batch []*write) (map[Subject]*newcomer, map[SubjectNum]*newcomer, error) {
	fresh, again := map[Subject]*newcomer{}, map[SubjectNum]*newcomer{}
	for _, w := range batch {
		if w.subject.IsZero() || fresh[w.subject] != nil {
			continue
		}
		num, err := l.known(ctx, t, w.subject)
		if err != nil {
			return nil, nil, err
		}
		t.mu.RLock()
		condemned, mark := t.condemned(num), t.who[num].version == markedVersion
		t.mu.RUnlock()
		if w.keyless {
			t.mu.RLock()
			name := t.mark(t.who[num].lookup)
			t.mu.RUnlock()
			if err := l.unname(ctx, t, name); err != nil {
				return nil, nil, err
			}
		}
		if num == 0 || mark && !w.keyless {
			fresh[w.subject] = nil
			continue
		}
		if condemned && !w.keyless && again[num] == nil {
			again[num] = &newcomer{who: w.subject}
		}
	}
	if err := l.makeKeys(ctx, t, fresh); err != nil {
		return nil, nil, err
	}
	if err := l.makeKeysAgain(t, again); err != nil {
		return nil, nil, err
	}
	return fresh, again, nil
}

// linkKey makes the key of a suppression's link, when there is one in the batch.
func (l *Ledger) linkKey(batch []*write) (*newcomer, error) {
	if len(batch) != 1 || !batch[0].keyless || batch[0].subject.IsZero() {
		return nil, nil
	}
	keys, refs, err := l.vault.NewSubjectKeys(1)
	if err != nil {
		return nil, fmt.Errorf("%w: make keys in the vault", ErrUnavailable)
	}
	return &newcomer{key: keys[0], row: SubjectRow{Key: refs[0]}}, nil
}

// unname takes names from rows that still have those of people who left: data
// that was put back. Whoever comes now gets a row with such a name.
func (l *Ledger) unname(ctx context.Context, t *tenant, lookup [32]byte) error {
	t.mu.RLock()
	num, stale := t.stale[lookup]
	key := t.who[num].key
	t.mu.RUnlock()
	if !stale {
		return nil
	}
	row := t.nameless(num, key, nil)
	err := l.store.Append(ctx, t.id, func(Head) (Batch, error) { return Batch{Rekey: []SubjectRow{row}}, nil })
	if err != nil {
		return asUnavailable(err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.stale, lookup)
	return nil
}

// condemned reports whether the key of a person who has their number still is
// destroyed or about to be: what they say from now on needs another. It is so
// after suppressions from before there were links. The caller holds mu.
func (t *tenant) condemned(num SubjectNum) bool {
	s := t.state(num)
	return s != nil && s.condemned && t.who[num].version == lookupVersion
}

// makeKeysAgain makes new keys for people whose old one is condemned; they
// keep their number, and are found again by the identifier they come with.
func (l *Ledger) makeKeysAgain(t *tenant, again map[SubjectNum]*newcomer) error {
	if len(again) == 0 {
		return nil
	}
	keys, refs, err := l.vault.NewSubjectKeys(len(again))
	if err != nil {
		return fmt.Errorf("%w: make keys in the vault", ErrUnavailable)
	}
	i := 0
	for num, n := range again {
		n.again, n.key = true, keys[i]
		n.row = t.subjectRow(num, n.who, keys[i], refs[i])
		i++
	}
	return nil
}

// known returns a person's number, from memory or, made by another gateway,
// from the database: by their identifier, or by the mark that is left of it. 0
// is nobody.
func (l *Ledger) known(ctx context.Context, t *tenant, s Subject) (SubjectNum, error) {
	lookup := t.lookup(s)
	t.mu.RLock()
	num := t.resolve(s)
	t.mu.RUnlock()
	if num != 0 {
		return num, nil
	}
	for _, name := range [][32]byte{lookup, t.mark(lookup)} {
		row, ok, err := l.store.SubjectByLookup(ctx, t.id, name)
		if err != nil {
			return 0, err
		}
		if !ok {
			continue
		}
		if !t.vouched(&row) {
			return 0, ErrTampered
		}
		t.mu.Lock()
		t.addSubject(row)
		t.mu.Unlock()
		return row.Num, nil
	}
	return 0, nil
}

// A newcomer is a person who is about to be made, or to get a new key.
type newcomer struct {
	row   SubjectRow
	key   seal.Key
	used  bool
	again bool // the row replaces the one of the same number
	who   Subject
}

func (l *Ledger) makeKeys(ctx context.Context, t *tenant, fresh map[Subject]*newcomer) error {
	if len(fresh) == 0 {
		return nil
	}
	keys, refs, err := l.vault.NewSubjectKeys(len(fresh))
	if err != nil {
		return fmt.Errorf("%w: make keys in the vault", ErrUnavailable)
	}
	i := 0
	for s := range fresh {
		if err := l.unname(ctx, t, t.lookup(s)); err != nil {
			l.discard(refs)
			return err
		}
		fresh[s] = &newcomer{key: keys[i], row: t.subjectRow(randomNum(), s, keys[i], refs[i]), who: s}
		i++
	}
	return nil
}

func (t *tenant) subjectRow(num SubjectNum, s Subject, key seal.Key, ref seal.Ref) SubjectRow {
	row := SubjectRow{Num: num, Lookup: t.lookup(s), LookupVersion: lookupVersion, Key: ref}
	box := seal.Seal(key, []byte(s.Reveal()), subjectAAD(t.id, num))
	return t.signed(row, box)
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
func (l *Ledger) finish(ctx context.Context, t *tenant, b *builder) error {
	l.step("tx.committed") // a crash here leaves entries that the journal lacks: Open appends them
	rows := b.rows
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	recs := make([]JournalRecord, len(rows))
	t.mu.Lock()
	for _, s := range append(b.batch.Subjects, b.batch.Rekey...) {
		t.addSubject(s)
	}
	t.mu.Unlock()
	for i := range rows {
		var err error
		if recs[i], err = l.journalRecord(t, &rows[i], b.pads); err != nil {
			l.shut(t, ErrUnavailable)
			return err
		}
	}
	if len(recs) > 0 {
		if err := l.journal(ctx, t, recs); err != nil {
			return err
		}
	}
	if b.recalled > 0 { // whoever committed what is repeated may have died before its journal
		if err := l.completeJournal(ctx, t, b.recalled); err != nil {
			return asUnavailable(err)
		}
	}
	l.step("journal.synced") // a crash here leaves entries nobody was told of: a repeat meets them
	shows, err := l.revealAll(t, rows, nil)
	t.mu.Lock()
	for i := 0; err == nil && i < len(rows); i++ {
		err = t.apply(rows[i], t.body(rows[i]), shows[i])
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
