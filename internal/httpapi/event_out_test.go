package httpapi_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/httpapi"
)

// told is an event that went out.
type told struct {
	ID, Source, Type, Subject, Time string
	Data                            map[string]any
}

func (e told) String() string {
	return strings.TrimPrefix(e.Type, "org.assent.") + " " + e.Subject + " " + strings.TrimSpace(fmt.Sprintln(e.Data["status"], e.Data["state"], e.Data["reason"]))
}

// heard reads all events by pages of three entries.
func (s *server) heard(t testing.TB, key string) (out []told) {
	t.Helper()
	for after := "0"; ; {
		a := s.ask(t, key, "GET", "/v1/events?limit=3&after="+after, "").is(200)
		var page struct {
			Events []told
		}
		if err := json.Unmarshal(a.body, &page, json.MatchCaseInsensitiveNames(true)); err != nil {
			t.Fatal(err)
		}
		out = append(out, page.Events...)
		if after = a.get("next_after"); after == a.get("ledger_position") {
			return out
		}
	}
}

func find(events []told, typ string) (out []told) {
	for _, e := range events {
		if strings.HasSuffix(e.Type, typ) {
			out = append(out, e)
		}
	}
	return out
}

// TestEventsAreOfTheLedger: what people said, erasures and stale manifests, in
// order, each once and always with the same id; who is erased is not named.
func TestEventsAreOfTheLedger(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.says(t, "granted", "ada", "bob", "cy")
	s.collection(t, "c")
	for _, p := range []string{"ada", "bob", "cy"} {
		s.store(t, "c", "of-"+p, p, "The server of "+p)
	}
	one := s.manifest(t, `{"purpose":"rag_retrieval","collections":["c"],"formats":["jsonl"]}`).get("id")
	other := s.manifest(t, `{"purpose":"rag_retrieval","collections":["c"],"formats":["jsonl"],"splits":{"train":0.5,"test":0.5}}`).get("id")
	if n := len(find(s.heard(t, operator), "manifest.stale.v1")); n != 0 {
		t.Errorf("%d stale manifests before anybody withdrew", n)
	}
	s.do(t, "POST", "/v1/consent", `{"user_id":"bob","consent_type":"rag_retrieval_v1.0","status":"revoked","source":"s"}`).is(201)
	s.do(t, "POST", "/v1/consent", `{"user_id":"cy","consent_type":"embedding_v1.0","status":"objected","source":"s"}`).is(201) // the same manifests again
	id := s.do(t, "POST", "/v1/erasures", `{"scope":"subject","subject":"ada"}`).is(202).get("id")
	s.erased(t, id)
	all := s.heard(t, operator)
	var got []string
	for _, e := range all {
		got = append(got, e.String())
		if e.Source == "" || e.Time == "" || !strings.HasPrefix(e.ID, fmt.Sprint(e.Data["ledger_position"])+"-") {
			t.Errorf("%+v", e)
		}
	}
	want := []string{
		// Of Ada what she said is there, and does not name her.
		"consent.changed.v1  granted <nil> <nil>", "consent.changed.v1  granted <nil> <nil>",
		"consent.changed.v1 user:bob granted <nil> <nil>", "consent.changed.v1 user:bob granted <nil> <nil>",
		"consent.changed.v1 user:cy granted <nil> <nil>", "consent.changed.v1 user:cy granted <nil> <nil>",
		"consent.changed.v1 user:bob revoked <nil> <nil>",
		"manifest.stale.v1  <nil> <nil> withdrawn", "manifest.stale.v1  <nil> <nil> withdrawn",
		"consent.changed.v1 user:cy objected <nil> <nil>",
		"erasure.suppressed.v1  <nil> suppressed <nil>", "erasure.completed.v1  <nil> completed <nil>",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("heard\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	stale := find(all, "manifest.stale.v1")
	if len(stale) != 2 || stale[0].ID == stale[1].ID || stale[0].Data["manifest"] == stale[1].Data["manifest"] ||
		!strings.Contains(fmt.Sprint(one, other), fmt.Sprint(stale[0].Data["manifest"])) {
		t.Errorf("stale: %v", stale)
	}
	if again := s.heard(t, operator); fmt.Sprint(again) != fmt.Sprint(all) {
		t.Errorf("again\n%v\nat first\n%v", again, all)
	}
	done := find(all, "erasure.completed.v1")[0]
	if done.Data["id"] != id || len(fmt.Sprint(done.Data["statement_sha256"])) != 64 {
		t.Errorf("completed: %v", done)
	}
	// Each key hears what it may read.
	for scopes, want := range map[string]map[string]int{
		"consent:read":              {"consent.changed.v1": 8},
		"erasure:read":              {"erasure.suppressed.v1": 1, "erasure.completed.v1": 1},
		"manifest:read":             {"manifest.stale.v1": 2},
		"consent:read erasure:read": {"consent.changed.v1": 8, "erasure.suppressed.v1": 1, "erasure.completed.v1": 1},
	} {
		got := s.heard(t, s.key(t, scopes))
		n := 0
		for typ, count := range want {
			n += count
			if len(find(got, typ)) != count {
				t.Errorf("%s hears %v", scopes, got)
			}
		}
		if len(got) != n {
			t.Errorf("%s hears %v", scopes, got)
		}
	}
	if got := s.heard(t, s.key(t, "consent:read", `"purposes":["embedding"]`)); len(got) != 4 {
		t.Errorf("a key of one purpose hears %v", got)
	}
	s.ask(t, s.key(t, "consent:read", `"collections":["c"]`), "GET", "/v1/events", "").is(403, "scope_missing", "")
	s.ask(t, s.key(t, "search"), "GET", "/v1/events", "").is(403, "scope_missing", "")
	s.do(t, "GET", "/v1/events?after=x", "").is(400, "invalid_input", "after")
	s.do(t, "GET", "/v1/events?limit=0", "").is(400, "invalid_input", "limit")
	s.do(t, "GET", "/v1/events?limit=1001", "").is(400, "invalid_input", "limit")
	other2 := s.do(t, "POST", "/v1/tenants", `{"name":"other"}`).is(201).get("key")
	if got := s.heard(t, other2); len(got) != 0 {
		t.Errorf("another tenant hears %v", got)
	}
}

// TestEventsBeyondTheLedger: who asks for what is after its end does not move it.
func TestEventsBeyondTheLedger(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.says(t, "granted", "ada")
	head := s.do(t, "GET", "/v1/events", "").is(200).get("ledger_position")
	a := s.do(t, "GET", "/v1/events?after=99999", "").is(200)
	if a.get("events") != "[]" || a.get("next_after") != "99999" || a.get("ledger_position") != head {
		t.Errorf("%s, want position %s", a.body, head)
	}
}

// TestADeniedErasureIsTold: what was told as received ends as denied, and what
// is approved is told again, by now to be erased.
func TestADeniedErasureIsTold(t *testing.T) {
	t.Parallel()
	s := open(t, func(c *gateway.Config) { c.MassLimit, c.ErasuresByHand = 1, true })
	s.says(t, "granted", "ada", "bob", "cy")
	var ids []string
	for _, p := range []string{"ada", "bob", "cy"} {
		ids = append(ids, s.do(t, "POST", "/v1/erasures", fmt.Sprintf(`{"scope":"subject","subject":%q}`, p)).is(202).get("id"))
	}
	second := s.key(t, "erasure:write erasure:read")
	s.ask(t, second, "POST", "/v1/erasures/"+ids[1]+"/decide", `{"decision":"approve"}`).is(200)
	s.ask(t, second, "POST", "/v1/erasures/"+ids[2]+"/decide", `{"decision":"deny"}`).is(200)
	var got []string
	for _, e := range s.heard(t, second) {
		got = append(got, e.String())
	}
	want := []string{
		"erasure.suppressed.v1 user:ada <nil> suppressed <nil>", "erasure.suppressed.v1 user:bob <nil> received <nil>",
		"erasure.suppressed.v1  <nil> received <nil>", // of whom it was, an ended request does not tell
		"erasure.suppressed.v1 user:bob <nil> suppressed <nil>", "erasure.completed.v1  <nil> denied <nil>",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("heard\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// An sse is a stream of events in progress.
type sse struct {
	t     *testing.T
	lines *bufio.Scanner
	stop  func()
}

func (s *server) subscribe(t *testing.T, u *url.URL, key, last string) *sse {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", u.JoinPath("/v1/events").String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Accept", "text/event-stream")
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); resp.Body.Close() })
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatal(resp.Status, resp.Header)
	}
	return &sse{t, bufio.NewScanner(resp.Body), cancel}
}

