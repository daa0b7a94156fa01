package gateway_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/eval"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
)

// anvil is a collection to hammer, on gateways that share it: people with three
// documents each, all granted.
type anvil struct {
	gateways []*gateway.Gateway
	subjects []consent.Subject
	typ      consent.Type
}

func newAnvil(t *testing.T, people int, gateways ...*gateway.Gateway) *anvil {
	t.Helper()
	a := &anvil{gateways: gateways}
	var docs []eval.Doc
	for p := range people {
		for n := range 3 {
			docs = append(docs, eval.Doc{ID: fmt.Sprintf("d%d-%d", p, n), Owners: []string{fmt.Sprintf("p%d", p)}, Text: fmt.Sprintf("message %d of somebody about the server, number %d", n, p)})
		}
		a.subjects = append(a.subjects, subject(t, fmt.Sprintf("p%d", p)))
	}
	var err error
	if a.typ, err = consent.ParseType(rag); err != nil {
		t.Fatal(err)
	}
	say(t, gateways[0], consent.Granted, owners(docs), rag, emb)
	makeCollection(t, gateways[0], "hammer", retrieval.Spec{})
	if n := ingest(t, gateways[0], "hammer", docs)[retrieval.Stored]; n != len(docs) {
		t.Fatalf("%d stored", n)
	}
	return a
}

// target writes about a person at one gateway, another each time, and reads at
// each reader's own.
func (a *anvil) target() eval.HammerTarget {
	turns := make([]int, len(a.subjects))
	return eval.HammerTarget{
		Set: func(ctx context.Context, p int, granted bool) error {
			status := consent.Revoked
			if granted {
				status = consent.Granted
			}
			turns[p]++
			g := a.gateways[(p+turns[p])%len(a.gateways)]
			out, err := g.Ledger.Record(ctx, gateway.DefaultTenant, []consent.Entry{{Subject: a.subjects[p], Type: a.typ, Status: status}}, consent.Once{})
			if err != nil {
				return err
			}
			return out[0].Err
		},
		Search: func(ctx context.Context, reader int) ([]int, bool, error) {
			mode := []retrieval.Mode{retrieval.ModeVector, retrieval.ModeKeyword, retrieval.ModeHybrid}[reader%3]
			g := a.gateways[reader/3%len(a.gateways)]
			answer, err := g.Retrieval.Search(ctx, caller, "hammer", retrieval.SearchRequest{Query: "message about the server", K: len(a.subjects) * 3, Purpose: "rag_retrieval", Mode: mode})
			if err != nil {
				return nil, false, err
			}
			var who []int
			for _, h := range answer.Hits {
				var p, n int
				if _, err := fmt.Sscanf(h.DocumentID, "d%d-%d", &p, &n); err != nil {
					return nil, false, err
				}
				who = append(who, p)
			}
			return who, answer.Privacy.Completeness != retrieval.Degraded, nil
		},
	}
}

// strike hammers, and fails on any violation. Errors are violations, unless
// the test made them.
func (a *anvil) strike(t *testing.T, c eval.HammerConfig, errorsExpected bool) eval.HammerReport {
	t.Helper()
	c.People = len(a.subjects)
	r := eval.Hammer(t.Context(), a.target(), c)
	t.Log(r)
	if r.Stale != 0 || r.Missing != 0 || !errorsExpected && (r.SearchErrors != 0 || r.WriteErrors != 0) {
		t.Errorf("violations: %v: %s", r, r.First)
	}
	if r.Rows < c.Rows {
		t.Errorf("only %d rows: too few to say anything", r.Rows)
	}
	return r
}

// 8 writers revoke and grant while 16 readers search in every mode: no row of
// a person whose revocation was acknowledged before the search began, and
// nobody left out of an answer that claims to be complete.
func TestHammerFindsNoStaleRow(t *testing.T) {
	a := newAnvil(t, 64, openGateway(t, gateway.Config{}))
	a.strike(t, eval.HammerConfig{Writers: 8, Readers: 16, Rows: 250_000, Writes: 2_000, AtMost: 4 * time.Minute, Seed: 3}, false)
}
