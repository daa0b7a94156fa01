package httpapi_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestRecordingAndReadingConsent(t *testing.T) {
	t.Parallel()
	s := open(t)
	for _, base := range []string{"/v1/consent", "/consent"} {
		who := "user:" + strings.Trim(strings.ReplaceAll(base, "/", "."), ".")
		entry := func(status, more string) string {
			return fmt.Sprintf(`{"user_id":%q,"consent_type":"RAG_RETRIEVAL_V1","status":%q,"source":"web"%s}`, who, status, more)
		}
		path := base + "/" + strings.ReplaceAll(who, ":", "%3A")
		if a := s.do(t, "GET", path, "").is(200); a.get("user_id") != who || !strings.Contains(string(a.body), `"statuses":[]`) || !strings.Contains(string(a.body), `"directives":[]`) {
			t.Errorf("unknown person: %s", a.body)
		}
		if a := s.do(t, "GET", path+"/rag_retrieval_v1.0", "").is(200); string(a.body) != "{\"granted\":false}\n" {
			t.Errorf("unknown person: %s", a.body)
		}
		first := s.do(t, "POST", base, entry("granted", `,"expires_at":"2099-01-01T00:00:00+01:00","ip":"192.0.2.1","method":"form"`)).is(201)
		if first.get("decision.allowed") != "true" || first.get("decision.reason") != "granted" || !strings.HasSuffix(first.get("recorded_at"), "Z") {
			t.Errorf("recorded: %s", first.body)
		}
		again := s.do(t, "POST", base, entry("granted", `,"expires_at":"2098-12-31T23:00:00Z"`)).is(200)
		if again.get("ledger_position") != first.get("ledger_position") || again.get("recorded_at") != first.get("recorded_at") {
			t.Errorf("the repeat is another: %s, %s", first.body, again.body)
		}
		a := s.do(t, "GET", path, "").is(200)
		if a.get("statuses.0.consent_type") != "rag_retrieval_v1.0" || a.get("statuses.0.status") != "granted" ||
			a.get("statuses.0.allowed") != "true" || a.get("statuses.0.expires_at") != "2098-12-31T23:00:00Z" {
			t.Errorf("statuses: %s", a.body)
		}
		for _, typ := range []string{"rag_retrieval_v1.0", "Rag_Retrieval_V1"} {
			if a := s.do(t, "GET", path+"/"+typ, "").is(200); a.get("granted") != "true" {
				t.Errorf("%s: %s", typ, a.body)
			}
		}
		for _, typ := range []string{"rag_retrieval_v9.0", "embedding_v1.0", "selling_v1.0", "nonsense", "%ff"} {
			if a := s.do(t, "GET", path+"/"+typ, "").is(200); a.get("granted") != "false" {
				t.Errorf("%s: %s", typ, a.body)
			}
		}
		for accept, want := range map[string]string{
			"text/plain": "true", "text/plain, */*": "true", "application/json;q=0.1, text/plain;q=0.9": "true",
			"application/json, text/plain, */*": "{\"granted\":true}\n", "*/*": "{\"granted\":true}\n", "text/plain;q=0": "{\"granted\":true}\n",
		} {
			if a := s.do(t, "GET", path+"/rag_retrieval_v1.0", "", "Accept: "+accept).is(200); string(a.body) != want {
				t.Errorf("Accept %s: %s", accept, a.body)
			}
		}
		q := s.do(t, "POST", base+"/query", fmt.Sprintf(`{"user_id":%q}`, who)).is(200)
		if string(q.body) != string(a.body) {
			t.Errorf("query: %s, GET: %s", q.body, a.body)
		}
		q = s.do(t, "POST", base+"/query", fmt.Sprintf(`{"user_id":%q,"consent_type":"rag_retrieval_v1.0"}`, who), "Accept: text/plain").is(200)
		if string(q.body) != "true" {
			t.Errorf("query: %s", q.body)
		}
		s.do(t, "POST", base, entry("revoked", "")).is(201)
		h := s.do(t, "GET", path+"/history?limit=1", "").is(200)
		if h.get("entries.0.status") != "revoked" || h.get("entries.1.status") != "" || h.get("next_cursor") == "" {
			t.Fatalf("history: %s", h.body)
		}
		h = s.do(t, "GET", path+"/history?limit=1&cursor="+h.get("next_cursor"), "").is(200)
		if h.get("entries.0.status") != "granted" || h.get("entries.0.ip") != "192.0.2.1" || h.get("entries.0.asserted_by") != "application" ||
			h.get("entries.0.key") != "bootstrap" || h.get("next_cursor") != "" || h.get("entries.0.position") != first.get("ledger_position") {
			t.Errorf("history, second page: %s", h.body)
		}
		for _, bad := range []string{"limit=0", "limit=1001", "limit=x", "limit=%2B1.5"} {
			s.do(t, "GET", path+"/history?"+bad, "").is(400, "invalid_input", "limit")
		}
		for _, bad := range []string{"cursor=", "cursor=7", "cursor=c", "cursor=c0", "cursor=c-1"} {
			s.do(t, "GET", path+"/history?"+bad, "").is(400, "invalid_input", "cursor")
		}
		s.do(t, "GET", base+"/%00", "").is(400, "invalid_input", "user_id")
		s.do(t, "GET", base+"/user%3A/history", "").is(400, "invalid_input", "user_id")
		s.do(t, "POST", base+"/query", `{}`).is(400, "invalid_input", "user_id")
	}
	s.do(t, "POST", "/v1/consent", `{"user_id":"a","consent_type":"selling_v1","status":"granted","source":"s"}`).is(400, "invalid_input", "consent_type")
	s.do(t, "POST", "/v1/consent", `{"user_id":"a","consent_type":"embedding_v1","status":"granted","source":"s","timestamp":"2200-01-01T00:00:00Z"}`).is(400, "invalid_input", "timestamp")
}

