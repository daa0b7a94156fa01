package retrieval

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/clipperhouse/uax29/v2/sentences"
	"pgregory.net/rapid"
)

func checkChunks(t interface{ Fatalf(string, ...any) }, text string) {
	spans := Chunk(text)
	if !slices.Equal(spans, Chunk(text)) {
		t.Fatalf("not deterministic")
	}
	covered := make([]bool, len(text))
	for i, s := range spans {
		if s.Start < 0 || s.Start >= s.End || s.End > len(text) || s.End-s.Start > ChunkLimit {
			t.Fatalf("span %d is %v", i, s)
		}
		if part := text[s.Start:s.End]; utf8.ValidString(text) && !utf8.ValidString(part) {
			t.Fatalf("span %d splits a rune", i)
		} else if strings.TrimSpace(part) != part {
			t.Fatalf("span %d has space around it", i)
		}
		if i > 0 {
			if p := spans[i-1]; s.Start <= p.Start || s.End <= p.End || p.End-s.Start > ChunkOverlap {
				t.Fatalf("spans %v and %v", p, s)
			}
		}
		for j := s.Start; j < s.End; j++ {
			covered[j] = true
		}
	}
	for i, r := range text {
		if !covered[i] && !unicode.IsSpace(r) {
			t.Fatalf("byte %d is in no span", i)
		}
	}
}

func TestChunkProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		unit := rapid.OneOf(
			rapid.StringOfN(rapid.RuneFrom([]rune("abc ABC.!?\n\u2029é漢😀\u0301,'\u00a0")), 0, 60, -1),
			rapid.Custom(func(t *rapid.T) string {
				s := rapid.SampledFrom([]string{"x", "word ", "é", "😀", " ", "A b. ", "漢", "\xff", "\x80"}).Draw(t, "rep")
				return strings.Repeat(s, rapid.IntRange(0, 1500).Draw(t, "n"))
			}))
		checkChunks(t, strings.Join(rapid.SliceOfN(unit, 0, 12).Draw(t, "text"), ""))
	})
}

func TestShortTextIsOneSpan(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]Span{
		"":                        nil,
		" \n\t":                   nil,
		"  One. Two. ":            {{2, 11}},
		strings.Repeat("a", 1200): {{0, 1200}},
		strings.Repeat("a", 1201): {{0, 1200}, {1200, 1201}},
	} {
		if got := Chunk(text); !slices.Equal(got, want) {
			t.Errorf("%.20q: %v", text, got)
		}
	}
}

func TestChunksOverlapByWholeSentences(t *testing.T) {
	t.Parallel()
	sentence := "This sentence has about fifty bytes, more or less. "
	text := strings.Repeat(sentence, 60)
	spans := Chunk(text)
	if len(spans) < 3 {
		t.Fatalf("%d spans", len(spans))
	}
	for i, s := range spans {
		if s.Start%len(sentence) != 0 {
			t.Errorf("span %d starts inside a sentence", i)
		}
		if i > 0 && spans[i-1].End-s.Start < 100 {
			t.Errorf("span %d repeats %d bytes only", i, spans[i-1].End-s.Start)
		}
	}
}

// Sentence borders found in windows are those of the whole text, unless a
// sentence is longer than a window or the text is made of marks.
func TestWindowsKeepSentences(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 300 {
		b.WriteString("Sentence " + strings.Repeat("word ", i%40) + "ends (so it does). ")
	}
	text := b.String()
	var want []Span
	for it := sentences.FromString(text); it.Next(); {
		want = append(want, trim(text, Span{it.Start(), it.End()}))
	}
	if got := cut(text); len(want) != 300 || !slices.Equal(got, want) {
		t.Errorf("%d sentences, want %d", len(got), len(want))
	}
}

// An adversary's text must not take quadratic time: without windows each of
// the first three takes minutes.
func TestChunkIsNotQuadratic(t *testing.T) {
	t.Parallel()
	const n = 300_000
	for name, text := range map[string]string{
		"brackets":            "a." + strings.Repeat(")", n),
		"spaces":              "a." + strings.Repeat(" ", n) + "1",
		"brackets and digits": strings.Repeat("a."+strings.Repeat(")", 60)+strings.Repeat("1", 2000), n/2000),
		"ellipses":            strings.Repeat(".) ", n/3),
		"numbers":             strings.Repeat("a. 1", n/4),
		"marks":               strings.Repeat("\u0301", n/2),
	} {
		begin := time.Now()
		checkChunks(t, text)
		if d := time.Since(begin); d > 20*time.Second {
			t.Errorf("%s took %v", name, d)
		} else {
			t.Logf("%s %v", name, d)
		}
	}
}
