package gateway_test

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/eval"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/testweaviate"
	"github.com/assent-gateway/assent/retrieval"
)

// On the IRC corpus in Weaviate: the person with the most messages and 10 others
// (100 with ASSENT_IRC_FULL=1) are erased and share one rebuild. The times are
// logged, without what the test's clock skips: the minute in which all that was on
// its way arrives, the hours until a rebuild is due, the minute in which searches
// that began before the switch end.
func TestErasureOnIRCInWeaviateIsPurgedByARebuild(t *testing.T) {
	docs, err := eval.LoadDocs(sharedData(t, filepath.Join("irc", "dev_docs.jsonl")))
	if err != nil {
		t.Fatal(err)
	}
	docs = slices.DeleteFunc(docs, func(d eval.Doc) bool { return len(d.Owners) == 0 })
	count := map[string]int{}
	for _, d := range docs {
		for _, o := range d.Owners {
			count[o]++
		}
	}
	all := owners(docs)
	slices.SortStableFunc(all, func(a, b string) int { return cmp.Compare(count[b], count[a]) })
	w := testweaviate.Start(t)
	var clock ahead
	g := openGateway(t, rebuilding(w, &clock))
	began := time.Now()
	for part := range slices.Chunk(all, 500) {
		say(t, g, consent.Granted, part, rag, emb)
	}
	makeCollection(t, g, "irc", retrieval.Spec{})
	ingest(t, g, "irc", docs)
	t.Logf("%d messages of %d people, ingested in %v", len(docs), len(all), time.Since(began).Round(time.Millisecond))

	others := 10
	if os.Getenv("ASSENT_IRC_FULL") != "" {
		others = 100
	}
	chosen := all[:1:1]
	for i := 1; i < len(all) && len(chosen) <= others; i += max(1, (len(all)-1)/others) {
		chosen = append(chosen, all[i])
	}
	var unreachable, absent, purged []time.Duration
	var ids []string
	var starts []time.Time
	forms := g.FormsInWeaviate(t, "irc", subject(t, chosen[0]))
	found, where := inFiles(t, w.Data(), forms)
	t.Logf("before, of the person with the most: %d of %d forms in Weaviate's files: %v", found, len(forms), where)
	passages := uint64(0)
	for i, who := range chosen {
		start := time.Now()
		e := erase(t, g, who)
		unreachable = append(unreachable, time.Since(start))
		for targetOf(e, "index").State() != "waiting_for_rebuild" {
			if e, err = g.Erasure.Carry(t.Context(), gateway.DefaultTenant, e.ID); err != nil || e.State != erasure.Running {
				t.Fatalf("person %d: %v, %v: %+v", i, e.State, err, e)
			}
			clock.by.Add(int64(10 * time.Second))
		}
		absent = append(absent, time.Since(start))
		if r := targetOf(e, "index"); r.Level != erasure.Absent {
			t.Errorf("person %d while it waits: %+v", i, r)
		}
		passages += e.Gathered.Passages
		ids, starts = append(ids, e.ID), append(starts, start)
		if i == 0 {
			t.Logf("the person with the most: %d documents (%d shared, %d mentioning), %d passages: unreachable %v, absent %v",
				e.Gathered.Documents, e.Gathered.Shared, e.Gathered.Mentioned, e.Gathered.Passages, unreachable[0], absent[0].Round(time.Millisecond))
		}
	}
	found, where = inFiles(t, w.Data(), forms)
	t.Logf("deleted, and not rebuilt: %d of %d forms in Weaviate's files: %v", found, len(forms), where)
	rebuild := time.Now()
	levels := map[string]map[erasure.Level]int{}
	for i, id := range ids {
		e := throughRebuild(t, g, &clock, id)
		purged = append(purged, time.Since(starts[i]))
		if i == 0 {
			t.Logf("the rebuild and the first verification after it: %v, %d passages a second", time.Since(rebuild).Round(time.Millisecond),
				int(float64(g.LiveDocuments(t))/time.Since(rebuild).Seconds()))
		}
		if e.State != erasure.Completed {
			t.Errorf("person %d: %v, %v: %+v", i, e.State, e.Level, e.Targets)
		}
		for _, r := range e.Targets {
			if levels[r.Name] == nil {
				levels[r.Name] = map[erasure.Level]int{}
			}
			levels[r.Name][r.Level]++
		}
	}
	found, where = inFiles(t, w.Data(), forms)
	t.Logf("rebuilt: %d of %d forms in Weaviate's files: %v", found, len(forms), where)
	lives := g.VectorsOf(t, "irc")
	own := slices.DeleteFunc(forms, func(f []byte) bool { return lives[string(f)] }) // the same words, by somebody else
	if found, where = inFiles(t, w.Data(), own); found > 0 {
		t.Errorf("rebuilt: %d of %d forms that nobody else has are in Weaviate's files: %v", found, len(own), where)
	}
	for name, n := range levels {
		t.Logf("target %-12s %v", name, n)
	}
	at := func(d []time.Duration, q int) time.Duration {
		s := slices.Clone(d)
		slices.Sort(s)
		return s[min(len(s)-1, len(s)*q/100)].Round(100 * time.Microsecond)
	}
	t.Logf("%d people, %d passages: unreachable p50 %v p99 %v; absent p50 %v p99 %v; purged p50 %v p99 %v", len(chosen), passages,
		at(unreachable, 50), at(unreachable, 99), at(absent, 50), at(absent, 99), at(purged, 50), at(purged, 99))
}
