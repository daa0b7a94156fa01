package erasecheck

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/retrieval"
)

func subjects(t interface{ Fatal(...any) }, ids ...string) (out []consent.Subject) {
	for _, id := range ids {
		s, err := consent.ParseSubject(id)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

// What verification finds is what redaction takes out: of a text from which names
// were cut it finds none, and it finds one wherever something was cut.
func TestVerificationFindsWhatRedactionCuts(t *testing.T) {
	t.Parallel()
	ids := []string{"user:ada", "email:ada@example.org", "user:zoë", "tel:+49 30", "user:ſam_x", "user:42"}
	cut, found := retrieval.NamesOf(subjects(t, ids...)), namesFrom(ids)
	piece := rapid.SampledFrom([]string{
		"ada", "Ada", "ADA", "@example.org", "zoë", "ZOË", "zoe", "+49 30", "sam_x", "ſAM_X", "42", " ", ".", "_", "x", "é", "\u0301", "user:", "email:", "\xff", "K", "\u212a",
	})
	rapid.Check(t, func(t *rapid.T) {
		text := ""
		for _, p := range rapid.SliceOfN(piece, 0, 8).Draw(t, "pieces") {
			text += p
		}
		left, changed := cut.Cut(text)
		if found.in(left) {
			t.Fatalf("in %q, of %q, a name is left", left, text)
		}
		if changed && !found.in(text) {
			t.Fatalf("%q: something was cut that is not found", text)
		}
	})
}

// A kept document that names the person, does not open, or has vectors where it
// should have none, is found.
func TestWhatIsKeptIsRead(t *testing.T) {
	t.Parallel()
	n := namesFrom([]string{"user:ada"})
	body := func(text string, vector ...float32) []retrieval.SpecimenPassage {
		return []retrieval.SpecimenPassage{{Opened: true, Body: retrieval.Body{Text: text, Vector: vector}}}
	}
	redacted := retrieval.DocMeta{ID: "d", Redacted: true}
	titled := redacted
	titled.Title = "by Ada"
	tagged := redacted
	tagged.Metadata = map[string]retrieval.Value{"by": retrieval.StringValue("ada")}
	for name, c := range map[string]struct {
		s         retrieval.Specimen
		stripping bool
		found     uint64
	}{
		"clean":               {retrieval.Specimen{Opened: true, Meta: redacted, Passages: body("Adam", 1)}, false, 0},
		"a text":              {retrieval.Specimen{Opened: true, Meta: redacted, Passages: body("Ada", 1)}, false, 1},
		"a title":             {retrieval.Specimen{Opened: true, Meta: titled, Passages: body("x", 1)}, false, 1},
		"metadata":            {retrieval.Specimen{Opened: true, Meta: tagged, Passages: body("x", 1)}, false, 1},
		"closed":              {retrieval.Specimen{Meta: redacted}, false, 1},
		"from outside":        {retrieval.Specimen{Opened: true, Meta: retrieval.DocMeta{ID: "d"}, Passages: body("Ada", 1)}, false, 0},
		"stripped":            {retrieval.Specimen{Opened: true, Meta: retrieval.DocMeta{Stripped: true}, Passages: body("x")}, true, 0},
		"stripped in vain":    {retrieval.Specimen{Opened: true, Meta: retrieval.DocMeta{Stripped: true}, Passages: body("x", 1)}, true, 1},
		"stripped of its key": {retrieval.Specimen{Row: retrieval.DocRow{Key: seal.Ref{Slot: 1}}, Meta: retrieval.DocMeta{Stripped: true}}, true, 1},
	} {
		var k kept
		k.take(&c.s, n, c.stripping)
		if k.found != c.found {
			t.Errorf("%s: found %d, want %d", name, k.found, c.found)
		}
	}
}
