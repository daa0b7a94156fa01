package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const searchUsage = `assent search --collection C [flags] QUERY

Searches a collection and prints the permitted passages, best first.`

type searchRequest struct {
	Query   string          `json:"query"`
	K       int             `json:"k"`
	Purpose string          `json:"purpose,omitempty"`
	Mode    string          `json:"mode,omitempty"`
	Filter  json.RawMessage `json:"filter,omitempty"`
}

type searchAnswer struct {
	Hits []struct {
		Rank       int                        `json:"rank"`
		Score      float64                    `json:"score"`
		DocumentID string                     `json:"document_id"`
		Title      string                     `json:"title"`
		Text       string                     `json:"text"`
		Source     string                     `json:"source"`
		Metadata   map[string]json.RawMessage `json:"metadata"`
	} `json:"hits"`
	Privacy struct {
		LedgerPosition     int64  `json:"ledger_position"`
		Purpose            string `json:"purpose"`
		Completeness       string `json:"completeness"`
		CompletenessReason string `json:"completeness_reason"`
	} `json:"privacy"`
}

func search(ctx context.Context, s *session, args []string) error {
	fs := newFlags(searchUsage)
	collection := fs.String("collection", "", "the collection's `name`")
	k := fs.Int("k", 10, "how many passages, 1 to 1000")
	purpose := fs.String("purpose", "rag_retrieval", "what the passages are for; \"\" when the key has exactly one `purpose`")
	mode := fs.String("mode", "", "`vector|keyword|hybrid`; the gateway chooses when it is not given")
	filter := fs.String("filter", "", "`JSON` such as {\"field\": \"lang\", \"op\": \"eq\", \"value\": \"en\"}")
	principal := fs.String("principal", "", "search on behalf of this person, such as `user:ada`; the key needs act_as")
	raw := fs.Bool("json", false, "print the gateway's answer as it is")
	words, err := fs.parse(s, args)
	if err != nil {
		return err
	}
	if err := fs.need("collection"); err != nil {
		return err
	}
	switch {
	case len(words) == 0:
		return fs.mistake("which QUERY?")
	case *filter != "" && !json.Valid([]byte(*filter)):
		return fs.mistake("--filter is not JSON")
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	if *principal != "" {
		c.header.Set("Assent-Principal", url.PathEscape(*principal))
	}
	request := searchRequest{Query: strings.Join(words, " "), K: *k, Purpose: *purpose, Mode: *mode, Filter: json.RawMessage(*filter)}
	var body json.RawMessage
	if _, err := c.call(ctx, http.MethodPost, path("v1", "collections", *collection, "search"), request, &body); err != nil {
		return err
	}
	if *raw {
		_, err := fmt.Fprintf(s.out, "%s\n", body)
		return err
	}
	var answer searchAnswer
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	answer.print(s.out)
	return nil
}

// print writes the answer for people.
func (a *searchAnswer) print(w io.Writer) {
	for _, h := range a.Hits {
		head := fmt.Sprintf("%2d. %.2f  %s", h.Rank, h.Score, short(h.DocumentID, 80))
		if h.Title != "" {
			head += "  " + short(h.Title, 100)
		}
		fmt.Fprintln(w, head)
		fmt.Fprintf(w, "    %s\n", short(h.Text, 300))
		var facts []string
		if h.Source != "" {
			facts = append(facts, "source "+short(h.Source, 80))
		}
		for _, name := range slices.Sorted(maps.Keys(h.Metadata)) {
			facts = append(facts, short(name+"="+string(h.Metadata[name]), 80))
		}
		if len(facts) > 0 {
			fmt.Fprintf(w, "    (%s)\n", strings.Join(facts, ", "))
		}
	}
	what := map[string]string{
		"complete": "complete: as many as were asked for",
		"short":    "short: no other permitted passage matches",
	}[a.Privacy.Completeness]
	if what == "" {
		what = strings.TrimSuffix(plain(a.Privacy.Completeness+": "+a.Privacy.CompletenessReason), ": ")
	}
	noun := "passages"
	if len(a.Hits) == 1 {
		noun = "passage"
	}
	fmt.Fprintf(w, "%d %s (%s) for %s at ledger position %d\n",
		len(a.Hits), noun, what, plain(a.Privacy.Purpose), a.Privacy.LedgerPosition)
}
