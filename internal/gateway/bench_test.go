package gateway_test

import (
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/eval"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
)

// BenchmarkHiddenOrAbsent measures whether the time of the answer tells a
// hidden document from an absent one: AUC is 0.5 when it does not.
func BenchmarkHiddenOrAbsent(b *testing.B) {
	g := openGateway(b, gateway.Config{AdminKey: adminKey})
	s := httptest.NewServer(g.Handler())
	defer s.Close()
	makeCollection(b, g, "a", retrieval.Spec{})
	say(b, g, consent.Granted, []string{"ada"}, rag, emb)
	ingest(b, g, "a", invented("ada"))
	say(b, g, consent.Revoked, []string{"ada"}, rag)
	took := map[string][]time.Duration{}
	for i := 0; b.Loop(); i++ {
		id := []string{"ada-0", "absent"}[i%2]
		began := time.Now()
		code, _, err := call(s.URL, adminKey, "GET", "/v1/collections/a/documents/"+id+"?purpose=rag_retrieval", nil)
		if err != nil || code != 404 {
			b.Fatal(code, err)
		}
		took[id] = append(took[id], time.Since(began))
	}
	b.ReportMetric(eval.AUC(took["absent"], took["ada-0"]), "AUC")
}

// BenchmarkSearch is the whole way of a search below HTTP, k 10, over invented
// messages of 500 people.
func BenchmarkSearch(b *testing.B) {
	g := openGateway(b, gateway.Config{})
	words := []string{"server", "mail", "restart", "kernel", "driver", "sound", "laptop", "update", "package", "screen", "network", "printer", "backup", "shell", "desktop", "battery"}
	var docs []eval.Doc
	for i := range 10_000 {
		text := ""
		for j := range 12 {
			text += words[(i*7+j*j*3+i/9)%len(words)] + " " + fmt.Sprint((i*31+j)%997) + " "
		}
		docs = append(docs, eval.Doc{ID: fmt.Sprint("d", i), Owners: []string{fmt.Sprint("u", i%500)}, Text: text})
	}
	say(b, g, consent.Granted, owners(docs), rag, emb)
	makeCollection(b, g, "bench", retrieval.Spec{})
	ingest(b, g, "bench", docs)
	for name, mode := range map[string]retrieval.Mode{"vector": retrieval.ModeVector, "keyword": retrieval.ModeKeyword, "hybrid": retrieval.ModeHybrid} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				a, err := g.Retrieval.Search(b.Context(), caller, "bench", retrieval.SearchRequest{Query: "sound driver after the kernel update", K: 10, Purpose: "rag_retrieval", Mode: mode})
				if err != nil || len(a.Hits) != 10 {
					b.Fatal(err, len(a.Hits))
				}
			}
		})
	}
}
