package gateway_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
)

// reach is what somebody with an identifier and every key that is left, of the
// vault and of the database, can tell is about the same person: whatever stands
// together in a row, an entry, a job or a record of the journal with something
// that is known already.
func reach(t *testing.T, g *gateway.Gateway, id string) map[string]bool {
	t.Helper()
	known := map[string]bool{}
	for _, name := range g.NamesOf(id) {
		known[name] = true
	}
	remains := g.Remains(t)
	for grown := true; grown; {
		grown = false
		for _, r := range remains {
			if !slices.ContainsFunc(r.Names, func(n string) bool { return known[n] }) {
				continue
			}
			for _, n := range r.Names {
				if !known[n] {
					known[n], grown = true, true
				}
			}
		}
	}
	return known
}

// positions and numbers of what is reached.
func sorted(known map[string]bool, kind byte) (out []string) {
	for n := range known {
		if n[0] == kind {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out
}

// Of an erased person, whoever has every key there is finds the mark and the
// entries about their suppressions, and nothing else: by no identifier, in no row,
// no entry, no job and no record of the journal; also when they were erased, came
// back and were erased again, and after a start. While the erasure is under way,
// and of the living, the same search finds everything.
func TestWithEveryKeyTheErasedAreSuppressedAndNoMore(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open opener) {
		g := open(t, gateway.Config{ErasuresByHand: true})
		ctx, id := t.Context(), gateway.DefaultTenant
		var people []string
		for i := range 6 {
			people = append(people, fmt.Sprintf("user:forgettable-person-%d", i))
		}
		ada, bob, other := people[0], people[1], "email:another-name@example.org"
		say(t, g, consent.Granted, people, rag, emb)
		makeCollection(t, g, "c", retrieval.Spec{})
		ingest(t, g, "c", invented(people[:4]...))
		identify := func() {
			t.Helper()
			if _, err := g.Ledger.Identify(ctx, id, subject(t, ada), subject(t, other)); err != nil {
				t.Fatal(err)
			}
		}
		identify()
		say(t, g, consent.Revoked, people[:2], rag)

		round := 0
		// want compares what is reached by each identifier with entries and numbers.
		want := func(when string, numbers int, entries ...consent.Position) {
			t.Helper()
			for _, name := range []string{ada, other} {
				if name == other && round == 1 && strings.HasPrefix(when, "alive") {
					continue // of whoever came back, a mark leads there in memory alone
				}
				known := reach(t, g, name)
				var at []string
				for _, p := range entries {
					at = append(at, fmt.Sprintf("p%d", p))
				}
				slices.Sort(at)
				if got := sorted(known, 'p'); !slices.Equal(got, at) {
					t.Errorf("%s, by %s: entries %v, want %v", when, name[:5], got, at)
				}
				if got := sorted(known, 'n'); len(got) != numbers {
					t.Errorf("%s, by %s: numbers %v, want %d", when, name[:5], got, numbers)
				}
			}
		}
		mine := func() (out []consent.Position) {
			num, err := g.Ledger.Find(ctx, id, subject(t, ada))
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range allEntries(t, g) {
				if row.Subject == num {
					out = append(out, row.Position)
				}
			}
			return out
		}
		var marked []consent.Position
		for round = range 2 {
			lived := mine()
			alive := append(append([]consent.Position{}, marked...), lived...)
			want(fmt.Sprintf("alive in round %d", round), 1+min(len(marked), 1), alive...)
			e := erase(t, g, ada)
			want("under way", 2, append(alive, e.Position)...)
			e = ended(t, g, e.ID)
			marked = append(marked, e.Position, mine()[len(mine())-1])
			want("erased", 1, marked...)
			if round == 0 {
				say(t, g, consent.Granted, []string{ada}, rag, emb)
				identify()
			}
		}
		if got := reach(t, g, bob); len(sorted(got, 'p')) < 3 {
			t.Errorf("of a living person %v is found", sorted(got, 'p'))
		}
		if a, err := g.Ledger.Decide(ctx, id, []consent.Subject{subject(t, ada), subject(t, other)}, consent.Question{Purpose: "rag_retrieval"}); err != nil || a.Decisions[0].Reason != consent.ReasonSuppressed || a.Decisions[1].Reason != consent.ReasonSuppressed {
			t.Errorf("the erased: %+v, %v", a.Decisions, err)
		}
	})
}

// A suppression that is taken back leaves everything as it was, by every
// identifier, also after a start; and an erasure after that forgets both.
func TestALiftedSuppressionIsForgottenWithTheNext(t *testing.T) {
	t.Parallel()
	cfg := gateway.Config{DataDir: filepath.Join(t.TempDir(), "data"), AdminKey: adminKey, ErasuresByHand: true}
	ctx, id := t.Context(), gateway.DefaultTenant
	g := openGateway(t, cfg)
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	makeCollection(t, g, "c", retrieval.Spec{})
	ingest(t, g, "c", invented("ada"))
	other := "email:another-name@example.org"
	if _, err := g.Ledger.Identify(ctx, id, subject(t, "ada"), subject(t, other)); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Erasure.Cancel(ctx, id, erase(t, g, "ada").ID); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		a, err := g.Ledger.Decide(ctx, id, []consent.Subject{subject(t, "ada"), subject(t, other)}, consent.Question{Purpose: "rag_retrieval"})
		if err != nil || !a.Decisions[0].Allowed || !a.Decisions[1].Allowed || hits(t, g) != 2 {
			t.Errorf("after it was taken back: %+v, %v, %d hits", a.Decisions, err, hits(t, g))
		}
		g.Close()
		g = openGateway(t, cfg)
	}
	num, err := g.Ledger.Find(ctx, id, subject(t, "ada"))
	if err != nil || !reach(t, g, "user:ada")[fmt.Sprintf("n%d", num)] {
		t.Errorf("of the living nothing is found: %v", err)
	}
	wantPurged(t, ended(t, g, erase(t, g, other).ID))
	for range 2 { // two marks, of which one was taken back
		if got := reach(t, g, "user:ada"); got[fmt.Sprintf("n%d", num)] || len(sorted(got, 'n')) != 2 {
			t.Errorf("numbers %v are reached", sorted(got, 'n'))
		}
		if n := hits(t, g); n != 0 {
			t.Errorf("%d hits of the erased", n)
		}
		g.Close()
		g = openGateway(t, cfg)
	}
	if n := g.KeySlots(); n != 0 {
		t.Errorf("%d keys are left", n)
	}
}
