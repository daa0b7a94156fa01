package httpapi

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
)

// erasureIn is POST /v1/erasures.
type erasureIn struct {
	Scope        string          `json:"scope"`
	Subject      string          `json:"subject"`
	Collection   string          `json:"collection"`
	DocumentID   string          `json:"document_id"`
	Source       string          `json:"source"`
	Regulation   string          `json:"regulation"`
	Jurisdiction string          `json:"jurisdiction"`
	Reason       string          `json:"reason"`
	Verification *verificationIn `json:"verification"`
}

type verificationIn struct {
	Method      string `json:"method"`
	By          string `json:"by"`
	EvidenceRef string `json:"evidence_ref"`
}

// request reads what is asked for.
func (in *erasureIn) request() (r erasure.Request, err error) {
	r.Scope = erasure.Scope(in.Scope)
	switch r.Scope {
	case erasure.ScopeSubject:
		if r.Subject, err = consent.ParseSubject(in.Subject); err != nil {
			return r, invalid("subject", notSubject)
		}
		for field, value := range map[string]string{"collection": in.Collection, "document_id": in.DocumentID, "source": in.Source} {
			if value != "" {
				return r, invalid(field, "does not go with the scope")
			}
		}
	case erasure.ScopeDocument, erasure.ScopeSource, erasure.ScopeCollection:
		if in.Subject != "" {
			return r, invalid("subject", "does not go with the scope")
		}
	default:
		return r, invalid("scope", "is not one of subject, document, source and collection")
	}
	r.Documents = erasure.Documents{Collection: in.Collection, Document: in.DocumentID, Source: in.Source}
	if r.Jurisdiction, err = jurisdictionField(in.Jurisdiction); err != nil {
		return r, err
	}
	r.Regulation = in.Regulation
	r.Evidence = erasure.Evidence{Reason: in.Reason}
	if v := in.Verification; v != nil {
		r.Evidence.Method, r.Evidence.VerifiedBy, r.Evidence.EvidenceRef = v.Method, v.By, v.EvidenceRef
	}
	for field, value := range map[string]string{
		"reason": in.Reason, "verification.method": r.Evidence.Method, "verification.by": r.Evidence.VerifiedBy,
		"verification.evidence_ref": r.Evidence.EvidenceRef, "document_id": in.DocumentID, "source": in.Source, "collection": in.Collection,
	} {
		if len(value) > maxAudit {
			return r, invalid(field, "is longer than 2048 bytes")
		}
	}
	return r, nil
}

// mayErase keeps a key that is limited to collections to these.
func (c *call) mayErase(r *erasure.Request) error {
	if c.key.Collections == nil {
		return nil
	}
	if r.Scope == erasure.ScopeSubject || r.Documents.Collection == "" {
		return errScope
	}
	if !slices.Contains(c.key.Collections, r.Documents.Collection) {
		return errNoRoute
	}
	return nil
}

func (c *call) requestErasure() error {
	raw, err := c.body()
	if err != nil {
		return err
	}
	var in erasureIn
	if err := decode(raw, &in); err != nil {
		return err
	}
	r, err := in.request()
	if err != nil {
		return err
	}
	if err := c.mayErase(&r); err != nil {
		return err
	}
	r.By = c.key.ID
	out, _, err := c.repeatable(raw, func(consent.Once) (outcome, error) {
		e, err := c.Erasure.Request(c.ctx(), c.tenant(), r)
		return outcome{Status: http.StatusAccepted, ID: e.ID}, err
	})
	if err != nil {
		return err
	}
	e, err := c.Erasure.Get(c.ctx(), c.tenant(), out.ID)
	if err != nil {
		return err
	}
	return c.json(out.Status, acceptedOut{
		ID: e.ID, State: e.State.String(), LedgerPosition: e.Position, Deadline: e.Deadline.String(), Claim: e.Claim,
	})
}

// reasonIn is a body that may be absent.
type reasonIn struct {
	Reason   string `json:"reason"`
	Decision string `json:"decision"`
}

