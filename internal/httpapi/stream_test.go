package httpapi_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/assent-gateway/assent/internal/gateway"
)

type streamed struct {
	Line     int    `json:"line"`
	ID       string `json:"id"`
	Status   string `json:"status"`
	Field    string `json:"field"`
	Reason   string `json:"reason"`
	Position int    `json:"ledger_position"`
	Problem  struct {
		Code string `json:"code"`
	} `json:"problem"`
}

func readLines(t *testing.T, body io.Reader) (out []streamed) {
	t.Helper()
	sc := bufio.NewScanner(body)
	for sc.Scan() {
		var l streamed
		if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
			t.Fatalf("%v: %s", err, sc.Text())
		}
		out = append(out, l)
	}
	return out
}

func summary(lines []streamed) string {
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&b, "%d:%s:%s:%s ", l.Line, l.ID, l.Status, l.Field)
	}
	return strings.TrimSpace(b.String())
}

func TestABadLineDoesNotEndTheStream(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.collection(t, "mail")
	s.says(t, "granted", "ada")
	u := s.listen(t)
	doc := func(id string) string { return `{"id":"` + id + `","owners":["ada"],"text":"x"}` }
	body := doc("a") + "\r\n\n" + `{"id":"b"` + "\n" + strings.Repeat("x", 8<<20+10) + "\n" + doc("c") + "\n" + `{"id":"d","zz":1}` + "\n" + doc("e")
	resp := stream(t, u, "/v1/collections/mail/documents", strings.NewReader(body))
	want := "1:a:stored: 3::invalid: 4::invalid: 5:c:stored: 6:d:invalid:zz 7:e:stored:"
	if got := summary(readLines(t, resp.Body)); got != want || resp.StatusCode != 200 {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	body = `{"user_id":"ada","consent_type":"embedding_v1","status":"granted","source":"s"}
{"user_id":"eve","consent_type":"embedding_v1","status":"granted","source":"s"}

{"user_id":"eve","consent_type":"embedding_v1","status":"?","source":"s"}
{"user_id":"eve","consent_type":"embedding_v7","status":"granted","source":"s"}
{"user_id":"eve","consent_type":"embedding_v1","status":"revoked","source":"s"}
`
	resp = stream(t, u, "/consent", strings.NewReader(body))
	want = "1::unchanged: 2::recorded: 4::invalid:status 5::invalid:consent_type 6::recorded:"
	if got := summary(readLines(t, resp.Body)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestAStreamAnswersWhileItComes: a client that waits for each result before
// it sends the next line is served.
func TestAStreamAnswersWhileItComes(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.collection(t, "mail")
	s.says(t, "granted", "ada")
	u := s.listen(t)
	r, w := io.Pipe()
	defer w.Close()
	go fmt.Fprintln(w, `{"id":"d0","owners":["ada"],"text":"x"}`)
	resp := stream(t, u, "/v1/collections/mail/documents", r)
	sc := bufio.NewScanner(resp.Body)
	for i := range 5 {
		if !sc.Scan() {
			t.Fatalf("no answer to line %d", i+1)
		}
		if want := fmt.Sprintf(`{"line":%d,"id":"d%d","status":"stored"`, i+1, i); !strings.HasPrefix(sc.Text(), want) {
			t.Fatalf("got %s, want %s", sc.Text(), want)
		}
		// What is answered is there already.
		s.do(t, "GET", fmt.Sprintf("/v1/collections/mail/documents/d%d?purpose=rag_retrieval", i), "").is(200)
		fmt.Fprintf(w, `{"id":"d%d","owners":["ada"],"text":"x"}`+"\n", i+1)
	}
}

func TestALongStreamIsAnsweredInOrder(t *testing.T) {
	t.Parallel()
	s := open(t)
	u := s.listen(t)
	var b strings.Builder
	const n = 1500
	for i := range n {
		fmt.Fprintf(&b, `{"user_id":"u%d","consent_type":"embedding_v1","status":"granted","source":"s"}`+"\n", i)
	}
	lines := readLines(t, stream(t, u, "/v1/consent", strings.NewReader(b.String())).Body)
	if len(lines) != n {
		t.Fatalf("%d results", len(lines))
	}
	for i, l := range lines {
		if l.Line != i+1 || l.Status != "recorded" || i > 0 && l.Position != lines[i-1].Position+1 {
			t.Fatalf("result %d: %+v after %+v", i, l, lines[max(0, i-1)])
		}
	}
}

func TestStreamsThatAreRefusedWhole(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.collection(t, "mail")
	const nd = "Content-Type: application/x-ndjson"
	s.do(t, "POST", "/v1/collections/none/documents", "{}\n", nd).is(404, "not_found")
	s.do(t, "POST", "/v1/collections/none/documents", "", nd).is(404, "not_found")
	s.do(t, "POST", "/v1/collections/mail/documents", "{}\n", nd, "Idempotency-Key: k").is(400, "invalid_input", "Idempotency-Key")
	s.do(t, "POST", "/v1/consent", "{}\n", nd, "Idempotency-Key: k").is(400, "invalid_input", "Idempotency-Key")
	if a := s.do(t, "POST", "/v1/consent", "\n\n", nd).is(200); len(a.body) != 0 || a.header.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("no lines: %s", a.body)
	}
}

// A body that breaks off has results for its whole lines, and an answer that
// breaks off as well: one that ended well would say that this was all.
func TestTheAnswerToHalfAStreamDoesNotLookWhole(t *testing.T) {
	t.Parallel()
	s := open(t)
	u := s.listen(t)
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	line := func(who string) string {
		return fmt.Sprintf(`{"user_id":%q,"consent_type":"embedding_v1","status":"granted","source":"s"}`+"\n", who)
	}
	body := line("ada") + strings.TrimSpace(line("bob"))
	fmt.Fprintf(conn, "POST /v1/consent HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n%s",
		operator, len(body)+10, body)
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if resp.StatusCode != 200 || strings.Count(string(got), `"recorded"`) != 1 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("status %d, %s, and it ended with %v", resp.StatusCode, got, err)
	}
	if a := s.do(t, "GET", "/v1/consent/bob/embedding_v1", "").is(200); a.get("granted") != "false" {
		t.Error("a line that was cut was taken")
	}
}

// TestAStreamThatFailsUnderWaySaysSo: what was answered is kept, what comes
// after the failure is not answered as if it were.
func TestAStreamThatFailsUnderWaySaysSo(t *testing.T) {
	t.Parallel()
	var broken breaker
	s := open(t, func(c *gateway.Config) { c.DBFault = broken.fault })
	u := s.listen(t)
	r, w := io.Pipe()
	line := func(who string) string {
		return fmt.Sprintf(`{"user_id":%q,"consent_type":"embedding_v1","status":"granted","source":"s"}`+"\n", who)
	}
	go io.WriteString(w, line("ada"))
	resp := stream(t, u, "/v1/consent", r)
	sc := bufio.NewScanner(resp.Body)
	if !sc.Scan() || !strings.Contains(sc.Text(), `"recorded"`) {
		t.Fatalf("first: %s", sc.Text())
	}
	broken.now(true)
	go func() { io.WriteString(w, line("bob")+line("cyd")); w.Close() }()
	var got []string
	for sc.Scan() {
		got = append(got, sc.Text())
	}
	if len(got) != 1 || !strings.Contains(got[0], `"status":"error"`) || !strings.Contains(got[0], `"ledger_unavailable"`) {
		t.Errorf("after the failure: %v", got)
	}
	s.do(t, "POST", "/v1/consent", line("dan")+" ", "Content-Type: application/x-ndjson").is(503, "ledger_unavailable")
	broken.now(false)
	if a := s.do(t, "GET", "/v1/consent/ada/embedding_v1", "").is(200); a.get("granted") != "true" {
		t.Errorf("what was answered is gone: %s", a.body)
	}
	if a := s.do(t, "GET", "/v1/consent/bob/embedding_v1", "").is(200); a.get("granted") != "false" {
		t.Errorf("what was not answered is there: %s", a.body)
	}
}
