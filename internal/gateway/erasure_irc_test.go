package gateway_test

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/eval"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
)

// On the IRC corpus: the person with the most messages and 10 others are erased,
// level by level; the times are logged. ASSENT_IRC_FULL=1 takes all of it (208 000
// messages) and 100 others, else the part for development.
func TestErasureOnIRC(t *testing.T) {
	docs, err := eval.LoadDocs(sharedData(t, filepath.Join("irc", "dev_docs.jsonl")))
	if err != nil {
		t.Fatal(err)
	}
	full := os.Getenv("ASSENT_IRC_FULL") != ""
	if full {
		more, err := eval.LoadDocs(sharedData(t, filepath.Join("irc", "train_docs.jsonl.gz")))
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, more...)
	}
	docs = slices.DeleteFunc(docs, func(d eval.Doc) bool { return len(d.Owners) == 0 || strings.TrimSpace(d.Text) == "" }) // which no ingest takes
	count := map[string]int{}
	for _, d := range docs {
		for _, o := range d.Owners {
			count[o]++
		}
	}
	all := owners(docs)
	slices.SortStableFunc(all, func(a, b string) int { return cmp.Compare(count[b], count[a]) })
	g := openGateway(t, gateway.Config{ErasuresByHand: true})
	began := time.Now()
	for part := range slices.Chunk(all, 500) {
		say(t, g, consent.Granted, part, rag, emb)
	}
	makeCollection(t, g, "irc", retrieval.Spec{})
	ingest(t, g, "irc", docs)
	t.Logf("%d messages of %d people, ingested in %v", len(docs), len(all), time.Since(began).Round(time.Millisecond))

	// The first, and others spread over the rest.
	others := 10
	if full {
		others = 100
	}
	chosen := all[:1:1]
	for i := 1; i < len(all) && len(chosen) <= others; i += max(1, (len(all)-1)/others) {
		chosen = append(chosen, all[i])
	}
	var unreachable, purged []time.Duration
	for i, who := range chosen {
		start := time.Now()
		e := erase(t, g, who)
		toUnreachable := time.Since(start)
		e = ended(t, g, e.ID)
		toPurged := time.Since(start)
		if e.State != erasure.Completed || e.Level != erasure.Purged || int(e.Gathered.Documents) < count[who] {
			t.Fatalf("person %d of %d: %v, %v, gathered %+v of %d; %+v %+v", i, len(chosen), e.State, e.Level, e.Gathered, count[who], e.Targets, e.Probes)
		}
		unreachable, purged = append(unreachable, toUnreachable), append(purged, toPurged)
		read := uint64(0)
		for _, p := range e.Probes {
			read = max(read, p.Over)
		}
		if i == 0 {
			t.Logf("the person with the most: %d documents (%d shared, %d mentioning), %d passages: unreachable %v, purged %v; %d MB of files read twice",
				e.Gathered.Documents, e.Gathered.Shared, e.Gathered.Mentioned, e.Gathered.Passages, toUnreachable, toPurged, read>>20)
		}
	}
	at := func(d []time.Duration, q int) time.Duration {
		s := slices.Clone(d)
		slices.Sort(s)
		return s[min(len(s)-1, len(s)*q/100)].Round(10 * time.Microsecond)
	}
	t.Logf("%d people: unreachable p50 %v p99 %v; purged p50 %v p99 %v", len(chosen), at(unreachable, 50), at(unreachable, 99), at(purged, 50), at(purged, 99))
	for i := range chosen {
		if n, err := g.Ledger.Find(t.Context(), gateway.DefaultTenant, subject(t, chosen[i])); err != nil || n == 0 {
			t.Errorf("person %d is not recognised any more: %v", i, err)
		}
	}
	left := len(docs)
	for _, d := range docs {
		for _, o := range d.Owners {
			if slices.Contains(chosen, o) {
				left--
				break
			}
		}
	}
	// In bulk: everything that is left, at once.
	start := time.Now()
	e, err := g.Erasure.Request(t.Context(), gateway.DefaultTenant, erasure.Request{Scope: erasure.ScopeCollection, Documents: erasure.Documents{Collection: "irc"}, By: "test"})
	if err != nil {
		t.Fatal(err)
	}
	e = ended(t, g, e.ID)
	if e.State != erasure.Completed || int(e.Gathered.Documents) != left {
		t.Errorf("bulk: %v, %d of %d documents", e.State, e.Gathered.Documents, left)
	}
	t.Logf("bulk: %d passages, all with gathering and verification, in %v", e.Gathered.Passages, time.Since(start).Round(time.Millisecond))
}
