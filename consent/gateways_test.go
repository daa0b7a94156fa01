package consent_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
)

// slowHeads is a store whose heads arrive late: as they were when they were
// read. While hold is set, a read waits for its turn after it was made.
type slowHeads struct {
	consent.Store
	reads atomic.Int64
	hold  atomic.Pointer[chan struct{}]
	begun chan struct{} // gets a token when a held read has its answer
	edit  func(consent.Head) consent.Head
}

func (s *slowHeads) Head(ctx context.Context, t consent.TenantID) (consent.Head, error) {
	s.reads.Add(1)
	h, err := s.Store.Head(ctx, t)
	if s.edit != nil {
		h = s.edit(h)
	}
	if hold := s.hold.Load(); hold != nil {
		s.begun <- struct{}{}
		select {
		case <-*hold:
		case <-ctx.Done():
			return consent.Head{}, ctx.Err()
		}
	}
	return h, err
}

func newSlow(r *rig) (*slowHeads, *consent.Ledger) {
	r.t.Helper()
	s := &slowHeads{Store: r.db, begun: make(chan struct{}, 100)}
	l := consent.NewLedger(s, r.vault.Consent(), consent.Options{})
	if err := l.Open(r.t.Context(), tenant); err != nil {
		r.t.Fatal(err)
	}
	return s, l
}

// Whoever asks while a head is being read is answered by the next reading, which
// all of them share: the one under way may be older than what was acknowledged
// before they asked.
func TestAHeadReadIsSharedByThoseWhoAskedBeforeItWasSent(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s, l := newSlow(r)
	hold := make(chan struct{})
	s.hold.Store(&hold)
	before := s.reads.Load()
	first := make(chan consent.Head)
	go func() {
		h, err := l.Head(t.Context(), tenant)
		if err != nil {
			t.Error(err)
		}
		first <- h
	}()
	<-s.begun // it has its answer, and is on its way back
	s.hold.Store(nil)
	acknowledged := r.record(entry("ada", rag, consent.Revoked)).Position // by another gateway
	const askers = 20
	var wg, asking sync.WaitGroup
	asking.Add(askers)
	for range askers {
		wg.Go(func() {
			asking.Done()
			if h, err := l.Head(t.Context(), tenant); err != nil || h.Position < acknowledged {
				t.Errorf("head %d, error %v: %d was acknowledged before", h.Position, err, acknowledged)
			}
		})
	}
	asking.Wait()
	close(hold)
	if h := <-first; h.Position >= acknowledged {
		t.Fatal("the test is of no use: the first reading is as new as the entry")
	}
	wg.Wait()
	// Those who were late to the second reading share a third, and so on.
	if n := s.reads.Load() - before; n < 2 || n > askers+1 {
		t.Errorf("%d readings", n)
	}
}

// Nobody who waits for a reading is held by it longer than they want to be.
func TestWhoWaitsForAHeadMayGiveUp(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s, l := newSlow(r)
	hold := make(chan struct{})
	s.hold.Store(&hold)
	done := make(chan error, 1)
	go func() { _, err := l.Head(t.Context(), tenant); done <- err }()
	<-s.begun
	ctx, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error, 1)
	go func() { _, err := l.Head(ctx, tenant); gaveUp <- err }()
	cancel()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	s.hold.Store(nil)
	close(hold)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := l.Head(t.Context(), tenant); err != nil {
		t.Errorf("the next: %v", err)
	}
}

// A head of which anything goes back is refused; a clock that does is not
// believed: a grant that has expired stays expired.
func TestAHeadThatGoesBackIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.record(entry("ada", rag, consent.Granted))
	s, l := newSlow(r)
	s.edit = func(h consent.Head) consent.Head { h.Corpus, h.Shelf = 5, 5; return h }
	seen, err := l.Head(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*consent.Head){
		"position": func(h *consent.Head) { h.Position-- },
		"corpus":   func(h *consent.Head) { h.Corpus-- },
		"shelf":    func(h *consent.Head) { h.Shelf-- },
	} {
		s.edit = func(consent.Head) consent.Head { h := seen; edit(&h); return h }
		if _, err := l.Head(t.Context(), tenant); !errors.Is(err, consent.ErrHeadBackwards) || !errors.Is(err, consent.ErrUnavailable) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
	s.edit = func(consent.Head) consent.Head { h := seen; h.Now -= 1e12; return h }
	if h, err := l.Head(t.Context(), tenant); err != nil || h.Now != seen.Now {
		t.Errorf("the clock went back by %d, error %v", seen.Now-h.Now, err)
	}
}

// late is a vault whose journal is appended to when the test lets it.
type late struct {
	consent.Vault
	reached, release chan struct{}
}

func (v *late) AppendJournal(t consent.TenantID, recs []consent.JournalRecord) error {
	v.reached <- struct{}{}
	<-v.release
	return v.Vault.AppendJournal(t, recs)
}

