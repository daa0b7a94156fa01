package gateway_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
)

// While documents in Weaviate are replaced over and over at one gateway, a
// search at another that claims to be whole finds each of them exactly once.
func TestReplacementInWeaviateIsNeverBothNorNeither(t *testing.T) {
	c := newCluster(t, server(t))
	a, b := c.open(gateway.Config{Weaviate: onWeaviate(t)}), c.open(gateway.Config{Weaviate: onWeaviate(t)})
	makeCollection(t, a, "a", retrieval.Spec{})
	say(t, a, consent.Granted, []string{"ada"}, rag, emb)
	const n, batch = 40, 5
	version := func(v, from int) []retrieval.Document {
		var docs []retrieval.Document
		for i := from; i < from+batch; i++ {
			docs = append(docs, retrieval.Document{ID: fmt.Sprintf("d%02d", i), Owners: people(t, "ada"), Text: fmt.Sprint("about the server, version ", v)})
		}
		return docs
	}
	for from := 0; from < n; from += batch {
		put(t, a, caller, "a", version(0, from)...)
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute) // or as soon as it says enough
	defer stop()
	var wg sync.WaitGroup
	var degraded, whole, replaced atomic.Int64
	for w := range 2 {
		wg.Go(func() {
			for v := 1; ctx.Err() == nil; v++ {
				for from := w * n / 2; from < (w+1)*n/2 && ctx.Err() == nil; from += batch {
					put(t, a, caller, "a", version(v, from)...)
					replaced.Add(batch)
				}
			}
		})
	}
	for _, exact := range []bool{false, false, true} {
		wg.Go(func() {
			for ctx.Err() == nil {
				got, err := b.Retrieval.Search(t.Context(), caller, "a", retrieval.SearchRequest{Query: "server", K: 2 * n, Purpose: "rag_retrieval", Exact: exact})
				if err != nil {
					t.Error(err)
					return
				}
				if got.Privacy.Completeness == retrieval.Degraded {
					degraded.Add(1)
					continue
				}
				if whole.Add(1) >= 300 && replaced.Load() >= 200 {
					stop()
				}
				ids := map[string]bool{}
				for _, h := range got.Hits {
					ids[h.DocumentID] = true
				}
				if len(got.Hits) != n || len(ids) != n {
					t.Errorf("exact %v: %d hits of %d documents in an answer that says %q, want %d", exact, len(got.Hits), len(ids), got.Privacy.Completeness, n)
					return
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d replaced, %d whole answers, %d degraded", replaced.Load(), whole.Load(), degraded.Load())
	if whole.Load() == 0 || replaced.Load() < 2*n {
		t.Error("it says nothing")
	}
}
