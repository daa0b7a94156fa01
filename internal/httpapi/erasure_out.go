package httpapi

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
)

type acceptedOut struct {
	ID             string           `json:"id"`
	State          string           `json:"state"`
	LedgerPosition consent.Position `json:"ledger_position"`
	Deadline       string           `json:"deadline"`
	Claim          string           `json:"claim"`
}

type erasureOut struct {
	ID             string           `json:"id"`
	Scope          string           `json:"scope"`
	State          string           `json:"state"`
	Level          string           `json:"level"`
	LedgerPosition consent.Position `json:"ledger_position"`
	CreatedAt      string           `json:"created_at"`
	Deadline       string           `json:"deadline"`
	DaysLeft       int              `json:"days_left"`
	Documents      uint64           `json:"documents"`
	Passages       uint64           `json:"passages"`
	Redacted       uint64           `json:"redacted_documents,omitzero"` // of these, kept in another form, as verification found
	Suspected      uint64           `json:"suspected_mentions,omitzero"`
	Attempts       int              `json:"attempts,omitzero"` // that failed in a row
	Targets        []targetOut      `json:"targets"`
	Probes         []probeOut       `json:"probes"`
	Processors     []answerOut      `json:"processors"`
}

// answerOut is a recipient that was told.
type answerOut struct {
	Name       string `json:"name"`
	State      string `json:"state"`
	AnsweredAt string `json:"answered_at,omitempty"`
}

type targetOut struct {
	Name      string  `json:"name"`
	Kind      string  `json:"kind"`
	State     string  `json:"state"`
	Goal      string  `json:"goal"`
	Level     string  `json:"level"`
	Deleted   uint64  `json:"deleted"`
	Remaining uint64  `json:"remaining"`
	Method    string  `json:"method"`     // "" until it was checked
	CheckedAt *string `json:"checked_at"` // null until then
	Exception string  `json:"exception,omitempty"`
}

type probeOut struct {
	Name    string `json:"name"`
	At      string `json:"at"`
	Asked   uint64 `json:"asked"`
	Over    uint64 `json:"over"`
	Found   uint64 `json:"found"`
	Control bool   `json:"control"`
}

func erasureOf(e *erasure.Erasure) erasureOut {
	out := erasureOut{
		ID: e.ID, Scope: string(e.Scope), State: e.State.String(), Level: e.Level.String(), LedgerPosition: e.Position,
		CreatedAt: e.Created.String(), Deadline: e.Deadline.String(), DaysLeft: e.DaysLeft(),
		Documents: e.Gathered.Documents, Passages: e.Gathered.Passages, Attempts: e.Attempts,
		Redacted: e.Gathered.Kept, Suspected: e.Gathered.Suspected,
		Targets: make([]targetOut, len(e.Targets)), Probes: make([]probeOut, len(e.Probes)), Processors: make([]answerOut, len(e.Processors)),
	}
	for i, t := range e.Targets {
		out.Targets[i] = targetOut{
			Name: t.Name, Kind: t.Kind, State: t.State(), Goal: t.Goal.String(), Level: t.Level.String(), Deleted: t.Deleted,
			Remaining: t.Remaining, Method: t.Method, Exception: t.Exception,
		}
		if at := t.CheckedAt.String(); at != "" {
			out.Targets[i].CheckedAt = &at
		}
	}
	for i, p := range e.Processors {
		out.Processors[i] = answerOut{Name: p.Name, State: p.State.String(), AnsweredAt: p.At.String()}
	}
	for i, p := range e.Probes {
		out.Probes[i] = probeOut{Name: p.Name, At: p.At.String(), Asked: p.Asked, Over: p.Over, Found: p.Found, Control: p.Control}
	}
	return out
}

func (c *call) getErasure() error {
	e, err := c.Erasure.Get(c.ctx(), c.tenant(), c.param("id"))
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, erasureOf(&e))
}

type erasuresOut struct {
	Erasures   []erasureOut `json:"erasures"`
	NextCursor string       `json:"next_cursor,omitempty"`
}

func (c *call) listErasures() error {
	limit := defaultPage
	p := erasure.Page{}
	var err error
	if s, ok := c.query["limit"]; ok {
		if limit, err = strconv.Atoi(s); err != nil || limit < 1 || limit > maxPage {
			return invalid("limit", "is not between 1 and 1000")
		}
	}
	if s, ok := c.query["state"]; ok {
		if p.State, ok = erasure.ParseState(s); !ok {
			return invalid("state", "is not a state of an erasure")
		}
	}
	if s, ok := c.query["cursor"]; ok {
		digits, found := strings.CutPrefix(s, cursorPrefix)
		at, id, _ := strings.Cut(digits, ".")
		n, err := strconv.ParseInt(at, 36, 64)
		if !found || err != nil || n <= 0 || id == "" || !ours(id) {
			return invalid("cursor", "is not one that a page gave")
		}
		p.After = erasure.Cursor{Created: consent.Time(n), ID: id}
	}
	p.Limit = limit + 1
	found, err := c.Erasure.List(c.ctx(), c.tenant(), p)
	if err != nil {
		return err
	}
	out := erasuresOut{Erasures: []erasureOut{}}
	if len(found) > limit {
		found = found[:limit]
		last := found[limit-1]
		out.NextCursor = cursorPrefix + strconv.FormatInt(int64(last.Created), 36) + "." + last.ID
	}
	for i := range found {
		out.Erasures = append(out.Erasures, erasureOf(&found[i]))
	}
	return c.json(http.StatusOK, out)
}

func (c *call) erasureReceipt() error {
	id := c.param("id")
	receipt, err := c.Erasure.Receipt(c.ctx(), c.tenant(), id)
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Disposition", `attachment; filename="erasure-`+id+`.json"`)
	c.answer(http.StatusOK, "application/json", receipt)
	return nil
}
