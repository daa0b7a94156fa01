package httpapi_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// TestAPersonWithdrawsAndTheNextAnswerObeys is the product in one test.
func TestAPersonWithdrawsAndTheNextAnswerObeys(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.collection(t, "mail")
	s.says(t, "granted", "user:ada", "user:bob")
	s.store(t, "mail", "m1", "ada", "Ada restarted the server at noon.")
	s.store(t, "mail", "m2", "bob", "Bob watched the server restart.")
	const ask = `{"query":"who restarted the server?","k":10,"purpose":"rag_retrieval"}`
	a := s.do(t, "POST", "/v1/collections/mail/search", ask).is(200)
	if a.get("hits.0.document_id") == "" || a.get("hits.1.document_id") == "" || a.get("privacy.completeness") != "short" || a.get("mode") != "hybrid" {
		t.Fatalf("both are permitted: %s", a.body)
	}
	if a.get("hits.0.rank") != "1" || a.get("hits.0.metadata.lang") != "en" || a.get("hits.0.source") != "src" || a.get("hits.0.title") != "t" {
		t.Errorf("hit: %s", a.body)
	}
	passage := a.get("hits.0.passage_id")
	checked := s.do(t, "POST", "/v1/passages/check", fmt.Sprintf(`{"passage_ids":[%q,"p_none"],"purpose":"rag_retrieval"}`, passage)).is(200)
	if checked.get("permitted.0") != passage || checked.get("permitted.1") != "" {
		t.Errorf("check: %s", checked.body)
	}
	at := s.do(t, "POST", "/v1/consent", `{"user_id":"ada","consent_type":"rag_retrieval_v1.0","status":"revoked","source":"test"}`).is(201)
	if at.get("decision.allowed") != "false" || at.get("decision.reason") != "revoked" {
		t.Errorf("decision: %s", at.body)
	}
	a = s.do(t, "POST", "/v1/collections/mail/search", ask).is(200)
	if strings.Contains(string(a.body), "Ada restarted") || !strings.Contains(string(a.body), "Bob watched") {
		t.Fatalf("after the withdrawal: %s", a.body)
	}
	if a.get("privacy.ledger_position") != at.get("ledger_position") {
		t.Errorf("position %s, want %s", a.get("privacy.ledger_position"), at.get("ledger_position"))
	}
	s.do(t, "GET", "/v1/collections/mail/documents/m1?purpose=rag_retrieval", "").is(404, "not_found")
	s.do(t, "GET", "/v1/collections/mail/documents/m2?purpose=rag_retrieval", "").is(200)
	if a := s.do(t, "POST", "/v1/collections/none/search", ask); a.is(404, "not_found") == nil {
		t.Error("unreachable")
	}
}

func TestHiddenAndAbsentLookTheSame(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.collection(t, "mail")
	s.collection(t, "secret")
	s.says(t, "granted", "ada")
	s.store(t, "secret", "m1", "ada", "text")
	s.says(t, "revoked", "ada")
	limited := s.key(t, "search ingest", `"collections":["mail"]`)
	for _, req := range [][3]string{
		{"POST", "/v1/collections/%s/search", `{"query":"x","purpose":"rag_retrieval"}`},
		{"GET", "/v1/collections/%s", ""},
		{"GET", "/v1/collections/%s/documents/m1?purpose=rag_retrieval", ""},
		{"DELETE", "/v1/collections/%s/documents/m1", ""},
		{"DELETE", "/v1/collections/%s", ""},
		{"POST", "/v1/collections/%s/documents", `{"documents":[{"id":"a","owners":["ada"],"text":"x"}]}`},
	} {
		hidden := s.ask(t, limited, req[0], fmt.Sprintf(req[1], "secret"), req[2])
		absent := s.ask(t, limited, req[0], fmt.Sprintf(req[1], "absent"), req[2])
		if hidden.status != absent.status || string(hidden.body) != string(absent.body) {
			t.Errorf("%s %s: hidden %d %s, absent %d %s", req[0], req[1], hidden.status, hidden.body, absent.status, absent.body)
		}
	}
	refused := s.do(t, "GET", "/v1/collections/secret/documents/m1?purpose=rag_retrieval", "").is(404)
	never := s.do(t, "GET", "/v1/collections/secret/documents/m9?purpose=rag_retrieval", "").is(404)
	if string(refused.body) != string(never.body) {
		t.Errorf("refused %s, absent %s", refused.body, never.body)
	}
	s.do(t, "GET", "/v1/collections/secret", "").is(200) // the limited key's DELETE did nothing
}

