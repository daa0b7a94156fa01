package httpapi_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
)

// erased waits until an erasure has ended.
func (s *server) erased(t testing.TB, id string) *answer {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		a := s.do(t, "GET", "/v1/erasures/"+id, "").is(200)
		switch a.get("state") {
		case "suppressed", "running", "verifying":
		default:
			return a
		}
		if time.Now().After(deadline) {
			t.Fatalf("still going on: %s", a.body)
		}
	}
}

// TestErasure is the contract of the routes: request, state, receipt, again.
func TestErasure(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.says(t, "granted", "ada", "bob")
	s.collection(t, "c")
	s.store(t, "c", "m1", "ada", "The backup server was restarted.")
	s.store(t, "c", "m2", "bob", "The mail server was restarted.")
	hits := func() string {
		t.Helper()
		a := s.do(t, "POST", "/v1/collections/c/search", `{"query":"server","purpose":"rag_retrieval"}`).is(200)
		return fmt.Sprint(strings.Count(string(a.body), `"document_id"`))
	}
	if hits() != "2" {
		t.Fatal("not found before")
	}
	body := `{"scope":"subject","subject":"ada","regulation":"ccpa","reason":"she asked","verification":{"method":"mail","by":"clerk","evidence_ref":"t-1"}}`
	a := s.do(t, "POST", "/v1/erasures", body, "Idempotency-Key: one").is(202)
	id, claim := a.get("id"), a.get("claim")
	if hits() != "1" {
		t.Error("reachable after the acknowledgement")
	}
	if again := s.do(t, "POST", "/v1/erasures", body, "Idempotency-Key: one").is(202); again.get("id") != id || again.get("claim") != claim {
		t.Errorf("repeated: %s", again.body)
	}
	done := s.erased(t, id)
	if done.get("state") != "completed" || done.get("level") != "purged" || done.get("days_left") != "44" || done.get("targets.0.state") != "verified" {
		t.Errorf("ended as %s", done.body)
	}
	receipt := s.do(t, "GET", "/v1/erasures/"+id+"/receipt", "").is(200)
	if receipt.get("statement.request") != id || receipt.get("statement.regulation") != "ccpa" {
		t.Errorf("receipt %s", receipt.body)
	}
	s.do(t, "POST", "/v1/erasures/"+id+"/verify", "").is(200)
	if again := s.do(t, "GET", "/v1/erasures/"+id+"/receipt", "").is(200); string(again.body) != string(receipt.body) {
		t.Error("verification changed the receipt")
	}
	for _, verb := range []string{"cancel", "release", "hold", "decide"} {
		in := map[string]string{"hold": `{"reason":"court"}`, "decide": `{"decision":"deny"}`}[verb]
		s.do(t, "POST", "/v1/erasures/"+id+"/"+verb, in).is(409, "erasure_state", "")
	}
	if list := s.do(t, "GET", "/v1/erasures?state=completed", "").is(200); list.get("erasures.0.id") != id {
		t.Errorf("list: %s", list.body)
	}
	if a := s.do(t, "POST", "/v1/consent/decide", `{"purpose":"rag_retrieval","subjects":["ada"]}`).is(200); a.get("decisions.0.reason") != "suppressed" {
		t.Errorf("decision: %s", a.body)
	}
	// An unknown person: the same answer, member for member.
	unknown := s.do(t, "POST", "/v1/erasures", `{"scope":"subject","subject":"nobody"}`).is(202)
	if len(unknown.get("id")) != len(id) || unknown.get("state") != "suppressed" || unknown.get("claim") == "" {
		t.Errorf("unknown: %s", unknown.body)
	}
	if done := s.erased(t, unknown.get("id")); done.get("state") != "completed" || done.get("level") != "purged" {
		t.Errorf("unknown, ended: %s", done.body)
	}
	// Of another tenant nothing is seen.
	other := s.do(t, "POST", "/v1/tenants", `{"name":"other"}`).is(201).get("key")
	s.ask(t, other, "GET", "/v1/erasures/"+id, "").is(404, "not_found", "")
	s.ask(t, other, "GET", "/v1/erasures/"+id+"/receipt", "").is(404, "not_found", "")
}

