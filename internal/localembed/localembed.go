// Package localembed is the default embedder: it needs no key, no network and
// no model, so that a first run finds things.
//
// It is lexical, not semantic. A vector counts hashed features of a text's
// words: texts that share words, or words that share a stem or a spelling,
// come out near each other; synonyms and translations do not, and two
// different words may share a component by chance. It sees one text at a time
// and can count no frequencies; a list of words that are grammar in English,
// German, French and Spanish stands in for them. On the CACM papers it reaches
// nDCG@10 .22 alone and .34 beside keywords, which alone reach .38: it adds
// word stems and misspellings, not meaning. Who needs meaning supplies vectors
// of a model with the passages.
//
// It promises the same vector for the same text in every run and on every
// machine: features are summed as integers, and nothing depends on the order
// of a map, on fused arithmetic or on a mathematical library.
//
// The method is signed feature hashing (Weinberger et al., ICML 2009) of folded
// words and of their character 3- to 5-grams between word borders, as fastText
// forms them (Bojanowski et al., TACL 2017). The hash is FNV-1a with a
// finaliser, fixed and without key: whoever sees a vector can try words, which
// is true of every embedding, and why vectors rest sealed.
package localembed

import (
	"context"
	"errors"
	"math/bits"

	"github.com/assent-gateway/assent/retrieval"
)

// DefaultDimensions is the length of vectors when none is asked for.
const DefaultDimensions = 512

// maxDimensions is what a collection may have.
const maxDimensions = 4096

// ErrDimensions: the dimensions asked for are not between 1 and 4096.
var ErrDimensions = errors.New("localembed: dimensions are not between 1 and 4096")

// An Embedder is the local embedder with a number of dimensions. It is
// immutable and safe for concurrent use.
type Embedder struct{ dimensions int }

// New returns an embedder; dimensions 0 means DefaultDimensions.
func New(dimensions int) (*Embedder, error) {
	if dimensions == 0 {
		dimensions = DefaultDimensions
	}
	if dimensions < 1 || dimensions > maxDimensions {
		return nil, ErrDimensions
	}
	return &Embedder{dimensions}, nil
}

// Identity implements retrieval.Embedder. A change of what Embed returns is a
// new revision.
func (e *Embedder) Identity() retrieval.EmbedderPin {
	return retrieval.EmbedderPin{Name: "assent-local-hash", Revision: "1", Dimensions: e.dimensions}
}

// Embed implements retrieval.Embedder. Components are integers, not of unit
// length. A text without any word becomes one fixed direction.
func (e *Embedder) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	out := make([][]float32, len(texts))
	for i, text := range texts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		out[i] = e.embed(text)
	}
	return out, nil
}

func (e *Embedder) embed(text string) []float32 {
	counts := map[string]int64{}
	for _, w := range retrieval.Analyse(text) {
		counts[w]++
	}
	sums := make([]int64, e.dimensions)
	for w, n := range counts {
		e.word(sums, w, n)
	}
	v := make([]float32, e.dimensions)
	zero := true
	for i, s := range sums {
		v[i] = float32(s) // rounds to nearest, the same everywhere
		zero = zero && s == 0
	}
	if zero { // no word, or features that cancel each other
		v[hash("")%uint64(e.dimensions)] = 1
	}
	return v
}

// Weights are in 1/unit. A word's own feature weighs up to one unit, its
// n-grams together twice as much, which is what CACM likes best; repeats weigh
// by the square root.
const unit = 1 << 12

// short are the weights of words of that many runes, in unit/8: words of one
// to three letters are mostly grammar.
var short = [...]int64{0, 3, 3, 5}

func (e *Embedder) word(sums []int64, w string, n int64) {
	runes := []rune("<" + w + ">")
	weight := root(n * unit * unit)
	if length := len(runes) - 2; length < len(short) {
		weight = weight * short[length] / 8
	}
	if frequent[w] {
		weight /= 16
	}
	e.add(sums, "w"+w, weight)
	grams := 0
	for size := 3; size <= 5; size++ {
		grams += max(0, len(runes)-size+1)
	}
	if grams == 0 {
		return
	}
	each := 2 * weight * unit / root(int64(grams)*unit*unit) // 2·weight / √grams
	for size := 3; size <= 5; size++ {
		for i := 0; i+size <= len(runes); i++ {
			e.add(sums, "g"+string(runes[i:i+size]), each)
		}
	}
}

func (e *Embedder) add(sums []int64, feature string, weight int64) {
	h := hash(feature)
	if h>>63 == 1 {
		weight = -weight
	}
	// The high half of a product maps 63 bits evenly to the dimensions.
	i, _ := bits.Mul64(h<<1, uint64(e.dimensions))
	sums[i] += weight
}

// hash is 64-bit FNV-1a, then the finaliser of MurmurHash3, since FNV's high
// bits say little about a short text's last bytes.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// root is the integer square root: the largest r with r·r ≤ n, by Newton's
// method from above.
func root(n int64) int64 {
	if n < 2 {
		return max(n, 0)
	}
	r := int64(1) << ((bits.Len64(uint64(n)) + 1) / 2)
	for {
		next := (r + n/r) / 2
		if next >= r {
			return r
		}
		r = next
	}
}
