package consent_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/assent-gateway/assent/consent"
)

// BenchmarkRecord is an acknowledged consent write: slots where the person is
// new, transaction and journal, each synced.
func BenchmarkRecord(b *testing.B) {
	for _, writers := range []int{1, 16} {
		b.Run(fmt.Sprintf("writers %d", writers), func(b *testing.B) {
			r := newRig(b)
			var n atomic.Int64
			b.SetParallelism(writers / 2)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					i := n.Add(1)
					status := consent.Granted
					if i/500%2 == 1 {
						status = consent.Revoked
					}
					out, err := r.ledger.Record(context.Background(), tenant, []consent.Entry{entry(fmt.Sprint("u", i%500), rag, status)}, consent.Once{})
					if err != nil || out[0].Err != nil {
						b.Error(err, out)
						return
					}
				}
			})
		})
	}
	b.Run("batches of 500", func(b *testing.B) {
		r := newRig(b)
		for i := range b.N {
			batch := make([]consent.Entry, 500)
			for j := range batch {
				batch[j] = entry(fmt.Sprint("u", i*500+j), rag, consent.Granted)
			}
			if _, err := r.ledger.Record(context.Background(), tenant, batch, consent.Once{}); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N*500)/b.Elapsed().Seconds(), "entries/s")
	})
}

// BenchmarkDecide is a decision in process over 100 000 people, and a verdict
// at the second gate.
func BenchmarkDecide(b *testing.B) {
	r := newRig(b)
	const people = 100_000
	for i := 0; i < people; i += 1000 {
		batch := make([]consent.Entry, 0, 2000)
		for j := range 1000 {
			batch = append(batch, entry(fmt.Sprint("u", i+j), rag, consent.Granted), entry(fmt.Sprint("u", i+j), emb, consent.Granted))
		}
		if _, err := r.ledger.Record(context.Background(), tenant, batch, consent.Once{}); err != nil {
			b.Fatal(err)
		}
	}
	who := make([]consent.Subject, 1000)
	nums := make([]consent.SubjectNum, len(who))
	for i := range who {
		who[i] = entry(fmt.Sprint("u", i*97), rag, consent.Granted).Subject
		var err error
		if nums[i], err = r.ledger.Find(b.Context(), tenant, who[i]); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("one person by identifier", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, err := r.ledger.Decide(b.Context(), tenant, who[i%1000:i%1000+1], consent.Question{Purpose: "rag_retrieval"}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("permit", func(b *testing.B) {
		for b.Loop() {
			if _, err := r.ledger.Permit(b.Context(), tenant, "rag_retrieval"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("second gate, a hit of 10", func(b *testing.B) {
		p, err := r.ledger.Permit(b.Context(), tenant, "rag_retrieval")
		if err != nil {
			b.Fatal(err)
		}
		docs, ok := make([]consent.Claim, 10), make([]bool, 10)
		for i := 0; b.Loop(); i++ {
			for j := range docs {
				docs[j].People.Owners = nums[(i+j)%1000 : (i+j)%1000+1]
			}
			p.Recheck(docs, ok)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10, "ns/hit")
	})
}
