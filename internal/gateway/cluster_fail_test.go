package gateway_test

import (
	"io"
	"net"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
)

// A wire is between a gateway and a database, and does to it what a test says.
type wire struct {
	t      testing.TB
	l      net.Listener
	server string

	mu    sync.Mutex
	fault string // "": passes; "down", "silent", "nonsense"
	moved *sync.Cond
	conns []net.Conn
}

// through returns a URL that leads through a new wire.
func through(t testing.TB, raw string) (*wire, string) {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{t: t, l: l, server: u.Host}
	w.moved = sync.NewCond(&w.mu)
	t.Cleanup(func() { l.Close(); w.set("down") })
	go w.accept()
	u.Host = l.Addr().String()
	return w, u.String()
}

// set makes the wire fail, or pass. What failed is cut, so that no connection
// lives through two states.
func (w *wire) set(fault string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = fault
	if fault == "down" || fault == "" {
		for _, c := range w.conns {
			c.Close()
		}
		w.conns = nil
	}
	w.moved.Broadcast()
}

func (w *wire) accept() {
	for {
		c, err := w.l.Accept()
		if err != nil {
			return
		}
		w.mu.Lock()
		down := w.fault == "down"
		w.mu.Unlock()
		s, err := net.Dial("tcp4", w.server)
		if err != nil || down {
			c.Close()
			if err == nil {
				s.Close()
			}
			continue
		}
		w.mu.Lock()
		w.conns = append(w.conns, c, s)
		w.mu.Unlock()
		go w.pass(c, s, false)
		go w.pass(s, c, true)
	}
}

func (w *wire) pass(from, to net.Conn, answers bool) {
	defer from.Close()
	defer to.Close()
	b := make([]byte, 16<<10)
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		w.mu.Lock()
		for w.fault == "silent" {
			w.moved.Wait()
		}
		if w.fault == "nonsense" && answers {
			for i := range b[:n] {
				b[i] ^= 0x55
			}
		}
		w.mu.Unlock()
		if _, err := to.Write(b[:n]); err != nil && err != io.EOF {
			return
		}
	}
}

// The table of ARCHITECTURE, "Failures": each database down, silent and
// answering nonsense. What cannot be decided is 503 and never an answer; when it
// is over, the gateway serves by itself, and what it acknowledged holds.
func TestAFailingDatabaseIsNeverAnAnswer(t *testing.T) {
	s := server(t)
	c := newCluster(t, s)
	direct := c.open(gateway.Config{}) // sees what is true
	cfg := c.config(gateway.Config{})
	dataWire, dataURL := through(t, c.data)
	vaultWire, vaultURL := through(t, c.vault)
	cfg.PostgresURL, cfg.VaultURL = dataURL, vaultURL
	g := openGateway(t, cfg)
	say(t, direct, consent.Granted, []string{"ada", "bob"}, rag, emb)
	makeCollection(t, direct, "notes", retrieval.Spec{})
	ingest(t, direct, "notes", invented("ada", "bob"))
	web := httptest.NewServer(g.Handler())
	t.Cleanup(web.Close)
	search := func() (int, int) {
		code, answer, err := call(web.URL, adminKey, "POST", "/v1/collections/notes/search", map[string]any{"query": "server", "k": 10, "purpose": "rag_retrieval"})
		if err != nil {
			t.Fatal(err)
		}
		hits, _ := answer["hits"].([]any)
		return code, len(hits)
	}
	set := func(status string) int {
		code, _, err := call(web.URL, adminKey, "POST", "/v1/consent", map[string]any{"user_id": "bob", "consent_type": rag, "status": status, "source": "t"})
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	ready := func() int {
		code, _, err := call(web.URL, adminKey, "GET", "/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	if code, n := search(); code != 200 || n != 4 {
		t.Fatalf("before: %d with %d hits", code, n)
	}
	statuses := []string{"revoked", "granted"}
	for _, fault := range []string{"down", "nonsense", "silent"} {
		for name, w := range map[string]*wire{"data": dataWire, "vault": vaultWire} {
			w.set(fault)
			if code := ready(); code != 503 {
				t.Errorf("%s %s: readyz says %d", name, fault, code)
			}
			if name == "vault" && fault == "silent" {
				time.Sleep(2500 * time.Millisecond) // keys that were read before are served for two seconds
			}
			code, n := search()
			if name == "data" && code != 503 || name == "vault" && code != 503 && code != 200 || code != 200 && n > 0 {
				t.Errorf("%s %s: a search answers %d with %d hits", name, fault, code, n)
			}
			if fault != "silent" { // it would take its time
				if code := set("revoked"); code != 503 {
					t.Errorf("%s %s: a write answers %d", name, fault, code)
				}
			}
			w.set("")
			eventually(t, func() bool { return ready() == 200 })
			for _, status := range statuses {
				want := map[string]int{"revoked": 2, "granted": 4}[status]
				if code := set(status); code/100 != 2 {
					t.Errorf("%s %s: afterwards a write answers %d", name, fault, code)
				}
				if code, n := search(); code != 200 || n != want {
					t.Errorf("%s %s: afterwards a search answers %d with %d hits, want %d", name, fault, code, n, want)
				}
			}
			c.wantWholeJournal(t, direct)
		}
	}
}

// eventually asks until the answer is yes; the test's own deadline ends it.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for range 600 {
		if ok() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("never")
}