// To ask for what one may not see is no fault of the index: the warning that it
// returned something it should not have is kept for when it did.
func TestAskingForWhatIsHiddenRaisesNoAlarm(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.do(t, "PUT", "/v1/collections/c", `{"default_visibility":"private"}`).is(201)
	s.says(t, "granted", "ada")
	s.store(t, "c", "m1", "ada", "text")
	const as = "Assent-Principal: user:ada"
	found := s.do(t, "POST", "/v1/collections/c/search", `{"query":"text","purpose":"rag_retrieval"}`, as).is(200)
	check := `{"passage_ids":["` + found.get("hits.0.passage_id") + `"],"purpose":"rag_retrieval"}`
	if a := s.do(t, "POST", "/v1/passages/check", check, as).is(200); a.get("permitted.0") == "" {
		t.Fatalf("the owner's own: %s", a.body)
	}
	s.do(t, "GET", "/v1/collections/c/documents/m1?purpose=rag_retrieval", "").is(404, "not_found")
	if a := s.do(t, "POST", "/v1/passages/check", check).is(200); a.get("permitted.0") != "" {
		t.Errorf("hidden, and permitted: %s", a.body)
	}
	if strings.Contains(s.logs.String(), "second gate") {
		t.Error("the log blames the index")
	}
}

func TestPurposes(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.collection(t, "mail")
	one := s.key(t, "search consent:read", `"purposes":["rag_retrieval"]`)
	two := s.key(t, "search consent:read")
	none := s.key(t, "search consent:read", `"purposes":[]`)
	for _, req := range [][2]string{
		{"/v1/collections/mail/search", `{"query":"x"%s}`},
		{"/v1/passages/check", `{"passage_ids":[]%s}`},
		{"/v1/consent/decide", `{"subjects":["ada"]%s}`},
	} {
		with := func(purpose string) string {
			if purpose == "" {
				return fmt.Sprintf(req[1], "")
			}
			return fmt.Sprintf(req[1], fmt.Sprintf(`,"purpose":%q`, purpose))
		}
		s.ask(t, one, "POST", req[0], with("")).is(200)
		s.ask(t, one, "POST", req[0], with("rag_retrieval")).is(200)
		s.ask(t, one, "POST", req[0], with("embedding")).is(403, "purpose_not_permitted")
		s.ask(t, two, "POST", req[0], with("")).is(400, "invalid_input", "purpose")
		s.ask(t, none, "POST", req[0], with("")).is(400, "invalid_input", "purpose")
		s.ask(t, none, "POST", req[0], with("rag_retrieval")).is(403, "purpose_not_permitted")
		s.do(t, "POST", req[0], with("")).is(400, "invalid_input", "purpose")
		if req[0] == "/v1/consent/decide" { // there it is a decision
			if got := s.do(t, "POST", req[0], with("selling")).is(200); !strings.Contains(string(got.body), `"allowed":false,"reason":"purpose_unknown"`) {
				t.Errorf("decided %s", got.body)
			}
		} else {
			s.do(t, "POST", req[0], with("selling")).is(403, "purpose_not_permitted")
		}
		s.do(t, "POST", req[0], with("Not a purpose")).is(403, "purpose_not_permitted")
	}
	s.ask(t, one, "GET", "/v1/collections/mail/documents/x", "").is(404)
	s.ask(t, two, "GET", "/v1/collections/mail/documents/x", "").is(400, "invalid_input", "purpose")
	s.ask(t, two, "GET", "/v1/collections/mail/documents/x?purpose=selling", "").is(403, "purpose_not_permitted")
}

