package httpapi

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/credential"
	"github.com/assent-gateway/assent/internal/events"
)

// eventsOut is a page of events. NextAfter is where to go on, LedgerPosition how
// far there is something: a page between may be empty.
type eventsOut struct {
	Events         []jsontext.Value `json:"events"`
	NextAfter      consent.Position `json:"next_after"`
	LedgerPosition consent.Position `json:"ledger_position"`
}

// Entries of the ledger that one page looks at, unless the client says so.
const (
	eventPage    = 100
	maxEventPage = 1000
)

// maySee reports whether the key may see an event: what people said for the
// purposes of the key with consent:read, erasures with erasure:read, manifests
// with manifest:read.
func (c *call) maySee(e *events.Event) bool {
	switch e.Kind {
	case events.Consent:
		return c.key.Scopes.Has(credential.ConsentRead) && c.key.MayPurpose(e.Purpose)
	case events.Erasure:
		return c.key.Scopes.Has(credential.ErasureRead)
	case events.Manifest:
		return c.key.Scopes.Has(credential.ManifestRead)
	}
	return false
}

// after reads a position: where the client has come to.
func after(field, s string) (consent.Position, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, invalid(field, "is not a position of the ledger")
	}
	return consent.Position(n), nil
}

// listEvents is GET /v1/events. Consent has no collection, and so a key that is
// limited to some sees none of it.
func (c *call) listEvents() error {
	if c.key.Collections != nil {
		return errScope
	}
	from, err := after("after", c.query["after"])
	if err != nil {
		return err
	}
	if c.acceptsEvents() && c.r.Method != http.MethodHead { // which would have no end
		return c.streamEvents(from)
	}
	limit := eventPage
	if s, given := c.query["limit"]; given {
		if limit, err = strconv.Atoi(s); err != nil || limit < 1 || limit > maxEventPage {
			return invalid("limit", "is not a number from 1 to 1000")
		}
	}
	found, upTo, err := c.Events.Read(c.ctx(), c.tenant(), from, limit)
	if err != nil {
		return err
	}
	head, err := c.Ledger.Head(c.ctx(), c.tenant()) // not before what was read
	if err != nil {
		return err
	}
	out := eventsOut{Events: []jsontext.Value{}, NextAfter: upTo, LedgerPosition: head.Position}
	for i := range found {
		if c.maySee(&found[i]) {
			out.Events = append(out.Events, found[i].Event)
		}
	}
	return c.json(http.StatusOK, out)
}

const eventStream = "text/event-stream"

func (c *call) acceptsEvents() bool {
	for _, part := range strings.Split(strings.Join(c.r.Header.Values("Accept"), ","), ",") {
		name, params, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(name), eventStream) && quality(params) > 0 {
			return true
		}
	}
	return false
}

// heartbeat is how long a stream is silent at most, unless Deps say so. Then key
// and ledger are looked at again: what wakes a stream earlier may be lost.
const heartbeat = 10 * time.Second

// streamEvents sends events as they come, until the client goes, the gateway
// stops, or the key may no longer. The id of an event is that of its entry, and
// stands at the entry's last: who comes back with it has missed nothing.
func (c *call) streamEvents(from consent.Position) error {
	last, given, err := c.header("Last-Event-ID")
	if err == nil && given {
		from, err = after("Last-Event-ID", last)
	}
	if err != nil {
		return err
	}
	rc := http.NewResponseController(c.w)
	silence := c.Heartbeat
	if silence == 0 {
		silence = heartbeat
	}
	beat := time.NewTimer(silence)
	defer beat.Stop()
	for {
		news, err := c.Ledger.News(c.ctx(), c.tenant()) // before it is read: nothing comes between
		if err != nil {
			return err
		}
		if c.w.Written() { // a key that was revoked meanwhile hears no more
			if err := c.authenticate(); err != nil || c.route.need.check(&c.key) != nil {
				return nil
			}
		}
		found, upTo, err := c.Events.Read(c.ctx(), c.tenant(), from, eventPage)
		if err != nil {
			return err // after the first byte this cuts the stream: the client comes back
		}
		if !c.w.Written() {
			c.w.Header().Set("Content-Type", eventStream)
			c.w.WriteHeader(http.StatusOK)
		}
		c.extend()
		if _, err := c.w.Write(c.frames(found)); err != nil || rc.Flush() != nil {
			return nil // the client has gone
		}
		if moved := upTo > from; moved {
			from = upTo
			continue
		}
		beat.Reset(silence)
		select {
		case <-c.ctx().Done():
			return nil
		case <-c.Stopping:
			return nil
		case <-news:
		case <-beat.C:
		}
	}
}

// frames are events as a stream has them; without any, a comment, which keeps
// the connection open. Data is one line: JSON as it is written here has no end
// of a line in it.
func (c *call) frames(found []events.Event) []byte {
	var b bytes.Buffer
	for i := range found {
		e := &found[i]
		if !c.maySee(e) {
			continue
		}
		// An entry's events are all of one kind, but for the manifests that it
		// makes stale: what the key may not see after this one does not matter.
		if i+1 == len(found) || found[i+1].Position != e.Position {
			b.WriteString("id: " + strconv.FormatUint(uint64(e.Position), 10) + "\n")
		}
		b.WriteString("event: " + e.Type + "\ndata: ")
		b.Write(e.Event)
		b.WriteString("\n\n")
	}
	if b.Len() == 0 {
		b.WriteString(":\n\n")
	}
	return b.Bytes()
}