// reason reads the body of what is done to an erasure; decision is a member of
// one route alone.
func (c *call) reason(decides bool) (in reasonIn, raw []byte, err error) {
	if raw, err = c.body(); err != nil {
		return in, raw, err
	}
	if len(raw) > 0 {
		if err := decode(raw, &in); err != nil {
			return in, raw, err
		}
	}
	switch {
	case len(in.Reason) > maxAudit:
		return in, raw, invalid("reason", "is longer than 2048 bytes")
	case !decides && in.Decision != "":
		return in, raw, invalid("decision", "is not a member of this request")
	}
	return in, raw, nil
}

// act does something to an erasure, once a request, and shows it.
func (c *call) act(decides bool, do func(id string, in reasonIn) (erasure.Erasure, error)) error {
	in, raw, err := c.reason(decides)
	if err != nil {
		return err
	}
	id := c.param("id")
	_, _, err = c.repeatable(raw, func(consent.Once) (outcome, error) {
		_, err := do(id, in)
		return outcome{Status: http.StatusOK, ID: id}, err
	})
	if err != nil {
		return err
	}
	return c.getErasure()
}

func (c *call) verifyErasure() error {
	return c.act(false, func(id string, _ reasonIn) (erasure.Erasure, error) { return c.Erasure.Verify(c.ctx(), c.tenant(), id) })
}

func (c *call) holdErasure() error {
	return c.act(false, func(id string, in reasonIn) (erasure.Erasure, error) {
		if in.Reason == "" {
			return erasure.Erasure{}, invalid("reason", "is required")
		}
		return c.Erasure.Hold(c.ctx(), c.tenant(), id, in.Reason)
	})
}

func (c *call) releaseErasure() error {
	return c.act(false, func(id string, _ reasonIn) (erasure.Erasure, error) {
		return c.Erasure.Release(c.ctx(), c.tenant(), id)
	})
}

func (c *call) cancelErasure() error {
	return c.act(false, func(id string, _ reasonIn) (erasure.Erasure, error) { return c.Erasure.Cancel(c.ctx(), c.tenant(), id) })
}

func (c *call) decideErasure() error {
	return c.act(true, func(id string, in reasonIn) (erasure.Erasure, error) {
		v := erasure.Verdict(in.Decision)
		if v != erasure.Approve && v != erasure.Deny {
			return erasure.Erasure{}, invalid("decision", "is neither approve nor deny")
		}
		return c.Erasure.Decide(c.ctx(), c.tenant(), id, c.key.ID, v, in.Reason)
	})
}

// identifierIn is POST /v1/subjects/{user}/identifiers.
type identifierIn struct {
	Identifier string `json:"identifier"`
}

type identifiedOut struct {
	LedgerPosition consent.Position `json:"ledger_position"`
}

func (c *call) addIdentifier() error {
	who, err := consent.ParseSubject(c.param("user"))
	if err != nil {
		return invalid("id", notSubject)
	}
	raw, err := c.body()
	if err != nil {
		return err
	}
	var in identifierIn
	if err := decode(raw, &in); err != nil {
		return err
	}
	identifier, err := consent.ParseSubject(in.Identifier)
	if err != nil {
		return invalid("identifier", notSubject)
	}
	out, _, err := c.repeatable(raw, func(consent.Once) (outcome, error) {
		r, err := c.Ledger.Identify(c.ctx(), c.tenant(), who, identifier)
		if err != nil || r.New {
			return outcome{Status: http.StatusCreated, ID: strconv.FormatUint(uint64(r.Position), 10)}, err
		}
		head, err := c.Ledger.Head(c.ctx(), c.tenant())
		return outcome{Status: http.StatusOK, ID: strconv.FormatUint(uint64(head.Position), 10)}, err
	})
	if err != nil {
		return err
	}
	position, err := strconv.ParseUint(strings.TrimSpace(out.ID), 10, 63)
	if err != nil {
		return consent.ErrTampered
	}
	return c.json(out.Status, identifiedOut{consent.Position(position)})
}