// TestErasureBadInput: each wrong request is named by its field, and suppresses nobody.
func TestErasureBadInput(t *testing.T) {
	t.Parallel()
	s := open(t)
	for body, field := range map[string]string{
		`{"scope":"subject"}`:                                           "subject",
		`{"scope":"subject","subject":"ada\u0000"}`:                     "subject",
		`{"scope":"subject","subject":"ada","source":"x"}`:              "source",
		`{"scope":"everything"}`:                                        "scope",
		`{"scope":"retention"}`:                                         "scope",
		`{"scope":"document","collection":"c"}`:                         "document_id",
		`{"scope":"document","document_id":"d"}`:                        "collection",
		`{"scope":"source"}`:                                            "source",
		`{"scope":"collection"}`:                                        "collection",
		`{"scope":"collection","collection":"c","subject":"ada"}`:       "subject",
		`{"scope":"subject","subject":"ada","regulation":"none"}`:       "regulation",
		`{"scope":"subject","subject":"ada","jurisdiction":"Atlantis"}`: "jurisdiction",
		`{"scope":"subject","subject":"ada","verification":{"why":1}}`:  "verification.why",
	} {
		s.do(t, "POST", "/v1/erasures", body).is(400, "invalid_input", field)
	}
	s.do(t, "GET", "/v1/erasures?state=gone", "").is(400, "invalid_input", "state")
	s.do(t, "GET", "/v1/erasures?cursor=x", "").is(400, "invalid_input", "cursor")
	if a := s.do(t, "GET", "/v1/erasures", "").is(200); a.get("erasures") != "[]" {
		t.Errorf("something was suppressed: %s", a.body)
	}
	reader, limited := s.key(t, "erasure:read"), s.key(t, "erasure:write", `"collections":["c"]`)
	s.ask(t, reader, "POST", "/v1/erasures", `{"scope":"subject","subject":"ada"}`).is(403, "scope_missing", "")
	s.ask(t, limited, "POST", "/v1/erasures", `{"scope":"subject","subject":"ada"}`).is(403, "scope_missing", "")
	s.ask(t, limited, "POST", "/v1/erasures", `{"scope":"collection","collection":"d"}`).is(404, "not_found", "")
	s.ask(t, limited, "POST", "/v1/erasures", `{"scope":"collection","collection":"c"}`).is(202)
	s.ask(t, limited, "GET", "/v1/erasures", "").is(403, "scope_missing", "")
}

