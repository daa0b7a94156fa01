package httpapi

import (
	"net/http"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/training"
)

// remedyIn is POST /v1/manifests/{id}/runs/{run}/remedy.
type remedyIn struct {
	Remedy string `json:"remedy"`
	By     string `json:"by"`
	Note   string `json:"note"`
}

type remedyOut struct {
	Remedy         string           `json:"remedy"`
	By             string           `json:"by,omitempty"` // not where a person's lineage is told
	Note           string           `json:"note,omitempty"`
	DecidedAt      string           `json:"decided_at"`
	LedgerPosition consent.Position `json:"ledger_position"`
}

func remedyOf(r *training.Remedy) *remedyOut {
	if r == nil {
		return nil
	}
	return &remedyOut{r.Choice, r.By, r.Note, r.At.String(), r.Position}
}

// decideRemedy records what a person decided. A repeat comes to the same by
// itself, as with a run, unless something else was decided meanwhile: with the
// same Idempotency-Key it never decides anew.
func (c *call) decideRemedy() error {
	raw, err := c.body()
	if err != nil {
		return err
	}
	var in remedyIn
	if err := decode(raw, &in); err != nil {
		return err
	}
	var got training.Remedy
	decide := func(consent.Once) (outcome, error) {
		r, made, err := c.Training.Decide(c.ctx(), c.trainer(), c.param("id"), c.param("run"), training.Remedy{Choice: in.Remedy, By: in.By, Note: in.Note})
		got = r
		out := outcome{Status: http.StatusOK}
		if made {
			out.Status = http.StatusCreated
		}
		return out, err
	}
	out, replayed, err := c.repeatable(raw, decide)
	if err == nil && replayed { // what it said is not kept, but is there; something else may be decided by now
		got, err = c.Training.Decided(c.ctx(), c.trainer(), c.param("id"), c.param("run"), training.Remedy{Choice: in.Remedy, By: in.By, Note: in.Note})
	}
	if err != nil {
		return err
	}
	return c.json(out.Status, remedyOf(&got))
}

// lineageOf is a run as it is told to or about the people in it: what was
// decided and when, and not by whom.
func lineageOf(r training.Run) runOut {
	out := runOf(r)
	if out.Remedy != nil {
		out.Remedy.By, out.Remedy.Note = "", ""
	}
	return out
}
