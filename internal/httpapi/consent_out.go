package httpapi

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/translog"
)

type statusesOut struct {
	UserID         string           `json:"user_id"`
	LedgerPosition consent.Position `json:"ledger_position"`
	Statuses       []statusOut      `json:"statuses"`
	Directives     []struct{}       `json:"directives"`
}

type statusOut struct {
	ConsentType string         `json:"consent_type"`
	Status      string         `json:"status"`
	Timestamp   string         `json:"timestamp"`
	Allowed     bool           `json:"allowed"`
	Reason      consent.Reason `json:"reason"`
	ExpiresAt   string         `json:"expires_at,omitempty"`
	Reconsent   bool           `json:"reconsent_required,omitzero"`
}

func (c *call) getConsent() error {
	who, err := c.subject()
	if err != nil {
		return err
	}
	return c.statuses(who)
}

func (c *call) statuses(who consent.Subject) error {
	position, standings, err := c.Ledger.Standings(c.ctx(), c.tenant(), who)
	if err != nil {
		return err
	}
	out := statusesOut{UserID: who.Reveal(), LedgerPosition: position, Statuses: make([]statusOut, len(standings))}
	for i, s := range standings {
		out.Statuses[i] = statusOut{
			ConsentType: s.Type.String(), Status: s.Status.String(), Timestamp: s.At.String(),
			Allowed: s.Decision.Allowed, Reason: s.Decision.Reason,
			ExpiresAt: s.ExpiresAt.String(), Reconsent: s.Reconsent,
		}
	}
	return c.json(http.StatusOK, out)
}

func (c *call) getGranted() error {
	who, err := c.subject()
	if err != nil {
		return err
	}
	return c.granted(who, c.param("type"))
}

type grantedOut struct {
	Granted bool `json:"granted"`
}

// granted answers what the decision allows. Nobody allows a type that is none,
// or that was never published.
func (c *call) granted(who consent.Subject, name string) error {
	var out grantedOut
	if typ, err := consent.ParseType(name); err == nil {
		if out.Granted, err = c.allows(who, typ); err != nil {
			return err
		}
	}
	c.w.Header().Set("Vary", "Accept")
	if c.acceptsText() {
		c.answer(http.StatusOK, "text/plain; charset=utf-8", []byte(strconv.FormatBool(out.Granted)))
		return nil
	}
	return c.json(http.StatusOK, out)
}

func (c *call) allows(who consent.Subject, typ consent.Type) (bool, error) {
	published, err := c.Ledger.Types(c.ctx(), c.tenant())
	if err != nil {
		return false, err
	}
	name := typ.String()
	if !slices.ContainsFunc(published, func(p consent.PublishedType) bool { return p.Type == name }) {
		return false, nil
	}
	a, err := c.Ledger.Decide(c.ctx(), c.tenant(), []consent.Subject{who}, consent.Question{Purpose: typ.Purpose})
	if err != nil {
		return false, err
	}
	return a.Decisions[0].Allowed, nil
}

// queryIn is POST /v1/consent/query: the two GETs without the identifier in
// the URL.
type queryIn struct {
	UserID      string  `json:"user_id"`
	ConsentType *string `json:"consent_type"`
}

func (c *call) queryConsent() error {
	var in queryIn
	if err := c.read(&in); err != nil {
		return err
	}
	who, err := consent.ParseSubject(in.UserID)
	if err != nil {
		return invalid("user_id", notSubject)
	}
	if in.ConsentType == nil {
		return c.statuses(who)
	}
	return c.granted(who, *in.ConsentType)
}

type historyOut struct {
	UserID     string    `json:"user_id"`
	Entries    []pastOut `json:"entries"`
	Witnesses  int       `json:"witnesses"` // that cosign what the proofs rest on
	NextCursor string    `json:"next_cursor,omitempty"`
}

