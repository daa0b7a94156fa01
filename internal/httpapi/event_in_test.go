package httpapi_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/assent-gateway/assent/internal/events"
)

const (
	structured = "Content-Type: application/cloudevents+json"
	batched    = "Content-Type: application/cloudevents-batch+json"
)

// event is one in structured JSON, with more members besides.
func event(id, typ, data string, more ...string) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/crm","type":"org.assent.%s.v1","data":%s%s}`,
		id, typ, data, strings.Join(append([]string{""}, more...), ","))
}

func said(who, status string) string {
	return fmt.Sprintf(`{"user_id":%q,"consent_type":"rag_retrieval_v1.0","status":%q,"source":"crm"}`, who, status)
}

// TestAnEventIsAppliedOnce: in every form of delivery, once per source and id.
func TestAnEventIsAppliedOnce(t *testing.T) {
	t.Parallel()
	s := open(t)
	one := event("1", "consent.recorded", said("ada", "granted"), `"traceparent":"x"`, `"n":1`, `"nothing":null`)
	first := s.do(t, "POST", "/v1/events", one, structured).is(200)
	s.do(t, "POST", "/v1/consent", said("ada", "revoked")).is(201)
	// Again, by a broker that puts something beside it, in binary mode, in a batch:
	// what the person said since stands.
	for _, again := range []*answer{
		s.do(t, "POST", "/v1/events", one, structured),
		s.do(t, "POST", "/v1/events", event("1", "consent.recorded", said("ada", "granted"), `"offset":"7"`), structured),
		s.do(t, "POST", "/v1/events", said("ada", "granted"), "ce-specversion: 1.0", "ce-id: 1", "ce-source: %2Fcrm", "ce-type: org.assent.consent.recorded.v1"),
	} {
		if again.is(200); string(again.body) != string(first.body) {
			t.Errorf("again: %s, at first: %s", again.body, first.body)
		}
	}
	b := s.do(t, "POST", "/v1/events", "["+one+","+one+"]", batched).is(200)
	if b.get("results.1.ledger_position") != first.get("ledger_position") {
		t.Errorf("batch: %s", b.body)
	}
	if a := s.do(t, "GET", "/v1/consent/ada/rag_retrieval_v1.0", "").is(200); a.get("granted") != "false" {
		t.Error("a repeated event won over what came after it")
	}
	// Another id, or another source, is another event.
	s.do(t, "POST", "/v1/events", event("2", "consent.recorded", said("ada", "granted")), structured).is(200)
	if a := s.do(t, "GET", "/v1/consent/ada/rag_retrieval_v1.0", "").is(200); a.get("granted") != "true" {
		t.Error("another event was taken for a repeat")
	}
	// So it is in another tenant.
	other := s.do(t, "POST", "/v1/tenants", `{"name":"other"}`).is(201).get("key")
	s.ask(t, other, "POST", "/v1/events", one, structured).is(200)
	if a := s.ask(t, other, "GET", "/v1/consent/ada/rag_retrieval_v1.0", "").is(200); a.get("granted") != "true" {
		t.Error("an event of one tenant was taken for a repeat of another's")
	}
}

// TestALateEventDoesNotWin: an entry without a time of its own is of the
// event's time, however late it is delivered.
func TestALateEventDoesNotWin(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.do(t, "POST", "/v1/events", event("2", "consent.recorded", said("ada", "revoked"), `"time":"2026-01-02T00:00:00Z"`), structured).is(200)
	s.do(t, "POST", "/v1/events", event("1", "consent.recorded", said("ada", "granted"), `"time":"2026-01-01T00:00:00Z"`), structured).is(200)
	if a := s.do(t, "GET", "/v1/consent/ada/rag_retrieval_v1.0", "").is(200); a.get("granted") != "false" {
		t.Error("an older grant that came late won")
	}
	// A clock ahead of the ledger's is no reason to refuse what somebody said.
	s.do(t, "POST", "/v1/events", event("3", "consent.recorded", said("ada", "granted"), `"time":"2200-01-01T00:00:00Z"`), structured).is(200)
	if a := s.do(t, "GET", "/v1/consent/ada/rag_retrieval_v1.0", "").is(200); a.get("granted") != "true" {
		t.Error("a grant of a clock that is ahead did not count")
	}
}