func TestSearchAnswersAndRefusals(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.collection(t, "mail")
	post := func(body string) *answer { return s.do(t, "POST", "/v1/collections/mail/search", body) }
	a := post(`{"query":"x","purpose":"rag_retrieval"}`).is(200)
	if !strings.Contains(string(a.body), `"hits":[]`) {
		t.Errorf("an empty answer: %s", a.body)
	}
	s.says(t, "granted", "ada")
	s.store(t, "mail", "m1", "ada", "one two three")
	s.store(t, "mail", "m2", "ada", "two three four")
	post(`{"query":"x","purpose":"rag_retrieval","k":0}`).is(400, "invalid_input", "k")
	post(`{"query":"x","purpose":"rag_retrieval","vector":[1]}`).is(400, "invalid_input", "vector")
	post(`{"query":"x","purpose":"rag_retrieval","filter":{"and":[{"field":"a","op":"like","value":1}]}}`).is(400, "invalid_input", "filter.and[0].op")
	post(`{"query":"x","purpose":"rag_retrieval","min_position":100000}`).is(409, "position_not_reached")
	post(`{"query":"x","purpose":"rag_retrieval","min_position":1}`).is(200)
	post(`{"query":"`+strings.Repeat("x", 33<<10)+`","purpose":"rag_retrieval"}`).is(400, "invalid_input", "query")
	if a := post(`{"query":"two","purpose":"rag_retrieval","filter":{"field":"lang","op":"eq","value":"de"}}`).is(200); a.get("hits.0.rank") != "" {
		t.Errorf("the filter did nothing: %s", a.body)
	}
	if a := post(`{"query":"two","purpose":"rag_retrieval","k":1,"mode":"keyword"}`).is(200); a.get("privacy.completeness") != "complete" || a.get("hits.1.rank") != "" {
		t.Errorf("k: %s", a.body)
	}
	// Scores: two decimals without the scope, unrounded with it.
	coarse := s.key(t, "search")
	fine := s.do(t, "POST", "/v1/collections/mail/search", `{"query":"two","purpose":"rag_retrieval","mode":"keyword"}`).get("hits.0.score")
	rough := s.ask(t, coarse, "POST", "/v1/collections/mail/search", `{"query":"two","purpose":"rag_retrieval","mode":"keyword"}`).get("hits.0.score")
	if len(rough) > 4 || len(fine) < 8 {
		t.Errorf("scores %s and %s", rough, fine)
	}
}

func TestPrincipals(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.do(t, "PUT", "/v1/collections/mail", `{"default_visibility":"private"}`).is(201)
	s.says(t, "granted", "ada", "email:b+c@example.org")
	s.do(t, "POST", "/v1/collections/mail/documents", `{"documents":[
		{"id":"private","owners":["ada"],"text":"private words"},
		{"id":"listed","owners":["ada"],"text":"listed words","visibility":{"level":"listed","users":["email:B+C@example.org"],"groups":["Staff/Ω"]}},
		{"id":"open","owners":["ada"],"text":"open words","visibility":{"level":"tenant"}}]}`).is(200)
	act := s.key(t, "search act_as", `"purposes":["rag_retrieval"]`)
	plain := s.key(t, "search", `"purposes":["rag_retrieval"]`)
	narrow := s.key(t, "search act_as", `"purposes":["rag_retrieval"]`, `"namespaces":["user"]`)
	seen := func(key string, headers ...string) string {
		a := s.ask(t, key, "POST", "/v1/collections/mail/search", `{"query":"words","mode":"keyword"}`, headers...).is(200)
		var out []string
		for _, id := range []string{"listed", "open", "private"} {
			if strings.Contains(string(a.body), `"document_id":"`+id+`"`) {
				out = append(out, id)
			}
		}
		return strings.Join(out, " ")
	}
	for _, c := range []struct{ headers, want string }{
		{"", "open"},
		{"Assent-Principal: user:ada", "listed open private"},
		{"Assent-Principal: ada", "listed open private"},
		{"Assent-Principal: user%3Aada", "listed open private"},
		{"Assent-Principal: user:eve", "open"},
		{"Assent-Principal: user:Ada", "open"},
		{"Assent-Principal: email:b%2Bc@EXAMPLE.org", "listed open"},
		{"Assent-Principal: email:b+c@example.org", "listed open"},
		{"Assent-Principal: user:eve|Assent-Groups: x , Staff%2F%CE%A9", "listed open"},
		{"Assent-Groups: Staff%2F%CE%A9", "listed open"},
		{"Assent-Principal: user:eve|Assent-Groups: staff%2F%CE%A9", "open"},
		{"Assent-Principal: user:eve|Assent-Groups: ", "open"},
	} {
		if got := seen(act, split(c.headers)...); got != c.want {
			t.Errorf("%s sees %q, want %q", c.headers, got, c.want)
		}
	}
	for headers, want := range map[string][3]any{
		"Assent-Principal: ":                                                    {400, "invalid_input", "Assent-Principal"},
		"Assent-Principal: user:":                                               {400, "invalid_input", "Assent-Principal"},
		"Assent-Principal: user:%ff":                                            {400, "invalid_input", "Assent-Principal"},
		"Assent-Principal: user:%zz":                                            {400, "invalid_input", "Assent-Principal"},
		"Assent-Principal: a|Assent-Principal: b":                               {400, "invalid_input", "Assent-Principal"},
		"Assent-Principal: a|Assent-Groups: x,,y":                               {400, "invalid_input", "Assent-Groups"},
		"Assent-Principal: a|Assent-Groups: %00":                                {400, "invalid_input", "Assent-Groups"},
		"Assent-Principal: a|Assent-Groups: " + strings.Repeat("g,", 256) + "g": {400, "invalid_input", "Assent-Groups"},
	} {
		s.ask(t, act, "POST", "/v1/collections/mail/search", `{"query":"words"}`, split(headers)...).
			is(want[0].(int), want[1].(string), want[2].(string))
	}
	s.ask(t, plain, "POST", "/v1/collections/mail/search", `{"query":"words"}`, "Assent-Principal: ada").is(403, "scope_missing")
	s.ask(t, plain, "POST", "/v1/collections/mail/search", `{"query":"words"}`, "Assent-Groups: staff").is(403, "scope_missing")
	s.ask(t, narrow, "POST", "/v1/collections/mail/search", `{"query":"words"}`, "Assent-Principal: email:b@example.org").is(403, "namespace_not_permitted")
	s.ask(t, narrow, "POST", "/v1/collections/mail/search", `{"query":"words"}`, "Assent-Principal: ada").is(200)
}