// A gateway that commits after another but comes to the journal before it makes
// the journal whole up to its own entry before it acknowledges; the other finds
// its entry there.
func TestTheJournalIsWholeUpToEveryAcknowledgedEntry(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	slow := &late{Vault: r.vault.Consent(), reached: make(chan struct{}), release: make(chan struct{})}
	other := consent.NewLedger(r.db, slow, consent.Options{})
	if err := other.Open(t.Context(), tenant); err != nil {
		t.Fatal(err)
	}
	first := make(chan error, 1)
	go func() {
		out, err := other.Record(t.Context(), tenant, []consent.Entry{entry("new", rag, consent.Revoked)}, consent.Once{})
		if err == nil {
			err = out[0].Err
		}
		first <- err
	}()
	<-slow.reached // committed, and nowhere in the journal
	mine := r.record(entry("ada", rag, consent.Revoked)).Position
	if head := r.vault.Head(string(tenant)); head != uint64(mine) {
		t.Errorf("the journal ends at %d, and %d was acknowledged", head, mine)
	}
	slow.release <- struct{}{}
	if err := <-first; err != nil {
		t.Errorf("the other gateway: %v", err)
	}
	if head := r.vault.Head(string(tenant)); head != uint64(mine) {
		t.Errorf("the journal ends at %d", head)
	}
	for _, l := range []*consent.Ledger{r.ledger, other} {
		if err := l.Ready(t.Context()); err != nil {
			t.Error(err)
		}
	}
	// A start finds journal and ledger the same.
	if err := consent.NewLedger(r.db, r.vault.Consent(), consent.Options{}).Open(t.Context(), tenant); err != nil {
		t.Error(err)
	}
}

// forked is a vault whose journal has another entry where ours shall be.
type forked struct{ consent.Vault }

func (forked) AppendJournal(consent.TenantID, []consent.JournalRecord) error {
	return consent.ErrDiverged
}

func TestALedgerThatDiffersFromTheJournalIsClosedForGood(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	l := consent.NewLedger(r.db, forked{r.vault.Consent()}, consent.Options{})
	if err := l.Open(t.Context(), tenant); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		out, err := l.Record(t.Context(), tenant, []consent.Entry{entry("ada", rag, consent.Revoked)}, consent.Once{})
		if err == nil {
			err = out[0].Err
		}
		if !errors.Is(err, consent.ErrDiverged) {
			t.Errorf("error is %v", err)
		}
	}
}

// A ledger opens while other gateways write: what they commit in between does
// not make it look restored, altered or short of people.
func TestALedgerOpensWhileOthersWrite(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	for w := range 2 {
		l := consent.NewLedger(r.db, r.vault.Consent(), consent.Options{})
		if err := l.Open(t.Context(), tenant); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ { // about somebody new each time
				out, err := l.Record(t.Context(), tenant, []consent.Entry{entry(fmt.Sprintf("p%d-%d", w, i), rag, consent.Revoked)}, consent.Once{})
				if err == nil {
					err = out[0].Err
				}
				if err != nil {
					t.Errorf("a writer: %v", err)
					return
				}
			}
		})
	}
	for range 60 {
		l := consent.NewLedger(r.db, r.vault.Consent(), consent.Options{})
		if err := l.Open(t.Context(), tenant); err != nil {
			t.Errorf("a start: %v", err)
			break
		}
		if err := l.Ready(t.Context()); err != nil {
			t.Errorf("after a start: %v", err)
			break
		}
	}
	stop()
	wg.Wait()
}

// Begin makes the first entry once, whoever calls it.
func TestALedgerIsBegunOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	before, err := r.ledger.Head(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.ledger.Begin(t.Context(), tenant, consent.Note{Kind: consent.KindTenant, Body: "x"}); err != nil {
		t.Fatal(err)
	}
	if after, err := r.ledger.Head(t.Context(), tenant); err != nil || after.Position != before.Position {
		t.Errorf("head is %d, was %d, error %v", after.Position, before.Position, err)
	}
}

// busy is a vault beside which another gateway writes, whenever its journal's
// head is asked for.
type busy struct {
	consent.Vault
	write  func()
	append func() error // instead, once
}

func (v *busy) JournalHead(t consent.TenantID) (consent.Position, error) {
	v.write()
	return v.Vault.JournalHead(t)
}

func (v *busy) AppendJournal(t consent.TenantID, recs []consent.JournalRecord) error {
	if fail := v.append; fail != nil {
		v.append = nil
		return fail()
	}
	return v.Vault.AppendJournal(t, recs)
}

// A journal that grew between two reads is not ahead of the ledger.
func TestAJournalThatGrowsMeanwhileIsNotAhead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n := 0
	v := &busy{Vault: r.vault.Consent(), write: func() {
		n++
		r.record(entry(fmt.Sprintf("other%d", n), rag, consent.Revoked))
	}}
	l := consent.NewLedger(r.db, v, consent.Options{})
	if err := l.Open(t.Context(), tenant); err != nil {
		t.Fatalf("a start: %v", err)
	}
	v.append = func() error { return errors.New("the journal's disk") }
	if out, err := l.Record(t.Context(), tenant, []consent.Entry{entry("ada", rag, consent.Revoked)}, consent.Once{}); err == nil && out[0].Err == nil {
		t.Fatal("acknowledged without its journal")
	}
	if err := l.Ready(t.Context()); err != nil {
		t.Errorf("mended: %v", err)
	}
	if n < 2 {
		t.Errorf("the other gateway wrote %d times", n)
	}
}

// timed is a store that notes how long a write may take when its keys are made
// already.
type timed struct {
	consent.Store
	left time.Duration
}

func (s *timed) Append(ctx context.Context, t consent.TenantID, prepare func(consent.Head) (consent.Batch, error)) error {
	if by, ok := ctx.Deadline(); ok {
		s.left = time.Until(by)
	}
	return s.Store.Append(ctx, t, prepare)
}

// A write that names new people ends within the lease of their keys.
func TestAWriteEndsWithTheLeaseOfItsKeys(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := &timed{Store: r.db}
	l := consent.NewLedger(s, r.vault.Consent(), consent.Options{})
	if err := l.Open(t.Context(), tenant); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Record(t.Context(), tenant, []consent.Entry{entry("new", rag, consent.Revoked)}, consent.Once{}); err != nil {
		t.Fatal(err)
	}
	if s.left <= 0 || s.left > consent.KeyLease {
		t.Errorf("it may take %s", s.left)
	}
}
