package retrieval

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/clipperhouse/uax29/v2/sentences"
	"github.com/clipperhouse/uax29/v2/words"
)

// How Chunk cuts, in bytes.
const (
	ChunkLimit   = 1200 // the longest chunk
	ChunkOverlap = 200  // the most that a chunk repeats of the one before

	windowLimit = 2 * ChunkLimit
	windowMarks = 64
)

// A Span is a half-open range of bytes in a text.
type Span struct{ Start, End int }

// Chunk cuts a text into passages: as many whole sentences (Unicode Standard
// Annex #29) as fit ChunkLimit bytes, each chunk starting with those last
// sentences of the one before that fit ChunkOverlap. A sentence longer than
// the limit is cut between words, a word longer than it between runes. Spans
// ascend, start and end with something other than space, cover all that is not
// space, and depend on nothing but the text. A text that fits is one span, a
// text of space alone none.
func Chunk(text string) []Span {
	if whole := trim(text, Span{0, len(text)}); whole.End-whole.Start <= ChunkLimit {
		if whole.Start == whole.End {
			return nil
		}
		return []Span{whole}
	}
	pieces := cut(text)
	var out []Span
	for first := 0; first < len(pieces); {
		start := pieces[first].Start
		next := first + 1
		for next < len(pieces) && pieces[next].End-start <= ChunkLimit {
			next++
		}
		out = append(out, Span{start, pieces[next-1].End})
		if next == len(pieces) {
			break
		}
		first = overlap(pieces, first, next)
	}
	return out
}

// overlap returns the piece with which the chunk after pieces[first:next]
// starts: as early as both limits allow, later than first.
func overlap(pieces []Span, first, next int) int {
	start := next
	for start-1 > first &&
		pieces[next-1].End-pieces[start-1].Start <= ChunkOverlap &&
		pieces[next].End-pieces[start-1].Start <= ChunkLimit {
		start--
	}
	return start
}

// cut returns a text's sentences without the space around them, in parts
// where they are longer than ChunkLimit.
//
// It looks for sentences in windows. The annex's rule SB8 looks ahead from
// every mark behind a full stop, so that a long text of full stop and brackets
// would take quadratic time: seconds for 100 kB (measured). A window ends
// after windowLimit bytes or windowMarks runes without letter or number.
func cut(text string) []Span {
	var pieces []Span
	for pos := 0; pos < len(text); {
		size, hard := window(text[pos:])
		for it := sentences.FromString(text[pos : pos+size]); it.Next(); {
			if it.End() == size && it.Start() > 0 && !hard {
				size = it.Start() // perhaps not whole: the next window starts with it
				break
			}
			s := trim(text, Span{pos + it.Start(), pos + it.End()})
			if s.End-s.Start > ChunkLimit {
				pieces = cutLong(pieces, text, s)
			} else if s.Start < s.End {
				pieces = append(pieces, s)
			}
		}
		pos += size
	}
	return pieces
}

// window returns how many bytes of text to look for sentences in, and whether
// a sentence ends there whatever follows.
func window(text string) (size int, hard bool) {
	marks := 0
	for i, r := range text {
		switch {
		case i >= windowLimit:
			return i, false
		case marks == windowMarks:
			return i, true
		case isWordRune(r):
			marks = 0
		default:
			marks++
		}
	}
	return len(text), true
}

// cutLong appends the parts of a sentence that is longer than ChunkLimit.
func cutLong(pieces []Span, text string, s Span) []Span {
	emit := func(p Span) {
		if p = trim(text, p); p.Start < p.End {
			pieces = append(pieces, p)
		}
	}
	open := Span{s.Start, s.Start}
	for it := words.FromString(text[s.Start:s.End]); it.Next(); {
		word := Span{s.Start + it.Start(), s.Start + it.End()}
		if word.End-open.Start > ChunkLimit {
			emit(open)
			open.Start = word.Start
		}
		for word.End-open.Start > ChunkLimit {
			open.End = runeBorder(text, open.Start+ChunkLimit)
			emit(open)
			open.Start = open.End
		}
		open.End = word.End
	}
	emit(open)
	return pieces
}

// runeBorder returns the last border of a rune at or before byte i; in what is
// not UTF-8 every byte is a rune.
func runeBorder(text string, i int) int {
	for back := range utf8.UTFMax {
		if j := i - back; utf8.RuneStart(text[j]) {
			if _, size := utf8.DecodeRuneInString(text[j:]); back < size {
				return j
			}
			break
		}
	}
	return i
}

func trim(text string, s Span) Span {
	in := text[s.Start:s.End]
	s.Start += len(in) - len(strings.TrimLeftFunc(in, unicode.IsSpace))
	return Span{s.Start, s.Start + len(strings.TrimRightFunc(text[s.Start:s.End], unicode.IsSpace))}
}
