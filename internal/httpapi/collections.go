package httpapi

import (
	"errors"
	"net/http"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// collectionIn is PUT /v1/collections/{c}.
type collectionIn struct {
	Dimensions        *int     `json:"dimensions"`
	DefaultVisibility string   `json:"default_visibility"`
	Joint             string   `json:"joint_ownership"`
	Mentions          string   `json:"mentions"`
	Jurisdiction      string   `json:"jurisdiction"`
	Keyword           *bool    `json:"keyword"` // for an index outside; the embedded one always has keywords
	Filterable        []string `json:"filterable"`
	OnErasure         string   `json:"on_erasure"`
}

func (in *collectionIn) spec() (s retrieval.Spec, err error) {
	if in.Dimensions != nil {
		if s.Dimensions = *in.Dimensions; s.Dimensions < 1 || s.Dimensions > retrieval.MaxDimensions {
			return s, invalid("dimensions", "is not between 1 and 4096")
		}
	}
	switch in.DefaultVisibility {
	case "private":
		s.DefaultVisibility = retrieval.Private
	case "tenant":
		s.DefaultVisibility = retrieval.TenantWide
	default:
		return s, invalid("default_visibility", "is neither private nor tenant")
	}
	switch in.Joint {
	case "", jointAll:
	case jointAny:
		s.Joint = consent.AnyOwner
	default:
		return s, invalid("joint_ownership", "is neither all_owners nor any_owner")
	}
	switch in.Mentions {
	case "", mentionsBlock:
	case mentionsMust:
		s.Mentions = consent.MustPermit
	default:
		return s, invalid("mentions", "is neither refusal_blocks nor must_permit")
	}
	switch in.OnErasure {
	case "", erasureRemoves:
	case erasureRedacts:
		s.OnErasure = retrieval.Redact
	default:
		return s, invalid("on_erasure", "is neither remove nor redact")
	}
	s.Filterable, s.Keyword = in.Filterable, in.Keyword != nil && *in.Keyword
	s.Jurisdiction, err = jurisdictionField(in.Jurisdiction)
	return s, err
}

const (
	jointAll, jointAny          = "all_owners", "any_owner"
	mentionsBlock, mentionsMust = "refusal_blocks", "must_permit"

	erasureRemoves, erasureRedacts = "remove", "redact"
)

// collectionOut is a collection as it is set up, and what it was built with
// once it holds documents.
type collectionOut struct {
	Name              string                 `json:"name"`
	Dimensions        int                    `json:"dimensions,omitzero"`
	DefaultVisibility string                 `json:"default_visibility"`
	Joint             string                 `json:"joint_ownership"`
	Mentions          string                 `json:"mentions"`
	Jurisdiction      string                 `json:"jurisdiction,omitempty"`
	Keyword           bool                   `json:"keyword"`
	Filterable        *[]string              `json:"filterable,omitzero"`
	OnErasure         string                 `json:"on_erasure"`
	Embedder          *retrieval.EmbedderPin `json:"embedder,omitempty"`
	Analyser          string                 `json:"analyser,omitempty"`
}

// collectionOf says that a collection has keywords where its index is embedded,
// or where it opted in to keeping its texts outside.
func (c *call) collectionOf(name string, s retrieval.Spec) collectionOut {
	out := collectionOut{
		Name: name, Dimensions: s.Dimensions, DefaultVisibility: "private", Joint: jointAll, Mentions: mentionsBlock,
		Jurisdiction: string(s.Jurisdiction), Keyword: s.Keyword || c.Retrieval.Outside == nil, Filterable: listed(s.Filterable),
		OnErasure: erasureRemoves,
	}
	if s.OnErasure == retrieval.Redact {
		out.OnErasure = erasureRedacts
	}
	if s.DefaultVisibility == retrieval.TenantWide {
		out.DefaultVisibility = "tenant"
	}
	if s.Joint == consent.AnyOwner {
		out.Joint = jointAny
	}
	if s.Mentions == consent.MustPermit {
		out.Mentions = mentionsMust
	}
	return out
}

func (c *call) stored(col *retrieval.Collection) collectionOut {
	out := c.collectionOf(col.Name, col.Spec)
	if col.Embedder != (retrieval.EmbedderPin{}) {
		out.Embedder, out.Analyser = &col.Embedder, col.Analyser
	}
	return out
}

// putCollection answers with what was asked for, so that a repeat is answered
// the same whatever happened to the collection meanwhile.
func (c *call) putCollection() error {
	raw, err := c.body()
	if err != nil {
		return err
	}
	var in collectionIn
	if err := decode(raw, &in); err != nil {
		return err
	}
	spec, err := in.spec()
	if err != nil {
		return err
	}
	name := c.param("c")
	out, _, err := c.repeatable(raw, func(consent.Once) (outcome, error) {
		_, created, err := c.Retrieval.PutCollection(c.ctx(), c.caller(), name, spec)
		if created {
			return outcome{Status: http.StatusCreated}, err
		}
		return outcome{Status: http.StatusOK}, err
	})
	if err != nil {
		return err
	}
	return c.json(out.Status, c.collectionOf(name, spec))
}

func (c *call) getCollection() error {
	col, err := c.Retrieval.Collection(c.ctx(), c.caller(), c.param("c"))
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, c.stored(&col))
}

type collectionsOut struct {
	Collections []collectionOut `json:"collections"`
}

func (c *call) listCollections() error {
	cols, err := c.Retrieval.Collections(c.ctx(), c.caller())
	if err != nil {
		return err
	}
	out := collectionsOut{Collections: make([]collectionOut, len(cols))}
	for i := range cols {
		out.Collections[i] = c.stored(&cols[i])
	}
	return c.json(http.StatusOK, out)
}

func (c *call) dropCollection() error {
	return c.remove(func() error { return c.Retrieval.DropCollection(c.ctx(), c.caller(), c.param("c")) })
}

// remove deletes; what is absent, or nothing the caller may see, is deleted too.
func (c *call) remove(do func() error) error {
	_, _, err := c.repeatable(nil, func(consent.Once) (outcome, error) {
		err := do()
		if errors.Is(err, retrieval.ErrNotFound) {
			err = nil
		}
		return outcome{Status: http.StatusNoContent}, err
	})
	if err != nil {
		return err
	}
	return c.nothing()
}
