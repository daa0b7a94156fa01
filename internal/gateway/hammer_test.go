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

// 8 writers revoke and grant while 16 readers search in every mode: no row of
// a person whose revocation was acknowledged before the search began, and
// nobody left out of an answer that claims to be complete.
func TestHammerFindsNoStaleRow(t *testing.T) {
	const people = 64
	g := openGateway(t, gateway.Config{})
	var docs []eval.Doc
	for p := range people {
		for n := range 3 {
			docs = append(docs, eval.Doc{ID: fmt.Sprintf("d%d-%d", p, n), Owners: []string{fmt.Sprintf("p%d", p)}, Text: fmt.Sprintf("message %d of somebody about the server, number %d", n, p)})
		}
	}
	say(t, g, consent.Granted, owners(docs), rag, emb)
	makeCollection(t, g, "hammer", retrieval.Spec{})
	if n := ingest(t, g, "hammer", docs)[retrieval.Stored]; n != len(docs) {
		t.Fatalf("%d stored", n)
	}
	ct, err := consent.ParseType(rag)
	if err != nil {
		t.Fatal(err)
	}
	subjects := make([]consent.Subject, people)
	for p := range subjects {
		subjects[p] = subject(t, fmt.Sprintf("p%d", p))
	}
	target := eval.HammerTarget{
		Set: func(ctx context.Context, p int, granted bool) error {
			status := consent.Revoked
			if granted {
				status = consent.Granted
			}
			out, err := g.Ledger.Record(ctx, gateway.DefaultTenant, []consent.Entry{{Subject: subjects[p], Type: ct, Status: status}}, consent.Once{})
			if err != nil {
				return err
			}
			return out[0].Err
		},
		Search: func(ctx context.Context, reader int) ([]int, bool, error) {
			mode := []retrieval.Mode{retrieval.ModeVector, retrieval.ModeKeyword, retrieval.ModeHybrid}[reader%3]
			a, err := g.Retrieval.Search(ctx, caller, "hammer", retrieval.SearchRequest{Query: "message about the server", K: people * 3, Purpose: "rag_retrieval", Mode: mode})
			if err != nil {
				return nil, false, err
			}
			var who []int
			for _, h := range a.Hits {
				var p, n int
				if _, err := fmt.Sscanf(h.DocumentID, "d%d-%d", &p, &n); err != nil {
					return nil, false, err
				}
				who = append(who, p)
			}
			return who, a.Privacy.Completeness != retrieval.Degraded, nil
		},
	}
	r := eval.Hammer(t.Context(), target, eval.HammerConfig{People: people, Writers: 8, Readers: 16, Rows: 250_000, Writes: 2_000, AtMost: 4 * time.Minute, Seed: 3})
	t.Log(r)
	if r.Stale != 0 || r.Missing != 0 || r.SearchErrors != 0 || r.WriteErrors != 0 {
		t.Errorf("violations: %v: %s", r, r.First)
	}
	if r.Rows < 200_000 {
		t.Errorf("only %d rows: too few to say anything", r.Rows)
	}
}
