package events

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/assent-gateway/assent/consent"
)

// Kind is what an event is about.
type Kind string

// The kinds.
const (
	Consent  Kind = "consent"
	Erasure  Kind = "erasure"
	Manifest Kind = "manifest"
)

// Types of events that go out.
const (
	TypeChanged    = "org.assent.consent.changed.v1"
	TypeSuppressed = "org.assent.erasure.suppressed.v1"
	TypeCompleted  = "org.assent.erasure.completed.v1"
	TypeStale      = "org.assent.manifest.stale.v1"
)

// An Event is one that goes out.
type Event struct {
	Message
	Position consent.Position
	Kind     Kind
	Type     string
	Purpose  string // of Consent
	Erasure  string // id; of Erasure
}

// envelope is a CloudEvent. The order of its members is part of its bytes.
type envelope struct {
	SpecVersion string `json:"specversion"`
	ID          string `json:"id"`
	Source      string `json:"source"`
	Type        string `json:"type"`
	Time        string `json:"time"`
	Subject     string `json:"subject,omitempty"`
	ContentType string `json:"datacontenttype"`
	Data        any    `json:"data"`
}

type changedData struct {
	LedgerPosition consent.Position `json:"ledger_position"`
	UserID         string           `json:"user_id,omitempty"`
	ConsentType    string           `json:"consent_type"`
	Status         string           `json:"status"`
	Timestamp      string           `json:"timestamp,omitempty"`
	ExpiresAt      string           `json:"expires_at,omitempty"`
	Jurisdiction   string           `json:"jurisdiction,omitempty"`
}

type suppressedData struct {
	LedgerPosition consent.Position `json:"ledger_position"`
	ID             string           `json:"id"`
	State          string           `json:"state"` // received: suppressed, and not to be erased yet
	Scope          string           `json:"scope"`
	Regulation     string           `json:"regulation,omitempty"`
	Jurisdiction   string           `json:"jurisdiction,omitempty"`
	Identifiers    []string         `json:"identifiers"` // of the person, as far as they can be named
}

type completedData struct {
	LedgerPosition consent.Position `json:"ledger_position"`
	ID             string           `json:"id"`
	State          string           `json:"state"` // or denied, cancelled: the suppression is lifted
	Scope          string           `json:"scope,omitempty"`
	Documents      uint64           `json:"documents"`
	StatementHash  string           `json:"statement_sha256,omitempty"` // of the receipt's statement
}

type staleData struct {
	LedgerPosition consent.Position `json:"ledger_position"`
	Manifest       string           `json:"manifest"`
	Reason         string           `json:"reason"` // withdrawn | erased
}

// A derivation makes the events of one entry, numbered.
type derivation struct {
	source string // the origin of the tenant's log
	c      *consent.Change
	n      int
}

func (d *derivation) event(kind Kind, typ, subject string, data any) (Event, error) {
	position := strconv.FormatUint(uint64(d.c.Position), 10)
	raw, err := json.Marshal(envelope{
		SpecVersion: "1.0", ID: position + "-" + strconv.Itoa(d.n), Source: d.source, Type: typ,
		Time: d.c.RecordedAt.String(), Subject: subject, ContentType: "application/json", Data: data,
	})
	if err != nil {
		return Event{}, fmt.Errorf("events: encode an event: %w", err)
	}
	d.n++
	e := Event{Message: Message{Key: d.c.Order, Event: raw}, Position: d.c.Position, Kind: kind, Type: typ}
	if kind == Erasure {
		e.Erasure = d.c.Erasure.ID
	}
	return e, nil
}

// changed is the event of what a person said.
func (d *derivation) changed() (Event, error) {
	c := d.c
	data := changedData{
		LedgerPosition: c.Position, UserID: c.Who.Reveal(), ConsentType: c.Type.String(), Status: c.Status.String(), Jurisdiction: string(c.Jurisdiction),
	}
	if c.ActedAt != 0 {
		data.Timestamp = c.ActedAt.String()
	}
	if c.ExpiresAt != 0 {
		data.ExpiresAt = c.ExpiresAt.String()
	}
	e, err := d.event(Consent, TypeChanged, data.UserID, data)
	e.Purpose = c.Type.Purpose
	return e, err
}

// suppressed is the event of an erasure that was asked for, or approved.
func (d *derivation) suppressed(state, scope, regulation string, names []string) (Event, error) {
	subject := ""
	if len(names) > 0 {
		subject = names[0]
	} else {
		names = []string{}
	}
	return d.event(Erasure, TypeSuppressed, subject, suppressedData{
		LedgerPosition: d.c.Position, ID: d.c.Erasure.ID, State: state, Scope: scope,
		Regulation: regulation, Jurisdiction: string(d.c.Jurisdiction), Identifiers: names,
	})
}

// completed is the event of an erasure that ended. It names nobody: whom it was
// about, those know who were told of the suppression.
func (d *derivation) completed() (Event, error) {
	ev := &d.c.Erasure
	return d.event(Erasure, TypeCompleted, "", completedData{
		LedgerPosition: d.c.Position, ID: ev.ID, State: ev.State, Scope: ev.Scope, Documents: ev.Documents, StatementHash: ev.Digest,
	})
}

func (d *derivation) stale(manifest string) (Event, error) {
	reason := "withdrawn"
	if d.c.Kind == consent.KindErasure || d.c.Kind == consent.KindRemoval {
		reason = "erased"
	}
	return d.event(Manifest, TypeStale, "", staleData{LedgerPosition: d.c.Position, Manifest: manifest, Reason: reason})
}
