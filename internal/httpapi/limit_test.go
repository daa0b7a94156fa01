package httpapi_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/httpapi"
)

// limited is a gateway that lets a key ask ten times a second, on a clock that
// only the test moves.
func limited(t *testing.T) (s *server, pass func(time.Duration)) {
	t.Helper()
	c := collect(t)
	s = open(t, c.watch)
	var mu sync.Mutex
	now := time.Unix(1e9, 0)
	s.Handler = httpapi.New(httpapi.Deps{
		Ledger: s.Ledger, Retrieval: s.Retrieval, Credentials: s.Credentials, Tenants: s, Tree: s.Tree, Ready: s.Ready,
		Observer: c.tel.HTTP(), Metrics: c.tel.Handler(), RateLimit: 10,
		Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now },
	})
	return s, func(d time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(d) }
}

func TestAKeyThatAsksTooOftenIsAnswered429(t *testing.T) {
	t.Parallel()
	s, pass := limited(t)
	other := s.key(t, "search consent:read")
	// The key above was one of twenty that the operator may ask at once.
	for range 19 {
		s.do(t, "GET", "/v1/collections", "").is(200)
	}
	a := s.do(t, "GET", "/v1/collections", "").is(429, "rate_limited", "")
	if a.header.Get("Retry-After") != "1" || a.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%v", a.header)
	}
	// Before scope, body and route are looked at; but not before the key.
	s.do(t, "POST", "/v1/collections/x/search", "nonsense").is(429)
	s.ask(t, "assent_none", "GET", "/v1/collections", "").is(401)
	// Another key, and what needs none, is not held up.
	s.ask(t, other, "GET", "/v1/collections", "").is(200)
	for range 30 {
		s.ask(t, "", "GET", "/healthz", "").is(200)
	}
	// What was refused cost nothing: a tenth of a second later there is one again.
	pass(100 * time.Millisecond)
	s.do(t, "GET", "/v1/collections", "").is(200)
	s.do(t, "GET", "/v1/collections", "").is(429)
	if m := string(s.ask(t, "", "GET", "/metrics", "").is(200).body); !strings.Contains(m, `assent_http_limited_total{route="/v1/collections"} 2`) {
		t.Error("not counted by route")
	}
	pass(time.Hour)
	for range 20 {
		s.do(t, "GET", "/v1/collections", "").is(200)
	}
	s.do(t, "GET", "/v1/collections", "").is(429)
}

// What answers yes or no about something hidden has a tenth of the limit.
func TestOraclesAreLimitedMoreStrictly(t *testing.T) {
	t.Parallel()
	s, pass := limited(t)
	s.collection(t, "mail")
	for _, o := range []struct{ method, path, body string }{
		{"POST", "/v1/passages/check", `{"passage_ids":[],"purpose":"rag_retrieval"}`},
		{"GET", "/v1/collections/mail/documents/x?purpose=rag_retrieval", ""},
		{"POST", "/v1/consent/decide", `{"subjects":[],"purpose":"rag_retrieval"}`},
		{"POST", "/consent/decide", `{"subjects":[],"purpose":"rag_retrieval"}`},
	} {
		pass(time.Hour)
		for i := range 2 {
			if a := s.do(t, o.method, o.path, o.body); a.status == 429 {
				t.Errorf("%s %s: question %d is refused", o.method, o.path, i)
			}
		}
		if a := s.do(t, o.method, o.path, o.body).is(429, "rate_limited", ""); a.header.Get("Retry-After") != "1" {
			t.Errorf("%v", a.header)
		}
		s.do(t, "POST", "/v1/collections/mail/search", `{"query":"x","purpose":"rag_retrieval"}`).is(200)
	}
	// A share for all of them, not one each.
	s.do(t, "POST", "/v1/passages/check", `{"passage_ids":[],"purpose":"rag_retrieval"}`).is(429)
}

func TestWithoutALimitNothingIsRefused(t *testing.T) {
	t.Parallel()
	s := open(t, func(c *gateway.Config) { c.RateLimit = 0 })
	for range 100 {
		if a := s.do(t, http.MethodPost, "/v1/passages/check", `{"passage_ids":[],"purpose":"rag_retrieval"}`); a.status != 200 {
			t.Fatalf("%d", a.status)
		}
	}
}

// Keys that rest are forgotten, and remembered no worse.
func TestTheLimiterForgetsKeysThatRest(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	l := httpapi.NewLimiter(10, func() time.Time { return now })
	for i := range 10_000 {
		if i == 5000 {
			now = now.Add(time.Hour)
		}
		l.Take(string(rune(i))+"key", false)
	}
	if n := l.Len(); n > 5200 {
		t.Errorf("%d keys are remembered", n)
	}
}
