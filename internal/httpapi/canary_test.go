package httpapi_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assent-gateway/assent/internal/credential"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/httpapi"
	"github.com/assent-gateway/assent/internal/logging"
	"github.com/assent-gateway/assent/internal/seal"
)

// mark stands in every field of every request; nothing but an answer to its
// own sender may hold it. It is an identifier, a word and a name at once.
const mark = "CANARY7ada"

// A probe is a request with marks in it: one that succeeds, and its body with
// each of its members made wrong in turn.
type probe struct {
	route   string
	path    string
	body    string
	headers []string
}

// noRebuild reports whether a gateway with an index of its own said that there is
// nothing to rebuild.
func noRebuild(p probe, a *answer) bool {
	return a.status == 409 && strings.HasSuffix(p.route, " /v1/rebuilds")
}

func probes() []probe {
	const u = "user:" + mark
	doc := `{"documents":[{"id":"` + mark + `","owners":["` + u + `"],"mentions":["` + u + `x"],"title":"` + mark + `","text":"` + mark + ` text",` +
		`"metadata":{"` + mark + `":"` + mark + `"},"visibility":{"level":"listed","users":["` + u + `"],"groups":["` + mark + `"]},"source":"` + mark + `","retention_until":"2099-01-01T00:00:00Z"}]}`
	passages := strings.Replace(strings.TrimSuffix(strings.TrimPrefix(doc, `{"documents":[`), "]}"),
		`"text":"`+mark+` text"`, `"passages":[{"text":"`+mark+` passage"}]`, 1)
	entry := `{"user_id":"` + u + `","consent_type":"embedding_v1.0","status":"granted","source":"` + mark + `","jurisdiction":"DE","timestamp":"2026-01-01T00:00:00Z",` +
		`"ip":"` + mark + `","user_agent":"` + mark + `","notice_id":"` + mark + `","language":"` + mark + `","method":"` + mark + `","expires_at":"2099-01-01T00:00:00Z"}`
	query := `{"query":"` + mark + ` text","purpose":"rag_retrieval","k":3,"mode":"hybrid","filter":{"field":"` + mark + `","op":"eq","value":"` + mark + `"},"min_position":1,"exact":true}`
	nd := []string{"Content-Type: application/x-ndjson"}
	out := []probe{
		{"GET /healthz", "/healthz", "", nil}, {"GET /readyz", "/readyz", "", nil}, {"GET /openapi.yaml", "/openapi.yaml", "", nil},
		{"GET /metrics", "/metrics", "", nil},
		{"POST /v1/tenants", "/v1/tenants", `{"name":"` + mark + `"}`, nil},
		{"POST /v1/keys", "/v1/keys", `{"name":"` + mark + `","scopes":["search"],"purposes":["embedding"],"collections":["` + mark + `"],"namespaces":["` + mark + `"],"expires_at":"2099-01-01T00:00:00Z"}`, nil},
		{"GET /v1/keys", "/v1/keys", "", nil},
		{"DELETE /v1/keys/:id", "/v1/keys/" + mark, "", nil},
		{"PUT /v1/collections/:c", "/v1/collections/" + mark, `{"default_visibility":"private","joint_ownership":"any_owner","mentions":"refusal_blocks","jurisdiction":"DE","filterable":["` + mark + `"]}`, nil},
		{"GET /v1/collections", "/v1/collections", "", nil},
		{"GET /v1/collections/:c", "/v1/collections/" + mark, "", nil},
		{"POST /v1/collections/:c/documents", "/v1/collections/" + mark + "/documents", doc, nil},
		{"POST /v1/collections/:c/documents", "/v1/collections/" + mark + "/documents", passages, nd},
		{"GET /v1/collections/:c/documents/:id", "/v1/collections/" + mark + "/documents/" + mark + "?purpose=rag_retrieval", "", nil},
		{"POST /v1/collections/:c/search", "/v1/collections/" + mark + "/search", query, nil},
		{"POST /v1/passages/check", "/v1/passages/check", `{"passage_ids":["` + mark + `"],"purpose":"rag_retrieval"}`, nil},
		{"POST /v1/manifests", "/v1/manifests", `{"purpose":"rag_retrieval","collections":["` + mark + `"],"filter":{"field":"` + mark + `","op":"eq","value":"` + mark + `"},"splits":{"train":1},"formats":["jsonl"],"include_text":true,"linkable":true,"visibilities":["listed"],"expires_in":"720h","at_corpus_position":1}`, nil},
		{"GET /v1/manifests/:id", "/v1/manifests/MANIFEST", "", nil},
		{"POST /v1/manifests/:id/resume", "/v1/manifests/MANIFEST/resume", "", nil},
		{"GET /v1/manifests/:id/files/*path", "/v1/manifests/MANIFEST/files/data/train-00000-of-00001.jsonl", "", nil},
		{"GET /v1/manifests/:id/statement", "/v1/manifests/MANIFEST/statement", "", nil},
		{"GET /v1/manifests/:id/croissant", "/v1/manifests/MANIFEST/croissant", "", nil},
		{"GET /v1/manifests/:id/check", "/v1/manifests/MANIFEST/check", "", nil},
		{"GET /v1/manifests/:id/diff/:other", "/v1/manifests/MANIFEST/diff/MANIFEST", "", nil},
		{"POST /v1/manifests/:id/runs", "/v1/manifests/MANIFEST/runs", `{"run_id":"` + mark + `","model_digest":"sha256:` + strings.Repeat("0", 64) + `","pipeline":"` + mark + `"}`, nil},
		{"POST /v1/manifests/:id/runs/:run/remedy", "/v1/manifests/MANIFEST/runs/" + mark + "/remedy", `{"remedy":"retrain","by":"` + mark + `","note":"` + mark + `"}`, nil},
		{"GET /v1/manifests/:id/runs", "/v1/manifests/MANIFEST/runs", "", nil},
		{"GET /v1/subjects/:user/training", "/v1/subjects/" + u + "/training", "", nil},
		{"DELETE /v1/collections/:c/documents/:id", "/v1/collections/" + mark + "/documents/" + mark, "", nil},
		{"DELETE /v1/collections/:c", "/v1/collections/" + mark + "x", "", nil},
		{"PUT /v1/consent-types/:type", "/v1/consent-types/embedding_v9.0", `{"text":"` + mark + `","language":"` + mark + `","validity":"P1Y","accepts":["embedding_v1.0"]}`, nil},
		{"GET /v1/consent-types", "/v1/consent-types", "", nil},
		{"GET /log/:tenant/checkpoint", "/log/default/checkpoint", "", nil},
		{"GET /log/:tenant/tile/*path", "/log/default/tile/entries/000.p/1", "", nil},
		{"GET /v1/log/key", "/v1/log/key", "", nil},
		{"GET /v1/log/proof/:position", "/v1/log/proof/1", "", nil},
	}
	out = append(out,
		probe{"POST /v1/subjects/:user/identifiers", "/v1/subjects/" + u + "/identifiers", `{"identifier":"email:` + mark + `@example.org"}`, nil},
		probe{"GET /v1/erasures", "/v1/erasures?limit=3", "", nil},
		probe{"GET /v1/rebuilds", "/v1/rebuilds", "", nil}, probe{"POST /v1/rebuilds", "/v1/rebuilds", "", nil},
	)
	for _, p := range []string{"/v1/consent", "/consent"} {
		out = append(out,
			probe{"POST " + p, p, entry, nil}, probe{"POST " + p, p, entry, nd},
			probe{"POST " + p + "/query", p + "/query", `{"user_id":"` + u + `","consent_type":"` + mark + `"}`, nil},
			probe{"POST " + p + "/decide", p + "/decide", `{"purpose":"rag_retrieval","subjects":["` + u + `","` + mark + `"],"jurisdiction":"DE"}`, nil},
			probe{"GET " + p + "/:user", p + "/" + u, "", nil},
			probe{"GET " + p + "/:user/history", p + "/" + u + "/history?limit=3", "", nil},
			probe{"GET " + p + "/:user/:type", p + "/" + u + "/" + mark, "", nil},
			probe{"GET " + p + "/:user/:type", p + "/" + u + "/embedding_v1.0", "", nil},
		)
	}
	event := `{"specversion":"1.0","id":"` + mark + `","source":"` + mark + `","type":"org.assent.consent.recorded.v1","time":"2026-01-01T00:00:00Z","subject":"` + mark + `","` + strings.ToLower(mark) + `":"` + mark + `","data":` + entry + `}`
	out = append(out,
		probe{"POST /v1/events", "/v1/events", event, []string{"Content-Type: application/cloudevents+json"}},
		probe{"POST /v1/events", "/v1/events", "[" + event + "]", []string{"Content-Type: application/cloudevents-batch+json"}},
		probe{"POST /v1/events", "/v1/events", entry, []string{"ce-specversion: 1.0", "ce-id: " + mark + "2", "ce-source: " + mark, "ce-type: org.assent.consent.recorded.v1"}},
	)
	out = append(out, probe{"GET /v1/events", "/v1/events?after=0&limit=3", "", nil},
		probe{"PUT /v1/processors/:name", "/v1/processors/hook", `{"url":"http://127.0.0.1:9/` + mark + `?` + mark + `","secret":"whsec_` + strings.Repeat("CANARY7a", 4) + `","public_key":"` + strings.Repeat("CANARY7ada", 4) + `CAQ=","role":"processor","kinds":["consent","erasure","manifest"],"categories":["` + mark + `"]}`, nil},
		probe{"GET /v1/processors", "/v1/processors", "", nil}, probe{"DELETE /v1/processors/:name", "/v1/processors/" + mark, "", nil},
	)
	// Last: what is erased is found by no probe after it.
	out = append(out, probe{"POST /v1/erasures", "/v1/erasures", `{"scope":"subject","subject":"` + u + `z","regulation":"gdpr","jurisdiction":"DE","reason":"` + mark + `","verification":{"method":"` + mark + `","by":"` + mark + `","evidence_ref":"` + mark + `"}}`, nil},
		probe{"POST /v1/erasures", "/v1/erasures", `{"scope":"document","collection":"` + mark + `","document_id":"` + mark + `"}`, []string{"Accept: */*"}},
		probe{"POST /v1/erasures", "/v1/erasures", `{"scope":"source","source":"` + mark + `"}`, []string{"Accept: */*"}},
		// There is none of that id: what it says then must not hold the mark either.
		probe{"GET /v1/erasures/:id", absent, "", nil}, probe{"GET /v1/erasures/:id/receipt", absent + "/receipt", "", nil},
		probe{"POST /v1/erasures/:id/acknowledgements", absent + "/acknowledgements", `{"processor":"` + mark + `","signature":"` + strings.Repeat("CANARY7a", 8) + `"}`, nil},
		probe{"POST /v1/erasures/:id/hold", absent + "/hold", `{"reason":"` + mark + `"}`, nil},
		probe{"POST /v1/erasures/:id/decide", absent + "/decide", `{"decision":"approve","reason":"` + mark + `"}`, nil},
		probe{"POST /v1/erasures/:id/release", absent + "/release", "", nil}, probe{"POST /v1/erasures/:id/cancel", absent + "/cancel", "", nil},
		probe{"GET /v1/erasures/:id/mentions", absent + "/mentions", "", nil},
		probe{"POST /v1/erasures/:id/mentions/:n", absent + "/mentions/1", `{"action":"ignore"}`, nil},
		probe{"POST /v1/erasures/:id/verify", absent + "/verify", "", nil})
	return out
}