// next returns the next event, and the id that it has; false at the end.
func (s *sse) next() (e told, id string, ok bool) {
	s.t.Helper()
	for s.lines.Scan() {
		name, value, _ := strings.Cut(s.lines.Text(), ": ")
		switch name {
		case "id":
			id = value
		case "data":
			if err := json.Unmarshal([]byte(value), &e, json.MatchCaseInsensitiveNames(true)); err != nil {
				s.t.Fatal(err)
			}
			return e, id, true
		}
	}
	return e, id, false
}

// TestEventsStream: as they come, from where the client was, until the gateway
// stops.
func TestEventsStream(t *testing.T) {
	t.Parallel()
	s := open(t)
	u := s.listen(t)
	s.says(t, "granted", "ada")
	first := s.subscribe(t, u, operator, "")
	_, _, _ = first.next()
	e, id, ok := first.next()
	if !ok || e.Subject != "user:ada" || id == "" {
		t.Fatal(e, id, ok)
	}
	// Of what is said while it listens it hears at once: nothing else wakes it
	// before the heartbeat, and the test waits for no more than the event.
	for i := range 20 {
		s.says(t, []string{"revoked", "granted"}[i%2], "ada")
		for range 2 {
			if e, id, ok = first.next(); !ok || e.Data["status"] != []string{"revoked", "granted"}[i%2] {
				t.Fatal(i, e, ok)
			}
		}
	}
	first.stop()
	s.says(t, "denied", "bob")
	again := s.subscribe(t, u, operator, id)
	for range 2 {
		if e, _, ok = again.next(); !ok || e.Subject != "user:bob" {
			t.Fatal("resumed at", e, ok)
		}
	}
	s.Quiesce()
	if e, _, ok := again.next(); ok {
		t.Errorf("after the end: %v", e)
	}
	s.do(t, "GET", "/v1/events", "", "Accept: text/event-stream", "Last-Event-ID: x").is(400, "invalid_input", "Last-Event-ID")
}

// TestAStreamEndsWithItsKey: who may no longer read hears no more.
func TestAStreamEndsWithItsKey(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.Handler = httpapi.New(httpapi.Deps{
		Ledger: s.Ledger, Retrieval: s.Retrieval, Credentials: s.Credentials, Tenants: s, Tree: s.Tree, Ready: s.Ready,
		Erasure: s.Erasure, Events: s.Events, Heartbeat: 5 * time.Millisecond,
	})
	u := s.listen(t)
	a := s.do(t, "POST", "/v1/keys", `{"name":"k","scopes":["consent:read"],"purposes":["rag_retrieval","embedding"]}`).is(201)
	s.says(t, "granted", "ada")
	stream := s.subscribe(t, u, a.get("key"), "")
	if e, _, ok := stream.next(); !ok || e.Subject != "user:ada" {
		t.Fatal(e, ok)
	}
	_, _, _ = stream.next()
	s.do(t, "DELETE", "/v1/keys/"+a.get("id"), "").is(204)
	s.says(t, "denied", "bob")
	if e, _, ok := stream.next(); ok {
		t.Errorf("after its key was revoked: %v", e)
	}
}
