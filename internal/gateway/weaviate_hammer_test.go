package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/eval"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/testweaviate"
	"github.com/assent-gateway/assent/internal/weaviate"
	"github.com/assent-gateway/assent/retrieval"
)

// A weaviateHammer drives a collection of two documents a person.
type weaviateHammer struct {
	t       *testing.T
	g       *gateway.Gateway
	tenant  consent.TenantID
	people  []consent.Subject
	outages atomic.Int64 // searches that were told that the index is away
}

func newWeaviateHammer(t *testing.T, g *gateway.Gateway, people int) *weaviateHammer {
	t.Helper()
	h := &weaviateHammer{t: t, g: g, tenant: gateway.DefaultTenant}
	var docs []eval.Doc
	for p := range people {
		name := fmt.Sprint("p", p)
		h.people = append(h.people, subject(t, name))
		for n := range 2 {
			docs = append(docs, eval.Doc{ID: fmt.Sprintf("d%d-%d", p, n), Owners: []string{name}, Text: fmt.Sprintf("message %d of somebody about the server, number %d", n, p)})
		}
	}
	say(t, g, consent.Granted, owners(docs), rag, emb)
	makeCollection(t, g, "hammer", retrieval.Spec{})
	if n := ingest(t, g, "hammer", docs)[retrieval.Stored]; n != len(docs) {
		t.Fatalf("%d stored", n)
	}
	return h
}

func (h *weaviateHammer) target() eval.HammerTarget {
	typ, err := consent.ParseType(rag)
	if err != nil {
		h.t.Fatal(err)
	}
	return eval.HammerTarget{
		Set: func(ctx context.Context, p int, granted bool) error {
			status := consent.Revoked
			if granted {
				status = consent.Granted
			}
			out, err := h.g.Ledger.Record(ctx, h.tenant, []consent.Entry{{Subject: h.people[p], Type: typ, Status: status}}, consent.Once{})
			if err != nil {
				return err
			}
			return out[0].Err
		},
		Search: func(ctx context.Context, _ int) ([]int, bool, error) {
			a, err := h.g.Retrieval.Search(ctx, caller, "hammer", retrieval.SearchRequest{Query: "message about the server", K: 2 * len(h.people), Purpose: "rag_retrieval"})
			if errors.Is(err, retrieval.ErrIndex) {
				h.outages.Add(1)
				select {
				case <-time.After(10 * time.Millisecond):
				case <-ctx.Done():
				}
				return nil, false, nil
			}
			if err != nil {
				return nil, false, err
			}
			var who []int
			for _, hit := range a.Hits {
				var p, n int
				if _, err := fmt.Sscanf(hit.DocumentID, "d%d-%d", &p, &n); err != nil {
					return nil, false, err
				}
				who = append(who, p)
			}
			return who, a.Privacy.Completeness != retrieval.Degraded, nil
		},
	}
}

func (h *weaviateHammer) judge(r eval.HammerReport, rows int64) {
	h.t.Helper()
	h.t.Logf("%d told that the index is away", h.outages.Load())
	convict(h.t, r, rows)
	if r.SearchErrors != 0 || r.WriteErrors != 0 {
		h.t.Errorf("%d searches and %d writes failed", r.SearchErrors, r.WriteErrors)
	}
}

// Writers revoke and grant while readers search in Weaviate and the applier
// works: no row of a person whose revocation was acknowledged before the search
// began, and nobody left out of an answer that claims to be complete.
func TestHammerOnWeaviateFindsNoStaleRow(t *testing.T) {
	g := openGateway(t, gateway.Config{Weaviate: onWeaviate(t), Log: debugLog()})
	h := newWeaviateHammer(t, g, 48)
	r := eval.Hammer(t.Context(), h.target(), eval.HammerConfig{People: 48, Writers: 4, Readers: 8, Rows: 22_000, Writes: 400, AtMost: 3 * time.Minute, Seed: 5})
	h.judge(r, 20_000)
	if h.outages.Load() != 0 {
		t.Error("the index was said to be away")
	}
}

// The same while Weaviate is killed and comes back: meanwhile searches are told
// that it is away, and none is answered from something old.
func TestHammerWithWeaviateRestarted(t *testing.T) {
	s := testweaviate.Start(t)
	g := openGateway(t, gateway.Config{Weaviate: &weaviate.Options{URL: s.URL(), GRPC: s.GRPC(), Timeout: 2 * time.Second}, Log: debugLog()})
	h := newWeaviateHammer(t, g, 32)
	target := h.target()
	search := target.Search
	var rows atomic.Int64
	restarted := make(chan error, 1)
	target.Search = func(ctx context.Context, reader int) ([]int, bool, error) {
		who, complete, err := search(ctx, reader)
		n := int64(len(who))
		if sum := rows.Add(n); sum >= 8_000 && sum-n < 8_000 { // one reader's, and only one's
			go func() {
				s.Kill()
				<-time.After(300 * time.Millisecond) // some searches must meet it away
				restarted <- s.Restart()
			}()
		}
		return who, complete, err
	}
	r := eval.Hammer(t.Context(), target, eval.HammerConfig{People: 32, Writers: 2, Readers: 6, Rows: 16_000, Writes: 200, AtMost: 3 * time.Minute, Seed: 6})
	if rows.Load() < 8_000 {
		t.Fatalf("%v: too slow to restart anything", r)
	}
	if err := <-restarted; err != nil {
		t.Fatal(err)
	}
	h.judge(r, 16_000)
	if h.outages.Load() == 0 {
		t.Error("no search met the index away")
	}
}