func split(headers string) []string {
	if headers == "" {
		return nil
	}
	return strings.Split(headers, "|")
}

func TestIngestJudgesEachDocument(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.collection(t, "mail")
	s.says(t, "granted", "ada")
	s.says(t, "denied", "eve")
	const body = `{"documents":[
		{"id":"ok","owners":["ada"],"text":"x"},
		{"id":"bad","owners":["ada"],"text":"x","colour":"red"},
		{"id":"twice","owners":["ada"],"text":"x","text":"y"},
		{"id":"no","owners":["eve"],"text":"x"},
		{"id":"manual","personal":false,"text":"x"},
		7]}`
	want := func(a *answer, reason, manual string) {
		t.Helper()
		got := ""
		for i := range 6 {
			r := fmt.Sprintf("results.%d.", i)
			got += a.get(r+"id") + ":" + a.get(r+"status") + ":" + a.get(r+"field") + " "
		}
		if w := "ok:stored: bad:invalid:colour twice:invalid:text no:refused: manual:" + manual + " :invalid: "; got != w {
			t.Errorf("got  %s\nwant %s", got, w)
		}
		if r := a.get("results.3.reason"); r != reason {
			t.Errorf("reason %q, want %q", r, reason)
		}
	}
	want(s.do(t, "POST", "/v1/collections/mail/documents", body).is(200), "denied", "stored:")
	s.do(t, "DELETE", "/v1/collections/mail/documents/ok", "").is(204)
	s.do(t, "DELETE", "/v1/collections/mail/documents/ok", "").is(204)
	want(s.ask(t, s.key(t, "ingest"), "POST", "/v1/collections/mail/documents", body).is(200), "not_permitted", "invalid:personal")
	again := s.do(t, "POST", "/v1/collections/mail/documents", `{"documents":[{"id":"ok","owners":["ada"],"text":"x"}]}`).is(200)
	if again.get("results.0.status") != "unchanged" || again.get("results.0.passages") != "1" {
		t.Errorf("again: %s", again.body)
	}
	s.do(t, "POST", "/v1/collections/mail/documents", `{"documents":[{"id":"z","owners":["ada"],"text":"x"}],"x":1}`).is(400, "invalid_input", "x")
	s.do(t, "GET", "/v1/collections/mail/documents/z?purpose=rag_retrieval", "").is(404)
	doc := s.do(t, "GET", "/v1/collections/mail/documents/ok?purpose=rag_retrieval", "").is(200)
	if doc.get("text") != "x" || doc.get("passages.0.text") != "x" || doc.get("privacy.purpose") != "rag_retrieval" || !strings.Contains(string(doc.body), `"metadata":{}`) {
		t.Errorf("document: %s", doc.body)
	}
}

