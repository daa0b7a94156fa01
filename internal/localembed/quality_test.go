package localembed_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/assent-gateway/assent/eval"
	"github.com/assent-gateway/assent/internal/localembed"
	"github.com/assent-gateway/assent/retrieval"
)

// What the vectors find alone, and beside keywords, on papers with judgements:
// a floor, so that a change of the embedder that finds less is seen.
func TestQualityOnCACM(t *testing.T) {
	dir := os.Getenv("ASSENT_SHARED_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	docs, err := eval.LoadDocs(filepath.Join(dir, "cacm", "docs.jsonl"))
	if err != nil {
		t.Skip("real input is absent: set ASSENT_SHARED_DATA to its folder")
	}
	queries, err := eval.LoadQueries(filepath.Join(dir, "cacm", "queries.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	qrels, err := eval.LoadQrels(filepath.Join(dir, "cacm", "qrels.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := localembed.New(0)
	if err != nil {
		t.Fatal(err)
	}
	embed := func(text string) []float32 {
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
	var oracle eval.Oracle
	for _, d := range docs {
		oracle.Add(eval.OraclePassage{Doc: d.ID, Terms: append(retrieval.Analyse(d.Title), retrieval.Analyse(d.Text)...), Vector: embed(d.Text)})
	}
	for _, c := range []struct {
		name  string
		mode  retrieval.Mode
		floor float64
	}{{"vector", retrieval.ModeVector, .2}, {"keyword", retrieval.ModeKeyword, .36}, {"hybrid", retrieval.ModeHybrid, .32}} {
		var scores []float64
		for _, q := range queries {
			var ranking []string
			for _, r := range oracle.Search(eval.OracleQuery{Text: q.Text, Vector: embed(q.Text), Mode: c.mode, K: 10, Permitted: func(*eval.OraclePassage) bool { return true }}) {
				ranking = append(ranking, r.Doc)
			}
			if s, ok := eval.NDCG(ranking, qrels[q.ID], 10); ok {
				scores = append(scores, s)
			}
		}
		t.Logf("%s nDCG@10 %.3f", c.name, eval.Mean(scores))
		if eval.Mean(scores) < c.floor {
			t.Errorf("%s nDCG@10 %.3f, below %.2f", c.name, eval.Mean(scores), c.floor)
		}
	}
}