// TestHoldCancelDecide: what waits stays suppressed; what is taken back is as
// it was; beyond the limit a second key decides.
func TestHoldCancelDecide(t *testing.T) {
	t.Parallel()
	s := open(t, func(c *gateway.Config) { c.MassLimit, c.ErasuresByHand = 3, true })
	s.collection(t, "c")
	people := []string{"p0", "p1", "p2", "p3", "p4"}
	s.says(t, "granted", people...)
	for _, p := range people {
		s.store(t, "c", "of-"+p, p, "The server of "+p)
	}
	allowed := func(who string) string {
		t.Helper()
		return s.do(t, "POST", "/v1/consent/decide", fmt.Sprintf(`{"purpose":"rag_retrieval","subjects":[%q]}`, who)).is(200).get("decisions.0.allowed")
	}
	var ids []string
	for i, p := range people {
		a := s.do(t, "POST", "/v1/erasures", fmt.Sprintf(`{"scope":"subject","subject":%q}`, p)).is(202)
		ids = append(ids, a.get("id"))
		want := "suppressed"
		if i >= 3 {
			want = "received"
		}
		if a.get("state") != want || allowed(p) != "false" {
			t.Errorf("%s: %s, allowed %s", p, a.get("state"), allowed(p))
		}
	}
	at := func(i int, verb, body string) *answer {
		t.Helper()
		return s.do(t, "POST", "/v1/erasures/"+ids[i]+"/"+verb, body)
	}
	// Every member of a target is there, checked or not.
	if a := s.do(t, "GET", "/v1/erasures/"+ids[0], "").is(200); !strings.Contains(string(a.body), `"method":"","checked_at":null`) {
		t.Errorf("before it was checked: %s", a.body)
	}
	at(0, "hold", "").is(400, "invalid_input", "reason")
	if a := at(0, "hold", `{"reason":"court"}`).is(200); a.get("state") != "held" {
		t.Errorf("held: %s", a.body)
	}
	at(0, "decide", `{"decision":"approve"}`).is(409, "erasure_state", "")
	if again := s.do(t, "POST", "/v1/erasures", `{"scope":"subject","subject":"p0"}`).is(202); again.get("id") != ids[0] || again.get("state") != "held" {
		t.Errorf("asked during a hold: %s", again.body)
	}
	if e, err := s.Erasure.Carry(t.Context(), gateway.DefaultTenant, ids[0]); err != nil || e.State.String() != "held" || allowed("p0") != "false" {
		t.Errorf("carried out during a hold: %v, %v", e.State, err)
	}
	if a := at(0, "release", "").is(200); a.get("state") != "suppressed" {
		t.Errorf("released: %s", a.body)
	}
	if e, err := s.Erasure.Carry(t.Context(), gateway.DefaultTenant, ids[0]); err != nil || e.State.String() != "completed" {
		t.Errorf("after the release: %v, %v", e.State, err)
	}
	// Cancelled: as it was.
	if a := at(1, "cancel", "").is(200); a.get("state") != "cancelled" || allowed("p1") != "true" {
		t.Errorf("cancelled: %s, allowed %s", a.body, allowed("p1"))
	}
	at(1, "cancel", "").is(200)
	// One that has acted since cannot be as it was.
	s.says(t, "granted", "p2")
	at(2, "cancel", "").is(409, "erasure_state", "")
	// Beyond the limit.
	at(3, "decide", `{"decision":"approve"}`).is(403, "second_key_needed", "")
	at(3, "decide", `{"decision":"perhaps"}`).is(400, "invalid_input", "decision")
	second := s.key(t, "erasure:write erasure:read")
	if a := s.ask(t, second, "POST", "/v1/erasures/"+ids[3]+"/decide", `{"decision":"approve","reason":"checked"}`).is(200); a.get("state") != "suppressed" {
		t.Errorf("approved: %s", a.body)
	}
	if a := s.ask(t, second, "POST", "/v1/erasures/"+ids[4]+"/decide", `{"decision":"deny"}`).is(200); a.get("state") != "denied" || allowed("p4") != "true" {
		t.Errorf("denied: %s, allowed %s", a.body, allowed("p4"))
	}
	if a := s.do(t, "POST", "/v1/collections/c/search", `{"query":"server","purpose":"rag_retrieval"}`).is(200); strings.Count(string(a.body), `"document_id"`) != 2 {
		t.Errorf("after cancelling and denying: %s", a.body)
	}
}

