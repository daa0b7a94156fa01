package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/events"
	"github.com/assent-gateway/assent/internal/gateway"
)

// erasureEvent asks for a person's erasure.
func erasureEvent(id, who string) []byte {
	return fmt.Appendf(nil, `{"specversion":"1.0","id":%q,"source":"/crm","type":"org.assent.erasure.requested.v1","data":{"scope":"subject","subject":%q}}`, id, who)
}

// consentEvent says what a person said.
func consentEvent(id, who, status string) []byte {
	return fmt.Appendf(nil, `{"specversion":"1.0","id":%q,"source":"/crm","type":"org.assent.consent.recorded.v1","data":{"user_id":%q,"consent_type":"rag_retrieval_v1.0","status":%q,"source":"crm"}}`, id, who, status)
}

// deliver posts an event; an error means that no answer came.
func deliver(url string, event []byte) (int, error) {
	req, err := http.NewRequest("POST", url+"/v1/events", bytes.NewReader(event))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+adminKey)
	req.Header.Set("Content-Type", "application/cloudevents+json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// erasures counts those of the tenant.
func erasures(t *testing.T, g *gateway.Gateway) int {
	t.Helper()
	all, err := g.Erasure.List(t.Context(), gateway.DefaultTenant, erasure.Page{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// TestEventsAtThreeGateways delivers the same events fifty times each, all at
// once and in any order, by HTTP at three gateways and by an inbox of each: one
// erasure a person, and one entry for each of what people said.
func TestEventsAtThreeGateways(t *testing.T) {
	t.Parallel()
	c := newCluster(t, server(t))
	var gateways []*gateway.Gateway
	var urls []string
	for range 3 {
		g := c.open(gateway.Config{})
		s := httptest.NewServer(g.Handler())
		t.Cleanup(s.Close)
		gateways, urls = append(gateways, g), append(urls, s.URL)
	}
	before, err := gateways[0].Ledger.Head(t.Context(), gateway.DefaultTenant)
	if err != nil {
		t.Fatal(err)
	}
	const people, times = 4, 50
	type delivery struct {
		event []byte
		to    int
	}
	var all []delivery
	for p := range people {
		who := fmt.Sprint("user:p", p)
		for i := range times {
			all = append(all, delivery{erasureEvent("e"+who, who), i}, delivery{consentEvent("c"+who, "user:other"+who, "denied"), i})
		}
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	var wg sync.WaitGroup
	turn := make(chan struct{}, 24)
	for _, d := range all {
		turn <- struct{}{}
		wg.Go(func() {
			defer func() { <-turn }()
			at := d.to % 3
			if d.to%5 == 0 {
				if err := gateways[at].Inbox(gateway.DefaultTenant, "kafka").Receive(context.Background(), d.event); err != nil {
					t.Errorf("by the inbox: %v", err)
				}
				return
			}
			if status, err := deliver(urls[at], d.event); err != nil || status != 200 {
				t.Errorf("by HTTP: %d %v", status, err)
			}
		})
	}
	wg.Wait()
	if n := erasures(t, gateways[1]); n != people {
		t.Errorf("%d erasures of %d people", n, people)
	}
	for _, p := range gateways { // every one, so that none is still carried out
		_ = p.Close()
	}
	leaves := leavesIn(t, c.data, "ledger")
	requested, denied := 0, 0
	for at := range leaves {
		if at.tenant != string(gateway.DefaultTenant) || at.position <= int64(before.Position) {
			continue
		}
		switch kindAt(t, c.data, at) {
		case 1:
			denied++
		case 6:
			requested++
		}
	}
	if requested != people || denied != people {
		t.Errorf("%d suppressions and %d denials of %d people", requested, denied, people)
	}
}

func kindAt(t *testing.T, url string, at place) (kind int) {
	t.Helper()
	conn := connect(t, url)
	defer conn.Close(context.Background())
	if err := conn.QueryRow(context.Background(), "SELECT kind FROM ledger WHERE tenant = $1 AND position = $2", at.tenant, at.position).Scan(&kind); err != nil {
		t.Fatal(err)
	}
	return kind
}

// TestEventsSurviveKills delivers events to a gateway that is killed at each
// step of a write, and again to the one that starts after it, as a broker does
// that got no acknowledgement: each is applied once.
func TestEventsSurviveKills(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"slots.synced", "tx.committed", "journal.synced", "applied", "erasure.suppressed"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			c := startChild(t, dir, "")
			// Somebody is known, so that the events are not the first writes.
			if status, err := deliver(c.url, consentEvent("0", "user:ada", "granted")); err != nil || status != 200 {
				t.Fatal(status, err)
			}
			c.kill()
			all := [][]byte{consentEvent("1", "user:ada", "revoked"), erasureEvent("2", "user:bob"), consentEvent("3", "user:ada", "granted"), erasureEvent("4", "user:cy")}
			c = startChild(t, dir, step+":2")
			died := false
			for _, e := range all {
				for c.url == "" {
					died, c = true, startChild(t, dir, "")
				}
				if status, err := deliver(c.url, e); err != nil {
					<-c.dead
					died = true
					c = startChild(t, dir, "")
					c.settled() // what it asked for may have ended before it comes again
					if status, err := deliver(c.url, e); err != nil || status != 200 {
						t.Fatal(status, err)
					}
				} else if status != 200 {
					t.Fatal(status)
				}
			}
			c.kill()
			if !died {
				t.Fatal("it was not killed")
			}
			g := openGateway(t, gateway.Config{DataDir: dir, AdminKey: adminKey, ErasuresByHand: true})
			inbox := g.Inbox(gateway.DefaultTenant, "amqp")
			for range 2 { // the broker lost what was acknowledged, too
				for _, e := range all {
					if err := inbox.Receive(t.Context(), e); err != nil {
						t.Fatal(err)
					}
				}
			}
			if n := erasures(t, g); n != 2 {
				t.Errorf("%d erasures of two events", n)
			}
			srv := httptest.NewServer(g.Handler())
			defer srv.Close()
			_, answer, err := call(srv.URL, adminKey, "GET", "/v1/consent/ada/history", nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(answer); strings.Count(got, "consent_type:rag_retrieval_v1.0") != 3 || strings.Index(got, "status:granted") > strings.Index(got, "status:revoked") {
				t.Errorf("ada's history: %s", got)
			}
		})
	}
}

// settled waits until no erasure is open.
func (c *child) settled() {
	c.t.Helper()
	for {
		_, answer, err := c.call("GET", "/v1/erasures?limit=1000", nil)
		if err != nil {
			c.t.Fatal(err)
		}
		open := false
		for _, e := range answer["erasures"].([]any) {
			state := e.(map[string]any)["state"]
			open = open || state == "suppressed" || state == "running" || state == "verifying"
		}
		if !open {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestAnInboxIsClosedWithItsLedger: what cannot be applied now is not malformed.
func TestAnInboxIsClosedWithItsLedger(t *testing.T) {
	t.Parallel()
	g := openGateway(t, gateway.Config{DataDir: filepath.Join(t.TempDir(), "data")})
	inbox := g.Inbox(gateway.DefaultTenant, "amqp")
	if err := inbox.Receive(t.Context(), []byte("{")); !errors.Is(err, events.ErrMalformed) {
		t.Errorf("malformed: %v", err)
	}
	if err := g.Inbox("nowhere", "amqp").Receive(t.Context(), erasureEvent("1", "user:ada")); err == nil || errors.Is(err, events.ErrMalformed) {
		t.Errorf("no such tenant: %v", err)
	}
	g.Close()
	if err := inbox.Receive(t.Context(), erasureEvent("1", "user:ada")); err == nil || errors.Is(err, events.ErrMalformed) {
		t.Errorf("closed: %v", err)
	}
}
