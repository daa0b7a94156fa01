package httpapi_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/assent-gateway/assent/internal/credential"
	"github.com/assent-gateway/assent/internal/httpapi"
)

// path fills a template's parameters.
func path(template string) string {
	return strings.NewReplacer(":user", "ada", ":type", "embedding_v1.0", ":c", "mail", ":id", "x", ":tenant", "default", "*path", "0/000.p/1", ":position", "1").Replace(template)
}

// TestEveryRouteNeedsItsScope: without a key 401, with every scope but its own
// 403, whatever the body; with one of its own neither.
func TestEveryRouteNeedsItsScope(t *testing.T) {
	t.Parallel()
	s := open(t, metricsHere(t))
	s.collection(t, "mail")
	for _, l := range httpapi.Table() {
		if l.Scope == "public" {
			s.ask(t, "", l.Method, path(l.Path), "").is(200)
			continue
		}
		const bad = `{"not":["what","anyone","asked"`
		a := s.ask(t, "", l.Method, path(l.Path), bad).is(401, "unauthenticated")
		if !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer") {
			t.Error("no WWW-Authenticate")
		}
		s.ask(t, "assent_none", l.Method, path(l.Path), bad).is(401, "unauthenticated")
		want, scoped := httpapi.ScopesOf(l.Method, l.Path)
		if !scoped {
			continue
		}
		others := strings.Join((credential.AllScopes &^ want).Names(), " ")
		s.ask(t, s.key(t, others), l.Method, path(l.Path), bad).is(403, "scope_missing")
		s.ask(t, s.key(t, others), l.Method, path(l.Path)+"?unknown=1", bad).is(403, "scope_missing")
		for _, scope := range want.Names() {
			if a := s.ask(t, s.key(t, scope), l.Method, path(l.Path), bad); a.status == 401 || a.status == 403 && a.get("code") == "scope_missing" {
				t.Errorf("%s %s with %s: %d", l.Method, l.Path, scope, a.status)
			}
		}
	}
}

func TestWhatIsNoCredential(t *testing.T) {
	t.Parallel()
	s := open(t)
	for _, h := range []string{"Basic " + operator, operator, "Bearer", "Bearer ", "Bearer x" + operator, "Bearer " + operator + ", Bearer x"} {
		s.ask(t, "", "GET", "/v1/keys", "", "Authorization: "+h).is(401, "unauthenticated")
	}
	s.ask(t, "", "GET", "/v1/keys", "", "Authorization: Bearer "+operator, "Authorization: Bearer "+operator).is(401, "unauthenticated")
	s.ask(t, "", "GET", "/v1/keys", "", "Authorization: bearer "+operator).is(200)
}

func TestKeys(t *testing.T) {
	t.Parallel()
	s := open(t)
	post := func(body string) *answer { return s.do(t, "POST", "/v1/keys", body) }
	for field, body := range map[string]string{
		"name":        `{"name":"","scopes":["search"],"purposes":[]}`,
		"scopes":      `{"name":"k","scopes":["searching"],"purposes":[]}`,
		"purposes":    `{"name":"k","scopes":["search"]}`,
		"purposes[1]": `{"name":"k","scopes":["search"],"purposes":["embedding","selling"]}`,
		"expires_at":  `{"name":"k","scopes":["search"],"purposes":[],"expires_at":"2001-01-01T00:00:00Z"}`,
		"collections": `{"name":"k","scopes":["search"],"purposes":[],"collections":"*"}`,
		"tenant":      `{"name":"k","scopes":["search"],"purposes":[],"tenant":"other"}`,
	} {
		post(body).is(400, "invalid_input", field)
	}
	post(`{"name":"k","scopes":[],"purposes":[]}`).is(400, "invalid_input", "scopes")
	post(`{"name":"k","scopes":["search"],"purposes":[],"expires_at":""}`).is(400, "invalid_input", "expires_at")
	post(`{"name":"k","scopes":["search"],"purposes":[],"namespaces":null}`).is(400, "invalid_input", "namespaces")

	limited := s.key(t, "admin search act_as", `"collections":["mail"]`, `"namespaces":["user"]`)
	for field, more := range map[string]string{
		"scopes": `"scopes":["ingest"],"purposes":[]`, "purposes": `"scopes":["search"],"purposes":["evaluation"]`,
		"collections": `"scopes":["search"],"purposes":[],"collections":["other"]`, "namespaces": `"scopes":["act_as"],"purposes":[],"namespaces":["email"]`,
	} {
		s.ask(t, limited, "POST", "/v1/keys", `{"name":"k",`+more+`}`).is(400, "invalid_input", field)
	}
	made := s.ask(t, limited, "POST", "/v1/keys", `{"name":"child","scopes":["search"],"purposes":["embedding"],"expires_at":"`+time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+`"}`).is(201)
	list := s.do(t, "GET", "/v1/keys", "").is(200)
	if list.get("keys.1.name") != "child" || list.get("keys.1.collections.0") != "mail" || list.get("keys.1.namespaces.0") != "user" ||
		list.get("keys.1.expires_at") == "" || strings.Contains(string(list.body), "assent_") {
		t.Errorf("list: %s", list.body)
	}
	child := made.get("key")
	s.ask(t, child, "GET", "/v1/collections", "").is(200)
	s.do(t, "DELETE", "/v1/keys/"+made.get("id"), "").is(204)
	s.ask(t, child, "GET", "/v1/collections", "").is(401, "unauthenticated")
	s.do(t, "DELETE", "/v1/keys/"+made.get("id"), "").is(204)
	s.do(t, "DELETE", "/v1/keys/key-none", "").is(204)
	if list := s.do(t, "GET", "/v1/keys", "").is(200); list.get("keys.1.revoked_at") == "" {
		t.Errorf("list: %s", list.body)
	}
}

