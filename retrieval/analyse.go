package retrieval

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/clipperhouse/uax29/v2/words"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/assent-gateway/assent/internal/seal"
)

// Analyse is the analyser "unicode-1" (the constant Analyser): a change of its
// results is a new name and a re-index. It returns the terms of a text in
// order, repeats kept: the words of
// Unicode Standard Annex #29 that hold a letter or a number, in NFC after full
// case folding (ß becomes ss). No stop list, no stemming. Scripts written
// without spaces come out as the annex splits them: ideographs one by one,
// Thai in runs.
func Analyse(text string) []string {
	var terms []string
	fold := cases.Fold()
	for it := words.FromString(norm.NFC.String(text)); it.Next(); {
		w := it.Value()
		if !strings.ContainsFunc(w, isWordRune) {
			continue
		}
		terms = append(terms, foldWord(fold, w))
	}
	return terms
}

func isWordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }

func foldWord(fold cases.Caser, w string) string {
	for i := range len(w) {
		if w[i] >= utf8.RuneSelf {
			// Folding can leave NFC; normalise again.
			return norm.NFC.String(fold.String(w))
		}
	}
	return strings.ToLower(w) // the same for ASCII
}

// HashTerm returns the keyed 64-bit hash of a term: the first eight bytes,
// big-endian, of HMAC-SHA256 under a collection's term key. Equal terms of two
// collections do not look equal, and nobody without the key can try words.
func HashTerm(k seal.Key, term string) uint64 {
	sum := seal.MAC(k, "assent/term/v1", []byte(term))
	return uint64(sum[0])<<56 | uint64(sum[1])<<48 | uint64(sum[2])<<40 | uint64(sum[3])<<32 |
		uint64(sum[4])<<24 | uint64(sum[5])<<16 | uint64(sum[6])<<8 | uint64(sum[7])
}

// QueryTerms returns the hashes of the distinct terms of a query, in the byte
// order of the terms themselves.
func QueryTerms(k seal.Key, query string) []uint64 {
	terms := Analyse(query)
	slices.Sort(terms)
	var hashes []uint64
	for _, t := range slices.Compact(terms) {
		// Two terms with one hash are one term to the index.
		if h := HashTerm(k, t); !slices.Contains(hashes, h) {
			hashes = append(hashes, h)
		}
	}
	return hashes
}

// A TermCounter counts the terms of one document's passages. Title and text
// are one field, each analysed by itself: the title counts in every passage.
// It remembers the hashes of terms it met; not safe for concurrent use.
type TermCounter struct {
	key    func() seal.Key // not a Key: see seal.Hold
	hashes map[string]uint64
	title  []uint64
	// Of what hash met since they were last emptied; see Index.
	pieces, titlePieces []uint64
}

// NewTermCounter returns a counter for the passages of a document.
func NewTermCounter(k seal.Key, title string) *TermCounter {
	c := &TermCounter{key: seal.Hold(k), hashes: map[string]uint64{}}
	c.title = c.hash(title)
	c.titlePieces = c.pieces
	return c
}

// Count returns the terms of title and text, ascending by hash, and how many
// there are with repeats: Head's Terms and Length.
func (c *TermCounter) Count(text string) ([]TermCount, uint32) {
	hashes := append(c.hash(text), c.title...)
	slices.Sort(hashes)
	var terms []TermCount
	for _, h := range hashes {
		if n := len(terms); n > 0 && terms[n-1].Hash == h {
			terms[n-1].Count++
		} else {
			terms = append(terms, TermCount{h, 1})
		}
	}
	return terms, uint32(len(hashes))
}

func (c *TermCounter) hash(text string) []uint64 {
	terms := Analyse(text)
	hashes := make([]uint64, len(terms), len(terms)+len(c.title))
	for i, t := range terms {
		h, ok := c.hashes[t]
		if !ok {
			h = HashTerm(c.key(), t)
			c.hashes[t] = h
		}
		for _, piece := range inside(t) {
			c.pieces = append(c.pieces, c.piece(piece))
		}
		hashes[i] = h
	}
	return hashes
}