// What is not stored decides nothing for what is: a collection that one bad
// vector made one of supplied vectors would refuse every text after it.
func TestAnInvalidDocumentPinsNothing(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.says(t, "granted", "ada")
	doc := func(id, rest string) string { return `{"id":"` + id + `","owners":["ada"],` + rest + `}` }
	zero := doc("zero", `"passages":[{"text":"x","vector":[0,0]}]`)
	short := doc("short", `"passages":[{"text":"x","vector":[1]}]`)
	text, vector := doc("text", `"text":"x"`), doc("vector", `"passages":[{"text":"x","vector":[1,2]}]`)
	for name, c := range map[string]struct{ spec, bad, field, good string }{
		"zero vector then text":      {``, zero, "passages[0].vector", text},
		"zero vector then vector":    {``, zero, "passages[0].vector", vector},
		"other dimensions then text": {`,"dimensions":2`, short, "passages[0].vector", text},
	} {
		t.Run(name, func(t *testing.T) {
			for i, docs := range [][]string{{c.bad, c.good}, {c.bad + "," + c.good}} {
				at := fmt.Sprintf("/v1/collections/%s-%d", strings.ReplaceAll(name, " ", "-"), i)
				s.do(t, "PUT", at, `{"default_visibility":"tenant"`+c.spec+`}`).is(201)
				var results []string
				for _, d := range docs {
					a := s.do(t, "POST", at+"/documents", `{"documents":[`+d+`]}`).is(200)
					for _, r := range []string{"results.0.", "results.1."} {
						if a.get(r+"status") != "" {
							results = append(results, a.get(r+"status")+" "+a.get(r+"field"))
						}
					}
					if len(results) == 1 && s.do(t, "GET", at, "").is(200).get("embedder") != "" {
						t.Error("pinned by an invalid document")
					}
				}
				if want := []string{"invalid " + c.field, "stored "}; !slices.Equal(results, want) {
					t.Errorf("got %q, want %q", results, want)
				}
			}
		})
	}
}

func TestCollections(t *testing.T) {
	t.Parallel()
	s := open(t)
	put := func(body string) *answer { return s.do(t, "PUT", "/v1/collections/c", body) }
	put(`{}`).is(400, "invalid_input", "default_visibility")
	put(`{"default_visibility":"listed"}`).is(400, "invalid_input", "default_visibility")
	put(`{"default_visibility":"tenant","dimensions":0}`).is(400, "invalid_input", "dimensions")
	put(`{"default_visibility":"tenant","joint_ownership":"x"}`).is(400, "invalid_input", "joint_ownership")
	put(`{"default_visibility":"tenant","mentions":"x"}`).is(400, "invalid_input", "mentions")
	put(`{"default_visibility":"tenant","jurisdiction":"Xx9"}`).is(400, "invalid_input", "jurisdiction")
	s.do(t, "GET", "/v1/collections/c", "").is(404, "not_found")
	const full = `{"default_visibility":"private","joint_ownership":"any_owner","mentions":"must_permit","jurisdiction":"us-ca","keyword":true,"filterable":["lang"]}`
	made := put(full).is(201)
	if again := put(full).is(200); string(again.body) != string(made.body) {
		t.Errorf("again: %s", again.body)
	}
	if got := s.do(t, "GET", "/v1/collections/c", "").is(200); string(got.body) != string(made.body) {
		t.Errorf("got %s, put %s", got.body, made.body)
	}
	if list := s.do(t, "GET", "/v1/collections", "").is(200); list.get("collections.0.jurisdiction") != "US-CA" || list.get("collections.0.joint_ownership") != "any_owner" {
		t.Errorf("list: %s", list.body)
	}
	s.do(t, "PUT", "/v1/collections/a%2Fb", `{"default_visibility":"tenant"}`).is(400, "invalid_input", "collection")
	s.do(t, "PUT", "/v1/collections/%ff", `{"default_visibility":"tenant"}`).is(400, "invalid_input", "collection")
	s.do(t, "DELETE", "/v1/collections/c", "").is(204)
	s.do(t, "DELETE", "/v1/collections/c", "").is(204)
	s.do(t, "GET", "/v1/collections/c", "").is(404, "not_found")
}

// Who may only bring documents cannot turn the silence of people into consent.
func TestRulesOfACollectionAreTheAdminsToChange(t *testing.T) {
	t.Parallel()
	s := open(t)
	ingest := s.key(t, "ingest search")
	put := func(key, spec string) *answer {
		return s.ask(t, key, "PUT", "/v1/collections/c", `{"default_visibility":"tenant"`+spec+`}`)
	}
	put(ingest, `,"mentions":"must_permit","jurisdiction":"DE"`).is(201)
	put(ingest, `,"mentions":"must_permit","jurisdiction":"DE"`).is(200)
	for _, spec := range []string{
		``, `,"mentions":"must_permit"`, `,"jurisdiction":"DE"`, `,"mentions":"must_permit","jurisdiction":"US-CA"`,
		`,"mentions":"must_permit","jurisdiction":"DE","joint_ownership":"any_owner"`,
	} {
		put(ingest, spec).is(403, "scope_missing")
	}
	if a := s.do(t, "GET", "/v1/collections/c", "").is(200); a.get("mentions") != "must_permit" || a.get("jurisdiction") != "DE" {
		t.Errorf("changed all the same: %s", a.body)
	}
	put(s.key(t, "admin"), ``).is(200)
	if a := s.do(t, "GET", "/v1/collections/c", "").is(200); a.get("mentions") != "refusal_blocks" || a.get("jurisdiction") != "" {
		t.Errorf("not changed: %s", a.body)
	}
}

