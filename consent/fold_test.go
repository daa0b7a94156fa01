package consent_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
)

// A history drawn at random, with expiries, places and a policy in between: at
// every position the fold decides what the ledger decided when that was its
// head, at the time of its entry.
func TestFoldDecidesAsTheLedgerDidThen(t *testing.T) {
	r := newRig(t)
	rng := rand.New(rand.NewPCG(11, 11))
	names := []string{"ada", "bob", "cy", "dee"}
	statuses := []consent.Status{consent.Granted, consent.Granted, consent.Granted, consent.Denied, consent.Revoked, consent.Objected, consent.Restricted, consent.Unrestricted}
	var people []consent.SubjectNum
	for _, n := range names {
		r.record(entry(n, emb, consent.Granted))
		s, _ := consent.ParseSubject(n)
		num, err := r.ledger.Find(t.Context(), tenant, s)
		if err != nil {
			t.Fatal(err)
		}
		people = append(people, num)
	}
	rules := []consent.Rule{{}, {Default: "US-CA"}, {Joint: consent.AnyOwner, Default: "DE"}, {Mentions: consent.MustPermit}}
	var docs []consent.People
	for i := range people {
		docs = append(docs, consent.People{Owners: people[i : i+1]}, consent.People{Owners: []consent.SubjectNum{people[i], people[(i+1)%4]}},
			consent.People{Owners: people[i : i+1], Mentions: []consent.SubjectNum{people[(i+2)%4]}})
	}
	docs = append(docs, consent.People{Nobody: true}, consent.People{}, consent.People{Owners: []consent.SubjectNum{12345}})
	said := map[consent.Position][]bool{}
	note := func(at consent.Position) {
		p, err := r.ledger.Permit(t.Context(), tenant, "rag_retrieval")
		if err != nil {
			t.Fatal(err)
		}
		for _, rule := range rules {
			claims := make([]consent.Claim, len(docs))
			for i, d := range docs {
				claims[i] = consent.Claim{Rule: rule, People: d}
			}
			ok := make([]bool, len(docs))
			if got := p.Recheck(claims, ok); got.Position != at {
				t.Fatalf("at %d, want %d", got.Position, at)
			}
			said[at] = append(said[at], ok...)
		}
	}
	var last consent.Position
	for i := range 120 {
		r.advance(2 * time.Second) // so that masks follow the clock
		e := entry(names[rng.IntN(4)], []string{rag, emb}[rng.IntN(4)/3], statuses[rng.IntN(len(statuses))])
		if e.Status == consent.Granted && rng.IntN(2) == 0 {
			e.ExpiresAt = consent.Time(r.clock.Load()) + consent.Time(time.Duration(1+rng.IntN(20))*time.Second)
		}
		if rng.IntN(5) == 0 {
			e.Jurisdiction = []consent.Jurisdiction{"US-CA", "DE"}[rng.IntN(2)]
		}
		if i == 60 {
			publish(t, r)
		}
		if got := r.record(e); got.New {
			last = got.Position
			note(last)
		}
	}
	f, err := r.ledger.Fold(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for at := consent.Position(1); at <= last; at++ {
		if err := f.Advance(t.Context(), at); err != nil {
			t.Fatal(err)
		}
		want := said[at]
		if want == nil {
			continue
		}
		j, err := f.Judge("rag_retrieval")
		if err != nil {
			t.Fatal(err)
		}
		i := 0
		for _, rule := range rules {
			for k, d := range docs {
				got := j.Decide(rule, d)
				if got.Allowed != want[i] || got.Allowed == (got.Reason != "") {
					t.Fatalf("position %d, rule %+v, document %d: %+v, the ledger said %v", at, rule, k, got, want[i])
				}
				if got.Allowed && !d.Nobody && len(got.Bases) == 0 {
					t.Fatalf("permitted on no basis: %+v", got)
				}
				i++
			}
		}
		checked++
	}
	if checked < 60 {
		t.Errorf("only %d positions were looked at", checked)
	}
	if err := f.Advance(t.Context(), 1); !errors.Is(err, consent.ErrPast) {
		t.Errorf("backwards: %v", err)
	}
	if err := f.Advance(t.Context(), 100_000); !errors.Is(err, consent.ErrPast) {
		t.Errorf("beyond the head: %v", err)
	}
}

// publish publishes a version of rag_retrieval that no earlier grant counts for.
func publish(t *testing.T, r *rig) {
	t.Helper()
	if _, _, err := r.ledger.Publish(t.Context(), tenant, consent.PublishedType{Type: "rag_retrieval_v2.0", Text: "another text", Language: "en", Accepts: []string{rag}}, consent.Once{}); err != nil {
		t.Fatal(err)
	}
}

func TestFoldOfNoPolicyJudgesNothing(t *testing.T) {
	r := newRig(t)
	f, err := r.ledger.Fold(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Judge("rag_retrieval"); !errors.Is(err, consent.ErrPast) {
		t.Errorf("before the policy: %v", err)
	}
	head, err := r.ledger.Head(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Advance(t.Context(), head.Position); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Judge("advertising"); !errors.Is(err, consent.ErrPurposeUnknown) {
		t.Errorf("unknown purpose: %v", err)
	}
}

// A note on a condition is entered when the condition holds at the head, and
// the condition sees what came just before.
func TestEnterIfSeesTheHead(t *testing.T) {
	r := newRig(t)
	r.record(entry("ada", emb, consent.Granted))
	r.record(entry("ada", rag, consent.Granted))
	s, _ := consent.ParseSubject("ada")
	num, err := r.ledger.Find(t.Context(), tenant, s)
	if err != nil {
		t.Fatal(err)
	}
	claim := []consent.Claim{{People: consent.People{Owners: []consent.SubjectNum{num}}}}
	errNo := errors.New("no")
	enter := func() (consent.Recorded, error) {
		return r.ledger.EnterIf(t.Context(), tenant, consent.Note{Kind: consent.KindManifest, Body: map[string]string{"event": "built"}}, "rag_retrieval", consent.Once{},
			func(p consent.Permit) error {
				ok := make([]bool, 1)
				if p.Recheck(claim, ok); !ok[0] {
					return errNo
				}
				return nil
			})
	}
	made, err := enter()
	if err != nil || !made.New {
		t.Fatal(made, err)
	}
	revoked := r.record(entry("ada", rag, consent.Revoked))
	if _, err := enter(); !errors.Is(err, errNo) {
		t.Errorf("after a withdrawal: %v", err)
	}
	if head, _ := r.ledger.Head(t.Context(), tenant); head.Position != revoked.Position || made.Position != revoked.Position-1 {
		t.Errorf("head %d, withdrawal at %d, entry at %d", head.Position, revoked.Position, made.Position)
	}
	if err := r.db.Rows(t.Context(), tenant, made.Position-1, func(row consent.Row) error {
		if row.Position == made.Position && string(row.Sealed) != `{"event":"built"}` {
			return fmt.Errorf("the entry rests as %q", row.Sealed)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	r.close()
	r.open() // read again from disk: the kind is known, the entry genuine
}