// TestIdentifiers: an erasure reaches a person by all of their identifiers.
func TestIdentifiers(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.collection(t, "c")
	s.says(t, "granted", "ada", "bob")
	s.do(t, "POST", "/v1/subjects/ada/identifiers", `{"identifier":"email:Ada@example.org"}`).is(201)
	s.do(t, "POST", "/v1/subjects/user%3Aada/identifiers", `{"identifier":"email:ada@example.org"}`).is(200)
	s.do(t, "POST", "/v1/subjects/bob/identifiers", `{"identifier":"email:ada@example.org"}`).is(409, "identifier_taken", "")
	s.do(t, "POST", "/v1/subjects/ada/identifiers", `{"identifier":"bob"}`).is(409, "identifier_taken", "")
	s.do(t, "POST", "/v1/subjects/ada/identifiers", `{"identifier":""}`).is(400, "invalid_input", "identifier")
	// Who comes with it is the person.
	s.store(t, "c", "m1", "email:ada@example.org", "The server was restarted.")
	a := s.do(t, "POST", "/v1/erasures", `{"scope":"subject","subject":"email:ada@example.org"}`).is(202)
	if done := s.erased(t, a.get("id")); done.get("state") != "completed" || done.get("documents") != "1" {
		t.Errorf("erased: %s", done.body)
	}
	for _, who := range []string{"ada", "email:ada@example.org"} {
		if a := s.do(t, "POST", "/v1/consent/decide", fmt.Sprintf(`{"purpose":"rag_retrieval","subjects":[%q]}`, who)).is(200); a.get("decisions.0.reason") != "suppressed" {
			t.Errorf("%s: %s", who, a.body)
		}
	}
	// They come back with one, and are back with both.
	s.says(t, "granted", "email:ada@example.org")
	for _, who := range []string{"ada", "email:ada@example.org"} {
		if a := s.do(t, "POST", "/v1/consent/decide", fmt.Sprintf(`{"purpose":"rag_retrieval","subjects":[%q]}`, who)).is(200); a.get("decisions.0.allowed") != "true" {
			t.Errorf("%s: %s", who, a.body)
		}
	}
}

// TestErasureOfAnothersPerson: a tenant that asks for a person whom another tenant
// knows by the same name gets the answer of a stranger, and reaches nobody there; asked
// twice it is one erasure while that is open, and a new one afterwards.
func TestErasureOfAnothersPerson(t *testing.T) {
	t.Parallel()
	s := open(t, func(c *gateway.Config) { c.ErasuresByHand = true })
	s.says(t, "granted", "ada")
	s.collection(t, "c")
	s.store(t, "c", "m1", "ada", "The backup server was restarted.")
	made := s.do(t, "POST", "/v1/tenants", `{"name":"other"}`).is(201)
	other := made.get("key")
	members := func(a *answer) string {
		var names []string
		for _, name := range []string{"id", "state", "ledger_position", "deadline", "claim"} {
			if a.get(name) != "" {
				names = append(names, name)
			}
		}
		return strings.Join(names, " ") + " " + a.get("state")
	}
	const body = `{"scope":"subject","subject":"ada"}`
	stranger := s.ask(t, other, "POST", "/v1/erasures", `{"scope":"subject","subject":"nobody"}`).is(202)
	first := s.ask(t, other, "POST", "/v1/erasures", body).is(202)
	if members(first) != members(stranger) {
		t.Errorf("%s is not the answer of a stranger, %s", first.body, stranger.body)
	}
	if again := s.ask(t, other, "POST", "/v1/erasures", body).is(202); again.get("id") != first.get("id") {
		t.Errorf("asked twice while open: %s", again.body)
	}
	tenant := consent.TenantID(made.get("id"))
	if e, err := s.Erasure.Carry(t.Context(), tenant, first.get("id")); err != nil || e.State.String() != "completed" {
		t.Fatalf("%v, %v", e.State, err)
	}
	if again := s.ask(t, other, "POST", "/v1/erasures", body).is(202); again.get("id") == first.get("id") {
		t.Errorf("asked after it ended: %s", again.body)
	}
	if a := s.do(t, "POST", "/v1/collections/c/search", `{"query":"server","purpose":"rag_retrieval"}`).is(200); strings.Count(string(a.body), `"document_id"`) != 1 {
		t.Errorf("the person of the other tenant: %s", a.body)
	}
	if a := s.do(t, "GET", "/v1/erasures", "").is(200); a.get("erasures") != "[]" {
		t.Errorf("the other tenant's erasures: %s", a.body)
	}
	known := s.do(t, "POST", "/v1/erasures", body).is(202)
	if members(known) != members(stranger) {
		t.Errorf("%s is not the answer of a stranger, %s", known.body, stranger.body)
	}
	s.ask(t, other, "POST", "/v1/erasures/"+known.get("id")+"/hold", `{"reason":"x"}`).is(404, "not_found", "")
	s.ask(t, other, "POST", "/v1/erasures/"+known.get("id")+"/cancel", "").is(404, "not_found", "")
}
