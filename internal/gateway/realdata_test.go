package gateway_test

import (
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/eval"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/localembed"
	"github.com/assent-gateway/assent/retrieval"
)

// corpus is a data set with its queries, ingested and in the oracle.
type corpus struct {
	name    string
	docs    []eval.Doc
	queries []eval.Query
	oracle  eval.Oracle
	people  []string
	// ownerless: documents without an owner are there too, as nobody's.
	ownerless bool
}

func loadCorpus(t *testing.T, name, docs, queries string) *corpus {
	t.Helper()
	c := &corpus{name: name}
	var err error
	if c.docs, err = eval.LoadDocs(sharedData(t, filepath.Join(name, docs))); err != nil {
		t.Fatal(err)
	}
	if c.queries, err = eval.LoadQueries(sharedData(t, filepath.Join(name, queries))); err != nil {
		t.Fatal(err)
	}
	c.people = owners(c.docs)
	return c
}

// fill puts into the oracle what the gateway should have made of the documents.
func (c *corpus) fill(t *testing.T) {
	t.Helper()
	e, err := localembed.New(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range c.docs {
		if len(d.Owners) == 0 && !c.ownerless {
			continue
		}
		for n, span := range retrieval.Chunk(d.Text) {
			text := d.Text[span.Start:span.End]
			vector := unit(t, e, withTitle(d.Title, text))
			terms := append(retrieval.Analyse(d.Title), retrieval.Analyse(text)...)
			c.oracle.Add(eval.OraclePassage{Doc: d.ID, N: n, Owners: d.Owners, Terms: terms, Vector: vector})
		}
	}
}

// withTitle is what is embedded of a passage.
func withTitle(title, text string) string {
	if title == "" || len(text) >= len(title) && text[:len(title)] == title {
		return text
	}
	return title + "\n" + text
}

func unit(t *testing.T, e retrieval.Embedder, text string) []float32 {
	t.Helper()
	v, err := e.Embed(t.Context(), []string{text})
	if err != nil {
		t.Fatal(err)
	}
	u, err := retrieval.Unit(v[0])
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// Real chat and real papers, with 0, 10, 50, 90 and 99 % of their owners
// revoked: no hit of a revoked owner, and in every mode, for every query, the
// answer is the oracle's.
func TestRealInputEqualsTheOracle(t *testing.T) {
	g := openGateway(t, gateway.Config{})
	e, err := localembed.New(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*corpus{
		loadCorpus(t, "irc", "dev_docs.jsonl", "dev_queries.jsonl"),
		loadCorpus(t, "cacm", "docs.jsonl", "queries.jsonl"),
	} {
		say(t, g, consent.Granted, c.people, rag, emb)
		makeCollection(t, g, c.name, retrieval.Spec{})
		began := time.Now()
		counts := ingest(t, g, c.name, c.docs)
		t.Logf("%s: %v in %s", c.name, counts, time.Since(began).Round(time.Millisecond))
		withOwner := 0
		for _, d := range c.docs {
			if len(d.Owners) > 0 {
				withOwner++
			}
		}
		if counts[retrieval.Stored] != withOwner || counts[retrieval.InvalidDoc] != len(c.docs)-withOwner {
			t.Fatalf("%s: %v of %d with an owner and %d without", c.name, counts, withOwner, len(c.docs)-withOwner)
		}
		c.fill(t)
		order := append([]string(nil), c.people...)
		rand.New(rand.NewPCG(7, 7)).Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		vectors := make([][]float32, len(c.queries))
		for i, q := range c.queries {
			vectors[i] = unit(t, e, q.Text)
		}
		done := 0
		for _, percent := range []int{0, 10, 50, 90, 99} {
			upTo := len(order) * percent / 100
			if upTo > done {
				say(t, g, consent.Revoked, order[done:upTo], rag)
				done = upTo
			}
			revoked := map[string]bool{}
			for _, p := range order[:upTo] {
				revoked[p] = true
			}
			c.compare(t, g, percent, revoked, vectors)
		}
	}
}

func (c *corpus) compare(t *testing.T, g *gateway.Gateway, percent int, revoked map[string]bool, vectors [][]float32) {
	t.Helper()
	permitted := func(p *eval.OraclePassage) bool {
		for _, o := range p.Owners {
			if revoked[o] {
				return false
			}
		}
		return true
	}
	owned := map[string][]string{}
	for _, d := range c.docs {
		owned[d.ID] = d.Owners
	}
	scale := map[retrieval.Mode]float64{retrieval.ModeVector: 1, retrieval.ModeKeyword: 1, retrieval.ModeHybrid: retrieval.RRFScale}
	var took []time.Duration
	for i, q := range c.queries {
		for mode, factor := range scale {
			began := time.Now()
			got, err := g.Retrieval.Search(t.Context(), caller, c.name, retrieval.SearchRequest{Query: q.Text, K: 10, Purpose: "rag_retrieval", Mode: mode})
			took = append(took, time.Since(began))
			if err != nil {
				t.Fatal(err)
			}
			want := c.oracle.Search(eval.OracleQuery{Text: q.Text, Vector: vectors[i], Mode: mode, K: 10, Permitted: permitted})
			if len(got.Hits) != len(want) {
				t.Fatalf("%s, %d %% revoked, query %d, mode %d: %d hits, the oracle has %d", c.name, percent, i, mode, len(got.Hits), len(want))
			}
			for n, h := range got.Hits {
				for _, o := range owned[h.DocumentID] {
					if revoked[o] {
						t.Fatalf("%s, %d %% revoked, query %d: a hit of a revoked owner", c.name, percent, i)
					}
				}
				if h.DocumentID != want[n].Doc || h.Score != want[n].Score*factor {
					t.Fatalf("%s, %d %% revoked, query %d, mode %d, rank %d: %v, the oracle says %v", c.name, percent, i, mode, n+1, h.Score, want[n].Score*factor)
				}
			}
		}
	}
	t.Logf("%s, %d %% of owners revoked: %d searches equal to the oracle, p50 %s, p99 %s", c.name, percent, len(took),
		eval.Quantile(took, .5).Round(time.Microsecond), eval.Quantile(took, .99).Round(time.Microsecond))
}

// With everyone permitted the default analyser finds what the judges of CACM
// found, as well as plain BM25 does.
func TestKeywordQualityOnCACM(t *testing.T) {
	c := loadCorpus(t, "cacm", "docs.jsonl", "queries.jsonl")
	qrels, err := eval.LoadQrels(sharedData(t, "cacm/qrels.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	g := openGateway(t, gateway.Config{})
	say(t, g, consent.Granted, c.people, rag, emb)
	makeCollection(t, g, "cacm", retrieval.Spec{})
	// Papers without an owner are nobody's here, so that all judged documents are there.
	var nobody []retrieval.Submission
	for _, d := range c.docs {
		if len(d.Owners) == 0 {
			s := submission(t, d)
			s.Nobody = true
			nobody = append(nobody, s)
		}
	}
	if _, err := g.Retrieval.Ingest(t.Context(), caller, "cacm", nobody, consent.Once{}); err != nil {
		t.Fatal(err)
	}
	ingest(t, g, "cacm", c.docs)
	c.ownerless = true
	c.fill(t)
	for mode, name := range map[retrieval.Mode]string{retrieval.ModeKeyword: "keyword", retrieval.ModeVector: "vector", retrieval.ModeHybrid: "hybrid"} {
		var scores, oracles []float64
		for _, q := range c.queries {
			got, err := g.Retrieval.Search(t.Context(), caller, "cacm", retrieval.SearchRequest{Query: q.Text, K: 10, Purpose: "rag_retrieval", Mode: mode})
			if err != nil {
				t.Fatal(err)
			}
			var ranking []string
			for _, h := range got.Hits {
				ranking = append(ranking, h.DocumentID)
			}
			if s, ok := eval.NDCG(ranking, qrels[q.ID], 10); ok {
				scores = append(scores, s)
			}
			if mode != retrieval.ModeKeyword {
				continue
			}
			ranking = ranking[:0]
			for _, r := range c.oracle.Search(eval.OracleQuery{Text: q.Text, Mode: mode, K: 10, Permitted: func(*eval.OraclePassage) bool { return true }}) {
				ranking = append(ranking, r.Doc)
			}
			if s, ok := eval.NDCG(ranking, qrels[q.ID], 10); ok {
				oracles = append(oracles, s)
			}
		}
		if mode == retrieval.ModeKeyword && eval.Mean(scores) != eval.Mean(oracles) {
			t.Errorf("keyword nDCG@10 %v, the oracle's %v", eval.Mean(scores), eval.Mean(oracles))
		}
		t.Logf("%s nDCG@10 %.3f over %d judged queries", name, eval.Mean(scores), len(scores))
		if mode == retrieval.ModeKeyword && eval.Mean(scores) < .36 {
			t.Errorf("keyword nDCG@10 %.3f, below .36", eval.Mean(scores))
		}
	}
}
