package gateway_test

import (
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/eval"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
)

// BenchmarkErasure is the whole of an erasure, from the request to the receipt, in a
// collection of 20 000 messages: of one person who wrote 1000 of them, and of all
// that there are at once. Beside the whole it says where the time went: ms/gather
// (until probe material rests, one scan of all files included), ms/documents (out
// of index, vault and database), ms/files (out of the database's pages), ms/verify,
// and of that ms/scan (every byte of every file). What is not the two scans is
// ms/core. cpu-µs/passage is what the process computed, which is steadier than any
// of them on a machine that has something else to do. Take -benchtime=5x: each round
// writes what it erases first.
func BenchmarkErasure(b *testing.B) {
	b.Run("person", func(b *testing.B) { benchmarkErasure(b, 1000, 19_000) })
	b.Run("bulk", func(b *testing.B) { benchmarkErasure(b, 0, 20_000) })
}

func benchmarkErasure(b *testing.B, theirs, others int) {
	p := &phases{took: map[string]time.Duration{}}
	g := openGateway(b, gateway.Config{ErasuresByHand: true, Step: p.at})
	var total, computed time.Duration
	passages := max(theirs, others)
	if theirs > 0 {
		passages = theirs
	}
	for i := range b.N {
		b.StopTimer()
		request := erasure.Request{Scope: erasure.ScopeCollection, Documents: erasure.Documents{Collection: "bench"}, By: "bench"}
		who := fmt.Sprint("eve", i)
		docs := chatter(who, theirs)
		if theirs == 0 || i == 0 {
			for n := range 400 {
				docs = append(docs, chatter(fmt.Sprint("u", n), others/400)...)
			}
			makeCollection(b, g, "bench", retrieval.Spec{})
		}
		say(b, g, consent.Granted, owners(docs), rag, emb)
		ingest(b, g, "bench", docs)
		if theirs > 0 {
			request = erasure.Request{Scope: erasure.ScopeSubject, Subject: subject(b, who), By: "bench"}
		}
		b.StartTimer()
		began, busy := time.Now(), computing(b)
		e, err := g.Erasure.Request(b.Context(), gateway.DefaultTenant, request)
		if err != nil {
			b.Fatal(err)
		}
		p.at("request")
		e = ended(b, g, e.ID)
		took := time.Since(began)
		computed += computing(b) - busy
		if total += took; e.State != erasure.Completed || e.Gathered.Passages != uint64(passages) {
			b.Fatalf("%v: %+v %+v", e.State, e.Gathered, e.Probes)
		}
		scan := p.scan(e.Probes)
		p.took["core"] += took - 2*scan
	}
	n := float64(b.N)
	b.ReportMetric(float64(passages)*n/total.Seconds(), "passages/s")
	b.ReportMetric(float64(passages)*n/p.took["core"].Seconds(), "core/s")
	b.ReportMetric(float64(computed.Nanoseconds())/1000/n/float64(passages), "cpu-µs/passage")
	for _, name := range []string{"request", "gather", "documents", "mentions", "files", "verify", "scan", "core"} {
		b.ReportMetric(float64(p.took[name].Microseconds())/1000/n, "ms/"+name)
	}
}

// computing is how long all cores computed for this process until now.
func computing(b *testing.B) time.Duration {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// chatter are messages that somebody wrote, of some twelve words each.
func chatter(who string, n int) (docs []eval.Doc) {
	words := strings.Fields("server mail restart kernel driver sound laptop update package screen network printer backup shell desktop battery")
	for i := range n {
		text := ""
		for j := range 12 {
			text += words[(i*7+j*j*3+i/9)%len(words)] + fmt.Sprint(" ", (i*31+j*len(who))%997, " ")
		}
		docs = append(docs, eval.Doc{ID: fmt.Sprint(who, "-message-", i), Owners: []string{who}, Text: text})
	}
	return docs
}

// phases adds up how long an erasure was in each of its phases, by the names of the
// points at which it could be killed.
type phases struct {
	mu   sync.Mutex
	last time.Time
	took map[string]time.Duration
}

func (p *phases) at(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	switch phase, ok := map[string]string{
		"request": "request", "erasure.gathered": "gather", "erasure.verified": "verify",
	}[name]; {
	case ok:
		p.took[phase] += now.Sub(p.last)
	case strings.HasPrefix(name, "erasure.after."):
		p.took[strings.TrimPrefix(name, "erasure.after.")] += now.Sub(p.last)
	case !strings.HasPrefix(name, "erasure."):
		return // of a part of a phase
	}
	p.last = now
}

// scan is how long the scan of files took that a verification made: from the probe
// before it until the first of its own.
func (p *phases) scan(probes []erasure.Probe) (took time.Duration) {
	for i := 1; i < len(probes); i++ {
		if strings.HasPrefix(probes[i].Name, "files: ") && !strings.HasPrefix(probes[i-1].Name, "files: ") {
			took = time.Duration(probes[i].At - probes[i-1].At)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.took["scan"] += took
	return took
}
