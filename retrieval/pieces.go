package retrieval

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/assent-gateway/assent/internal/seal"
)

// # Words inside terms
//
// The analyser makes one term of words that a full stop, an apostrophe or a colon
// joins, and of some scripts whole runs: a name can stand inside a term, and be
// found by no term. So a passage is also listed under the pieces of such terms, by
// hashes of their own: a piece ends where names end (joined). No query asks for
// them and no length counts them, so that nothing ranks otherwise; only Suspects
// does. Of most passages there are none.

// hashPiece is the keyed hash of a piece, which is that of no term.
func hashPiece(k seal.Key, piece string) uint64 { return HashTerm(k, "\x00"+piece) }

// pieces are the words of a text as names end, in their order.
func pieces(text string) (out []string) {
	begin, before := 0, rune(0)
	for at, r := range text {
		if at > 0 && !joined(before, r) {
			out = append(out, text[begin:at])
			begin = at
		}
		before = r
	}
	out = append(out, text[begin:])
	return slices.DeleteFunc(out, func(p string) bool { return !strings.ContainsFunc(p, isWordRune) })
}

// inside are the pieces of a term that is more than one.
func inside(term string) []string {
	if out := pieces(term); len(out) > 1 || len(out) == 1 && out[0] != term {
		return out
	}
	return nil
}

// Index is Count with what a passage is listed under beside its terms, each counted
// once: the pieces of terms that are more than one word.
func (c *TermCounter) Index(text string) ([]TermCount, uint32) {
	c.pieces = slices.Clone(c.titlePieces)
	terms, length := c.Count(text)
	slices.Sort(c.pieces)
	for _, h := range slices.Compact(c.pieces) {
		at, found := slices.BinarySearchFunc(terms, h, func(t TermCount, h uint64) int { return cmp.Compare(t.Hash, h) })
		if !found {
			terms = slices.Insert(terms, at, TermCount{h, 1})
		}
	}
	return terms, length
}

func (c *TermCounter) piece(piece string) uint64 {
	h, ok := c.hashes["\x00"+piece]
	if !ok {
		h = hashPiece(c.key(), piece)
		c.hashes["\x00"+piece] = h
	}
	return h
}

// maxAsked is how many pieces of a name are asked for: what is found is read.
const maxAsked = 3

// pieceSets are the sets of hashes of which a passage that holds a name, wherever
// its words are joined to others, holds one: each of its longest words is a term of
// the passage or a piece of one.
func pieceSets(k seal.Key, name string) (sets [][]uint64) {
	words := pieces(foldWord(cases.Fold(), norm.NFC.String(name)))
	slices.SortStableFunc(words, func(a, b string) int { return cmp.Compare(utf8.RuneCountInString(b), utf8.RuneCountInString(a)) })
	words = words[:min(len(words), maxAsked)]
	if len(words) == 0 {
		return nil
	}
	sets = [][]uint64{nil}
	for _, w := range words {
		var more [][]uint64
		for _, set := range sets {
			for _, h := range []uint64{HashTerm(k, w), hashPiece(k, w)} {
				more = append(more, append(slices.Clone(set), h))
			}
		}
		sets = more
	}
	return sets
}
