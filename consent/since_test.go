package consent_test

import (
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
)

// suppress enters an erasure, and returns its position and who it is of.
func (r *rig) suppress(who string) consent.Suppressed {
	r.t.Helper()
	return r.suppressAs(who, "e_"+who)
}

func (r *rig) suppressAs(who, id string) consent.Suppressed {
	r.t.Helper()
	s, _ := consent.ParseSubject(who)
	out, err := r.ledger.Suppress(r.t.Context(), tenant, consent.Suppression{Subject: s, ID: id, Scope: "subject",
		Job: func(at consent.Suppressed) (consent.ErasureRow, error) {
			return consent.ErasureRow{ID: id, Name: [32]byte{byte(len(who)), who[0]}, State: 1, Open: true, Version: 1, Position: at.Position, Created: at.At, Due: at.At}, nil
		}})
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// Who was erased since a position is known, also when they permit again and
// after a start; not who was before it, nor whose erasure was taken back.
func TestSuppressedSinceAPosition(t *testing.T) {
	r := newRig(t)
	for _, who := range []string{"ada", "bob", "cy"} {
		r.record(entry(who, rag, consent.Granted))
		r.record(entry(who, emb, consent.Granted))
	}
	number := func(who string) consent.SubjectNum {
		s, _ := consent.ParseSubject(who)
		num, err := r.ledger.Find(t.Context(), tenant, s)
		if err != nil {
			t.Fatal(err)
		}
		return num
	}
	adaNum, bobNum := number("ada"), number("bob")
	ada, bob, cy := r.suppress("ada"), r.suppress("bob"), r.suppress("cy")
	if _, err := r.ledger.Follow(t.Context(), tenant, consent.KindLift, cy.Mark, cy.Key, consent.ErasureEvent{Event: "lifted", ID: "e_cy"},
		func(consent.Position, consent.Time) (consent.ErasureRow, error) {
			return consent.ErasureRow{ID: "e_cy", Name: [32]byte{2, 'c'}, State: 9, Version: 2, Position: cy.Position, Created: cy.At, Due: cy.At}, nil
		}); err != nil {
		t.Fatal(err)
	}
	r.record(entry("bob", rag, consent.Granted)) // bob comes back
	for range 2 {
		p, err := r.ledger.Permit(t.Context(), tenant, "rag_retrieval")
		if err != nil {
			t.Fatal(err)
		}
		for after, want := range map[consent.Position]map[consent.SubjectNum]bool{
			0: {adaNum: true, bobNum: true}, ada.Position: {bobNum: true}, bob.Position: {}, cy.Position: {},
		} {
			got := map[consent.SubjectNum]bool{}
			p.Suppressed(after, func(num consent.SubjectNum) { got[num] = true })
			if len(got) != len(want) || got[adaNum] != want[adaNum] || got[bobNum] != want[bobNum] {
				t.Errorf("after %d: %v, want %v", after, got, want)
			}
		}
		r.close()
		r.open()
	}
	consent.Permit{}.Suppressed(0, func(consent.SubjectNum) { t.Error("the zero permit knows somebody") })
}

// When somebody left is the newest entry that counts, or when what they granted
// ended by itself.
func TestLeftWhen(t *testing.T) {
	r := newRig(t)
	number := func(who string) consent.SubjectNum {
		t.Helper()
		s, _ := consent.ParseSubject(who)
		num, err := r.ledger.Find(t.Context(), tenant, s)
		if err != nil {
			t.Fatal(err)
		}
		return num
	}
	leftBy := func(num consent.SubjectNum, after consent.Position) consent.Leaving {
		t.Helper()
		out, err := r.ledger.Left(t.Context(), tenant, num, "rag_retrieval", after)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	left := func(who string, after consent.Position) consent.Leaving { return leftBy(number(who), after) }
	r.record(entry("ada", rag, consent.Granted))
	r.record(entry("ada", "model_training_v1.0", consent.Granted)) // of another purpose
	refused := r.record(entry("ada", emb, consent.Revoked))
	r.record(entry("ada", "model_training_v1.0", consent.Revoked))
	if got := left("ada", 0); got != (consent.Leaving{Position: refused.Position}) {
		t.Errorf("refused: %+v", got)
	}
	short := entry("bob", rag, consent.Granted)
	short.ExpiresAt = consent.Time(r.clock.Load()) + consent.Time(time.Hour)
	granted := r.record(short)
	if got := left("bob", 0); got != (consent.Leaving{Position: granted.Position}) {
		t.Errorf("before the end: %+v", got)
	}
	r.advance(2 * time.Hour)
	if got := left("bob", 0); got != (consent.Leaving{Position: granted.Position, Time: short.ExpiresAt}) {
		t.Errorf("after the end: %+v", got)
	}
	bob := number("bob")
	at := r.suppress("bob")
	r.record(entry("bob", rag, consent.Granted))
	if got := leftBy(bob, granted.Position); !got.Erased || got.Position != at.Position {
		t.Errorf("erased: %+v", got)
	}
	if got := left("bob", at.Position); got.Erased { // who came back is somebody else
		t.Errorf("back: %+v", got)
	}
	if got := left("nobody", 0); got != (consent.Leaving{}) {
		t.Errorf("nobody: %+v", got)
	}
}