// HEAD answers as GET does, without a body, and a stream of events ends.
func TestHead(t *testing.T) {
	t.Parallel()
	s := open(t)
	over := httptest.NewServer(s)
	defer over.Close()
	ask := func(method, path, accept string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, over.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+operator)
		req.Header.Set("Accept", accept)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || (len(body) == 0) != (method == "HEAD") {
			t.Errorf("%s %s: a body of %d bytes, %v", method, path, len(body), err)
		}
		return resp.StatusCode, resp.Header.Get("Content-Type")
	}
	for path, want := range map[string]int{"/healthz": 200, "/v1/keys": 200, "/v1/events": 200, "/v1/collections/nothing": 404, "/v1/collections/c/search": 405} {
		status, kind := ask("GET", path, "application/json")
		if got, k := ask("HEAD", path, "text/event-stream"); status != want || got != status || k != kind {
			t.Errorf("HEAD %s: %d and %q, GET: %d and %q", path, got, k, status, kind)
		}
	}
}

func TestWhatIsNotThere(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.do(t, "GET", "/v1/nothing", "").is(404, "not_found")
	s.do(t, "GET", "/v1/keys/", "").is(404, "not_found")
	s.do(t, "GET", "/V1/keys", "").is(404, "not_found")
	a := s.do(t, "PATCH", "/v1/collections/x", "").is(405, "method_not_allowed")
	if allow := a.header.Get("Allow"); !strings.Contains(allow, "PUT") || !strings.Contains(allow, "GET") || !strings.Contains(allow, "DELETE") {
		t.Errorf("Allow: %s", allow)
	}
	s.do(t, "GET", "/v1/keys?full=1", "").is(400, "invalid_input", "full")
	s.do(t, "GET", "/v1/keys?a%20b=1", "").is(400, "invalid_input", "")
	s.do(t, "GET", "/v1/keys?%zz", "").is(400, "invalid_input", "")
	s.do(t, "GET", "/v1/collections/c/documents/d?purpose=a&purpose=b", "").is(400, "invalid_input", "purpose")
}

// A client that writes its whole request before it reads hears why it was
// refused, however much is still under way when the limit is met.
func TestABodyThatIsTooLargeIsAnswered(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.collection(t, "c")
	conn, err := net.Dial("tcp", s.listen(t).Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const size = 32 << 20 // more than sockets hold on the way
	_, err = fmt.Fprintf(conn, "POST /v1/collections/c/documents HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s",
		operator, size, strings.Repeat("x", size))
	if err != nil {
		t.Fatalf("the request could not be written: %v", err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func TestBodies(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.collection(t, "c")
	const path, body = "/v1/collections/c/search", `{"query":"x","purpose":"rag_retrieval"}`
	s.do(t, "POST", path, body, "Content-Type: application/json; charset=UTF-8").is(200)
	s.do(t, "POST", path, body, "Content-Type: ").is(200)
	for _, h := range []string{"text/plain", "application/x-ndjson", "application/xml", "application/json; charset=latin1", "/"} {
		s.do(t, "POST", path, body, "Content-Type: "+h).is(415, "unsupported_media_type")
	}
	s.do(t, "POST", path, body, "Content-Encoding: gzip").is(415, "unsupported_media_type")
	s.do(t, "POST", path, `{"query":"`+strings.Repeat("x", 8<<20)+`"}`).is(413, "too_large")
	s.do(t, "POST", path, ``).is(400, "invalid_input", "")
	s.do(t, "POST", path, `null`).is(400, "invalid_input", "")
	if got := s.do(t, "GET", "/openapi.yaml", "").is(200); !strings.HasPrefix(string(got.body), "openapi: 3") {
		t.Errorf("%.80s", got.body)
	}
	s.ask(t, "", "GET", "/healthz", "").is(http.StatusOK)
	s.ask(t, "", "GET", "/readyz", "").is(http.StatusOK)
}
