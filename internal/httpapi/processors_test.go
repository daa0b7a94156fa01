package httpapi_test

import (
	"strings"
	"testing"
)

const hookBody = `{"url":"https://crm.example/hook?token=t","role":"processor","kinds":["consent","erasure"],"categories":["contact"]}`

// TestProcessors is the contract of the routes: a secret is shown once, an
// address without its query, and nothing to another tenant.
func TestProcessors(t *testing.T) {
	t.Parallel()
	s := open(t)
	a := s.do(t, "PUT", "/v1/processors/crm", hookBody, "Idempotency-Key: one").is(201)
	if !strings.HasPrefix(a.get("secret"), "whsec_") || a.get("url") != "https://crm.example/hook" {
		t.Errorf("%s", a.body)
	}
	if again := s.do(t, "PUT", "/v1/processors/crm", hookBody, "Idempotency-Key: one").is(201); again.get("secret") != "" {
		t.Errorf("shown again: %s", again.body)
	}
	if again := s.do(t, "PUT", "/v1/processors/crm", strings.Replace(hookBody, "contact", "mail", 1)).is(200); again.get("secret") != "" || again.get("categories.0") != "mail" {
		t.Errorf("changed: %s", again.body)
	}
	list := s.do(t, "GET", "/v1/processors", "").is(200)
	if list.get("processors.0.name") != "crm" || strings.Contains(string(list.body), "token") || strings.Contains(string(list.body), "whsec") {
		t.Errorf("listed: %s", list.body)
	}
	other := s.do(t, "POST", "/v1/tenants", `{"name":"other"}`).is(201).get("key")
	if a := s.ask(t, other, "GET", "/v1/processors", "").is(200); a.get("processors") != "[]" {
		t.Errorf("another tenant sees %s", a.body)
	}
	s.ask(t, other, "DELETE", "/v1/processors/crm", "").is(204)
	s.ask(t, s.key(t, "consent:write erasure:write"), "PUT", "/v1/processors/x", hookBody).is(403, "scope_missing", "")
	if a := s.do(t, "GET", "/v1/processors", "").is(200); a.get("processors.0.name") != "crm" {
		t.Errorf("dropped by another tenant: %s", a.body)
	}
	s.do(t, "DELETE", "/v1/processors/crm", "").is(204)
	s.do(t, "DELETE", "/v1/processors/crm", "").is(204)
	if a := s.do(t, "GET", "/v1/processors", "").is(200); a.get("processors") != "[]" {
		t.Errorf("still there: %s", a.body)
	}
}

// TestProcessorsBadInput: each is named by its field.
func TestProcessorsBadInput(t *testing.T) {
	t.Parallel()
	s := open(t)
	swap := func(old, new string) string { return strings.Replace(hookBody, old, new, 1) }
	address := `"https://crm.example/hook?token=t"`
	for body, field := range map[string]string{
		swap(address, `"http://crm.example/hook"`):             "url", // not off this machine
		swap(address, `"http://127.0.0.1.example/"`):           "url",
		swap(address, `"http://10.0.0.1/"`):                    "url",
		swap(address, `"ftp://crm.example/"`):                  "url",
		swap(address, `"https://u:p@crm.example/"`):            "url",
		swap(address, `"https://crm.example/#x"`):              "url",
		swap(address, `"https:///hook"`):                       "url",
		swap(address, `""`):                                    "url",
		swap(`"role"`, `"secret":"whsec_eA==","role"`):         "secret",
		swap(`"role"`, `"secret":"eA==","role"`):               "secret",
		swap(`"role"`, `"public_key":"eA==","role"`):           "public_key",
		swap(`"role"`, `"public_key":"","role"`):               "public_key",
		swap(`"processor"`, `"owner"`):                         "role",
		swap(`["consent","erasure"]`, `[]`):                    "kinds",
		swap(`["consent","erasure"]`, `["all"]`):               "kinds",
		swap(`["consent","erasure"]`, `["consent","consent"]`): "kinds",
		swap(`["contact"]`, `[""]`):                            "categories",
		swap(`"role"`, `"name":"x","role"`):                    "name",
	} {
		s.do(t, "PUT", "/v1/processors/crm", body).is(400, "invalid_input", field)
	}
	for _, name := range []string{"A", "-x", "a.b", "a%20b", strings.Repeat("x", 51)} {
		s.do(t, "PUT", "/v1/processors/"+name, hookBody).is(400, "invalid_input", "name")
	}
	if a := s.do(t, "GET", "/v1/processors", "").is(200); a.get("processors") != "[]" {
		t.Errorf("something was registered: %s", a.body)
	}
	other := s.do(t, "POST", "/v1/tenants", `{"name":"other"}`).is(201).get("key")
	for _, ok := range []string{`"http://127.0.0.1:9/"`, `"http://[::1]:9/"`, `"http://localhost:9/"`} {
		a := s.do(t, "PUT", "/v1/processors/local", swap(address, ok))
		if a.status > 201 {
			t.Errorf("%s: %s", ok, a.body)
		}
		// Another tenant's administrator reaches nothing of the operator's by them.
		s.ask(t, other, "PUT", "/v1/processors/local", swap(address, ok)).is(400, "invalid_input", "url")
	}
}