// pastOut is an entry as it was recorded. Sealed: its key is gone, and what
// was sealed with it.
type pastOut struct {
	Position     consent.Position     `json:"position"`
	Kind         string               `json:"kind"`
	ConsentType  string               `json:"consent_type,omitempty"`
	Status       string               `json:"status,omitempty"`
	Timestamp    string               `json:"timestamp,omitempty"`
	RecordedAt   string               `json:"recorded_at,omitempty"`
	ExpiresAt    string               `json:"expires_at,omitempty"`
	Jurisdiction consent.Jurisdiction `json:"jurisdiction,omitempty"`
	Source       string               `json:"source,omitempty"`
	IP           string               `json:"ip,omitempty"`
	UserAgent    string               `json:"user_agent,omitempty"`
	NoticeID     string               `json:"notice_id,omitempty"`
	Language     string               `json:"language,omitempty"`
	Method       string               `json:"method,omitempty"`
	AssertedBy   string               `json:"asserted_by,omitempty"`
	Key          string               `json:"key,omitempty"`
	Sealed       bool                 `json:"sealed,omitzero"`
	ProofURL     string               `json:"proof_url"`
}

var kindNames = map[consent.Kind]string{
	consent.KindConsent: "consent", consent.KindErasure: "erasure", consent.KindLost: "lost", consent.KindLift: "erasure_lifted",
	consent.KindErased: "erased", consent.KindIdentifier: "identifier",
}

const (
	defaultPage = 100
	maxPage     = 1000
)

func (c *call) history() error {
	who, err := c.subject()
	if err != nil {
		return err
	}
	limit, before, err := c.page()
	if err != nil {
		return err
	}
	past, err := c.Ledger.History(c.ctx(), c.tenant(), who, before, limit+1)
	if err != nil {
		return err
	}
	out := historyOut{UserID: who.Reveal(), Entries: []pastOut{}, Witnesses: translog.Witnesses}
	if len(past) > limit {
		past = past[:limit]
		out.NextCursor = cursorPrefix + strconv.FormatUint(uint64(past[limit-1].Position), 36)
	}
	for i := range past {
		out.Entries = append(out.Entries, pastOf(&past[i]))
	}
	return c.json(http.StatusOK, out)
}

func pastOf(p *consent.Past) pastOut {
	out := pastOut{
		Position: p.Position, Kind: kindNames[p.Kind], Timestamp: p.ActedAt.String(), RecordedAt: p.RecordedAt.String(),
		ExpiresAt: p.ExpiresAt.String(), Jurisdiction: p.Jurisdiction,
		Source: p.Audit.Source, IP: p.Audit.IP, UserAgent: p.Audit.UserAgent, NoticeID: p.Audit.NoticeID,
		Language: p.Audit.Language, Method: p.Audit.Method, AssertedBy: p.Audit.AssertedBy, Key: p.Audit.Key,
		Sealed: p.Sealed, ProofURL: proofURL(p.Position),
	}
	if p.Kind == consent.KindLost {
		out.RecordedAt = "" // not known any more
	}
	if p.Kind == consent.KindConsent {
		out.ConsentType, out.Status = p.Type.String(), p.Status.String()
	}
	return out
}

// A cursor is where a page ended; what it looks like is nobody's business.
const cursorPrefix = "c"

func (c *call) page() (limit int, before consent.Position, err error) {
	limit = defaultPage
	if s, ok := c.query["limit"]; ok {
		if limit, err = strconv.Atoi(s); err != nil || limit < 1 || limit > maxPage {
			return 0, 0, invalid("limit", "is not between 1 and 1000")
		}
	}
	if s, ok := c.query["cursor"]; ok {
		digits, found := strings.CutPrefix(s, cursorPrefix)
		n, err := strconv.ParseUint(digits, 36, 63)
		if !found || err != nil || n == 0 {
			return 0, 0, invalid("cursor", "is not one that a page gave")
		}
		before = consent.Position(n)
	}
	return limit, before, nil
}
