package gateway_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/events"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
)

// TestAnswersDuringTheCascade: an answer that comes between a step and its note
// takes nothing from what the step counted.
func TestAnswersDuringTheCascade(t *testing.T) {
	t.Parallel()
	answered := make(chan struct{})
	var once atomic.Bool
	g := openGateway(t, gateway.Config{ErasuresByHand: true, Step: func(name string) {
		if name == "erasure.after.documents" && once.CompareAndSwap(false, true) {
			<-answered // the processor was waiting for this
		}
	}})
	r := newReceiver(t, nil)
	r.answer = func(*delivered) (int, string) { return 200, "" }
	r.register(g, "crm", nil, events.Erasure)
	say(t, g, consent.Granted, []string{"ada"}, rag, emb)
	makeCollection(t, g, "c", retrieval.Spec{})
	ingest(t, g, "c", invented("ada"))
	e := erase(t, g, "ada")
	d := r.until(func(took []delivered) bool { return len(took) > 0 })[0]
	go func() {
		defer close(answered)
		for !once.Load() {
			time.Sleep(time.Millisecond)
		}
		a := erasure.Answer{Event: sum(d.body), Says: erasure.Acknowledged}
		if err := g.Erasure.Answer(t.Context(), gateway.DefaultTenant, e.ID, "crm", a); err != nil {
			t.Error(err)
		}
	}()
	done := ended(t, g, e.ID)
	if done.State != erasure.Completed || done.Processors[0].State != erasure.Acknowledged {
		t.Errorf("ended as %v %v", done.State, done.Processors)
	}
	for _, target := range done.Targets {
		if target.Name == "catalogue" && target.Deleted != 2 {
			t.Errorf("%d documents counted of 2", target.Deleted)
		}
	}
}

func sum(b []byte) [32]byte { return sha256.Sum256(b) }

// TestErasuresWithProcessorsSurviveKills: whatever the step at which the gateway
// is killed, the processor is told whom it is about, the erasure ends, and
// nobody is named afterwards.
func TestErasuresWithProcessorsSurviveKills(t *testing.T) {
	t.Parallel()
	// And whether the processor answers before the kill: some steps come after.
	for crash, answers := range map[string]bool{
		"erasure.suppressed:1": false, "erasure.gathered:1": false, "erasure.after.person_key:1": false, "erasure.verified:1": false,
		"event.send:1": false, "event.sent:1": true, "erasure.entered:1": true, "erasure.receipt:1": true,
	} {
		t.Run(crash, func(t *testing.T) {
			t.Parallel()
			up := atomic.Bool{}
			r := newReceiver(t, nil)
			r.answer = func(*delivered) (int, string) {
				if !up.Load() {
					return 503, ""
				}
				return 200, `{"acknowledged": true}`
			}
			dir := filepath.Join(t.TempDir(), "data")
			c := startChild(t, dir, "")
			status, answer, err := c.call("PUT", "/v1/processors/crm", map[string]any{
				"url": r.url, "secret": events.ShowSecret(hookSecret), "role": "processor", "kinds": []string{"erasure"}})
			if err != nil || status != 201 {
				t.Fatal(status, answer, err)
			}
			c.kill()
			up.Store(answers)
			c = startChild(t, dir, crash)
			_, _, _ = c.call("POST", "/v1/erasures", map[string]any{"scope": "subject", "subject": "user:ada"})
			<-c.dead
			g := openGateway(t, gateway.Config{DataDir: dir})
			up.Store(true)
			all, err := g.Erasure.List(t.Context(), gateway.DefaultTenant, erasure.Page{Limit: 10})
			if err != nil || len(all) != 1 {
				t.Fatal(len(all), err)
			}
			e := ended(t, g, all[0].ID)
			if e.State != erasure.Completed || len(e.Processors) != 1 || e.Processors[0].State != erasure.Acknowledged {
				t.Errorf("ended as %v %v", e.State, e.Processors)
			}
			took := r.until(func(took []delivered) bool { return len(took) > 0 })
			if fmt.Sprint(took[0].Data.Identifiers) != "[user:ada]" {
				t.Errorf("told of %v", took[0].Data.Identifiers)
			}
			inOrder(t, took)
			if told, err := g.Erasure.Told(t.Context(), gateway.DefaultTenant, e.ID); err != nil || len(told.Names) != 0 {
				t.Errorf("after the end it names %v, %v", told.Names, err)
			}
		})
	}
}

