package httpapi

import (
	"net/http"
	"slices"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

type rebuildOut struct {
	Collection string `json:"collection"`
	State      string `json:"state"`
	BeganAt    string `json:"began_at,omitempty"`
}

type rebuildsOut struct {
	Rebuilds []rebuildOut `json:"rebuilds"`
}

// listRebuilds shows the collections that the key may see.
func (c *call) listRebuilds() error {
	all, err := c.Retrieval.Rebuilds(c.ctx(), c.tenant())
	if err != nil {
		return err
	}
	out := rebuildsOut{Rebuilds: []rebuildOut{}}
	only := c.caller().Collections
	for _, r := range all {
		if only == nil || slices.Contains(only, r.Collection) {
			out.Rebuilds = append(out.Rebuilds, rebuildOut{r.Collection, string(r.State), r.Began.String()})
		}
	}
	return c.json(http.StatusOK, out)
}

// startRebuild begins one of every collection of the tenant that is not being
// rebuilt; a repeat finds nothing to begin.
func (c *call) startRebuild() error {
	if c.Rebuild == nil {
		return retrieval.ErrNoRebuild
	}
	raw, err := c.body()
	if err != nil {
		return err
	}
	if len(raw) > 0 {
		if err := decode(raw, &struct{}{}); err != nil {
			return err
		}
	}
	_, _, err = c.repeatable(raw, func(consent.Once) (outcome, error) {
		return outcome{Status: http.StatusOK}, c.Rebuild(c.ctx(), c.tenant())
	})
	if err != nil {
		return err
	}
	return c.listRebuilds()
}
