package eval

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// A Doc is a line of a data set in JSONL.
type Doc struct {
	ID       string         `json:"id"`
	Owners   []string       `json:"owners"`
	Title    string         `json:"title"`
	Text     string         `json:"text"`
	Metadata map[string]any `json:"metadata"`
}

// A Query is a line of a file of queries.
type Query struct {
	ID   string `json:"id"`
	Text string `json:"text"`
}

// Qrels holds, for each query, how relevant documents are.
type Qrels map[string]map[string]float64

// LoadDocs reads documents, one a line, gzip or not.
func LoadDocs(path string) ([]Doc, error) { return loadLines[Doc](path) }

// LoadQueries reads queries, one a line.
func LoadQueries(path string) ([]Query, error) { return loadLines[Query](path) }

func loadLines[T any](path string) ([]T, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			return nil, err
		}
	}
	dec := json.NewDecoder(r)
	var out []T
	for {
		var v T
		if err := dec.Decode(&v); err == io.EOF {
			return out, nil
		} else if err != nil {
			return nil, fmt.Errorf("eval: line %d of a data set: %w", len(out)+1, err)
		}
		out = append(out, v)
	}
}

// LoadQrels reads a table of query, document and relevance with a header line.
func LoadQrels(path string) (Qrels, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	out := Qrels{}
	sc := bufio.NewScanner(f)
	for line := 0; sc.Scan(); line++ {
		cols := strings.Split(sc.Text(), "\t")
		if line == 0 {
			continue
		}
		if len(cols) != 3 {
			return nil, fmt.Errorf("eval: line %d of the judgements has %d columns", line+1, len(cols))
		}
		rel, err := strconv.ParseFloat(cols[2], 64)
		if err != nil {
			return nil, fmt.Errorf("eval: line %d of the judgements: not a number", line+1)
		}
		if out[cols[0]] == nil {
			out[cols[0]] = map[string]float64{}
		}
		out[cols[0]][cols[1]] = rel
	}
	return out, sc.Err()
}