// absent is an erasure that there is not.
const absent = "/v1/erasures/" + mark

// wrong returns the body with one value after the other made wrong: of another
// type, too long, and an unknown or repeated member put beside it.
func wrong(body string) (out []string) {
	if body == "" {
		return nil
	}
	for i := 0; i < len(body); i++ {
		if body[i] != ':' || i == 0 || body[i-1] != '"' {
			continue
		}
		rest := body[i+1:]
		for _, v := range []string{`"` + mark + ` ` + mark + `\u0000"`, `{"` + mark + `":"` + mark + `"}`, `["` + mark + `"]`, `1.5`, `null`, `"` + mark + `\ud800"`, `"` + strings.Repeat(mark, 500) + `"`} {
			out = append(out, body[:i+1]+v+`,"`+mark+`":`+rest, body[:i+1]+v+afterValue(rest))
		}
		out = append(out, body[:i+1]) // cut
	}
	return append(out, `"`+mark+`"`, mark, body+mark, body+body)
}

// afterValue skips one JSON value.
func afterValue(s string) string {
	depth, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case (c == '}' || c == ']' || c == ',') && depth == 0:
			return s[i:]
		case c == '}' || c == ']':
			depth--
		}
	}
	return ""
}

// silent fails when a mark got out.
func (s *server) silent(t *testing.T, during string, a *answer) {
	t.Helper()
	if strings.Contains(a.header.Get("Content-Type"), "problem") && strings.Contains(string(a.body), "CANARY") {
		t.Errorf("%s: a problem quotes: %s", during, a.body)
	}
	for name, values := range a.header {
		if strings.Contains(name+strings.Join(values, ""), "CANARY") {
			t.Errorf("%s: the header %s quotes", during, name)
		}
	}
	if logs := s.logs.String(); strings.Contains(logs, "CANARY") {
		i := strings.Index(logs, "CANARY")
		t.Fatalf("%s: the log says %s", during, logs[max(0, i-300):min(len(logs), i+100)])
	}
}

