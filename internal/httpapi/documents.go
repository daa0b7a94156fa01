package httpapi

import (
	"net/http"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

type ingestOut struct {
	LedgerPosition consent.Position         `json:"ledger_position"`
	CorpusPosition retrieval.CorpusPosition `json:"corpus_position"`
	Results        []resultOut              `json:"results"`
}

// resultOut is what became of one document; Line is its line in a stream.
type resultOut struct {
	Line     int                 `json:"line,omitzero"`
	ID       string              `json:"id"`
	Status   retrieval.DocStatus `json:"status"`
	Passages int                 `json:"passages,omitzero"`
	Reason   string              `json:"reason,omitempty"`
	Field    string              `json:"field,omitempty"`
}

func resultOf(r retrieval.DocResult) resultOut {
	return resultOut{ID: r.ID, Status: r.Status, Passages: r.Passages, Reason: r.Reason, Field: r.Field}
}

func (c *call) ingest() error {
	streamed, err := c.isStream()
	if err != nil {
		return err
	}
	if streamed {
		return c.ingestStream()
	}
	raw, err := c.body()
	if err != nil {
		return err
	}
	values, err := splitDocuments(raw)
	if err != nil {
		return err
	}
	docs := make([]retrieval.Submission, len(values))
	for i, v := range values {
		docs[i] = readDocument(v)
	}
	once, release, err := c.once(raw)
	defer release()
	if err != nil {
		return err
	}
	got, err := c.Retrieval.Ingest(c.ctx(), c.caller(), c.param("c"), docs, once)
	if err != nil {
		return err
	}
	out := ingestOut{LedgerPosition: got.Ledger, CorpusPosition: got.Corpus, Results: make([]resultOut, len(got.Results))}
	for i, r := range got.Results {
		out.Results[i] = resultOf(r)
	}
	return c.json(http.StatusOK, out)
}

// ingestStream ingests a batch of lines at a time; each batch is durable and
// found before its results are written.
func (c *call) ingestStream() error {
	name := c.param("c")
	if _, err := c.Retrieval.Collection(c.ctx(), c.caller(), name); err != nil {
		return err
	}
	return c.stream(func(lines []line) ([]any, error) {
		docs := make([]retrieval.Submission, len(lines))
		for i, l := range lines {
			if l.bad != nil {
				docs[i].Err = l.bad
				continue
			}
			docs[i] = readDocument(l.raw)
		}
		got, err := c.Retrieval.Ingest(c.ctx(), c.caller(), name, docs, consent.Once{})
		if err != nil {
			return nil, err
		}
		out := make([]any, len(got.Results))
		for i, r := range got.Results {
			res := resultOf(r)
			res.Line = lines[i].n
			out[i] = res
		}
		return out, nil
	})
}

type documentOut struct {
	ID       string                     `json:"id"`
	Title    string                     `json:"title"`
	Text     string                     `json:"text,omitempty"` // absent where passages were supplied
	Passages []passageOut               `json:"passages"`
	Metadata map[string]retrieval.Value `json:"metadata"`
	Source   string                     `json:"source"`
	StoredAt string                     `json:"stored_at"`
	Privacy  privacyOut                 `json:"privacy"`
}

type passageOut struct {
	PassageID string `json:"passage_id"`
	Text      string `json:"text"`
}

func (c *call) getDocument() error {
	purpose, err := c.purpose(c.query["purpose"])
	if err != nil {
		return err
	}
	got, err := c.Retrieval.Document(c.ctx(), c.caller(), c.param("c"), c.param("id"), purpose)
	if err != nil {
		return err
	}
	out := documentOut{
		ID: got.ID, Title: got.Title, Text: got.Text, Metadata: got.Metadata, Source: got.Source,
		StoredAt: consent.TimeOf(got.StoredAt).String(), Privacy: privacyOf(got.Privacy),
		Passages: make([]passageOut, len(got.Passages)),
	}
	for i, p := range got.Passages {
		out.Passages[i] = passageOut{p.PassageID, p.Text}
	}
	return c.json(http.StatusOK, out)
}

func (c *call) deleteDocument() error {
	return c.remove(func() error {
		return c.Retrieval.Delete(c.ctx(), c.caller(), c.param("c"), c.param("id"))
	})
}
