package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/assent-gateway/assent/internal/gateway"
)

// send makes a request with the test's key, and decodes the answer.
func send(t *testing.T, method, url string, body string) (answer map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+testKey)
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 || json.Unmarshal(raw, &answer) != nil {
		t.Fatalf("%s %s: %d %v %s", method, url, resp.StatusCode, err, raw)
	}
	return answer
}

// An erasure that nothing is left of but to wait for a processor's answer, or for the
// end of a hold, is not followed for days: the command says what it waits for and how
// to look again. Where everybody has answered it ends with the receipt.
func TestEraseEndsWhereOthersAreWaitedFor(t *testing.T) {
	t.Parallel()
	var answers, stop atomic.Bool
	held := make(chan struct{})
	g, err := gateway.Open(t.Context(), gateway.Config{DataDir: filepath.Join(t.TempDir(), "data"), AdminKey: testKey, Step: func(name string) {
		if name == "erasure.key" && stop.Load() { // nothing is deleted yet
			<-held
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(g.Handler())
	t.Cleanup(func() {
		server.Close()
		g.Close()
	})
	url := server.URL
	crm := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if answers.Load() {
			fmt.Fprint(w, `{"acknowledged": true}`)
		}
	}))
	t.Cleanup(crm.Close)
	send(t, "PUT", url+"/v1/processors/crm", fmt.Sprintf(`{"url": %q, "role": "processor", "kinds": ["erasure"]}`, crm.URL))
	grant(t, url, "ada", "bob")
	send(t, "PUT", url+"/v1/collections/c", `{"default_visibility": "tenant"}`)
	send(t, "POST", url+"/v1/collections/c/documents", `{"documents": [{"id": "m1", "owners": ["bob"], "text": "the printer"}]}`)
	out := must(t, url, "", "erase", "ada")
	for _, want := range []string{"verifying, level purged", "what is ours is erased and verified", "the answer of crm,", "GET /v1/erasures/e", "--wait"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	stop.Store(true)
	id := send(t, "POST", url+"/v1/erasures", `{"scope": "document", "collection": "c", "document_id": "m1"}`)["id"]
	if state := send(t, "POST", fmt.Sprint(url, "/v1/erasures/", id, "/hold"), `{"reason": "a court asked"}`)["state"]; state != "held" {
		t.Fatalf("%v, want held", state)
	}
	stop.Store(false)
	close(held)
	out = must(t, url, "", "erase", "bob")
	for _, want := range []string{"running, level unreachable", "waits for the end of a hold", "GET /v1/erasures/e"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	answers.Store(true)
	receipt := filepath.Join(t.TempDir(), "receipt.json")
	if out := must(t, url, "", "erase", "--receipt", receipt, "eve"); !strings.Contains(out, "completed, level purged") || !strings.Contains(out, "receipt saved as") {
		t.Errorf("where everybody answered:\n%s", out)
	}
}

// With --wait the command goes on asking.
func TestEraseWaitsWhereItIsTold(t *testing.T) {
	t.Parallel()
	var looks atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/erasures", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, `{"id": "e1", "state": "suppressed", "deadline": "2027-01-01T00:00:00Z", "claim": "c"}`)
	})
	mux.HandleFunc("GET /v1/erasures/e1", func(w http.ResponseWriter, _ *http.Request) {
		state := "verifying"
		if looks.Add(1) > silentLooks+1 {
			state = "completed"
		}
		fmt.Fprintf(w, `{"id": "e1", "state": %q, "level": "purged", "targets": [{"name": "index", "state": "verified"}], "processors": [{"name": "crm", "state": "silent"}]}`, state)
	})
	mux.HandleFunc("GET /v1/erasures/e1/receipt", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") })
	fake := httptest.NewServer(mux)
	t.Cleanup(fake.Close)
	receipt := filepath.Join(t.TempDir(), "receipt.json")
	if out := must(t, fake.URL, "", "erase", "--wait", "--receipt", receipt, "ada"); !strings.Contains(out, "completed, level purged") {
		t.Errorf("with --wait:\n%s", out)
	}
	looks.Store(0)
	if out := must(t, fake.URL, "", "erase", "ada"); !strings.Contains(out, "the answer of crm,") || looks.Load() != silentLooks {
		t.Errorf("without --wait, after %d looks:\n%s", looks.Load(), out)
	}
}