func (p probe) method() string { m, _, _ := strings.Cut(p.route, " "); return m }

// always are headers with marks that every request carries.
func (p probe) all(more ...string) []string {
	out := append([]string{"Assent-Principal: user:" + mark, "Assent-Groups: " + mark, "User-Agent: " + mark, "Cookie: c=" + mark, "X-Forwarded-For: " + mark, "Referer: http://" + mark}, p.headers...)
	if p.method() != "GET" && len(p.headers) == 0 {
		out = append(out, "Idempotency-Key: "+mark)
	}
	return append(out, more...)
}

// TestTheGatewaySaysNothingOfItsRequests is P10 over the router: all routes
// with marks everywhere, to success, bad input, fault and panic; logs at debug
// level and problems hold none.
func TestTheGatewaySaysNothingOfItsRequests(t *testing.T) {
	t.Parallel()
	all := probes()
	left := map[string]bool{}
	for _, l := range httpapi.Table() {
		left[l.Method+" "+l.Path] = true
	}
	for _, p := range all {
		delete(left, p.route)
	}
	for r := range left {
		t.Errorf("%s is not probed", r)
	}
	t.Run("success", func(t *testing.T) {
		t.Parallel()
		c := collect(t)
		s := open(t, c.watch)
		s.says(t, "granted", "user:"+mark)
		made := ""
		for _, p := range all {
			a := s.do(t, p.method(), strings.ReplaceAll(p.path, "MANIFEST", made), p.body, p.all()...)
			if a.status > 299 && !(a.status == 404 && strings.HasPrefix(p.path, absent)) && !noRebuild(p, a) {
				t.Errorf("%s: %d %s", p.route, a.status, a.body)
			}
			s.silent(t, p.route, a)
			if p.route == "POST /v1/manifests" && a.status == 202 {
				made = s.ready(t, a.get("id")).get("id")
			}
		}
		if !strings.Contains(s.logs.String(), `"route":"/v1/collections/:c/search"`) {
			t.Error("the access log is empty, so the test shows nothing")
		}
		c.silent(t, "success", "/v1/collections/:c/search", "search", "permit", "head_read", "embed", "index", "second_gate",
			"ingest", "ledger_append", "journal", "checkpoint", "stored", "hybrid", "granted")
	})
	t.Run("bad input", func(t *testing.T) {
		t.Parallel()
		c := collect(t)
		s := open(t, c.watch)
		s.do(t, "PUT", "/v1/collections/"+mark, `{"default_visibility":"tenant"}`).is(201)
		n := 0
		for _, p := range all {
			for _, body := range wrong(p.body) {
				a := s.do(t, p.method(), p.path, body, append(p.headers, "User-Agent: "+mark)...)
				if a.status >= 500 {
					t.Errorf("%s: %d for %.200s", p.route, a.status, body)
				}
				s.silent(t, p.route, a)
				if n++; a.status < 300 && strings.HasPrefix(body, `"`) && len(p.headers) == 0 {
					t.Errorf("%s takes %.200s", p.route, body)
				}
			}
			for _, a := range []*answer{
				s.do(t, p.method(), p.path+"/"+mark+"/"+mark+"/"+mark, p.body),
				s.do(t, p.method(), "/"+mark+p.path, p.body),
				s.do(t, "PROPFIND", p.path, p.body),
				s.do(t, mark, p.path, p.body),
				s.do(t, p.method(), p.path+sep(p.path)+mark+"="+mark, p.body),
				s.ask(t, mark, p.method(), p.path, p.body),
				s.do(t, p.method(), p.path, p.body, "Assent-Principal: "+mark+"%00"),
				s.do(t, p.method(), p.path, p.body, "Assent-Principal: a", "Assent-Groups: "+mark+",%ff"),
				s.do(t, p.method(), p.path, p.body, "Content-Type: "+mark),
			} {
				s.silent(t, p.route, a)
			}
		}
		if n < 1000 {
			t.Errorf("only %d wrong bodies", n)
		}
		c.silent(t, "bad input", "400")
	})
	t.Run("fault", func(t *testing.T) {
		t.Parallel()
		c := collect(t)
		s := open(t, c.watch)
		s.says(t, "granted", "user:"+mark)
		s.do(t, "PUT", "/v1/collections/"+mark, `{"default_visibility":"tenant"}`).is(201)
		s.Close()
		for _, p := range all {
			a := s.do(t, p.method(), p.path, p.body, p.all()...)
			switch {
			case p.route == "GET /healthz", p.route == "GET /openapi.yaml", p.route == "GET /metrics", p.route == "GET /v1/log/key", a.status == 503:
			case noRebuild(p, a):
			case a.status < 300 && strings.HasPrefix(p.route, "GET /v1/collections"): // in memory, and nothing of a document
			case string(a.body) == "{\"granted\":false}\n" && strings.Contains(p.path+p.body, mark+`"`) || strings.HasSuffix(p.path, mark): // what is no type, nobody granted
			default:
				t.Errorf("%s: %d %s", p.route, a.status, a.body)
			}
			s.silent(t, p.route, a)
		}
		c.silent(t, "fault", "503", "unavailable")
	})
	t.Run("panic", func(t *testing.T) {
		t.Parallel()
		for _, p := range all {
			if strings.Contains(p.route, " /consent") || p.route == "GET /healthz" || p.route == "GET /openapi.yaml" || p.route == "GET /metrics" {
				continue // the same handlers again, or none that calls anything
			}
			panics(t, p)
		}
	})
}

