package httpapi_test

import (
	"strings"
	"testing"
)

// Collections say what becomes of joint documents; passages say whose they are;
// suspected mentions are listed and decided about, without a word of text.
func TestJointDocumentsAndMentions(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.says(t, "granted", "ada", "bob")
	s.do(t, "PUT", "/v1/collections/c", `{"default_visibility":"tenant","on_erasure":"redact"}`).is(201)
	if a := s.do(t, "GET", "/v1/collections/c", "").is(200); a.get("on_erasure") != "redact" {
		t.Errorf("the collection: %s", a.body)
	}
	s.do(t, "PUT", "/v1/collections/d", `{"default_visibility":"tenant","on_erasure":"keep"}`).is(400, "invalid_input", "on_erasure")
	in := func(passage string) *answer {
		return s.do(t, "POST", "/v1/collections/c/documents", `{"documents":[{"id":"talk","owners":["ada","bob"],"passages":[{"text":"The cellar server."`+passage+`},{"text":"The roof server.","author":"bob"}]}]}`).is(200)
	}
	for _, bad := range []string{`,"author":"eve"`, `,"mentions":["eve"]`} {
		if a := in(bad); a.get("results.0.status") != "invalid" || !strings.HasPrefix(a.get("results.0.field"), "passages[0].") {
			t.Errorf("%s: %s", bad, a.body)
		}
	}
	if a := in(`,"author":"user:ada","mentions":["bob"]`); a.get("results.0.status") != "stored" {
		t.Errorf("with an author: %s", a.body)
	}
	if a := in(`,"author":"ada","mentions":["bob"]`); a.get("results.0.status") != "unchanged" {
		t.Errorf("the same again: %s", a.body)
	}
	s.store(t, "c", "letter", "bob", "Dear Ada, the server is fine.")
	id := s.do(t, "POST", "/v1/erasures", `{"scope":"subject","subject":"ada"}`).is(202).get("id")
	done := s.erased(t, id)
	if done.get("state") != "completed" || done.get("redacted_documents") != "1" || done.get("suspected_mentions") != "1" {
		t.Errorf("ended as %s", done.body)
	}
	hits := s.do(t, "POST", "/v1/collections/c/search", `{"query":"server","purpose":"rag_retrieval"}`).is(200)
	if body := string(hits.body); strings.Contains(body, "cellar") || !strings.Contains(body, "roof") {
		t.Errorf("found: %s", body)
	}
	path := "/v1/erasures/" + id + "/mentions"
	list := s.do(t, "GET", path, "").is(200)
	if list.get("suspected") != "1" || list.get("mentions.0.document_id") != "letter" || list.get("mentions.0.passage_ids.0") == "" || strings.Contains(string(list.body), "Dear") {
		t.Errorf("mentions: %s", list.body)
	}
	s.do(t, "POST", path+"/1", `{"action":"burn"}`).is(400, "invalid_input", "action")
	s.do(t, "POST", path+"/2", `{"action":"ignore"}`).is(404)
	s.do(t, "POST", path+"/x", `{"action":"ignore"}`).is(404)
	for range 2 {
		s.do(t, "POST", path+"/1", `{"action":"redact"}`, "Idempotency-Key: once").is(204)
	}
	s.do(t, "POST", path+"/1", `{"action":"redact"}`).is(404)
	if list := s.do(t, "GET", path, "").is(200); list.get("mentions.0.document_id") != "" {
		t.Errorf("after the decision: %s", list.body)
	}
	hits = s.do(t, "POST", "/v1/collections/c/search", `{"query":"server","purpose":"rag_retrieval"}`).is(200)
	if !strings.Contains(string(hits.body), "Dear [redacted], the server is fine.") {
		t.Errorf("found: %s", hits.body)
	}
}