// TestMalformedEvents names the field of each, to a client and to a broker's
// adapter, and applies nothing.
func TestMalformedEvents(t *testing.T) {
	t.Parallel()
	s := open(t)
	good := said("ada", "granted")
	cases := map[string]string{
		`{}`:            "specversion",
		`[]`:            "",
		`{"specversion`: "",
		`{"specversion":"0.3","id":"1","source":"s","type":"org.assent.consent.recorded.v1","data":` + good + `}`:                                 "specversion",
		`{"specversion":"1.0","source":"s","type":"org.assent.consent.recorded.v1","data":` + good + `}`:                                          "id",
		`{"specversion":"1.0","id":"1","type":"org.assent.consent.recorded.v1","data":` + good + `}`:                                              "source",
		`{"specversion":"1.0","id":1,"source":"s","type":"org.assent.consent.recorded.v1","data":` + good + `}`:                                   "id",
		`{"specversion":"1.0","id":"` + strings.Repeat("x", 2049) + `","source":"s","type":"org.assent.consent.recorded.v1","data":` + good + `}`: "id",
		`{"specversion":"1.0","id":"1","id":"2","source":"s","type":"org.assent.consent.recorded.v1","data":` + good + `}`:                        "id",
		event("1", "consent.forgotten", good):                                                                                          "type",
		event("1", "consent.changed", good):                                                                                            "type",
		event("1", "consent.recorded", good, `"time":"yesterday"`):                                                                     "time",
		event("1", "consent.recorded", good, `"datacontenttype":"text/xml"`):                                                           "datacontenttype",
		event("1", "consent.recorded", good, `"data_base64":"e30="`):                                                                   "data_base64",
		`{"specversion":"1.0","id":"1","source":"s","type":"org.assent.consent.recorded.v1","data_base64":"!"}`:                        "data_base64",
		event("1", "consent.recorded", "null"):                                                                                         "data",
		event("1", "consent.recorded", `"text"`):                                                                                       "data",
		event("1", "consent.recorded", `{}`):                                                                                           "data.user_id",
		event("1", "consent.recorded", strings.Replace(good, "granted", "perhaps", 1)):                                                 "data.status",
		event("1", "consent.recorded", strings.Replace(good, "rag_", "no_", 1)):                                                        "data.consent_type",
		event("1", "consent.recorded", `{"who":"ada",`+good[1:]):                                                                       "data.who",
		event("1", "consent.recorded", `{"timestamp":"2200-01-01T00:00:00Z",`+good[1:]):                                                "data.timestamp",
		event("1", "consent.recorded", `{"ip":null,`+good[1:]):                                                                         "data.ip",
		event("1", "erasure.requested", good):                                                                                          "data.user_id",
		event("1", "erasure.requested", `{"scope":"subject"}`):                                                                         "data.subject",
		event("1", "erasure.requested", `{"scope":"document","collection":"c"}`):                                                       "data.document_id",
		event("1", "erasure.requested", `{"scope":"subject","subject":"ada","regulation":"none"}`):                                     "data.regulation",
		event("1", "consent.recorded", good, `"deep":`+strings.Repeat("[", 100)+strings.Repeat("]", 100)):                              "",
		event("1", "consent.recorded", good) + "x":                                                                                     "",
		"{\"specversion\":\"1.0\",\"id\":\"\xff\",\"source\":\"s\",\"type\":\"org.assent.consent.recorded.v1\",\"data\":" + good + "}": "id",
	}
	inbox := s.Inbox("default", "kafka")
	for body, field := range cases {
		s.do(t, "POST", "/v1/events", body, structured).is(400, "invalid_input", field)
		a := s.do(t, "POST", "/v1/events", "["+body+"]", batched)
		if a.status == 200 && (a.get("results.0.status") != "invalid" || a.get("results.0.field") != field) {
			t.Errorf("in a batch: %s: %s", body, a.body)
		}
		if err := inbox.Receive(t.Context(), []byte(body)); !isMalformed(err) {
			t.Errorf("by a broker: %v for %.200s", err, body)
		}
	}
	s.do(t, "POST", "/v1/events", event("1", "consent.recorded", good)).is(400, "invalid_input", "specversion") // binary mode without attributes
	s.do(t, "POST", "/v1/events", good, "ce-specversion: 1.0", "ce-specversion: 1.0").is(400, "invalid_input", "ce-specversion")
	s.do(t, "POST", "/v1/events", good, "Content-Type: text/xml").is(415, "unsupported_media_type")
	s.do(t, "POST", "/v1/events", event("1", "consent.recorded", good), structured, "Idempotency-Key: x").is(400, "invalid_input", "Idempotency-Key")
	s.do(t, "POST", "/v1/events", "["+strings.Repeat("{},", 1000)+"{}]", batched).is(400, "invalid_input", "")
	if a := s.do(t, "GET", "/v1/consent/ada", "").is(200); a.get("statuses") != "[]" {
		t.Errorf("something was applied: %s", a.body)
	}
	// One that is bad keeps no other from being applied.
	a := s.do(t, "POST", "/v1/events", "["+event("1", "consent.recorded", "{}")+","+event("2", "consent.recorded", good)+"]", batched).is(200)
	if a.get("results.0.status") != "invalid" || a.get("results.1.status") != "applied" {
		t.Errorf("%s", a.body)
	}
}

