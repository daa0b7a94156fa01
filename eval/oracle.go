package eval

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/assent-gateway/assent/retrieval"
)

// An Oracle holds passages in clear and ranks the permitted ones by looking
// at every one of them. It is what any index must equal.
type Oracle struct{ passages []OraclePassage }

// An OraclePassage is a passage with its analysed terms and unit vector.
type OraclePassage struct {
	Doc    string
	N      int
	Owners []string
	Terms  []string // of title and text, repeats kept
	Vector []float32
}

// A Ranked is a passage in a ranking.
type Ranked struct {
	Doc   string
	N     int
	Score float64
}

// Add adds a passage.
func (o *Oracle) Add(p OraclePassage) { o.passages = append(o.passages, p) }

// Len is the number of passages.
func (o *Oracle) Len() int { return len(o.passages) }

// An OracleQuery is a query as the oracle takes it.
type OracleQuery struct {
	Text      string
	Vector    []float32 // unit
	Mode      retrieval.Mode
	K         int
	Permitted func(p *OraclePassage) bool
}

// Search ranks the permitted passages.
func (o *Oracle) Search(q OracleQuery) []Ranked {
	var allowed []*OraclePassage
	for i := range o.passages {
		if q.Permitted(&o.passages[i]) {
			allowed = append(allowed, &o.passages[i])
		}
	}
	switch q.Mode {
	case retrieval.ModeVector:
		return top(byCosine(allowed, q.Vector), q.K)
	case retrieval.ModeKeyword:
		return top(byBM25(allowed, q.Text), q.K)
	}
	depth := max(100, 5*q.K)
	return top(fuse(top(byCosine(allowed, q.Vector), depth), top(byBM25(allowed, q.Text), depth)), q.K)
}

func byCosine(ps []*OraclePassage, v []float32) []Ranked {
	out := make([]Ranked, len(ps))
	for i, p := range ps {
		var sum float64
		for j := range v {
			product := float64(v[j]) * float64(p.Vector[j])
			sum += float64(product) // the conversion keeps the compiler from fusing
		}
		out[i] = Ranked{p.Doc, p.N, sum}
	}
	return out
}

func byBM25(ps []*OraclePassage, text string) []Ranked {
	terms := retrieval.Analyse(text)
	slices.Sort(terms)
	terms = slices.Compact(terms)
	total := 0
	df := map[string]int{}
	counts := make([]map[string]int, len(ps))
	for i, p := range ps {
		total += len(p.Terms)
		counts[i] = map[string]int{}
		for _, w := range p.Terms {
			if _, asked := slices.BinarySearch(terms, w); asked {
				counts[i][w]++
			}
		}
		for w := range counts[i] {
			df[w]++
		}
	}
	n := float64(len(ps))
	average := float64(total) / n
	var out []Ranked
	for i, p := range ps {
		if len(counts[i]) == 0 {
			continue
		}
		score := 0.0
		for _, w := range terms {
			tf := float64(counts[i][w])
			if tf == 0 {
				continue
			}
			idf := math.Log(1 + (n-float64(df[w])+0.5)/(float64(df[w])+0.5))
			score += idf * tf * 2.2 / (tf + 1.2*(1-0.75+0.75*float64(len(p.Terms))/average))
		}
		out = append(out, Ranked{p.Doc, p.N, score})
	}
	return out
}

func fuse(lists ...[]Ranked) []Ranked {
	type key struct {
		doc string
		n   int
	}
	sums := map[key]float64{}
	for _, l := range lists {
		for i, r := range l {
			sums[key{r.Doc, r.N}] += 1 / float64(60+i+1)
		}
	}
	var out []Ranked
	for k, s := range sums {
		out = append(out, Ranked{k.doc, k.n, s})
	}
	return out
}

func top(rs []Ranked, k int) []Ranked {
	slices.SortFunc(rs, func(a, b Ranked) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), strings.Compare(a.Doc, b.Doc), cmp.Compare(a.N, b.N))
	})
	return rs[:min(k, len(rs))]
}
