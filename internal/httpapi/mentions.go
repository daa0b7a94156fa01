package httpapi

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
)

// mentionsOut says where an erased person seems to be named, never how: ids of
// documents and passages, no text.
type mentionsOut struct {
	Suspected uint64       `json:"suspected"`
	Mentions  []mentionOut `json:"mentions"`
}

type mentionOut struct {
	N          int      `json:"n"`
	Collection string   `json:"collection"`
	DocumentID string   `json:"document_id"`
	PassageIDs []string `json:"passage_ids"`
	InTitle    bool     `json:"in_title"`
}

// reviews reports whether the key may know of a collection.
func (c *call) reviews(collection string) bool {
	return c.key.Collections == nil || slices.Contains(c.key.Collections, collection)
}

func (c *call) listMentions() error {
	found, suspected, err := c.Erasure.Mentions(c.ctx(), c.tenant(), c.param("id"))
	if err != nil {
		return err
	}
	out := mentionsOut{Suspected: suspected, Mentions: []mentionOut{}}
	for _, m := range found {
		if !c.reviews(m.Collection) {
			continue
		}
		out.Mentions = append(out.Mentions, mentionOut{
			N: m.N, Collection: m.Collection, DocumentID: m.Document, PassageIDs: append([]string{}, m.Passages...), InTitle: m.Title,
		})
	}
	return c.json(http.StatusOK, out)
}

// reviewIn is POST /v1/erasures/{id}/mentions/{n}.
type reviewIn struct {
	Action string `json:"action"`
}

func (c *call) reviewMention() error {
	raw, err := c.body()
	if err != nil {
		return err
	}
	var in reviewIn
	if err := decode(raw, &in); err != nil {
		return err
	}
	action := erasure.Action(in.Action)
	switch action {
	case erasure.ActIgnore, erasure.ActRemove, erasure.ActRedact:
	default:
		return invalid("action", "is none of ignore, remove and redact")
	}
	n, err := strconv.Atoi(c.param("n"))
	if err != nil {
		return errNoRoute
	}
	_, _, err = c.repeatable(raw, func(consent.Once) (outcome, error) {
		m, err := c.Erasure.Mentioned(c.ctx(), c.tenant(), c.param("id"), n)
		if err == nil && !c.reviews(m.Collection) {
			err = errNoRoute
		}
		if err == nil {
			err = c.Erasure.Review(c.ctx(), c.tenant(), c.param("id"), n, action, c.key.ID)
		}
		return outcome{Status: http.StatusNoContent}, err
	})
	if err != nil {
		return err
	}
	return c.nothing()
}
