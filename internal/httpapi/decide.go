package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// decideIn is POST /v1/consent/decide.
type decideIn struct {
	Purpose      string           `json:"purpose"`
	Subjects     []string         `json:"subjects"`
	Jurisdiction string           `json:"jurisdiction"`
	MinPosition  consent.Position `json:"min_position"`
}

type decideOut struct {
	LedgerPosition consent.Position `json:"ledger_position"`
	PolicyDigest   string           `json:"policy_digest"`
	Decisions      []decidedOut     `json:"decisions"`
}

type decidedOut struct {
	Subject     string         `json:"subject"`
	Allowed     bool           `json:"allowed"`
	Reason      consent.Reason `json:"reason"`
	ConsentType string         `json:"consent_type,omitempty"`
	LawfulBasis string         `json:"lawful_basis"`
}

func (c *call) decide() error {
	var in decideIn
	if err := c.read(&in); err != nil {
		return err
	}
	if in.Subjects == nil || len(in.Subjects) > maxChecked {
		return invalid("subjects", "is required: at most 10000 identifiers")
	}
	tighten, err := jurisdictionField(in.Jurisdiction)
	if err != nil {
		return err
	}
	purpose, err := c.purpose(in.Purpose)
	if err != nil {
		return err
	}
	if err := c.await(in.MinPosition); err != nil {
		return err
	}
	who := make([]consent.Subject, len(in.Subjects))
	for i, s := range in.Subjects {
		who[i], _ = consent.ParseSubject(s) // one that is none is judged as such
	}
	// A purpose that the policy does not know is a decision, too: purpose_unknown.
	a, err := c.Ledger.Decide(c.ctx(), c.tenant(), who, consent.Question{Purpose: purpose, Tighten: tighten})
	if err != nil {
		return err
	}
	out := decideOut{a.Position, a.PolicyDigest, make([]decidedOut, len(who))}
	for i, d := range a.Decisions {
		out.Decisions[i] = decidedOut{Subject: in.Subjects[i], Allowed: d.Allowed, Reason: d.Reason, LawfulBasis: d.LawfulBasis}
		if !who[i].IsZero() {
			out.Decisions[i].Subject = who[i].Reveal()
		}
		if !d.Type.IsZero() {
			out.Decisions[i].ConsentType = d.Type.String()
		}
	}
	return c.json(http.StatusOK, out)
}

// How long a question waits for a position, and how often it looks.
const (
	awaitPosition = 2 * time.Second
	awaitStep     = 20 * time.Millisecond
)

// await waits until the ledger has reached a position; retrieval.ErrPosition
// when it does not in time.
func (c *call) await(min consent.Position) error {
	if min == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(c.ctx(), awaitPosition)
	defer cancel()
	tick := time.NewTicker(awaitStep)
	defer tick.Stop()
	for {
		head, err := c.Ledger.Head(c.ctx(), c.tenant())
		if err != nil || head.Position >= min {
			return err
		}
		select {
		case <-ctx.Done():
			if err := c.ctx().Err(); err != nil {
				return err
			}
			return retrieval.ErrPosition
		case <-tick.C:
		}
	}
}
