package consent_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
)

// forget ends an erasure as the cascade does: the completion is entered, the row
// scrubbed, the link forgotten.
func (r *rig) forget(who string, at consent.Suppressed) {
	r.t.Helper()
	ctx, id := r.t.Context(), "e_"+who
	p, err := r.ledger.Behind(ctx, tenant, at.Mark, id)
	if err != nil || p.Num == 0 {
		r.t.Fatalf("behind the mark is %d, %v", p.Num, err)
	}
	must := func(err error) {
		r.t.Helper()
		if err != nil {
			r.t.Fatal(err)
		}
	}
	must(r.vault.Consent().Destroy(p.Key))
	must(r.ledger.Scrub(ctx, tenant, p.Num, p.Key))
	_, err = r.ledger.Follow(ctx, tenant, consent.KindErased, at.Mark, at.Key, consent.ErasureEvent{Event: "completed", ID: id},
		func(consent.Position, consent.Time) (consent.ErasureRow, error) {
			return consent.ErasureRow{ID: id, Name: [32]byte{byte(len(who)), who[0]}, State: 5, Version: 2, Position: at.Position, Created: at.At, Due: at.At}, nil
		})
	must(err)
	must(r.ledger.Forget(ctx, tenant, p.Num))
}

// A gateway hears of a whole erasure at once, when nobody can tell any more whose
// it was, and of the person's return: what it then says is what the others say.
// Who was erased is gone there, too, and who came back is nobody's ghost.
func TestAGatewayThatLagsBehindAWholeErasure(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		knew, met  bool // it knew the person; it met who came back before it heard of anything
		comes      bool
		identified bool
		heard      bool // of the suppression
	}{
		{name: "knew", knew: true}, {name: "did not know"},
		{name: "knew, and they came back", knew: true, comes: true}, {name: "did not know, and they came back", comes: true},
		{name: "did not know, met who came back", met: true, comes: true},
		{name: "knew, and met who came back", knew: true, met: true, comes: true},
		{name: "heard of the suppression", knew: true, heard: true}, {name: "heard of it, and they came back", heard: true, comes: true},
		{name: "knew by another identifier", knew: true, comes: true, identified: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			ctx := t.Context()
			ada, _ := consent.ParseSubject("ada")
			other, _ := consent.ParseSubject("email:ada@example.org")
			behind := consent.NewLedger(r.db, r.vault.Consent(), consent.Options{})
			open := func() {
				if err := behind.Open(ctx, tenant); err != nil {
					t.Fatal(err)
				}
			}
			if !c.knew {
				open()
			}
			r.record(entry("ada", rag, consent.Granted))
			r.record(entry("ada", emb, consent.Granted))
			if c.identified {
				if _, err := r.ledger.Identify(ctx, tenant, ada, other); err != nil {
					t.Fatal(err)
				}
			}
			old, err := r.ledger.Find(ctx, tenant, ada)
			if err != nil {
				t.Fatal(err)
			}
			if c.knew {
				open()
			}
			at := r.suppress("ada")
			if c.heard {
				if _, err := behind.Head(ctx, tenant); err != nil {
					t.Fatal(err)
				}
			}
			r.forget("ada", at)
			want := consent.ReasonSuppressed
			if c.comes {
				want = consent.ReasonGranted
				back := "ada"
				if c.identified {
					back = "email:ada@example.org"
				}
				r.record(entry(back, rag, consent.Granted))
				r.record(entry(back, emb, consent.Granted))
			}
			if c.met {
				num, err := r.ledger.Find(ctx, tenant, ada)
				if err == nil && c.knew { // by a document of theirs
					_, err = behind.RecordParent(ctx, tenant, []consent.SubjectNum{num}, nil)
				} else if err == nil {
					_, err = behind.Find(ctx, tenant, ada)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			for i, l := range []*consent.Ledger{r.ledger, behind} {
				at := fmt.Sprint("gateway ", i)
				a, err := l.Decide(ctx, tenant, []consent.Subject{ada}, consent.Question{Purpose: "rag_retrieval"})
				if err != nil || a.Decisions[0].Reason != want {
					t.Errorf("%s: %+v, %v, want %v", at, a.Decisions, err, want)
				}
				p, err := l.Permit(ctx, tenant, "rag_retrieval")
				if err != nil {
					t.Fatal(err)
				}
				ok := []bool{false}
				if p.Recheck([]consent.Claim{{People: consent.People{Owners: []consent.SubjectNum{old}}}}, ok); ok[0] {
					t.Errorf("%s: what was of the erased may be used", at)
				}
				since := map[consent.SubjectNum]bool{}
				p.Suppressed(0, func(num consent.SubjectNum) { since[num] = true })
				if (i == 0 || c.knew) && !since[old] {
					t.Errorf("%s: it does not know who was erased", at)
				}
				num, err := l.Find(ctx, tenant, ada)
				if err != nil {
					t.Fatal(err)
				}
				if c.comes && since[num] {
					t.Errorf("%s: who came back counts as erased", at)
				}
				all, err := l.Suppressions(ctx, tenant)
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range all {
					if c.comes && s.Num == num {
						t.Errorf("%s: who came back is to be erased", at)
					}
				}
				if named, err := l.Unscrubbed(ctx, tenant); err != nil || len(named) != 0 {
					t.Errorf("%s: %d are to be scrubbed, %v", at, len(named), err)
				}
			}
		})
	}
}

