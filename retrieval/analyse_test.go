package retrieval

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"

	"github.com/assent-gateway/assent/internal/seal"
)

func TestAnalyse(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][]string{
		"":                                 nil,
		" \t—…!?😀":                         nil,
		"Who restarted the server?":        {"who", "restarted", "the", "server"},
		"STRASSE Straße strasse":           {"strasse", "strasse", "strasse"},
		"can't e.g. 3.14 a_b C3PO":         {"can't", "e.g", "3.14", "a_b", "c3po"},
		"Cafe\u0301 CAFÉ":                  {"café", "café"},
		"Σίσυφος ΣΊΣΥΦΟΣ":                  {"σίσυφοσ", "σίσυφοσ"},
		"\u0390 \u1FD3":                    {"\u0390", "\u0390"},
		"漢字かな":                             {"漢", "字", "か", "な"},
		"ﬁne ½ Ⅷ":                          {"fine", "½", "ⅷ"},
		"İstanbul":                         {"i̇stanbul"},
		"foo-bar foo/bar user@example.org": {"foo", "bar", "foo", "bar", "user", "example.org"},
	} {
		if diff := cmp.Diff(want, Analyse(in)); diff != "" {
			t.Errorf("%q: %s", in, diff)
		}
	}
}

func TestAnalyseIgnoresCaseAndForm(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringOfN(rapid.RuneFrom([]rune("aAßẞéÉσςΣ漢 .'1ǰΐ\u0301")), 0, 30, -1).Draw(t, "s")
		want := Analyse(s)
		if got := Analyse(norm.NFD.String(s)); !slices.Equal(got, want) {
			t.Fatalf("NFD differs: %q %q", got, want)
		}
		for _, w := range want {
			if got := Analyse(w); strings.Join(got, "") != w {
				t.Fatalf("%q is not a fixed point: %q", w, got)
			}
		}
	})
}

func TestTermCounterCountsTitleInEveryPassage(t *testing.T) {
	t.Parallel()
	k := seal.Key{1}
	c := NewTermCounter(k, "Server notes")
	for _, text := range []string{"the server, the end", "", "other"} {
		terms, length := c.Count(text)
		want := map[uint64]uint32{}
		all := append(Analyse("Server notes"), Analyse(text)...)
		for _, w := range all {
			want[HashTerm(k, w)]++
		}
		got := map[uint64]uint32{}
		for _, tc := range terms {
			got[tc.Hash] = tc.Count
		}
		if diff := cmp.Diff(want, got); diff != "" || length != uint32(len(all)) {
			t.Errorf("%q: length %d %s", text, length, diff)
		}
		if !slices.IsSortedFunc(terms, func(a, b TermCount) int {
			if a.Hash < b.Hash {
				return -1
			}
			return 1
		}) {
			t.Errorf("%q: not ascending", text)
		}
	}
}

func TestTitleAndTextAreAnalysedApart(t *testing.T) {
	t.Parallel()
	k := seal.Key{1}
	terms, n := NewTermCounter(k, "ab").Count("cd")
	if n != 2 || len(terms) != 2 {
		t.Errorf("%d terms, length %d", len(terms), n)
	}
}

func TestQueryTermsAreDistinctAndInByteOrder(t *testing.T) {
	t.Parallel()
	k, other := seal.Key{1}, seal.Key{2}
	want := []uint64{HashTerm(k, "alpha"), HashTerm(k, "beta"), HashTerm(k, "émile")}
	if got := QueryTerms(k, "Émile beta ALPHA beta"); !slices.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
	if HashTerm(k, "alpha") == HashTerm(other, "alpha") {
		t.Error("the hash does not depend on the key")
	}
	if got := QueryTerms(k, "?!"); len(got) != 0 {
		t.Errorf("%x", got)
	}
}
