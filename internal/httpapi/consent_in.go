package httpapi

import (
	"net/http"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/translog"
	"github.com/assent-gateway/assent/retrieval"
)

// consentIn is POST /v1/consent.
type consentIn struct {
	UserID       string  `json:"user_id"`
	ConsentType  string  `json:"consent_type"`
	Status       string  `json:"status"`
	Source       string  `json:"source"`
	Jurisdiction string  `json:"jurisdiction"`
	Timestamp    *string `json:"timestamp"`
	IP           string  `json:"ip"`
	UserAgent    string  `json:"user_agent"`
	NoticeID     string  `json:"notice_id"`
	Language     string  `json:"language"`
	Method       string  `json:"method"`
	ExpiresAt    *string `json:"expires_at"`
}

// maxAudit bounds each audit field in bytes.
const maxAudit = 2048

// entry reads what is to be recorded; by whom it is asserted, the caller says.
func (in *consentIn) entry() (e consent.Entry, err error) {
	if e.Subject, err = consent.ParseSubject(in.UserID); err != nil {
		return e, invalid("user_id", notSubject)
	}
	if e.Type, err = consent.ParseType(in.ConsentType); err != nil {
		return e, invalid("consent_type", "is not <purpose>_v<major>.<minor>")
	}
	if e.Status, err = consent.ParseStatus(in.Status); err != nil {
		return e, invalid("status", "is not one of the six statuses")
	}
	if in.Source == "" {
		return e, invalid("source", "is required")
	}
	for _, f := range []struct{ name, value string }{
		{"source", in.Source}, {"ip", in.IP}, {"user_agent", in.UserAgent},
		{"notice_id", in.NoticeID}, {"language", in.Language}, {"method", in.Method},
	} {
		if len(f.value) > maxAudit {
			return e, invalid(f.name, "is longer than 2048 bytes")
		}
	}
	if e.Jurisdiction, err = jurisdictionField(in.Jurisdiction); err != nil {
		return e, err
	}
	acted, err := timeField("timestamp", in.Timestamp)
	if err != nil {
		return e, err
	}
	expires, err := timeField("expires_at", in.ExpiresAt)
	if err != nil {
		return e, err
	}
	e.ActedAt, e.ExpiresAt = consent.TimeOf(acted), consent.TimeOf(expires)
	e.Audit = consent.Audit{
		Source: in.Source, IP: in.IP, UserAgent: in.UserAgent,
		NoticeID: in.NoticeID, Language: in.Language, Method: in.Method,
	}
	return e, nil
}

// assert says who vouches for an entry: the person, when they are the
// principal; a stream, which is an import; else the application.
func (c *call) assert(e *consent.Entry, streamed bool) {
	e.Audit.Key = c.key.ID
	switch {
	case streamed:
		e.Audit.AssertedBy = "import"
	case !c.principal.Subject.IsZero() && c.principal.Subject == e.Subject:
		e.Audit.AssertedBy = "self"
	default:
		e.Audit.AssertedBy = "application"
	}
}

type recordedOut struct {
	LedgerPosition consent.Position `json:"ledger_position"`
	RecordedAt     string           `json:"recorded_at"`
	Decision       decisionOut      `json:"decision"`
	ReceiptURL     string           `json:"receipt_url"` // there within a second
	Witnesses      int              `json:"witnesses"`   // that cosign what the receipt rests on
}

type decisionOut struct {
	Allowed bool           `json:"allowed"`
	Reason  consent.Reason `json:"reason"`
}

func recordedOf(r consent.Recorded) recordedOut {
	return recordedOut{
		LedgerPosition: r.Position, RecordedAt: r.RecordedAt.String(), Decision: decisionOut{r.Allowed, r.Reason},
		ReceiptURL: proofURL(r.Position), Witnesses: translog.Witnesses,
	}
}

func (c *call) recordConsent() error {
	streamed, err := c.isStream()
	if err != nil {
		return err
	}
	if streamed {
		return c.stream(c.recordLines)
	}
	raw, err := c.body()
	if err != nil {
		return err
	}
	e, err := readConsent(raw)
	if err != nil {
		return err
	}
	c.assert(&e, false)
	once, release, err := c.once(raw)
	defer release()
	if err != nil {
		return err
	}
	results, err := c.Ledger.Record(c.ctx(), c.tenant(), []consent.Entry{e}, once)
	if err == nil {
		err = results[0].Err
	}
	if err != nil {
		return err
	}
	status := http.StatusOK
	if results[0].New {
		status = http.StatusCreated
	}
	return c.json(status, recordedOf(results[0].Recorded))
}

func readConsent(raw []byte) (consent.Entry, error) {
	var in consentIn
	if err := decode(raw, &in); err != nil {
		return consent.Entry{}, err
	}
	return in.entry()
}

// lineOut is the result of one line: "recorded", "unchanged" or "invalid".
type lineOut struct {
	Line   int    `json:"line"`
	Status string `json:"status"`
	*recordedOut
	Reason string `json:"reason,omitempty"`
	Field  string `json:"field,omitempty"`
}

// recordLines records one batch of a stream. A line that is not valid is
// answered by itself; any other failure ends the stream.
func (c *call) recordLines(lines []line) ([]any, error) {
	out := make([]any, len(lines))
	var entries []consent.Entry
	var of []int
	for i, l := range lines {
		e, err := consent.Entry{}, l.bad
		if err == nil {
			e, err = readConsent(l.raw)
		}
		if err != nil {
			out[i] = invalidLine(l.n, err)
			continue
		}
		c.assert(&e, true)
		entries, of = append(entries, e), append(of, i)
	}
	results, err := c.Ledger.Record(c.ctx(), c.tenant(), entries, consent.Once{})
	if err != nil {
		return nil, err
	}
	for i, r := range results {
		n := lines[of[i]].n
		switch _, _, input := inputError(r.Err); {
		case input:
			out[of[i]] = invalidLine(n, r.Err)
		case r.Err != nil:
			return out[:of[i]], r.Err
		default:
			status := "unchanged"
			if r.New {
				status = "recorded"
			}
			rec := recordedOf(r.Recorded)
			out[of[i]] = lineOut{Line: n, Status: status, recordedOut: &rec}
		}
	}
	return out, nil
}

func invalidLine(n int, err error) lineOut {
	field, reason, _ := inputError(err)
	return lineOut{Line: n, Status: string(retrieval.InvalidDoc), Field: field, Reason: reason}
}
