package consent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/assent-gateway/assent/internal/seal"
)

// Options of a Ledger. The zero Options are production's.
type Options struct {
	Log  *slog.Logger
	Tree Tree // nil: no transparency log
	// Step is called after every durable step of a write, by name:
	// "slots.synced", "tx.committed", "journal.synced", "applied". Tests kill
	// the process there.
	Step func(string)
	// Observer is told what the ledger does; nil: nobody.
	Observer Observer
}

// A Ledger is the one place that is asked whether a person's data may be used.
// It holds every open tenant's entries folded in memory, judges from the
// newest committed position, and fails closed: what it cannot read, it denies.
//
// # Order of a write
//
// New key slots are synced; one database transaction commits; the journal is
// appended and synced; memory changes; the caller hears of it. After a crash
//   - before the commit: slots that no row names; the next start wipes them;
//   - between commit and journal: entries that the journal lacks; Open appends
//     them before the tenant is ready. Nobody was told of them, so a repeat of
//     the request meets them as repeats;
//   - after the journal: an entry whose caller heard nothing; the same.
//
// # Several gateways
//
// Entries are committed in order, under the lock of the head, by any gateway;
// the journal comes after the commit, so that a later entry's gateway may be
// there first. Whoever appends therefore makes the journal whole up to its own
// entry before it acknowledges: it reads what is missing from the database
// (completeJournal). While others write, the ledger is always a little ahead of
// the journal; whether it is behind is judged from a journal's head that was
// read before the ledger's.
type Ledger struct {
	store Store
	vault Vault
	tree  Tree
	log   *slog.Logger
	step  func(string)
	watch Observer

	mu      sync.RWMutex
	tenants map[TenantID]*tenant
}

// NewLedger returns a ledger without tenants; Open adds them.
func NewLedger(s Store, v Vault, o Options) *Ledger {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Step == nil {
		o.Step = func(string) {}
	}
	if o.Tree == nil {
		o.Tree = noTree{}
	}
	if o.Observer == nil {
		o.Observer = unobserved{}
	}
	return &Ledger{store: s, vault: v, tree: o.Tree, log: o.Log, step: o.Step, watch: o.Observer, tenants: map[TenantID]*tenant{}}
}

// Open reads a tenant's ledger: every row is checked against its leaf and the
// journal, and against the newest signed checkpoint or, above that, by its
// MAC; what the journal lacks is appended to it. A ledger that is behind its
// journal, differs from it or was altered opens closed: the error (which wraps
// ErrUnavailable) is returned, and given to everyone who asks.
func (l *Ledger) Open(ctx context.Context, id TenantID) error {
	keys, ok := l.vault.Keys(id)
	if !ok {
		return fmt.Errorf("%w: the vault has no keys for a tenant of the database", ErrUnavailable)
	}
	t := newTenant(id, keys)
	err := l.load(ctx, t)
	if err != nil {
		t.closed.Store(&closure{err: err})
	}
	l.mu.Lock()
	l.tenants[id] = t
	l.mu.Unlock()
	return err
}