// A person comes back by another identifier than the one that named the mark, is
// suppressed again and comes back again, all of which the data lacks: the replay
// takes the name from who had it before it gives it to the next, whether or not
// the second erasure was carried out.
func TestWhoCameBackByAnotherIdentifierIsReplayed(t *testing.T) {
	t.Parallel()
	for _, forgotten := range []bool{true, false} {
		r := newRig(t)
		ada, _ := consent.ParseSubject("ada")
		const other = "email:ada@example.org"
		mail, _ := consent.ParseSubject(other)
		r.record(entry("ada", rag, consent.Granted))
		if _, err := r.ledger.Identify(t.Context(), tenant, ada, mail); err != nil {
			t.Fatal(err)
		}
		r.forget("ada", r.suppress("ada"))
		r.recordAll(entry(other, rag, consent.Granted), entry("bob", rag, consent.Granted))
		restore := r.backup()
		at := r.suppress(other)
		if forgotten {
			r.forget(other, at)
		}
		r.record(entry(other, rag, consent.Denied))
		want := map[string]consent.Reason{"ada": consent.ReasonSuppressed, other: consent.ReasonSuppressed, "bob": consent.ReasonGranted}
		restore()
		r.replay()
		for range 2 {
			for who, why := range want {
				if got := r.reason(who, "rag_retrieval"); got != why {
					t.Errorf("forgotten %v: %s is %s, want %s", forgotten, who[:3], got, why)
				}
			}
			r.close()
			r.open()
		}
		r.record(entry(other, rag, consent.Granted))
		if got := r.reason(other, "rag_retrieval"); got != consent.ReasonGranted {
			t.Errorf("after they came back: %s", got)
		}
	}
}

// A second erasure is taken back by a gateway that started while it was open: who
// came back is as they were before it, and what they did not permit again since
// the first stays suppressed.
func TestASecondErasureIsTakenBackAfterAStart(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		r := newRig(t)
		in := func(e consent.Entry) consent.Entry { e.Jurisdiction = "US-CA"; return e }
		r.record(in(entry("ada", rag, consent.Granted)))
		r.forget("ada", r.suppress("ada"))
		r.advance(time.Second)
		r.record(in(entry("ada", rag, consent.Granted)))
		holds := func(when string) {
			t.Helper()
			for purpose, want := range map[string]consent.Reason{"rag_retrieval": consent.ReasonGranted, "model_training": consent.ReasonSuppressed, "embedding": consent.ReasonSuppressed} {
				if got := r.reason("ada", purpose); got != want {
					t.Errorf("%s, started anew %v: %s is %s, want %s", when, restart, purpose, got, want)
				}
			}
		}
		holds("before")
		at := r.suppressAs("ada", "e_again")
		if restart {
			r.close()
			r.open()
		}
		if got := r.reason("ada", "rag_retrieval"); got != consent.ReasonSuppressed {
			t.Errorf("erased again: %s", got)
		}
		if _, err := r.ledger.Follow(t.Context(), tenant, consent.KindLift, at.Mark, at.Key, consent.ErasureEvent{Event: "lifted", ID: "e_again"},
			func(consent.Position, consent.Time) (consent.ErasureRow, error) {
				return consent.ErasureRow{ID: "e_again", Name: [32]byte{3, 'a'}, State: 9, Version: 2, Position: at.Position, Created: at.At, Due: at.At}, nil
			}); err != nil {
			t.Fatal(err)
		}
		holds("taken back")
		r.close()
		r.open()
		holds("after a start")
	}
}

