package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/eval"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
)

// anvil is a collection to hammer, on gateways that share it: people with some
// documents each, all granted.
type anvil struct {
	caller   retrieval.Caller
	gateways []*gateway.Gateway
	subjects []consent.Subject
	docs     int // of each person
	typ      consent.Type
}

func newAnvil(t *testing.T, people int, gateways ...*gateway.Gateway) *anvil {
	t.Helper()
	return newAnvilOf(t, caller, people, 3, gateways...)
}

// newAnvilOf makes one for a tenant, with keywords wherever the index is. The
// texts name the tenant.
func newAnvilOf(t *testing.T, who retrieval.Caller, people, docs int, gateways ...*gateway.Gateway) *anvil {
	t.Helper()
	a := &anvil{caller: who, gateways: gateways, docs: docs}
	var all []retrieval.Submission
	var entries []consent.Entry
	for p := range people {
		s := subject(t, fmt.Sprintf("p%d", p))
		for n := range docs {
			all = append(all, retrieval.Submission{Document: retrieval.Document{ID: fmt.Sprintf("d%d-%d", p, n), Owners: []consent.Subject{s}, Text: fmt.Sprintf("message %d of somebody about the server, number %d of %s", n, p, who.Tenant)}})
		}
		a.subjects = append(a.subjects, s)
		for _, typ := range []string{emb, rag} {
			var err error
			if a.typ, err = consent.ParseType(typ); err != nil {
				t.Fatal(err)
			}
			entries = append(entries, consent.Entry{Subject: s, Type: a.typ, Status: consent.Granted})
		}
	}
	if _, err := gateways[0].Ledger.Record(t.Context(), who.Tenant, entries, consent.Once{}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := gateways[0].Retrieval.PutCollection(t.Context(), who, "hammer", retrieval.Spec{DefaultVisibility: retrieval.TenantWide, Keyword: true}); err != nil {
		t.Fatal(err)
	}
	out, err := gateways[0].Retrieval.Ingest(t.Context(), who, "hammer", all, consent.Once{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range out.Results {
		if r.Status != retrieval.Stored {
			t.Fatalf("status %v", r.Status)
		}
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
			out, err := g.Ledger.Record(ctx, a.caller.Tenant, []consent.Entry{{Subject: a.subjects[p], Type: a.typ, Status: status}}, consent.Once{})
			if err != nil {
				return err
			}
			return out[0].Err
		},
		Search: func(ctx context.Context, reader int) ([]int, bool, error) {
			mode := []retrieval.Mode{retrieval.ModeVector, retrieval.ModeKeyword, retrieval.ModeHybrid}[reader%3]
			g := a.gateways[reader/3%len(a.gateways)]
			answer, err := g.Retrieval.Search(ctx, a.caller, "hammer", retrieval.SearchRequest{Query: "message about the server", K: len(a.subjects) * a.docs, Purpose: "rag_retrieval", Mode: mode})
			if err != nil {
				return nil, false, err
			}
			var who []int
			for _, h := range answer.Hits {
				var p, n int
				if _, err := fmt.Sscanf(h.DocumentID, "d%d-%d", &p, &n); err != nil {
					return nil, false, err
				}
				if !strings.HasSuffix(h.Text, "of "+string(a.caller.Tenant)) {
					return nil, false, errForeign
				}
				who = append(who, p)
			}
			return who, answer.Privacy.Completeness != retrieval.Degraded, nil
		},
	}
}

// errForeign: a passage of another tenant came back.
var errForeign = errors.New("a passage of another tenant")

// convict fails on stale rows and missing people, and on too little to say
// anything: rows, or answers that claim to be whole.
func convict(t *testing.T, r eval.HammerReport, rows int64) {
	t.Helper()
	t.Log(r)
	if r.Stale != 0 || r.Missing != 0 {
		t.Errorf("violations: %v: %s", r, r.First)
	}
	if r.Rows < rows || r.Whole == 0 {
		t.Errorf("only %d rows, and %d whole answers: too few to say anything", r.Rows, r.Whole)
	}
}

// strike hammers, and fails on any violation and error.
func (a *anvil) strike(t *testing.T, c eval.HammerConfig) eval.HammerReport {
	t.Helper()
	c.People = len(a.subjects)
	r := eval.Hammer(t.Context(), a.target(), c)
	convict(t, r, c.Rows)
	if r.SearchErrors != 0 || r.WriteErrors != 0 {
		t.Errorf("%d searches and %d writes failed: first %v", r.SearchErrors, r.WriteErrors, r.Err)
	}
	for i, g := range a.gateways {
		if g.Alarms() != nil {
			t.Errorf("gateway %d: alarms %v, with an index that does what it should", i, g.Alarms())
		}
	}
	return r
}

// 8 writers revoke and grant while 16 readers search in every mode: no row of
// a person whose revocation was acknowledged before the search began, and
// nobody left out of an answer that claims to be complete.
func TestHammerFindsNoStaleRow(t *testing.T) {
	a := newAnvil(t, 64, openGateway(t, gateway.Config{}))
	a.strike(t, eval.HammerConfig{Writers: 8, Readers: 16, Rows: 250_000, Writes: 2_000, AtMost: 4 * time.Minute, Seed: 3})
}