func (l *Ledger) load(ctx context.Context, t *tenant) error {
	tree, err := l.tree.Replay(ctx, t.id)
	if err != nil {
		return err
	}
	t.tree = tree
	vouched := tree.Vouched()
	journal, err := l.vault.JournalHead(t.id) // first: the ledger may grow meanwhile
	if err != nil {
		return asUnavailable(err)
	}
	head, err := l.store.Head(ctx, t.id)
	if err != nil {
		return err
	}
	if head.Position < journal || head.Position < vouched {
		return ErrBehindJournal
	}
	t.replayed = head.Replayed
	t.loading = true // nobody has this tenant yet
	err = l.store.Subjects(ctx, t.id, func(row SubjectRow) error {
		if !t.vouched(&row) {
			return ErrTampered
		}
		t.addSubject(row)
		return nil
	})
	if err != nil {
		return err
	}
	var missing []JournalRecord
	t.clock = head.Now
	err = l.store.Rows(ctx, t.id, 0, func(row Row) error {
		if row.Position > head.Position {
			return errEnough // committed since: the people it is about may not be known yet
		}
		if !row.authentic(t.keys.MAC, vouched) {
			return ErrTampered
		}
		if row.Position <= journal {
			leaf, err := l.vault.JournalLeaf(t.id, row.Position)
			if err != nil {
				return fmt.Errorf("%w: read the journal", ErrUnavailable)
			}
			if leaf != row.Leaf {
				return ErrDiverged
			}
		} else {
			rec, err := l.journalRecord(t, &row, nil)
			if err != nil {
				return err
			}
			missing = append(missing, rec)
		}
		show, err := l.reveal(t, &row, func(num SubjectNum) seal.Ref { return t.who[num].key })
		if err != nil {
			return err
		}
		return t.apply(row, t.body(row), show)
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	if t.applied < head.Position {
		return fmt.Errorf("%w: entries are missing", ErrTampered)
	}
	t.leaveGhosts()
	t.loading = false
	if len(missing) > 0 {
		if err := l.vault.AppendJournal(t.id, missing); errors.Is(err, ErrDiverged) {
			return ErrDiverged
		} else if err != nil {
			return ErrJournal
		}
		l.log.Info("journal completed at start", "count", len(missing))
	}
	t.tree.Wake()
	return nil
}

// genuine checks an entry that is read by itself: the journal vouches for the
// leaf of one that a checkpoint covers, as the tree does at a start.
func (l *Ledger) genuine(t *tenant, row *Row) error {
	if vouched := t.tree.Vouched(); !row.authentic(t.keys.MAC, vouched) {
		return ErrTampered
	} else if row.Position > vouched {
		return nil
	}
	leaf, err := l.vault.JournalLeaf(t.id, row.Position)
	if err != nil {
		return fmt.Errorf("%w: read the journal", ErrUnavailable)
	}
	if row.Leaf != leaf {
		return ErrTampered
	}
	return nil
}

// tenant returns an open tenant, or why it is closed.
func (l *Ledger) tenant(ctx context.Context, id TenantID) (*tenant, error) {
	l.mu.RLock()
	t := l.tenants[id]
	l.mu.RUnlock()
	if t == nil {
		return nil, ErrUnknownTenant
	}
	if c := t.closed.Load(); c != nil {
		if !c.mending {
			return nil, c.err
		}
		if err := l.mend(ctx, t); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// shut closes a tenant's ledger after a journal failure or an unknown outcome:
// until mended, nothing is permitted and nothing is written.
func (l *Ledger) shut(t *tenant, err error) {
	if t.closed.CompareAndSwap(nil, &closure{err: err, mending: true}) {
		l.log.Error("ledger closed until mended")
	}
}

// Shut closes a tenant's ledger for good: until the process starts anew, and
// finds nothing wrong, everyone is given err, which wraps ErrUnavailable.
func (l *Ledger) Shut(id TenantID, err error) {
	l.mu.RLock()
	t := l.tenants[id]
	l.mu.RUnlock()
	if t != nil {
		t.closed.Store(&closure{err: err})
		l.log.Error("ledger closed", "why", Why(err))
	}
}

// mend reopens a ledger that shut closed: the journal is read anew from disk,
// what it lacks is appended from the database, and memory catches up.
func (l *Ledger) mend(ctx context.Context, t *tenant) error {
	c := t.closed.Load()
	if c == nil {
		return nil
	}
	if !t.queue.committing.TryLock() {
		return c.err
	}
	defer t.queue.committing.Unlock()
	if t.closed.Load() == nil {
		return nil
	}
	if err := l.vault.MendJournal(); err != nil {
		return c.err
	}
	journal, err := l.vault.JournalHead(t.id) // before the ledger's, as in load
	if err != nil {
		return c.err
	}
	head, err := l.store.Head(ctx, t.id)
	if err != nil || head.Position < journal {
		return c.err
	}
	if err := l.catchUp(ctx, t, head.Position); err != nil {
		return c.err
	}
	if err := l.completeJournal(ctx, t, head.Position); err != nil {
		return c.err
	}
	if !t.closed.CompareAndSwap(c, nil) {
		return c.err // shut for good meanwhile
	}
	t.tree.Wake()
	l.log.Info("ledger mended")
	return nil
}

// completeJournal appends to the journal every committed row up to a position
// that it lacks. Memory knows the people whom these rows are about.
func (l *Ledger) completeJournal(ctx context.Context, t *tenant, upTo Position) error {
	head, err := l.vault.JournalHead(t.id)
	if err != nil || head >= upTo {
		return err
	}
	var recs []JournalRecord
	err = l.store.Rows(ctx, t.id, head, func(row Row) error {
		if row.Position > upTo {
			return errEnough
		}
		if err := l.genuine(t, &row); err != nil {
			return err
		}
		rec, err := l.journalRecord(t, &row, nil)
		recs = append(recs, rec)
		return err
	})
	if err != nil && !errors.Is(err, errEnough) || len(recs) == 0 {
		return err
	}
	return l.vault.AppendJournal(t.id, recs)
}

// Journaled makes sure that the journal has every entry up to a position: whoever
// committed one may have died before, and nothing is signed for that it lacks.
func (l *Ledger) Journaled(ctx context.Context, id TenantID, upTo Position) error {
	t, _, err := l.fresh(ctx, id)
	if err == nil {
		err = l.completeJournal(ctx, t, upTo)
	}
	if err != nil {
		return asUnavailable(err)
	}
	t.tree.Wake()
	return nil
}

// journal appends the records of a committed batch, and whatever other gateways
// committed before it and have not appended yet.
func (l *Ledger) journal(ctx context.Context, t *tenant, recs []JournalRecord) error {
	ctx, end := l.watch.Begin(ctx, StepJournal)
	err := l.vault.AppendJournal(t.id, recs)
	if errors.Is(err, ErrJournalGap) {
		err = l.completeJournal(ctx, t, recs[len(recs)-1].Position)
	}
	end(err)
	if err == nil {
		return nil
	}
	if errors.Is(err, ErrDiverged) {
		l.Shut(t.id, ErrDiverged)
		return ErrDiverged
	}
	l.shut(t, ErrJournal)
	return ErrJournal
}

// fresh returns a tenant whose memory is at the head, as read after the call
// began, and that head. It is what every decision begins with.
func (l *Ledger) fresh(ctx context.Context, id TenantID) (*tenant, Head, error) {
	t, err := l.tenant(ctx, id)
	if err != nil {
		return nil, Head{}, err
	}
	head, err := l.head(ctx, t)
	if err != nil {
		return nil, Head{}, err
	}
	if err := l.catchUp(ctx, t, head.Position); err != nil {
		return nil, Head{}, asUnavailable(err)
	}
	t.mu.RLock()
	next, clock := t.nextDue(), t.clock
	t.mu.RUnlock()
	if head.Now > clock && (next != 0 && next <= head.Now || head.Now-clock > Time(time.Second)) {
		t.mu.Lock()
		t.advance(head.Now)
		t.mu.Unlock()
	}
	return t, head, nil
}

func asUnavailable(err error) error {
	if errors.Is(err, ErrUnavailable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// Ready reports whether every tenant's ledger may be asked, and why not.
func (l *Ledger) Ready(ctx context.Context) error {
	l.mu.RLock()
	ids := make([]TenantID, 0, len(l.tenants))
	for id := range l.tenants {
		ids = append(ids, id)
	}
	l.mu.RUnlock()
	for _, id := range ids {
		if _, _, err := l.fresh(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// Head returns the newest committed position and the database's clock.
func (l *Ledger) Head(ctx context.Context, id TenantID) (Head, error) {
	_, head, err := l.fresh(ctx, id)
	return head, err
}
