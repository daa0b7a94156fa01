package gateway_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/eval"
	"github.com/assent-gateway/assent/internal/credential"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
)

// A vectorSet is supplied vectors with one owner each.
type vectorSet struct {
	owners  []string
	vectors [][]float32
}

// randomVectors are around some topics, an owner each.
func randomVectors(n, dims int) vectorSet {
	rng := rand.New(rand.NewPCG(1, 9))
	var s vectorSet
	for i := range n {
		v := make([]float32, dims)
		for j := range v {
			v[j] = float32(rng.NormFloat64())
		}
		v[i%dims] += 3
		s.vectors, s.owners = append(s.vectors, v), append(s.owners, fmt.Sprint("o", i))
	}
	return s
}

// fill stores a set, document i being "v<i>".
func (s vectorSet) fill(t testing.TB, g *gateway.Gateway, collection string) {
	t.Helper()
	const batch = 500
	for at := 0; at < len(s.vectors); at += batch {
		var docs []retrieval.Submission
		for i := at; i < min(at+batch, len(s.vectors)); i++ {
			docs = append(docs, retrieval.Submission{Document: retrieval.Document{
				ID: fmt.Sprint("v", i), Owners: []consent.Subject{subject(t, s.owners[i])},
				Passages: []retrieval.Passage{{Text: "x", Vector: s.vectors[i]}},
			}})
		}
		out, err := g.Retrieval.Ingest(t.Context(), caller, collection, docs, consent.Once{})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range out.Results {
			if r.Status != retrieval.Stored {
				t.Fatalf("document %d: status %v, field %s", at, r.Status, r.Field)
			}
		}
	}
}

// exact returns the k nearest permitted documents.
func (s vectorSet) exact(t testing.TB, query []float32, k int, permitted func(owner string) bool) []string {
	t.Helper()
	q, err := retrieval.Unit(query)
	if err != nil {
		t.Fatal(err)
	}
	type scored struct {
		id    string
		score float64
	}
	var all []scored
	for i, v := range s.vectors {
		if !permitted(s.owners[i]) {
			continue
		}
		u, err := retrieval.Unit(v)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, scored{fmt.Sprint("v", i), retrieval.Cosine(q, u)})
	}
	slices.SortFunc(all, func(a, b scored) int {
		if a.score != b.score {
			if a.score > b.score {
				return -1
			}
			return 1
		}
		return strings.Compare(a.id, b.id)
	})
	var ids []string
	for _, one := range all[:min(k, len(all))] {
		ids = append(ids, one.id)
	}
	return ids
}

