package httpapi

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Types of events that come in.
const (
	typeRecorded  = "org.assent.consent.recorded.v1"
	typeRequested = "org.assent.erasure.requested.v1"
)

// maxAttribute bounds source and id of an event in bytes.
const maxAttribute = 2048

// cloudEvent is a CloudEvent 1.0 in its JSON form. Attributes that are not
// here are extensions, which are passed over; one that is null is absent.
type cloudEvent struct {
	SpecVersion string         `json:"specversion"`
	ID          string         `json:"id"`
	Source      string         `json:"source"`
	Type        string         `json:"type"`
	Time        string         `json:"time"`
	ContentType string         `json:"datacontenttype"`
	Data        jsontext.Value `json:"data"`
	DataBase64  string         `json:"data_base64"`
}

// readEvent reads an event in structured JSON. What it says is not read yet.
func readEvent(raw []byte) (cloudEvent, error) {
	var e cloudEvent
	if err := scan(raw, nullsAllowed); err != nil {
		return e, err
	}
	if err := explain(json.Unmarshal(raw, &e)); err != nil {
		return e, err
	}
	if len(e.Data) > 0 && e.Data.Kind() == 'n' {
		e.Data = nil
	}
	if e.DataBase64 != "" {
		if e.Data != nil {
			return e, invalid("data_base64", "stands beside data")
		}
		data, err := base64.StdEncoding.Strict().DecodeString(e.DataBase64)
		if err != nil {
			return e, invalid("data_base64", "is not base64")
		}
		e.Data = data
	}
	return e, e.check()
}

// check reads the attributes that every event has.
func (e *cloudEvent) check() error {
	if e.SpecVersion != "1.0" {
		return invalid("specversion", "is not 1.0")
	}
	for _, a := range []struct{ name, value string }{{"id", e.ID}, {"source", e.Source}} {
		if a.value == "" || len(a.value) > maxAttribute || !utf8.ValidString(a.value) || strings.ContainsFunc(a.value, unicode.IsControl) {
			return invalid(a.name, "is not 1 to 2048 bytes of UTF-8 without control characters")
		}
	}
	switch e.Type {
	case typeRecorded, typeRequested:
	default:
		return invalid("type", "is not that of an event which is taken here")
	}
	if e.Time != "" {
		if _, err := parseTime(e.Time); err != nil {
			return invalid("time", notTime)
		}
	}
	name, _, _ := strings.Cut(strings.ToLower(e.ContentType), ";")
	if name = strings.TrimSpace(name); name != "" && name != "application/json" {
		return invalid("datacontenttype", "is not application/json")
	}
	if len(e.Data) == 0 {
		return invalid("data", "is required")
	}
	return nil
}

// inData puts an error of an event's data below "data".
func inData(err error) error {
	field, reason, ok := inputError(err)
	if !ok {
		return err
	}
	return invalid(strings.TrimSuffix("data."+field, "."), reason)
}

// The media types of events in structured JSON, alone and many at once.
const (
	eventType      = "application/cloudevents+json"
	eventBatchType = "application/cloudevents-batch+json"
)

// maxEvents is how many events one batch may hold.
const maxEvents = 1000

// events reads what was posted: one event in the body, one whose attributes are
// headers, or an array of them. Of a batch an event that is not valid has an
// error beside it.
func (c *call) events() (read []cloudEvent, bad []error, batch bool, err error) {
	name, err := c.mediaType()
	if err != nil {
		return nil, nil, false, err
	}
	switch name {
	case eventType:
		raw, err := c.whole()
		if err != nil {
			return nil, nil, false, err
		}
		e, err := readEvent(raw)
		return []cloudEvent{e}, []error{nil}, false, err
	case eventBatchType:
		raw, err := c.whole()
		if err != nil {
			return nil, nil, true, err
		}
		read, bad, err = readEvents(raw)
		return read, bad, true, err
	}
	raw, err := c.body()
	if err != nil {
		return nil, nil, false, err
	}
	e, err := c.binaryEvent(raw)
	return []cloudEvent{e}, []error{nil}, false, err
}

func readEvents(raw []byte) ([]cloudEvent, []error, error) {
	if err := scan(raw, nullsAllowed); err != nil {
		return nil, nil, err
	}
	var each []jsontext.Value
	if err := explain(json.Unmarshal(raw, &each)); err != nil {
		return nil, nil, err
	}
	if len(each) > maxEvents {
		return nil, nil, invalid("", "holds more than 1000 events")
	}
	read, bad := make([]cloudEvent, len(each)), make([]error, len(each))
	for i, one := range each {
		read[i], bad[i] = readEvent(one)
	}
	return read, bad, nil
}

// binaryEvent reads an event whose attributes are headers and whose data is the
// body. Values of headers are percent-encoded.
func (c *call) binaryEvent(raw []byte) (e cloudEvent, err error) {
	for header, into := range map[string]*string{
		"ce-specversion": &e.SpecVersion, "ce-id": &e.ID, "ce-source": &e.Source, "ce-type": &e.Type, "ce-time": &e.Time,
	} {
		value, _, err := c.header(header)
		if err == nil {
			*into, err = url.PathUnescape(value)
		}
		if err != nil {
			return e, invalid(header, "is there more than once, or not percent-encoded")
		}
	}
	e.Data = raw
	return e, e.check()
}

// receive is POST /v1/events.
func (c *call) receive() error {
	if _, ok, err := c.header(onceHeader); ok || err != nil {
		return invalid(onceHeader, "is not for events: source and id make them repeatable")
	}
	read, bad, batch, err := c.events()
	if err != nil {
		return err
	}
	in := c.inbox(c.tenant(), c.key.ID)
	for i := range read {
		if bad[i] == nil && !c.key.Scopes.Has(scopeOf(read[i].Type)) {
			return errScope
		}
	}
	in.may = c.mayErase
	for i := range read {
		if bad[i] == nil {
			if err := in.permitted(&read[i]); err != nil {
				return err // before any is applied
			}
		}
	}
	results := make([]appliedOut, len(read))
	for i := range read {
		err := bad[i]
		if err == nil {
			results[i], err = in.apply(c.ctx(), &read[i])
		}
		field, reason, input := inputError(err)
		switch {
		case err == nil:
		case batch && input:
			results[i] = appliedOut{Status: "invalid", Field: field, Reason: reason}
		default:
			return err
		}
	}
	if !batch {
		return c.json(http.StatusOK, results[0])
	}
	return c.json(http.StatusOK, batchOut{results})
}