// panics drives one route while the database's clock panics with a mark.
func panics(t *testing.T, p probe) {
	t.Helper()
	var armed atomic.Bool
	exported := collect(t)
	defer exported.silent(t, p.route, "500")
	s := open(t, func(c *gateway.Config) {
		exported.watch(c)
		c.Now = func() time.Time {
			if armed.Load() {
				panic(fmt.Errorf("a panic about %s", mark))
			}
			return time.Now()
		}
	})
	s.do(t, "PUT", "/v1/collections/"+mark, `{"default_visibility":"tenant"}`).is(201)
	// The ledger commits on a goroutine of its own, where a panic ends the
	// process, as it should: nobody knows what became of the transaction.
	commits := p.route == "POST /v1/consent" || p.route == "POST /v1/tenants" || p.route == "PUT /v1/consent-types/:type" ||
		p.route == "POST /v1/keys" || strings.HasSuffix(p.route, "/identifiers") || p.route == "POST /v1/erasures" ||
		p.route == "POST /v1/events"
	armed.Store(!commits)
	defer armed.Store(false)
	a := s.do(t, p.method(), p.path, p.body, p.all()...)
	s.silent(t, p.route, a)
	if a.status != 500 { // it did not ask the clock: then its key's store panics
		h := httpapi.New(httpapi.Deps{
			Observer: exported.tel.HTTP(),
			Ledger:   s.Ledger, Retrieval: s.Retrieval, Tenants: s, Ready: s.Ready, Log: logging.New(s.logs, slog.LevelDebug),
			Credentials: credential.NewService(panicking{}, seal.NewKey()),
		})
		s.Handler = h
		a = s.do(t, p.method(), p.path, p.body, p.all()...)
		s.silent(t, p.route, a)
	}
	a.is(500, "internal", "")
	if !strings.Contains(s.logs.String(), `"panic_type":"*errors.errorString"`) && !strings.Contains(s.logs.String(), `"panic_type":"string"`) {
		t.Errorf("%s: the panic is not logged: %s", p.route, s.logs.String())
	}
}

// panicking is a store of keys whose every read panics with a mark.
type panicking struct{ credential.Store }

func (panicking) KeyByHash(context.Context, [32]byte) (credential.KeyRow, error) {
	panic("a panic about " + mark)
}

func sep(path string) string {
	if strings.Contains(path, "?") {
		return "&"
	}
	return "?"
}
