package httpapi_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/assent-gateway/assent/internal/httpapi"
)

// corpus is a collection with one document that may be returned and one for
// each reason why a document may not. Their texts are their ids.
type corpus struct {
	*server
	ids      []string          // PERMITTED, REFUSED-…
	passages map[string]string // id → passage id
}

// TestEveryRouteThatReturnsTextPassesBothGates is P3 over the router: each
// route is either driven against the corpus or named as one that returns no
// text and nothing that tells of one. A new route fails here until somebody
// decided which it is.
func TestEveryRouteThatReturnsTextPassesBothGates(t *testing.T) {
	t.Parallel()
	const noText = "returns nothing of a document"
	search := func(c *corpus) string {
		var out strings.Builder
		for _, mode := range []string{"vector", "keyword", "hybrid"} {
			out.Write(c.do(t, "POST", "/v1/collections/mail/search", `{"query":"words","k":1000,"purpose":"rag_retrieval","mode":"`+mode+`"}`).is(200).body)
		}
		return out.String()
	}
	document := func(c *corpus) string {
		var out strings.Builder
		for _, id := range c.ids {
			a := c.do(t, "GET", "/v1/collections/mail/documents/"+id+"?purpose=rag_retrieval", "")
			if a.status != 200 {
				a.is(404, "not_found")
			}
			out.Write(a.body)
		}
		return out.String()
	}
	check := func(c *corpus) string {
		list := ""
		for _, id := range c.ids {
			list += fmt.Sprintf(`,%q`, c.passages[id])
		}
		out := string(c.do(t, "POST", "/v1/passages/check", `{"purpose":"rag_retrieval","passage_ids":[`+list[1:]+`]}`).is(200).body)
		for id, p := range c.passages {
			out = strings.ReplaceAll(out, p, id)
		}
		return out
	}
	manifest := func(c *corpus) string {
		m := c.manifest(t, `{"purpose":"rag_retrieval","collections":["mail"],"formats":["jsonl"],"include_text":true,"linkable":true}`)
		var out strings.Builder
		for i := 0; m.get(fmt.Sprintf("files.%d.name", i)) != ""; i++ {
			out.Write(c.do(t, "GET", "/v1/manifests/"+m.get("id")+"/files/"+m.get(fmt.Sprintf("files.%d.name", i)), "").is(200).body)
		}
		return out.String()
	}
	const noRow = "counts, digests and tokens of a manifest"
	routes := map[string]any{
		"GET /v1/manifests/:id/files/*path":       manifest,
		"POST /v1/manifests":                      noText,
		"GET /v1/manifests/:id":                   noRow,
		"POST /v1/manifests/:id/resume":           noText,
		"GET /v1/manifests/:id/statement":         noRow,
		"GET /v1/manifests/:id/croissant":         noRow,
		"GET /v1/manifests/:id/check":             noRow,
		"GET /v1/manifests/:id/diff/:other":       noRow,
		"POST /v1/manifests/:id/runs":             noText,
		"GET /v1/manifests/:id/runs":              noText,
		"POST /v1/manifests/:id/runs/:run/remedy": noText,
		"GET /v1/subjects/:user/training":         "which manifests hold a person, for who may read consent",
		"POST /v1/collections/:c/search":          search,
		"GET /v1/collections/:c/documents/:id":    document,
		"POST /v1/passages/check":                 check,
		"GET /healthz":                            noText,
		"GET /readyz":                             noText,
		"GET /openapi.yaml":                       noText,
		"GET /metrics":                            noText,
		"POST /v1/tenants":                        noText,
		"POST /v1/keys":                           noText,
		"GET /v1/keys":                            noText,
		"DELETE /v1/keys/:id":                     noText,
		"POST /v1/rebuilds":                       noText,
		"GET /v1/rebuilds":                        noText,
		"PUT /v1/collections/:c":                  noText,
		"GET /v1/collections":                     noText,
		"GET /v1/collections/:c":                  noText,
		"DELETE /v1/collections/:c":               noText,
		"POST /v1/collections/:c/documents":       "echoes the writer's own ids; stored and unchanged are about what the writer sent",
		"DELETE /v1/collections/:c/documents/:id": noText,
		"PUT /v1/consent-types/:type":             noText,
		"GET /v1/consent-types":                   noText,
		"GET /log/:tenant/checkpoint":             noText,
		"GET /log/:tenant/tile/*path":             "hashes, and entries of the ledger, of which none is about a document's text",
		"GET /v1/log/key":                         noText,
		"GET /v1/log/proof/:position":             "an entry of the ledger, of which none is about a document's text",
	}
	const counts = "returns counters, words of closed lists and random ids"
	routes["POST /v1/subjects/:user/identifiers"] = noText
	routes["PUT /v1/processors/:name"], routes["GET /v1/processors"], routes["DELETE /v1/processors/:name"] = noText, noText, noText
	routes["POST /v1/erasures/:id/acknowledgements"] = noText
	routes["POST /v1/events"], routes["GET /v1/events"] = noText, noText
	routes["POST /v1/erasures"], routes["GET /v1/erasures"], routes["GET /v1/erasures/:id"] = counts, counts, counts
	routes["GET /v1/erasures/:id/receipt"] = counts
	for _, verb := range []string{"verify", "hold", "release", "cancel", "decide"} {
		routes["POST /v1/erasures/:id/"+verb] = counts
	}
	routes["GET /v1/erasures/:id/mentions"] = "ids of documents and passages in which an erased person seems to be named, for who carries erasures out"
	routes["POST /v1/erasures/:id/mentions/:n"] = noText
	for _, prefix := range []string{"/v1/consent", "/consent"} {
		for _, r := range []string{"POST ", "POST /query", "POST /decide", "GET /:user", "GET /:user/history", "GET /:user/:type"} {
			method, rest, _ := strings.Cut(r, " ")
			routes[method+" "+prefix+rest] = noText
		}
	}
	for _, l := range httpapi.Table() {
		if routes[l.Method+" "+l.Path] == nil {
			t.Errorf("%s %s is not classified: does it return text?", l.Method, l.Path)
		}
		delete(routes, l.Method+" "+l.Path)
	}
	for r := range routes {
		t.Errorf("%s is classified and not there", r)
	}
	c := newCorpus(t)
	for name, drive := range map[string]func(*corpus) string{"search": search, "document": document, "check": check, "manifest": manifest} {
		got := drive(c)
		if !strings.Contains(got, "PERMITTED") {
			t.Errorf("%s does not return what is permitted: %s", name, got)
		}
		for _, id := range c.ids[1:] {
			if strings.Contains(got, id) || strings.Contains(got, c.passages[id]) {
				t.Errorf("%s returns %s", name, id)
			}
		}
	}
}

