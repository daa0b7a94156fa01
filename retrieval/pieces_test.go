package retrieval

import (
	"slices"
	"strings"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// A passage is listed under the words inside of its terms, and ranks as before: its
// terms, their counts and its length are what they were.
func TestPiecesOfTermsAreListedAndCountNothing(t *testing.T) {
	t.Parallel()
	k := seal.NewKey()
	text := "Mail ada.lovelace: it's Ada's, not ada_b's or don't."
	want, length := NewTermCounter(k, "o'clock").Count(text)
	got, n := NewTermCounter(k, "o'clock").Index(text)
	if n != length {
		t.Errorf("length %d, want %d", n, length)
	}
	extra := map[uint64]bool{}
	for _, p := range []string{"ada", "lovelace", "it", "s", "ada_b", "don", "t", "o", "clock"} {
		extra[hashPiece(k, p)] = true
	}
	var rest []TermCount
	for _, term := range got {
		if extra[term.Hash] {
			delete(extra, term.Hash)
			if term.Count != 1 {
				t.Errorf("a piece counts %d", term.Count)
			}
			continue
		}
		rest = append(rest, term)
	}
	if len(extra) != 0 || !slices.Equal(rest, want) || !slices.IsSortedFunc(got, func(a, b TermCount) int { return int(int64(a.Hash>>1) - int64(b.Hash>>1)) }) {
		t.Errorf("%d pieces are lacking; terms %v, want %v", len(extra), rest, want)
	}
	if again, _ := NewTermCounter(k, "").Index("the plain words"); len(again) != 3 {
		t.Errorf("of words that are joined to nothing: %v", again)
	}
}

// Wherever Names finds a name in a text, one of its sets of pieces finds the passage.
func FuzzPiecesFindWhatNamesFind(f *testing.F) {
	for _, s := range []string{"by ada.", "Ada's", "ada.lovelace", "x.ADA:y", "l\u2019ada", "ada_b", "adam", "\uc5d0\uc774\ub2e4\uac00", "1.ada.2", "a\u0301da", "ad\u00ada"} {
		f.Add("user:ada", s)
		f.Add("user:\uc5d0\uc774\ub2e4", s)
		f.Add("email:ada@example.org", "a."+s+"@example.org.uk")
	}
	k := seal.NewKey()
	f.Fuzz(func(t *testing.T, id, text string) {
		who, err := consent.ParseSubject(id)
		if err != nil || !NamesOf([]consent.Subject{who}).In(text) {
			return
		}
		if _, bare, _ := strings.Cut(who.Reveal(), ":"); !strings.ContainsFunc(bare, isWordRune) {
			return // of no words, as no term is
		}
		terms, _ := NewTermCounter(k, "").Index(text)
		holds := func(set []uint64) bool {
			return !slices.ContainsFunc(set, func(h uint64) bool {
				return !slices.ContainsFunc(terms, func(c TermCount) bool { return c.Hash == h })
			})
		}
		if !slices.ContainsFunc(suspectSets(k, who), holds) {
			t.Errorf("%q is named in %q, and no set finds it", id, text)
		}
	})
}