// A key with an empty list may do nothing of that kind; shown without the list
// it would look as if it could do everything.
func TestAListThatIsEmptyIsShownAsSuch(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.key(t, "search act_as", `"purposes":[]`, `"collections":[]`, `"namespaces":[]`)
	s.key(t, "search act_as")
	var list struct {
		Keys []map[string]any `json:"keys"`
	}
	s.do(t, "GET", "/v1/keys", "").is(200).read(&list)
	for _, name := range []string{"purposes", "collections", "namespaces"} {
		if none, ok := list.Keys[0][name].([]any); !ok || len(none) != 0 {
			t.Errorf("%s: none is shown as %v", name, list.Keys[0][name])
		}
	}
	for _, name := range []string{"collections", "namespaces"} {
		if all, there := list.Keys[1][name]; there {
			t.Errorf("%s: all is shown as %v", name, all)
		}
	}
}

func TestTenantsNeverMeet(t *testing.T) {
	t.Parallel()
	s := open(t)
	made := s.do(t, "POST", "/v1/tenants", `{"name":"Two"}`).is(201)
	two := made.get("key")
	s.ask(t, two, "POST", "/v1/tenants", `{"name":"Three"}`).is(403, "scope_missing")
	s.do(t, "POST", "/v1/tenants", `{"name":""}`).is(400, "invalid_input", "name")
	s.collection(t, "mail")
	s.says(t, "granted", "ada")
	s.store(t, "mail", "m1", "ada", "hello from tenant one")
	passage := s.do(t, "POST", "/v1/collections/mail/search", `{"query":"hello","purpose":"rag_retrieval"}`).is(200).get("hits.0.passage_id")
	s.ask(t, two, "GET", "/v1/collections/mail", "").is(404)
	s.ask(t, two, "PUT", "/v1/collections/mail", `{"default_visibility":"tenant"}`).is(201)
	for _, a := range []*answer{
		s.ask(t, two, "POST", "/v1/collections/mail/search", `{"query":"hello","purpose":"rag_retrieval"}`).is(200),
		s.ask(t, two, "POST", "/v1/passages/check", fmt.Sprintf(`{"passage_ids":[%q],"purpose":"rag_retrieval"}`, passage)).is(200),
		s.ask(t, two, "GET", "/v1/consent/ada", "").is(200),
		s.ask(t, two, "GET", "/v1/keys", "").is(200),
	} {
		if strings.Contains(string(a.body), "hello") || strings.Contains(string(a.body), passage) || strings.Contains(string(a.body), "granted") {
			t.Errorf("seen from the other tenant: %s", a.body)
		}
	}
	s.ask(t, two, "GET", "/v1/collections/mail/documents/m1?purpose=rag_retrieval", "").is(404)
	s.ask(t, two, "DELETE", "/v1/collections/mail/documents/m1", "").is(204)
	s.do(t, "GET", "/v1/collections/mail/documents/m1?purpose=rag_retrieval", "").is(200)
}
