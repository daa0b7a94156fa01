package httpapi

import (
	"net/http"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/credential"
	"github.com/assent-gateway/assent/retrieval"
)

// searchIn is POST /v1/collections/{c}/search.
type searchIn struct {
	Query       string           `json:"query"`
	Vector      jsontext.Value   `json:"vector"`
	K           *int             `json:"k"`
	Purpose     string           `json:"purpose"`
	Mode        string           `json:"mode"`
	Filter      jsontext.Value   `json:"filter"`
	MinPosition consent.Position `json:"min_position"`
	// Exact asks for an exact scan; the embedded index always ranks exactly.
	Exact bool `json:"exact"`
}

// defaultK is how many hits a search that does not say gets.
const defaultK = 10

func readSearch(raw []byte) (req retrieval.SearchRequest, err error) {
	var in searchIn
	if err := decode(raw, &in); err != nil {
		return req, err
	}
	req = retrieval.SearchRequest{
		Query: in.Query, K: defaultK, Purpose: in.Purpose, Filter: in.Filter, MinPosition: in.MinPosition, Exact: in.Exact,
	}
	if in.K != nil {
		req.K = *in.K
	}
	if req.K < 1 || req.K > retrieval.MaxK {
		return req, invalid("k", "is not between 1 and 1000")
	}
	if req.Vector, err = vectorField("vector", in.Vector); err != nil {
		return req, err
	}
	if req.Query == "" && req.Vector == nil {
		return req, invalid("query", "or vector is required")
	}
	switch in.Mode {
	case "":
	case "vector":
		req.Mode = retrieval.ModeVector
	case "keyword":
		req.Mode = retrieval.ModeKeyword
	case "hybrid":
		req.Mode = retrieval.ModeHybrid
	default:
		return req, invalid("mode", "is none of vector, keyword, hybrid")
	}
	return req, nil
}

type searchOut struct {
	Hits    []hitOut   `json:"hits"`
	Mode    string     `json:"mode"`
	Privacy privacyOut `json:"privacy"`
}

type hitOut struct {
	PassageID  string                     `json:"passage_id"`
	DocumentID string                     `json:"document_id"`
	Rank       int                        `json:"rank"`
	Score      float64                    `json:"score"`
	Title      string                     `json:"title"`
	Text       string                     `json:"text"`
	Metadata   map[string]retrieval.Value `json:"metadata"`
	Source     string                     `json:"source"`
}

type privacyOut struct {
	LedgerPosition     consent.Position       `json:"ledger_position"`
	PolicyDigest       string                 `json:"policy_digest"`
	Purpose            string                 `json:"purpose"`
	Completeness       retrieval.Completeness `json:"completeness"`
	CompletenessReason string                 `json:"completeness_reason,omitempty"`
	DecisionID         string                 `json:"decision_id"`
}

func privacyOf(p retrieval.Privacy) privacyOut {
	return privacyOut{p.Position, p.PolicyDigest, p.Purpose, p.Completeness, p.CompletenessReason, p.DecisionID}
}

var modeNames = map[retrieval.Mode]string{
	retrieval.ModeVector: "vector", retrieval.ModeKeyword: "keyword", retrieval.ModeHybrid: "hybrid",
}

func (c *call) search() error {
	raw, err := c.body()
	if err != nil {
		return err
	}
	req, err := readSearch(raw)
	if err != nil {
		return err
	}
	if req.Purpose, err = c.purpose(req.Purpose); err != nil {
		return err
	}
	got, err := c.Retrieval.Search(c.ctx(), c.caller(), c.param("c"), req)
	if err != nil {
		return err
	}
	out := searchOut{Hits: make([]hitOut, len(got.Hits)), Mode: modeNames[got.Mode], Privacy: privacyOf(got.Privacy)}
	for i, h := range got.Hits {
		if !c.key.Scopes.Has(credential.Scores) {
			h.Score = coarse(h.Score)
		}
		out.Hits[i] = hitOut{h.PassageID, h.DocumentID, i + 1, h.Score, h.Title, h.Text, h.Metadata, h.Source}
	}
	return c.json(http.StatusOK, out)
}

// checkIn is POST /v1/passages/check.
type checkIn struct {
	PassageIDs  []string         `json:"passage_ids"`
	Purpose     string           `json:"purpose"`
	MinPosition consent.Position `json:"min_position"`
}

type checkOut struct {
	LedgerPosition consent.Position `json:"ledger_position"`
	Permitted      []string         `json:"permitted"`
}

// maxChecked bounds the passages and people of one question.
const maxChecked = 10_000

func (c *call) checkPassages() error {
	var in checkIn
	if err := c.read(&in); err != nil {
		return err
	}
	if in.PassageIDs == nil || len(in.PassageIDs) > maxChecked {
		return invalid("passage_ids", "is required: at most 10000 ids")
	}
	purpose, err := c.purpose(in.Purpose)
	if err != nil {
		return err
	}
	got, err := c.Retrieval.Check(c.ctx(), c.caller(), purpose, in.PassageIDs, in.MinPosition)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, checkOut{got.Position, got.Permitted})
}
