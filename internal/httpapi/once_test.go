package httpapi_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/assent-gateway/assent/internal/gateway"
)

// breaker makes the database's transactions fail, wait or panic while told to.
type breaker struct {
	broken atomic.Bool
	hold   atomic.Pointer[chan struct{}]
	held   chan struct{}
}

func (b *breaker) now(broken bool) { b.broken.Store(broken) }

func (b *breaker) fault(op string) error {
	if h := b.hold.Load(); h != nil && op == "tx.commit" {
		b.held <- struct{}{}
		<-*h
	}
	if b.broken.Load() && op == "tx.commit" {
		return errors.New("CANARY of a fault")
	}
	return nil
}

func TestARepeatIsAnsweredLikeTheFirst(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.collection(t, "mail")
	s.says(t, "granted", "ada")
	once := func(key string) string { return "Idempotency-Key: " + key }
	const doc = `{"documents":[{"id":"m1","owners":["ada"],"text":"x"},{"id":"bad","zz":1}]}`
	for i, c := range []struct{ method, path, body, other, between string }{
		{"POST", "/v1/collections/mail/documents", doc, strings.Replace(doc, "x", "y", 1), "DELETE /v1/collections/mail/documents/m1"},
		{"POST", "/v1/consent", `{"user_id":"eve","consent_type":"embedding_v1","status":"granted","source":"s"}`, `{"user_id":"eve","consent_type":"embedding_v1","status":"denied","source":"s"}`, ""},
		{"PUT", "/v1/consent-types/embedding_v2.0", `{"text":"t","language":"en","accepts":["embedding_v1"]}`, `{"text":"u","language":"en","accepts":["embedding_v1"]}`, ""},
		{"PUT", "/v1/collections/new", `{"default_visibility":"tenant"}`, `{"default_visibility":"private"}`, "DELETE /v1/collections/new"},
	} {
		first := s.do(t, c.method, c.path, c.body, once(fmt.Sprint("k", i)))
		if first.status > 299 {
			t.Fatalf("%s: %d %s", c.path, first.status, first.body)
		}
		if method, path, ok := strings.Cut(c.between, " "); ok {
			s.do(t, method, path, "").is(204)
		}
		again := s.do(t, c.method, c.path, c.body, once(fmt.Sprint("k", i)))
		if again.status != first.status || string(again.body) != string(first.body) {
			t.Errorf("%s: first %d %s, again %d %s", c.path, first.status, first.body, again.status, again.body)
		}
		s.do(t, c.method, c.path, c.other, once(fmt.Sprint("k", i))).is(409, "idempotency_key_reused")
		s.do(t, c.method, c.path, c.body, once(fmt.Sprint("k", i)), "Assent-Principal: eve").is(409, "idempotency_key_reused")
	}
	// The deletions between were not undone by the repeats.
	s.do(t, "GET", "/v1/collections/mail/documents/m1?purpose=rag_retrieval", "").is(404)
	s.do(t, "GET", "/v1/collections/new", "").is(404)
}

func TestSecretsAreNotRepeated(t *testing.T) {
	t.Parallel()
	s := open(t)
	for _, c := range [][2]string{
		{"/v1/keys", `{"name":"k","scopes":["search"],"purposes":[]}`},
		{"/v1/tenants", `{"name":"Two"}`},
	} {
		first := s.do(t, "POST", c[0], c[1], "Idempotency-Key: k").is(201)
		again := s.do(t, "POST", c[0], c[1], "Idempotency-Key: k").is(201)
		if first.get("key") == "" || again.get("key") != "" || again.get("id") != first.get("id") || first.get("id") == "" {
			t.Errorf("%s: first %s, again %s", c[0], first.body, again.body)
		}
		s.do(t, "POST", c[0], strings.Replace(c[1], `"name":"`, `"name":"x`, 1), "Idempotency-Key: k").is(409, "idempotency_key_reused")
	}
	if list := s.do(t, "GET", "/v1/keys", "").is(200); list.get("keys.0.id") == "" || list.get("keys.1.id") != "" {
		t.Errorf("a repeat made a key: %s", list.body)
	}
}

func TestDeletionsRepeat(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.collection(t, "a")
	s.collection(t, "b")
	s.do(t, "DELETE", "/v1/collections/a", "", "Idempotency-Key: k").is(204)
	s.collection(t, "a")
	s.do(t, "DELETE", "/v1/collections/a", "", "Idempotency-Key: k").is(204)
	s.do(t, "GET", "/v1/collections/a", "").is(200) // the repeat deleted nothing
	s.do(t, "DELETE", "/v1/collections/b", "", "Idempotency-Key: k").is(409, "idempotency_key_reused")
	s.do(t, "GET", "/v1/collections/b", "").is(200)
	// The key is the credential's and the route's own.
	s.do(t, "DELETE", "/v1/collections/a/documents/x", "", "Idempotency-Key: k").is(204)
	s.ask(t, s.key(t, "ingest"), "DELETE", "/v1/collections/b", "", "Idempotency-Key: k").is(204)
}

func TestAFailureIsNotRemembered(t *testing.T) {
	t.Parallel()
	s := open(t)
	const put = "/v1/collections/c/documents"
	const body = `{"documents":[{"id":"a","owners":["ada"],"text":"x"}]}`
	s.says(t, "granted", "ada")
	s.do(t, "POST", put, body, "Idempotency-Key: k").is(404)
	s.collection(t, "c")
	if a := s.do(t, "POST", put, body, "Idempotency-Key: k").is(200); a.get("results.0.status") != "stored" {
		t.Errorf("after a 404: %s", a.body)
	}
}

func TestAnIdempotencyKeyIsPrintableASCII(t *testing.T) {
	t.Parallel()
	s := open(t)
	const path, body = "/v1/collections/c", `{"default_visibility":"tenant"}`
	for _, bad := range []string{"", "ä", "a\tb", strings.Repeat("k", 256)} {
		s.do(t, "PUT", path, body, "Idempotency-Key: "+bad).is(400, "invalid_input", "Idempotency-Key")
	}
	s.do(t, "PUT", path, body, "Idempotency-Key: a", "Idempotency-Key: a").is(400, "invalid_input", "Idempotency-Key")
	s.do(t, "PUT", path, body, "Idempotency-Key: "+strings.Repeat("~", 255)).is(201)
}

// TestARepeatWaitsForTheFirst: two requests at once are one write.
func TestARepeatWaitsForTheFirst(t *testing.T) {
	t.Parallel()
	b := breaker{held: make(chan struct{}, 8)}
	s := open(t, func(c *gateway.Config) { c.DBFault = b.fault })
	release := make(chan struct{})
	b.hold.Store(&release)
	const body = `{"user_id":"eve","consent_type":"embedding_v1","status":"granted","source":"s"}`
	var answers [3]*answer
	var wg sync.WaitGroup
	send := func(i int) {
		wg.Go(func() { answers[i] = s.do(t, "POST", "/v1/consent", body, "Idempotency-Key: k") })
	}
	send(0)
	<-b.held // the first one is about to commit
	send(1)
	send(2)
	b.hold.Store(nil)
	close(release)
	wg.Wait()
	for _, a := range answers {
		if a.status != http.StatusCreated || string(a.body) != string(answers[0].body) {
			t.Errorf("%d %s, the first %s", a.status, a.body, answers[0].body)
		}
	}
	if h := s.do(t, "GET", "/v1/consent/eve/history", "").is(200); h.get("entries.1.position") != "" {
		t.Errorf("more than one entry: %s", h.body)
	}
}