func newCorpus(t *testing.T) *corpus {
	c := &corpus{server: open(t), passages: map[string]string{}}
	c.collection(t, "mail")
	c.collection(t, "other")
	people := []string{"ada", "revoked", "unembedded", "restricted", "objected", "expiring"}
	c.says(t, "granted", people...)
	for id, more := range map[string]string{
		"PERMITTED":          `"owners":["ada"]`,
		"REFUSED-revoked":    `"owners":["revoked"]`,
		"REFUSED-unembedded": `"owners":["unembedded"]`,
		"REFUSED-restricted": `"owners":["restricted"]`,
		"REFUSED-jointly":    `"owners":["ada","revoked"]`,
		"REFUSED-mention":    `"owners":["ada"],"mentions":["objected"]`,
		"REFUSED-private":    `"owners":["ada"],"visibility":{"level":"private"}`,
		"REFUSED-listed":     `"owners":["ada"],"visibility":{"level":"listed","users":["bob"],"groups":["staff"]}`,
		"REFUSED-deleted":    `"owners":["ada"]`,
	} {
		a := c.do(t, "POST", "/v1/collections/mail/documents", fmt.Sprintf(`{"documents":[{"id":%q,"text":"words of %s",%s}]}`, id, id, more)).is(200)
		if a.get("results.0.status") != "stored" {
			t.Fatalf("%s: %s", id, a.body)
		}
		if c.ids = append(c.ids, id); id == "PERMITTED" {
			last := len(c.ids) - 1
			c.ids[0], c.ids[last] = c.ids[last], c.ids[0]
		}
	}
	// While everyone permits, an owner who acts sees all and notes the passages.
	for _, principal := range []string{"ada", "bob"} {
		a := c.do(t, "POST", "/v1/collections/mail/search", `{"query":"words","k":1000,"purpose":"rag_retrieval"}`, "Assent-Principal: "+principal).is(200)
		for i := 0; a.get(fmt.Sprintf("hits.%d.rank", i)) != ""; i++ {
			c.passages[a.get(fmt.Sprintf("hits.%d.document_id", i))] = a.get(fmt.Sprintf("hits.%d.passage_id", i))
		}
	}
	if len(c.passages) != len(c.ids) {
		t.Fatalf("saw %d of %d documents before anybody refused", len(c.passages), len(c.ids))
	}
	for who, said := range map[string][2]string{
		"revoked": {"rag_retrieval_v1", "revoked"}, "unembedded": {"embedding_v1", "revoked"},
		"restricted": {"rag_retrieval_v1", "restricted"}, "objected": {"rag_retrieval_v1", "objected"},
	} {
		c.do(t, "POST", "/v1/consent", fmt.Sprintf(`{"user_id":%q,"consent_type":%q,"status":%q,"source":"s"}`, who, said[0], said[1])).is(201)
	}
	c.do(t, "DELETE", "/v1/collections/mail/documents/REFUSED-deleted", "").is(204)
	return c
}