// A gateway dies between its commit and the journal: whoever needs the entry signed
// for makes the journal whole, without an entry of its own.
func TestTheJournalOfAnothersEntryIsMadeWhole(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	slow := &late{Vault: r.vault.Consent(), reached: make(chan struct{}), release: make(chan struct{})}
	other := consent.NewLedger(r.db, slow, consent.Options{})
	if err := other.Open(t.Context(), tenant); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = other.Record(t.Context(), tenant, []consent.Entry{entry("new", rag, consent.Revoked)}, consent.Once{})
	}()
	<-slow.reached
	head, err := r.ledger.Head(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	if n := r.vault.Head(string(tenant)); n >= uint64(head.Position) {
		t.Fatalf("the journal has %d already", n)
	}
	if err := r.ledger.Journaled(t.Context(), tenant, head.Position); err != nil {
		t.Fatal(err)
	}
	if n := r.vault.Head(string(tenant)); n != uint64(head.Position) {
		t.Errorf("the journal ends at %d of %d", n, head.Position)
	}
	slow.release <- struct{}{}
	<-done
}

// A reconciler asks who is erased while somebody is being suppressed: their row is
// nameless already, and the entry is not applied yet. They are not for the reconciler:
// it would take away the link by which their erasure finds them.
func TestWhoIsBeingSuppressedIsNobodysGhost(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]func(context.Context, *consent.Ledger) ([]consent.SubjectNum, error){
		"suppressions": func(ctx context.Context, l *consent.Ledger) (nums []consent.SubjectNum, err error) {
			all, err := l.Suppressions(ctx, tenant)
			for _, s := range all {
				if s.Round == 0 { // nobody can tell by which suppression
					nums = append(nums, s.Num)
				}
			}
			return nums, err
		},
		"gone": func(ctx context.Context, l *consent.Ledger) ([]consent.SubjectNum, error) { return l.Gone(ctx, tenant) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.record(entry("ada", rag, consent.Granted))
			r.record(entry("bob", rag, consent.Granted))
			bob, _ := consent.ParseSubject("bob")
			gone, err := r.ledger.Find(t.Context(), tenant, bob)
			if err != nil {
				t.Fatal(err)
			}
			r.forget("bob", r.suppress("bob")) // for good
			store := &lateHead{Store: r.db, read: make(chan struct{}), on: make(chan struct{})}
			r.ledger = consent.NewLedger(store, r.vault.Consent(), consent.Options{})
			if err := r.ledger.Open(t.Context(), tenant); err != nil {
				t.Fatal(err)
			}
			store.late.Store(true)
			answered := make(chan error)
			var got []consent.SubjectNum
			go func() {
				var err error
				got, err = ask(t.Context(), r.ledger)
				answered <- err
			}()
			<-store.read
			asked := false
			during := func(op string) error {
				if op == "journal.write" && !asked {
					asked = true
					store.on <- struct{}{}
					return <-answered
				}
				return nil
			}
			r.vaultFault.Store(&during)
			r.suppress("ada")
			if !asked || !slices.Equal(got, []consent.SubjectNum{gone}) {
				t.Errorf("asked %v: gone for good are %d people, want Bob", asked, len(got))
			}
		})
	}
}

// lateHead is a store whose next answer to Head, once, comes late.
type lateHead struct {
	consent.Store
	late     atomic.Bool
	read, on chan struct{}
}

func (s *lateHead) Head(ctx context.Context, t consent.TenantID) (consent.Head, error) {
	head, err := s.Store.Head(ctx, t)
	if s.late.CompareAndSwap(true, false) {
		s.read <- struct{}{}
		<-s.on
	}
	return head, err
}