func TestIdentifiersInPathsAreWhatWasSent(t *testing.T) {
	t.Parallel()
	s := open(t)
	for id, escaped := range map[string]string{
		"user:a/b":              "user:a%2Fb",
		"email:a+b@example.org": "email:a+b@example.org",
		"user:a%2Fb":            "user:a%252Fb",
		"user:ü ?#":             "user:%C3%BC%20%3F%23",
		"user:history":          "history",
		"user:query":            "query",
	} {
		s.says(t, "granted", id)
		a := s.do(t, "GET", "/v1/consent/"+escaped, "").is(200)
		if a.get("user_id") != id || a.get("statuses.0.status") != "granted" {
			t.Errorf("%s: %s", escaped, a.body)
		}
		if a := s.do(t, "GET", "/v1/consent/"+escaped+"/embedding_v1.0", "").is(200); a.get("granted") != "true" {
			t.Errorf("%s: %s", escaped, a.body)
		}
	}
}

func TestWhoAsserts(t *testing.T) {
	t.Parallel()
	s := open(t)
	write := func(who string, headers ...string) {
		s.do(t, "POST", "/v1/consent", fmt.Sprintf(`{"user_id":%q,"consent_type":"embedding_v1","status":"granted","source":"s"}`, who), headers...).is(201)
	}
	write("ada", "Assent-Principal: user:ada")
	write("bob", "Assent-Principal: user:ada")
	write("cyd")
	s.do(t, "POST", "/v1/consent", `{"user_id":"dan","consent_type":"embedding_v1","status":"granted","source":"s"}`, "Content-Type: application/x-ndjson", "Assent-Principal: user:dan").is(200)
	for who, want := range map[string]string{"ada": "self", "bob": "application", "cyd": "application", "dan": "import"} {
		if a := s.do(t, "GET", "/v1/consent/"+who+"/history", "").is(200); a.get("entries.0.asserted_by") != want {
			t.Errorf("%s: %s", who, a.body)
		}
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.says(t, "granted", "ada")
	s.says(t, "objected", "email:eve@example.org")
	a := s.do(t, "POST", "/v1/consent/decide", `{"purpose":"rag_retrieval","subjects":["ada","email:EVE@example.org","nobody","\u0000","ada"]}`).is(200)
	want := []string{"user:ada true granted", "email:eve@example.org false objection", "user:nobody false no_record", "\x00 false subject_unresolved", "user:ada true granted"}
	for i, w := range want {
		p := fmt.Sprintf("decisions.%d.", i)
		if got := a.get(p+"subject") + " " + a.get(p+"allowed") + " " + a.get(p+"reason"); got != w {
			t.Errorf("%d: %q, want %q", i, got, w)
		}
	}
	if a.get("decisions.0.consent_type") != "rag_retrieval_v1.0" || a.get("decisions.0.lawful_basis") != "consent" || a.get("decisions.3.consent_type") != "" {
		t.Errorf("decisions: %s", a.body)
	}
	loose := s.do(t, "POST", "/v1/consent/decide", `{"purpose":"rag_retrieval","subjects":["nobody"],"jurisdiction":"US-CA"}`).is(200)
	if loose.get("decisions.0.allowed") != "false" {
		t.Errorf("a request's jurisdiction made it laxer: %s", loose.body)
	}
	post := func(body string) *answer { return s.do(t, "POST", "/v1/consent/decide", body) }
	post(`{"purpose":"rag_retrieval"}`).is(400, "invalid_input", "subjects")
	post(`{"purpose":"rag_retrieval","subjects":[`+strings.Repeat(`"a",`, 10000)+`"a"]}`).is(400, "invalid_input", "subjects")
	post(`{"purpose":"rag_retrieval","subjects":[],"jurisdiction":"california"}`).is(400, "invalid_input", "jurisdiction")
	post(`{"purpose":"rag_retrieval","subjects":[],"min_position":999}`).is(409, "position_not_reached")
	if a := post(`{"purpose":"rag_retrieval","subjects":[],"min_position":2}`).is(200); !strings.Contains(string(a.body), `"decisions":[]`) {
		t.Errorf("none: %s", a.body)
	}
}

func TestConsentTypes(t *testing.T) {
	t.Parallel()
	s := open(t)
	const body = `{"text":"My texts may be searched, and summed up.","language":"en","validity":"P1Y","accepts":["rag_retrieval_V1"]}`
	made := s.do(t, "PUT", "/v1/consent-types/rag_retrieval_v2.0", body).is(201)
	again := s.do(t, "PUT", "/v1/consent-types/RAG_retrieval_v2", body).is(200)
	if string(made.body) != string(again.body) || made.get("accepts.0") != "rag_retrieval_v1.0" || !strings.HasPrefix(made.get("text_digest"), "sha256:") {
		t.Errorf("%s, %s", made.body, again.body)
	}
	s.do(t, "PUT", "/v1/consent-types/rag_retrieval_v2.0", strings.Replace(body, "summed up", "sold", 1)).is(409, "already_published")
	s.do(t, "PUT", "/v1/consent-types/selling_v1.0", `{"text":"x","language":"en"}`).is(400, "invalid_input", "consent_type")
	s.do(t, "PUT", "/v1/consent-types/nonsense", `{"text":"x","language":"en"}`).is(400, "invalid_input", "consent_type")
	for field, body := range map[string]string{
		"text": `{"language":"en"}`, "language": `{"text":"x"}`, "validity": `{"text":"x","language":"en","validity":"soon"}`,
		"accepts[0]": `{"text":"x","language":"en","accepts":["rag_retrieval_v3.1"]}`, "accepts": `{"text":"x","language":"en","accepts":"x"}`,
	} {
		s.do(t, "PUT", "/v1/consent-types/rag_retrieval_v3.0", body).is(400, "invalid_input", field)
	}
	list := s.ask(t, s.key(t, "search"), "GET", "/v1/consent-types", "").is(200)
	if !strings.Contains(string(list.body), `"rag_retrieval_v2.0"`) || !strings.Contains(string(list.body), `"embedding_v1.0"`) {
		t.Errorf("list: %s", list.body)
	}
}
