package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTheKeyIsAssentKeyElseTheAdminKeyOfAGatewayOnThisMachine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	vault := filepath.Join(dir, "data.vault")
	if err := os.Mkdir(vault, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(vault, "admin.key"), []byte("assent_admin\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		env         map[string]string
		key, refuse string
	}{
		"ASSENT_KEY wins":                  {env: map[string]string{"ASSENT_KEY": "k", "ASSENT_VAULT": vault}, key: "k"},
		"the vault's key":                  {env: map[string]string{"ASSENT_VAULT": vault}, key: "assent_admin"},
		"the key beside ASSENT_DATA":       {env: map[string]string{"ASSENT_DATA": filepath.Join(dir, "data")}, key: "assent_admin"},
		"IPv6 loopback":                    {env: map[string]string{"ASSENT_VAULT": vault, "ASSENT_URL": "http://[::1]:8080"}, key: "assent_admin"},
		"not sent to another machine":      {env: map[string]string{"ASSENT_VAULT": vault, "ASSENT_URL": "https://gateway.example"}, refuse: "ASSENT_KEY is not set"},
		"nor to a name that looks like it": {env: map[string]string{"ASSENT_VAULT": vault, "ASSENT_URL": "http://localhost.example"}, refuse: "ASSENT_KEY is not set"},
		"no vault":                         {env: map[string]string{"ASSENT_VAULT": dir}, refuse: "ASSENT_VAULT"},
		"no address":                       {env: map[string]string{"ASSENT_URL": "gateway:8080"}, refuse: "ASSENT_URL"},
		"a password in the address":        {env: map[string]string{"ASSENT_URL": "http://a:b@localhost"}, refuse: "ASSENT_URL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &session{getenv: func(n string) string { return c.env[n] }}
			got, err := s.client()
			switch {
			case c.refuse != "":
				if err == nil || !strings.Contains(err.Error(), c.refuse) {
					t.Errorf("error %v, want one that names %s", err, c.refuse)
				}
			case err != nil || got.key != c.key:
				t.Errorf("%v, %v; want key %q", got, err, c.key)
			}
		})
	}
}

func testClient(t *testing.T, url string) *client {
	t.Helper()
	env := map[string]string{"ASSENT_URL": url, "ASSENT_KEY": testKey}
	s := &session{getenv: func(n string) string { return env[n] }}
	c, err := s.client()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAProblemIsOneSentence(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status     int
		body, want string
		transient  bool
	}{
		{403, `{"type":"urn:assent:problem:scope_missing","title":"The key lacks the scope this needs"}`,
			"the gateway answered 403 scope_missing: The key lacks the scope this needs", false},
		{400, `{"type":"urn:assent:problem:invalid_input","title":"T","detail":"is required","field":"k"}`,
			"the gateway answered 400 invalid_input: is required (field k)", false},
		{401, `{"type":"about:blank"}`, "the gateway answered 401: Unauthorized; is ASSENT_KEY a key of this gateway?", false},
		{503, `<html>proxy</html>`, "the gateway answered 503: Service Unavailable", true},
		{429, ``, "the gateway answered 429: Too Many Requests", true},
		{500, "{\"title\":\"a\x1b[2Jb\"}", "the gateway answered 500: Internal Server Error", false},
		{409, `{"type":"x:conflict","title":"a\u001b[2Jb"}`, "the gateway answered 409 conflict: a [2Jb", false},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			w.Write([]byte(c.body))
		}))
		_, err := testClient(t, server.URL).call(t.Context(), http.MethodGet, "/x", nil, nil)
		server.Close()
		p, ok := err.(*problem)
		if !ok || p.Error() != c.want || p.transient() != c.transient {
			t.Errorf("%d %s: %v (%T)", c.status, c.body, err, err)
		}
	}
}

func TestNoAnswerSaysWhatToDoAndNothingOfTheRequest(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close() // nobody listens there now
	_, err := testClient(t, server.URL).call(t.Context(), http.MethodGet, path("v1", "consent", "user:ada@example"), nil, nil)
	if err == nil || !strings.Contains(err.Error(), "assent serve") || strings.Contains(err.Error(), "ada") {
		t.Errorf("error %v", err)
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the request went on to where it was sent")
	}))
	defer elsewhere.Close()
	server := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	_, err := testClient(t, server.URL).call(t.Context(), http.MethodPost, "/v1/consent", map[string]string{"user_id": "ada"}, nil)
	if !answered(err, http.StatusTemporaryRedirect) {
		t.Errorf("error %v", err)
	}
}

func TestAPathEscapesWhatItIsMadeOf(t *testing.T) {
	t.Parallel()
	if got, want := path("v1", "collections", "a/b c?d#e%", "documents"), "/v1/collections/a%2Fb%20c%3Fd%23e%25/documents"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestRetryAfterIsSecondsOrADate(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "-1": 0, "soon": 0, "7": 7 * time.Second, "99999999": 24 * time.Hour,
		"Fri, 02 Jan 2026 03:04:35 GMT": 30 * time.Second, "Fri, 02 Jan 2026 03:04:00 GMT": 0,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}
