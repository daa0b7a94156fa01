package weaviate

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/weaviate/weaviate/entities/models"

	"github.com/assent-gateway/assent/retrieval"
)

// Properties of a class.
const (
	propDoc      = "doc"      // the version
	propOwners   = "owners"   // its people
	propMentions = "mentions" //
	propSeen     = "seen"     // who may see it
	propOK       = "ok"       // for what its people permit it
	propUntil    = "until"    // end of retention, in milliseconds, rounded up
	propText     = "text"     // of collections with keywords
)

// forever is the end of a retention that has none: the largest integer that a
// JSON number keeps.
const forever = 1<<53 - 1

// The vector index. A flat search is exact and costs about 0.8 µs a vector on
// our kind of machine; the store's own cutoff of 40 000 is meant for larger ones.
const (
	flatCutoff     = 4000
	efSearch       = 512
	efConstruction = 192
	maxConnections = 32
)

func property(name, kind, tokenization string) *models.Property {
	yes, no := true, false
	p := &models.Property{Name: name, DataType: []string{kind}, Tokenization: tokenization, IndexFilterable: &yes, IndexSearchable: &no, IndexRangeFilters: &no}
	if kind == "int" {
		p.IndexRangeFilters = &yes
	}
	if name == propText {
		p.IndexFilterable, p.IndexSearchable = &no, &yes
	}
	return p
}

// classOf is the schema that a collection's objects need.
func (c *collection) classOf(n names, home string) *models.Class {
	class := &models.Class{
		Class: n.class, Description: home, Vectorizer: "none", VectorIndexType: "hnsw",
		VectorIndexConfig: map[string]any{
			"distance": "cosine", "ef": efSearch, "efConstruction": efConstruction, "maxConnections": maxConnections,
			"flatSearchCutoff": flatCutoff, "filterStrategy": "acorn",
		},
		ReplicationConfig:   &models.ReplicationConfig{DeletionStrategy: models.ReplicationConfigDeletionStrategyDeleteOnConflict},
		InvertedIndexConfig: &models.InvertedIndexConfig{Bm25: &models.BM25Config{K1: retrieval.BM25K1, B: retrieval.BM25B}, Stopwords: &models.StopwordConfig{Preset: "none"}},
		Properties: []*models.Property{
			property(propDoc, "text", "field"), property(propOwners, "text[]", "field"), property(propMentions, "text[]", "field"),
			property(propSeen, "text[]", "field"), property(propOK, "text[]", "field"), property(propUntil, "int", ""),
		},
	}
	for i := range c.shape.Filterable {
		class.Properties = append(class.Properties, property(elementsOf(i), "text[]", "field"), property(wholeOf(i), "text", "field"))
	}
	if c.shape.Keyword {
		class.Properties = append(class.Properties, property(propText, "text", "word"))
	}
	return class
}

// ensure makes a generation's class, or checks the one that is there.
func (x *Index) ensure(ctx context.Context, c *collection, n names) error {
	home, err := x.home(c.shape.Tenant, n.class)
	if err != nil {
		return err
	}
	s, want := x.server, c.classOf(n, home)
	got, err := s.class(ctx, want.Class)
	if err != nil {
		return err
	}
	if got == nil {
		made := s.createClass(ctx, want) // another gateway may be faster: then the next look finds it
		if got, err = s.class(ctx, want.Class); err != nil {
			return err
		}
		if got == nil {
			return made
		}
	}
	if why := distrust(got, want); why != "" {
		return fmt.Errorf("%w: %s", ErrSchema, why)
	}
	if c.shape.Keyword && n.class == c.names.class {
		c.rewrites, err = s.blockMax(ctx, want.Class)
	}
	return err
}

// distrust says why a class is not the one that is wanted; "" when it is.
func distrust(got, want *models.Class) string {
	if got.ReplicationConfig == nil || got.ReplicationConfig.DeletionStrategy != want.ReplicationConfig.DeletionStrategy {
		return "its deletion strategy is not DeleteOnConflict, so that a replica may bring back what was deleted"
	}
	if got.Vectorizer != "" && got.Vectorizer != "none" {
		return "it has a vectorizer of its own"
	}
	if got.VectorIndexType != want.VectorIndexType || len(got.VectorConfig) > 0 {
		return "its vector index is not a single HNSW index"
	}
	var index struct {
		Distance         string `json:"distance"`
		FlatSearchCutoff int    `json:"flatSearchCutoff"`
		Skip             bool   `json:"skip"`
	}
	raw, err := json.Marshal(got.VectorIndexConfig)
	if err != nil || json.Unmarshal(raw, &index) != nil || index.Distance != "cosine" || index.Skip {
		return "its vector index does not measure cosine"
	}
	if index.FlatSearchCutoff > flatCutoff {
		return "its flat-search cutoff is not the one that is measured here"
	}
	if got.MultiTenancyConfig != nil && got.MultiTenancyConfig.Enabled {
		return "it is a multi-tenant class"
	}
	there := map[string]*models.Property{}
	for _, p := range got.Properties {
		there[p.Name] = p
	}
	for _, w := range want.Properties {
		p := there[w.Name]
		switch {
		case p == nil:
			return "it lacks a property"
		case strings.Join(p.DataType, " ") != strings.Join(w.DataType, " "), p.Tokenization != w.Tokenization:
			return "a property has another type or tokenisation"
		case *w.IndexFilterable && (p.IndexFilterable == nil || !*p.IndexFilterable):
			return "a property is not filterable"
		}
		delete(there, w.Name)
	}
	if len(there) > 0 {
		return "it has properties that nobody here made"
	}
	return ""
}