func isMalformed(err error) bool {
	return errors.Is(err, events.ErrMalformed) && !strings.Contains(err.Error(), "ada")
}

// TestEventsNeedTheScopeOfWhatTheyCause.
func TestEventsNeedTheScopeOfWhatTheyCause(t *testing.T) {
	t.Parallel()
	s := open(t)
	consent, erase := event("1", "consent.recorded", said("ada", "denied")), event("2", "erasure.requested", `{"scope":"subject","subject":"ada"}`)
	writer, eraser := s.key(t, "consent:write"), s.key(t, "erasure:write")
	limited := s.key(t, "erasure:write", `"collections":["c"]`)
	s.ask(t, writer, "POST", "/v1/events", erase, structured).is(403, "scope_missing", "")
	s.ask(t, eraser, "POST", "/v1/events", consent, structured).is(403, "scope_missing", "")
	s.ask(t, limited, "POST", "/v1/events", erase, structured).is(403, "scope_missing", "")
	s.ask(t, writer, "POST", "/v1/events", "["+consent+","+erase+"]", batched).is(403, "scope_missing", "")
	mine, others := event("3", "erasure.requested", `{"scope":"collection","collection":"c"}`), event("4", "erasure.requested", `{"scope":"collection","collection":"d"}`)
	s.ask(t, limited, "POST", "/v1/events", "["+mine+","+others+"]", batched).is(404, "not_found", "")
	if a := s.do(t, "GET", "/v1/erasures", "").is(200); a.get("erasures") != "[]" {
		t.Errorf("something of a batch that may not be applied was: %s", a.body)
	}
	if a := s.do(t, "GET", "/v1/consent/ada", "").is(200); a.get("statuses") != "[]" {
		t.Errorf("something was applied: %s", a.body)
	}
	s.ask(t, writer, "POST", "/v1/events", consent, structured).is(200)
	s.ask(t, eraser, "POST", "/v1/events", erase, structured).is(200)
	if n := strings.Count(string(s.do(t, "GET", "/v1/erasures", "").is(200).body), `"days_left"`); n != 1 {
		t.Errorf("%d erasures", n)
	}
}

// TestAnErasureEventIsAppliedOnce, also after what it asked for has ended, and
// beside one that somebody asked for in another way.
func TestAnErasureEventIsAppliedOnce(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.says(t, "granted", "ada")
	ada := event("1", "erasure.requested", `{"scope":"subject","subject":"ada"}`)
	first := s.do(t, "POST", "/v1/events", ada, structured).is(200)
	id := s.do(t, "GET", "/v1/erasures", "").is(200).get("erasures.0.id")
	s.erased(t, id)
	if again := s.do(t, "POST", "/v1/events", ada, structured).is(200); string(again.body) != string(first.body) {
		t.Errorf("again: %s, at first: %s", again.body, first.body)
	}
	if n := strings.Count(string(s.do(t, "GET", "/v1/erasures", "").is(200).body), `"days_left"`); n != 1 {
		t.Errorf("%d erasures of one event", n)
	}
	// She comes back; the old event, delivered once more, does not erase her again.
	s.says(t, "granted", "ada")
	s.do(t, "POST", "/v1/events", ada, structured).is(200)
	if a := s.do(t, "GET", "/v1/consent/ada/rag_retrieval_v1.0", "").is(200); a.get("granted") != "true" {
		t.Error("an old event erased her again")
	}
}