// TestProcessorsOfASharedErasure: on a Postgres and a shared vault, with the
// request at one gateway, the delivery at whichever, the answer at a third.
func TestProcessorsOfASharedErasure(t *testing.T) {
	t.Parallel()
	c := newCluster(t, server(t))
	var gateways []*gateway.Gateway
	for range 3 {
		gateways = append(gateways, c.open(gateway.Config{DeliveryLease: 2 * time.Second, ErasuresByHand: true}))
	}
	r := newReceiver(t, nil)
	r.register(gateways[0], "crm", nil, events.Erasure)
	say(t, gateways[0], consent.Granted, []string{"ada"}, rag)
	id := erase(t, gateways[1], "ada").ID
	d := r.until(func(took []delivered) bool { return len(took) > 0 })[0]
	if fmt.Sprint(d.Data.Identifiers) != "[user:ada]" || d.Data.ID != id {
		t.Errorf("told of %+v", d.Data)
	}
	if err := gateways[2].Erasure.Answer(t.Context(), gateway.DefaultTenant, id, "crm", erasure.Answer{Event: sum(d.body), Says: erasure.Acknowledged}); err != nil {
		t.Fatal(err)
	}
	if e := ended(t, gateways[0], id); e.Processors[0].State != erasure.Acknowledged {
		t.Errorf("ended as %v %v", e.State, e.Processors)
	}
	// Then it is told of the end, and nothing twice.
	took := r.until(func(took []delivered) bool { return took[len(took)-1].Type == events.TypeCompleted })
	if n := inOrder(t, took); n != 2 || len(took) != 2 {
		t.Errorf("told %d times of %d events", len(took), n)
	}
}

// TestProcessorsOfAnErasureThatWaits: a processor is told that an erasure waits
// for approval, and what it says to that does not count; approved, it is told
// again, and signs that; denied, it is told so, and nobody is named any more.
func TestProcessorsOfAnErasureThatWaits(t *testing.T) {
	t.Parallel()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	g := openGateway(t, gateway.Config{MassLimit: 1})
	r := newReceiver(t, func(d *delivered) (int, string) {
		digest := sum(d.body)
		signature := ed25519.Sign(private, erasure.SignedAnswer(d.Data.ID, digest))
		return 200, `{"acknowledged": true, "signature": "` + base64.StdEncoding.EncodeToString(signature) + `"}`
	})
	r.register(g, "crm", public, events.Erasure)
	first := ended(t, g, erase(t, g, "ada").ID)
	if first.State != erasure.Completed {
		t.Fatalf("ended as %v", first.State)
	}
	yes, no := erase(t, g, "bob"), erase(t, g, "cy")
	if yes.State != erasure.Received || no.State != erasure.Received {
		t.Fatal(yes.State, no.State)
	}
	took := r.until(func(took []delivered) bool { return took[len(took)-1].Data.ID == no.ID })
	if last := took[len(took)-1]; last.Data.State != "received" || fmt.Sprint(last.Data.Identifiers) != "[user:cy]" {
		t.Errorf("told of %+v", last.Data)
	}
	early := erasure.Answer{Says: erasure.Acknowledged, Signature: ed25519.Sign(private, erasure.SignedAnswer(yes.ID, [32]byte{}))}
	if err := g.Erasure.Answer(t.Context(), gateway.DefaultTenant, yes.ID, "crm", early); !errors.Is(err, erasure.ErrState) {
		t.Errorf("acknowledged before anybody was told to erase: %v", err)
	}
	if e, err := g.Erasure.Get(t.Context(), gateway.DefaultTenant, yes.ID); err != nil || e.Processors[0].State != erasure.Silent {
		t.Errorf("before approval: %v %v", e.Processors, err)
	}
	if _, err := g.Erasure.Decide(t.Context(), gateway.DefaultTenant, yes.ID, "second", erasure.Approve, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Erasure.Decide(t.Context(), gateway.DefaultTenant, no.ID, "second", erasure.Deny, ""); err != nil {
		t.Fatal(err)
	}
	if e := ended(t, g, yes.ID); e.State != erasure.Completed || e.Processors[0].State != erasure.Acknowledged {
		t.Errorf("approved, it ended as %v %v", e.State, e.Processors)
	}
	took = r.until(func(took []delivered) bool {
		return slices.ContainsFunc(took, func(d delivered) bool { return d.Data.State == "denied" })
	})
	inOrder(t, took)
	if !slices.ContainsFunc(took, func(d delivered) bool {
		return d.Data.ID == yes.ID && d.Data.State == "suppressed" && fmt.Sprint(d.Data.Identifiers) == "[user:bob]"
	}) {
		t.Error("not told that it was approved")
	}
	if told, err := g.Erasure.Told(t.Context(), gateway.DefaultTenant, no.ID); err != nil || len(told.Names) != 0 {
		t.Errorf("denied, it names %v, %v", told.Names, err)
	}
}