func nearest(t testing.TB, g *gateway.Gateway, collection string, v []float32, k int) []string {
	t.Helper()
	a, err := g.Retrieval.Search(t.Context(), caller, collection, retrieval.SearchRequest{Vector: v, K: k, Purpose: "rag_retrieval", Mode: retrieval.ModeVector})
	if err != nil {
		t.Fatal(err)
	}
	if a.Privacy.Completeness == retrieval.Degraded {
		t.Error("degraded")
	}
	var ids []string
	for _, h := range a.Hits {
		ids = append(ids, h.DocumentID)
	}
	return ids
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// The applier stands still while 5 000 owners revoke and 5 000 others grant:
// searches are exact and complete all the same. What that costs is logged.
func TestSearchesAreWholeWhileTheApplierStands(t *testing.T) {
	const people = 10_000
	o := onWeaviate(t)
	o.Idle = true
	g := openGateway(t, gateway.Config{Weaviate: o, Log: debugLog()})
	set := randomVectors(people, 16)
	makeCollection(t, g, "a", retrieval.Spec{})
	say(t, g, consent.Granted, set.owners, emb)
	say(t, g, consent.Granted, set.owners[:people/2], rag)
	set.fill(t, g, "a")
	began := time.Now()
	must(t, g.ApplyVerdicts(t.Context(), gateway.DefaultTenant))
	t.Logf("the applier judged %d new objects in %s", people, time.Since(began).Round(time.Millisecond))
	first := map[string]bool{}
	for _, o := range set.owners[:people/2] {
		first[o] = true
	}
	queries := randomVectors(40, 16).vectors
	compare := func(when string, permitted func(string) bool, want float64) {
		t.Helper()
		hits, total := 0, 0
		var took []time.Duration
		for _, q := range queries {
			began := time.Now()
			got := nearest(t, g, "a", q, 10)
			took = append(took, time.Since(began))
			expected := set.exact(t, q, 10, permitted)
			if len(got) != len(expected) {
				t.Errorf("%s: %d hits, want %d", when, len(got), len(expected))
			}
			for _, id := range got {
				if slices.Contains(expected, id) {
					hits++
				}
			}
			total += len(expected)
		}
		recall := float64(hits) / float64(total)
		t.Logf("%s: recall@10 %.4f, median %s", when, recall, median(took).Round(100*time.Microsecond))
		if recall < want {
			t.Errorf("%s: recall %.4f", when, recall)
		}
	}
	compare("all applied", func(o string) bool { return first[o] }, 0.99)
	say(t, g, consent.Revoked, set.owners[:people/2], rag)
	say(t, g, consent.Granted, set.owners[people/2:], rag)
	compare("5000 revoked and 5000 granted, none applied", func(o string) bool { return !first[o] }, 0.99)
	began = time.Now()
	must(t, g.ApplyVerdicts(t.Context(), gateway.DefaultTenant))
	t.Logf("the applier caught up in %s", time.Since(began).Round(time.Millisecond))
	compare("all applied again", func(o string) bool { return !first[o] }, 0.99)
}

func readFvecs(t testing.TB, path string) (out [][]float32) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	r := bufio.NewReader(f)
	for {
		var dims uint32
		if err := binary.Read(r, binary.LittleEndian, &dims); err == io.EOF {
			return out
		} else if err != nil {
			t.Fatal(err)
		}
		raw := make([]byte, 4*dims)
		if _, err := io.ReadFull(r, raw); err != nil {
			t.Fatal(err)
		}
		v := make([]float32, dims)
		for i := range v {
			v[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
		out = append(out, v)
	}
}

// Real vectors: recall@10 against the exact permitted answer is at least 0.99 at
// 0, 10, 50, 90 and 99 % of owners revoked, and never are there fewer hits than
// min(k, permitted).
func TestRecallOnRealVectorsInWeaviate(t *testing.T) {
	dir := sharedData(t, "vectors")
	var set vectorSet
	set.vectors = readFvecs(t, filepath.Join(dir, "base.fvecs"))
	meta, err := os.ReadFile(filepath.Join(dir, "base_meta.tsv"))
	must(t, err)
	for line := range strings.Lines(string(meta)) {
		fields := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if fields[0] != "row" {
			set.owners = append(set.owners, fields[2])
		}
	}
	if len(set.owners) != len(set.vectors) {
		t.Fatalf("%d owners of %d vectors", len(set.owners), len(set.vectors))
	}
	queries := readFvecs(t, filepath.Join(dir, "query.fvecs"))[:150]
	everyone := owners(docsOf(set))
	g := openGateway(t, gateway.Config{Weaviate: onWeaviate(t), Log: debugLog()})
	makeCollection(t, g, "irc", retrieval.Spec{})
	for part := range slices.Chunk(everyone, 2000) {
		say(t, g, consent.Granted, part, rag, emb)
	}
	began := time.Now()
	set.fill(t, g, "irc")
	t.Logf("%d passages stored in %s", len(set.vectors), time.Since(began).Round(time.Millisecond))
	must(t, g.ApplyVerdicts(t.Context(), gateway.DefaultTenant))
	t.Logf("applied after %s", time.Since(began).Round(time.Millisecond))
	rng := rand.New(rand.NewPCG(4, 2))
	rng.Shuffle(len(everyone), func(i, j int) { everyone[i], everyone[j] = everyone[j], everyone[i] })
	revoked := map[string]bool{}
	for _, percent := range []int{0, 10, 50, 90, 99} {
		var more []string
		for _, o := range everyone[:len(everyone)*percent/100] {
			if !revoked[o] {
				more = append(more, o)
				revoked[o] = true
			}
		}
		if len(more) > 0 {
			say(t, g, consent.Revoked, more, rag)
		}
		for _, when := range []string{"at once", "applied"} {
			if when == "applied" {
				must(t, g.ApplyVerdicts(t.Context(), gateway.DefaultTenant))
			}
			hits, total := 0, 0
			var took []time.Duration
			for _, q := range queries {
				began := time.Now()
				got := nearest(t, g, "irc", q, 10)
				took = append(took, time.Since(began))
				want := set.exact(t, q, 10, func(o string) bool { return !revoked[o] })
				if len(got) != len(want) {
					t.Errorf("%d%% revoked: %d hits, want %d", percent, len(got), len(want))
				}
				for _, id := range got {
					if slices.Contains(want, id) {
						hits++
					}
				}
				total += len(want)
			}
			recall := float64(hits) / float64(total)
			t.Logf("%d%% revoked, %s: recall@10 %.4f, median %s", percent, when, recall, median(took).Round(100*time.Microsecond))
			if recall < 0.99 {
				t.Errorf("%d%% revoked, %s: recall %.4f", percent, when, recall)
			}
		}
	}
}

func docsOf(s vectorSet) []eval.Doc {
	var docs []eval.Doc
	for _, o := range s.owners {
		docs = append(docs, eval.Doc{Owners: []string{o}})
	}
	return docs
}

// Two tenants with the same documents, people and collections: what one does
// shows nowhere in the other.
func TestTenantsDoNotMeetInWeaviate(t *testing.T) {
	g := openGateway(t, gateway.Config{Weaviate: onWeaviate(t), Log: debugLog()})
	name, err := credential.ParseName("other")
	must(t, err)
	other, _, err := g.CreateTenant(t.Context(), name)
	must(t, err)
	theirs := caller
	theirs.Tenant = other
	record := func(tenant consent.TenantID, status consent.Status, types ...string) {
		t.Helper()
		var entries []consent.Entry
		for _, typ := range types {
			ct, err := consent.ParseType(typ)
			must(t, err)
			entries = append(entries, consent.Entry{Subject: subject(t, "ada"), Type: ct, Status: status, Audit: consent.Audit{Source: "test"}})
		}
		_, err := g.Ledger.Record(t.Context(), tenant, entries, consent.Once{})
		must(t, err)
	}
	for _, c := range []retrieval.Caller{caller, theirs} {
		record(c.Tenant, consent.Granted, rag, emb)
		_, _, err := g.Retrieval.PutCollection(t.Context(), c, "mail", retrieval.Spec{DefaultVisibility: retrieval.TenantWide})
		must(t, err)
		put(t, g, c, "mail", retrieval.Document{ID: "m1", Owners: people(t, "ada"), Text: "the server of " + string(c.Tenant)})
	}
	texts := func(c retrieval.Caller) (out []string) {
		t.Helper()
		a, err := g.Retrieval.Search(t.Context(), c, "mail", retrieval.SearchRequest{Query: "server", K: 10, Purpose: "rag_retrieval"})
		must(t, err)
		for _, h := range a.Hits {
			out = append(out, h.Text)
		}
		return out
	}
	expect := func(ours, others int) {
		t.Helper()
		for c, want := range map[*retrieval.Caller]int{&caller: ours, &theirs: others} {
			got := texts(*c)
			if len(got) != want || want == 1 && !strings.HasSuffix(got[0], string(c.Tenant)) {
				t.Errorf("a tenant found %d, want %d", len(got), want)
			}
		}
	}
	expect(1, 1)
	record(caller.Tenant, consent.Revoked, rag)
	expect(0, 1)
	must(t, g.ApplyVerdicts(t.Context(), caller.Tenant))
	must(t, g.ApplyVerdicts(t.Context(), other))
	expect(0, 1)
	record(caller.Tenant, consent.Granted, rag)
	must(t, g.Retrieval.Delete(t.Context(), theirs, "mail", "m1"))
	expect(1, 0)
	must(t, g.Retrieval.DropCollection(t.Context(), theirs, "mail"))
	if got := texts(caller); len(got) != 1 {
		t.Errorf("after the other's collection was dropped: %d found", len(got))
	}
}
