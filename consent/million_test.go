package consent_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
)

// percentiles reports p50 and p99 of what was measured one by one, the clock's
// own time taken off.
func percentiles(b *testing.B, took []time.Duration) {
	b.Helper()
	clock := make([]time.Duration, 1000)
	for i := range clock {
		began := time.Now()
		clock[i] = time.Since(began)
	}
	slices.Sort(clock)
	slices.Sort(took)
	for name, p := range map[string]int{"p50-ns": 50, "p99-ns": 99} {
		b.ReportMetric(float64(max(0, took[len(took)*p/100]-clock[500])), name)
	}
}

// BenchmarkDecideMillion is a decision in process among a million people, each
// asked about by number or name in an order that no cache foresees: from
// memory, with the head read that every question begins with, and at the second
// gate.
func BenchmarkDecideMillion(b *testing.B) {
	r := newRig(b)
	const people, asked = 1_000_000, 20_000
	for i := 0; i < people; i += 2000 {
		batch := make([]consent.Entry, 0, 2000)
		for j := range 2000 {
			batch = append(batch, entry(fmt.Sprint("u", i+j), rag, consent.Granted))
		}
		if _, err := r.ledger.Record(context.Background(), tenant, batch, consent.Once{}); err != nil {
			b.Fatal(err)
		}
	}
	who := make([]consent.Subject, asked)
	docs := make([]consent.People, asked)
	var embed []consent.Entry
	for i := range who {
		e := entry(fmt.Sprint("u", i*7919%people), emb, consent.Granted)
		who[i], embed = e.Subject, append(embed, e)
	}
	if _, err := r.ledger.Record(context.Background(), tenant, embed, consent.Once{}); err != nil {
		b.Fatal(err)
	}
	for i := range who {
		num, err := r.ledger.Find(b.Context(), tenant, who[i])
		if err != nil {
			b.Fatal(err)
		}
		docs[i].Owners = []consent.SubjectNum{num}
	}
	permit, err := r.ledger.Permit(b.Context(), tenant, "rag_retrieval")
	if err != nil {
		b.Fatal(err)
	}
	permit.Recheck([]consent.Claim{{People: docs[0]}}, make([]bool, 1)) // the first one makes the mask
	head, err := r.ledger.Head(b.Context(), tenant)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("in memory", func(b *testing.B) {
		var took []time.Duration
		for i := 0; b.Loop(); i++ {
			began := time.Now()
			d, err := r.ledger.Judge(b.Context(), tenant, head, consent.Rule{}, docs[i%asked:i%asked+1])
			took = append(took, time.Since(began))
			if err != nil || !d[0].Allowed {
				b.Fatal(d, err)
			}
		}
		percentiles(b, took)
	})
	b.Run("by identifier, with the head read", func(b *testing.B) {
		var took []time.Duration
		for i := 0; b.Loop(); i++ {
			began := time.Now()
			a, err := r.ledger.Decide(b.Context(), tenant, who[i%asked:i%asked+1], consent.Question{Purpose: "rag_retrieval"})
			took = append(took, time.Since(began))
			if err != nil || !a.Decisions[0].Allowed {
				b.Fatal(a, err)
			}
		}
		percentiles(b, took)
	})
	for _, hits := range []int{10, 100} {
		b.Run(fmt.Sprintf("second gate, %d hits", hits), func(b *testing.B) {
			claims, ok := make([]consent.Claim, hits), make([]bool, hits)
			for i := 0; b.Loop(); i++ {
				for j := range claims {
					claims[j].People = docs[(i*hits+j)%asked]
				}
				permit.Recheck(claims, ok)
				if !ok[0] {
					b.Fatal("refused")
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*hits), "ns/hit")
		})
	}
}
