package storetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/retrieval"
)

// An IndexAdapter is an index under test. Each case gets one of its own.
type IndexAdapter struct {
	// Open returns a fresh, empty index that asks corpus for what a gateway
	// knows by itself, and an open ledger of the tenant, whose clock is now.
	Open func(t *testing.T, corpus *Corpus, now func() time.Time) (retrieval.Index, *consent.Ledger, consent.TenantID)
	// Except is as Adapter.Except.
	Except map[string]string
}

// Index checks retrieval.Index.
func Index(t *testing.T, a IndexAdapter) {
	names := map[string]bool{}
	for _, c := range indexCases {
		names["Index/"+c.name] = true
	}
	for name := range a.Except {
		if !names[name] {
			t.Errorf("exception for a case that does not exist: %q", name)
		}
	}
	for _, c := range indexCases {
		t.Run(c.name, func(t *testing.T) {
			if why := a.Except["Index/"+c.name]; why != "" {
				t.Skip("exception: " + why)
			}
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("the contract: %s", c.contract)
				}
			})
			c.run(t, newWorld(t, a))
		})
	}
}

// A Corpus is what a gateway knows of passages beside an index: here, plain
// lists. It is retrieval.Vectors and what internal/weaviate calls its Source.
type Corpus struct {
	mu   sync.Mutex
	live map[retrieval.DocNum][]retrieval.IndexPassage
}

// Put makes a version live.
func (c *Corpus) Put(v []retrieval.IndexPassage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.live == nil {
		c.live = map[retrieval.DocNum][]retrieval.IndexPassage{}
	}
	c.live[v[0].Head.Ref.Doc] = v
}

// Known returns live passages in order, zero for others.
func (c *Corpus) Known(_ context.Context, _ retrieval.CollectionID, refs []retrieval.PassageRef) ([]retrieval.IndexPassage, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]retrieval.IndexPassage, len(refs))
	for i, r := range refs {
		if v := c.live[r.Doc]; int(r.N) < len(v) {
			out[i] = v[r.N]
		}
	}
	return out, nil
}

// Refresh does nothing: nobody else changes a corpus.
func (c *Corpus) Refresh(context.Context, consent.TenantID) error { return nil }

// EachKnown calls f with all live passages.
func (c *Corpus) EachKnown(_ context.Context, _ retrieval.CollectionID, f func([]retrieval.IndexPassage) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, v := range c.live {
		if err := f(slices.Clone(v)); err != nil {
			return err
		}
	}
	return nil
}

// Vectors implements retrieval.Vectors.
func (c *Corpus) Vectors(ctx context.Context, id retrieval.CollectionID, refs []retrieval.PassageRef) ([][]float32, error) {
	ps, err := c.Known(ctx, id, refs)
	out := make([][]float32, len(ps))
	for i := range ps {
		out[i] = ps[i].Vector
	}
	return out, err
}

// A world is an index, and beside it what should be in it.
type world struct {
	index  retrieval.Index
	ledger *consent.Ledger
	tenant consent.TenantID
	corpus *Corpus
	clock  *clock
	rng    *rand.Rand
	people []consent.Subject
	nums   []consent.SubjectNum
	next   retrieval.DocNum
}

const (
	shelved   retrieval.CollectionID = 1<<60 + 7
	shapeDims                        = 8
)

// shape has a canary, so that every case shows that nothing sees it.
func shape(t consent.TenantID) retrieval.Shape {
	return retrieval.Shape{Canary: canary(), Dimensions: shapeDims, Tenant: t, Filterable: []string{"lang", "year", "tags", "draft"}, Key: seal.NewKey()}
}

const canaryNum retrieval.DocNum = 1<<61 + 5

// canary lies where documents lie, and holds a word of theirs.
func canary() *retrieval.IndexPassage {
	v := make([]float32, shapeDims)
	v[0] = 1
	p := &retrieval.IndexPassage{Owners: []consent.SubjectNum{consent.Canary}, Vector: v, Text: "w0"}
	p.Head = retrieval.Head{
		Ref: retrieval.PassageRef{Doc: canaryNum}, Personal: true, Visibility: retrieval.Visibility{Level: retrieval.TenantWide},
		Terms: []retrieval.TermCount{{Hash: 1 << 40, Count: 3}}, Length: 3, Codes: retrieval.Quantise(v),
	}
	return p
}

type indexCase struct {
	name, contract string
	run            func(*testing.T, *world)
}

func newWorld(t *testing.T, a IndexAdapter) *world {
	w := &world{
		corpus: &Corpus{live: map[retrieval.DocNum][]retrieval.IndexPassage{}},
		clock:  &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 123456789, time.UTC)}, rng: rand.New(rand.NewPCG(7, 11)),
	}
	w.index, w.ledger, w.tenant = a.Open(t, w.corpus, w.clock.Now)
	must(t, w.index.Create(t.Context(), shelved, shape(w.tenant)))
	for i := range 7 {
		s, err := consent.ParseSubject(fmt.Sprint("user:", i))
		must(t, err)
		w.people = append(w.people, s)
	}
	w.say(t, w.people, consent.Granted)
	for _, p := range w.people {
		num, err := w.ledger.Find(t.Context(), w.tenant, p)
		must(t, err)
		w.nums = append(w.nums, num)
	}
	return w
}

// say records a status for people, for retrieval and for embedding.
func (w *world) say(t *testing.T, who []consent.Subject, status consent.Status) {
	t.Helper()
	var entries []consent.Entry
	for _, p := range who {
		for _, typ := range []string{"rag_retrieval_v1.0", "embedding_v1.0"} {
			ct, err := consent.ParseType(typ)
			must(t, err)
			entries = append(entries, consent.Entry{Subject: p, Type: ct, Status: status, Audit: consent.Audit{Source: "test"}})
		}
	}
	out, err := w.ledger.Record(t.Context(), w.tenant, entries, consent.Once{})
	must(t, err)
	for _, r := range out {
		must(t, r.Err)
	}
}

func (w *world) permit(t *testing.T) consent.Permit {
	t.Helper()
	p, err := w.ledger.Permit(t.Context(), w.tenant, "rag_retrieval")
	must(t, err)
	return p
}

// vector returns one of few directions, so that scores tie, or one near it.
func (w *world) vector() []float32 {
	for {
		v := make([]float32, shapeDims)
		for i := range v {
			v[i] = float32(w.rng.IntN(3) - 1)
			if w.rng.IntN(10) == 0 {
				v[i] += float32(w.rng.NormFloat64()) * 1e-3
			}
		}
		if u, err := retrieval.Unit(v); err == nil {
			return u
		}
	}
}

func pick[T any](r *rand.Rand, from []T, least, most int) []T {
	out := slices.Clone(from)
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out[:least+r.IntN(most-least+1)]
}

var someGroups = []string{"staff", "eu", "us"}

// version makes a version of a document with random everything.
func (w *world) version() []retrieval.IndexPassage {
	w.next++
	r, num := w.rng, w.next*7919
	vis := retrieval.Visibility{Level: retrieval.TenantWide}
	switch r.IntN(4) {
	case 0:
		vis = retrieval.Visibility{Level: retrieval.Private}
	case 1:
		vis = retrieval.Visibility{Level: retrieval.Listed, Users: pick(r, w.people, 0, 2), Groups: pick(r, someGroups, 0, 2)}
	}
	values := map[string]retrieval.Value{"undeclared": retrieval.StringValue("x")}
	for name, choices := range map[string][]retrieval.Value{
		"lang":  {retrieval.StringValue("en"), retrieval.StringValue("En"), retrieval.StringValue(" en"), retrieval.StringValue("")},
		"year":  {retrieval.IntValue(2020), retrieval.FloatValue(2020.5), retrieval.IntValue(-3), retrieval.IntValue(1<<53 + 1), retrieval.StringValue("2020")},
		"tags":  {retrieval.ListValue(retrieval.StringValue("a"), retrieval.IntValue(2020)), retrieval.ListValue(), retrieval.StringValue("a")},
		"draft": {retrieval.BoolValue(true), retrieval.BoolValue(false)},
	} {
		if n := r.IntN(len(choices) + 1); n < len(choices) {
			values[name] = choices[n]
		}
	}
	personal := r.IntN(6) > 0
	p := retrieval.IndexPassage{
		Head:        retrieval.Head{DocID: fmt.Sprint("doc", r.IntN(30)), Personal: personal, Visibility: vis, Values: values},
		RetainUntil: []consent.Time{0, 0, 0, w.now() - 1, w.now(), w.now() + 1, w.now() + 1e9}[r.IntN(7)],
	}
	if personal {
		p.Owners, p.Mentions = pick(r, w.nums, 1, 2), pick(r, w.nums, 0, 1)
	}
	out := make([]retrieval.IndexPassage, 1+r.IntN(3))
	for i := range out {
		out[i] = p
		out[i].Head.Ref = retrieval.PassageRef{Doc: num, N: uint32(i)}
		out[i].Vector = w.vector()
		out[i].Head.Codes = retrieval.Quantise(out[i].Vector)
		for hash := uint64(1); hash <= 6; hash++ {
			if r.IntN(3) == 0 {
				out[i].Head.Terms = append(out[i].Head.Terms, retrieval.TermCount{Hash: hash << 40, Count: 1 + r.Uint32N(3)})
				out[i].Head.Length += out[i].Head.Terms[len(out[i].Head.Terms)-1].Count
			}
		}
	}
	return out
}

func (w *world) now() consent.Time { return consent.TimeOf(w.clock.Now()) }

// apply changes index and lists: the order in which an ingest does it.
func (w *world) apply(t *testing.T, remove []retrieval.DocNum, versions ...[]retrieval.IndexPassage) {
	t.Helper()
	ch := retrieval.Change{Remove: remove}
	for _, v := range versions {
		ch.Add = append(ch.Add, v...)
	}
	w.corpus.mu.Lock()
	for _, num := range remove {
		delete(w.corpus.live, num)
	}
	for _, v := range versions {
		w.corpus.live[v[0].Head.Ref.Doc] = v
	}
	w.corpus.mu.Unlock()
	must(t, w.index.Apply(t.Context(), shelved, ch))
}

func (w *world) change(t *testing.T) {
	t.Helper()
	remove := []retrieval.DocNum{999_999_999} // absent
	live := slices.Sorted(maps.Keys(w.corpus.live))
	for range w.rng.IntN(3) {
		if len(live) > 0 {
			remove = append(remove, live[w.rng.IntN(len(live))])
		}
	}
	var versions [][]retrieval.IndexPassage
	for range w.rng.IntN(8) {
		versions = append(versions, w.version())
	}
	w.apply(t, remove, versions...)
}

// decide lets some people change their mind.
func (w *world) decide(t *testing.T) {
	t.Helper()
	for range w.rng.IntN(3) {
		w.say(t, w.people[w.rng.IntN(len(w.people)):][:1], []consent.Status{consent.Granted, consent.Granted, consent.Revoked, consent.Denied, consent.Objected}[w.rng.IntN(5)])
	}
}

var someFilters = []string{
	`{"field":"lang","op":"eq","value":"en"}`, `{"field":"lang","op":"ne","value":"en"}`, `{"field":"lang","op":"gt","value":"E"}`,
	`{"field":"lang","op":"lte","value":"En"}`, `{"field":"year","op":"eq","value":2020}`, `{"field":"year","op":"gte","value":2020}`,
	`{"field":"year","op":"gt","value":9007199254740992}`, `{"field":"year","op":"lt","value":2020.25}`, `{"field":"year","op":"in","value":[-3,2020.5]}`,
	`{"field":"tags","op":"eq","value":"a"}`, `{"field":"tags","op":"gt","value":""}`, `{"field":"tags","op":"nin","value":[2020,"b"]}`,
	`{"field":"tags","op":"in","value":[]}`, `{"not":{"field":"draft","op":"eq","value":true}}`, `{"field":"draft","op":"in","value":[true]}`,
	`{"or":[{"field":"lang","op":"eq","value":""},{"and":[{"field":"year","op":"gt","value":0},{"not":{"field":"tags","op":"eq","value":"a"}}]}]}`,
}

func (w *world) query(t *testing.T, mode retrieval.Mode) retrieval.Query {
	t.Helper()
	r := w.rng
	q := retrieval.Query{
		Collection: shelved, K: 1 + r.IntN(12), Mode: mode, Vector: w.vector(),
		Exact:     r.IntN(8) == 0,
		Rule:      consent.Rule{Joint: consent.Joint(r.IntN(2)), Mentions: consent.MentionPolicy(r.IntN(2))},
		Principal: retrieval.Principal{Groups: pick(r, someGroups, 0, 2)},
	}
	if r.IntN(2) == 0 {
		i := r.IntN(len(w.people))
		q.Principal.Subject, q.PrincipalNum = w.people[i], w.nums[i]
	}
	for _, n := range pick(r, []uint64{1, 2, 3, 4, 5, 6, 7}, 0, 4) {
		q.Terms = append(q.Terms, n<<40)
	}
	if r.IntN(2) == 0 {
		q.Filter = parse(t, someFilters[r.IntN(len(someFilters))])
	}
	return q
}

func parse(t *testing.T, filter string) *retrieval.Filter {
	t.Helper()
	f, err := retrieval.ParseFilter([]byte(filter), nil)
	must(t, err)
	return f
}

// allowed are the passages that the words of the contract let a query find.
func (w *world) allowed(p consent.Permit, q retrieval.Query) []retrieval.IndexPassage {
	w.corpus.mu.Lock()
	defer w.corpus.mu.Unlock()
	var out []retrieval.IndexPassage
	for _, v := range w.corpus.live {
		h := &v[0].Head
		ok := []bool{false}
		p.Recheck([]consent.Claim{{Rule: q.Rule, People: consent.People{Owners: v[0].Owners, Mentions: v[0].Mentions, Nobody: !h.Personal}}}, ok)
		sees := h.Visibility.Level == retrieval.TenantWide || q.PrincipalNum != 0 && slices.Contains(v[0].Owners, q.PrincipalNum)
		if h.Visibility.Level == retrieval.Listed {
			sees = sees || !q.Principal.Subject.IsZero() && slices.Contains(h.Visibility.Users, q.Principal.Subject)
			for _, g := range q.Principal.Groups {
				sees = sees || slices.Contains(h.Visibility.Groups, g)
			}
		}
		if ok[0] && sees && (v[0].RetainUntil == 0 || v[0].RetainUntil > p.Now()) && q.Filter.Match(h.Values) {
			out = append(out, v...)
		}
	}
	return out
}

type scored struct {
	retrieval.Found
	id string
}

func rank(all []scored, k int) []scored {
	slices.SortFunc(all, func(a, b scored) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), strings.Compare(a.id, b.id), cmp.Compare(a.Ref.N, b.Ref.N), cmp.Compare(a.Ref.Doc, b.Ref.Doc))
	})
	return all[:min(k, len(all))]
}

func near(allowed []retrieval.IndexPassage, q retrieval.Query, k int) []scored {
	var all []scored
	for _, p := range allowed {
		s := 0.0
		for i, x := range p.Vector {
			s += float64(float64(q.Vector[i]) * float64(x))
		}
		all = append(all, scored{retrieval.Found{Ref: p.Head.Ref, Score: s}, p.Head.DocID})
	}
	return rank(all, k)
}

func words(allowed []retrieval.IndexPassage, q retrieval.Query, k int) []scored {
	n, total, df := 0, 0, map[uint64]int{}
	for _, p := range allowed {
		n++
		total += int(p.Head.Length)
		for _, t := range p.Head.Terms {
			df[t.Hash]++
		}
	}
	var all []scored
	for _, p := range allowed {
		s, matched := 0.0, false
		for _, hash := range q.Terms {
			for _, t := range p.Head.Terms {
				if t.Hash == hash {
					matched = true
					idf := math.Log(1 + (float64(n-df[hash])+0.5)/(float64(df[hash])+0.5))
					tf, dl, avg := float64(t.Count), float64(p.Head.Length), float64(total)/float64(n)
					s += float64(idf * tf * 2.2 / (tf + float64(1.2*(0.25+float64(0.75*dl/avg)))))
				}
			}
		}
		if matched {
			all = append(all, scored{retrieval.Found{Ref: p.Head.Ref, Score: s}, p.Head.DocID})
		}
	}
	return rank(all, k)
}

// expect answers a query by the words of the contract.
func (w *world) expect(p consent.Permit, q retrieval.Query) []retrieval.Found {
	allowed := w.allowed(p, q)
	var best []scored
	switch q.Mode {
	case retrieval.ModeVector:
		best = near(allowed, q, q.K)
	case retrieval.ModeKeyword:
		best = words(allowed, q, q.K)
	default:
		sums, deep := map[retrieval.PassageRef]scored{}, max(100, 5*q.K)
		for _, list := range [][]scored{near(allowed, q, deep), words(allowed, q, deep)} {
			for i, s := range list {
				sums[s.Ref] = scored{retrieval.Found{Ref: s.Ref, Score: sums[s.Ref].Score + 1/float64(60+i+1)}, s.id}
			}
		}
		best = rank(slices.Collect(maps.Values(sums)), q.K)
	}
	out := []retrieval.Found{}
	for _, s := range best {
		out = append(out, s.Found)
	}
	return out
}

func (w *world) search(t *testing.T, q retrieval.Query) []retrieval.Found {
	t.Helper()
	found, err := w.index.Search(t.Context(), w.permit(t), q)
	must(t, err)
	return found
}

// history runs a random history and compares every answer with the contract's.
func history(steps int, modes ...retrieval.Mode) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		for step := range steps {
			w.change(t)
			w.decide(t)
			for range 3 {
				q := w.query(t, modes[w.rng.IntN(len(modes))])
				p := w.permit(t)
				got, err := w.index.Search(t.Context(), p, q)
				must(t, err)
				if want := w.expect(p, q); !slices.Equal(got, want) {
					t.Fatalf("step %d: mode %d, k %d, %d permitted: found %v, want %v", step, q.Mode, q.K, len(w.allowed(p, q)), got, want)
				}
			}
		}
	}
}

var indexCases = []indexCase{{
	name:     "a random history of vector searches is answered as the contract says",
	contract: "retrieval/ports.go: Search returns the top K of exactly those passages that the permit, the rule, the principal's visibility, retention and the filter allow, ties by document id bytewise, then passage number; fewer than K only when fewer match",
	run:      history(60, retrieval.ModeVector),
}, {
	name:     "a random history of keyword and hybrid searches is answered as the contract says",
	contract: "retrieval/ports.go: In keyword mode N, df and lengths are taken over those allowed passages only, and a passage without any query term does not match",
	run:      history(60, retrieval.ModeKeyword, retrieval.ModeHybrid),
}, {
	name:     "a zero permit is an error",
	contract: "retrieval/ports.go: A zero Permit allows nothing and is an error",
	run: func(t *testing.T, w *world) {
		w.apply(t, nil, w.version())
		if found, err := w.index.Search(t.Context(), consent.Permit{}, w.query(t, retrieval.ModeVector)); err == nil {
			t.Errorf("found %d without a permit", len(found))
		}
	},
}, {
	name:     "an unknown collection has nothing",
	contract: "retrieval/ports.go: Search in an unknown collection finds nothing",
	run: func(t *testing.T, w *world) {
		q := w.query(t, retrieval.ModeVector)
		q.Collection++
		same(t, "found", len(w.search(t, q)), 0)
		must(t, w.index.Apply(t.Context(), shelved+1, retrieval.Change{Remove: []retrieval.DocNum{1}}))
		if err := w.index.Apply(t.Context(), shelved+1, retrieval.Change{Add: w.version()}); err == nil {
			t.Error("a passage was put into a collection that is not there")
		}
	},
}, {
	name:     "the canary is in no answer, whatever is silence's meaning",
	contract: "retrieval/ports.go: Where the shape has a canary, the index holds it from then on like any passage; no permit allows it, nothing counts it",
	run: func(t *testing.T, w *world) {
		own := canary()
		for _, silence := range []consent.Jurisdiction{"", "DE", "US-CA"} {
			for _, joint := range []consent.Joint{consent.AllOwners, consent.AnyOwner} {
				s := shape(w.tenant)
				s.Rule = consent.Rule{Joint: joint, Default: silence}
				must(t, w.index.Drop(t.Context(), shelved))
				must(t, w.index.Create(t.Context(), shelved, s))
				must(t, w.index.Create(t.Context(), shelved, s)) // puts it in once
				q := w.everything()
				q.Rule, q.Vector, q.Terms = s.Rule, own.Vector, []uint64{own.Head.Terms[0].Hash}
				same(t, "found alone", len(w.search(t, q)), 0)
				w.corpus.live = map[retrieval.DocNum][]retrieval.IndexPassage{}
				v := w.plain(0)
				w.apply(t, nil, v)
				found := w.search(t, q)
				if len(found) != 1 || found[0].Ref != v[0].Head.Ref {
					t.Errorf("found %v", found)
				}
			}
		}
	},
}, {
	name:     "a dropped collection is forgotten",
	contract: "retrieval/ports.go: Create is idempotent. Drop forgets a collection",
	run: func(t *testing.T, w *world) {
		s := shape(w.tenant)
		must(t, w.index.Create(t.Context(), shelved+1, s))
		must(t, w.index.Create(t.Context(), shelved+1, s))
		v := w.plain(0)
		must(t, w.index.Apply(t.Context(), shelved+1, retrieval.Change{Add: v}))
		w.corpus.live[v[0].Head.Ref.Doc] = v
		q := w.everything()
		q.Collection = shelved + 1
		same(t, "found", len(w.search(t, q)), 1)
		for range 2 {
			must(t, w.index.Drop(t.Context(), shelved+1))
			same(t, "found after the drop", len(w.search(t, q)), 0)
		}
		must(t, w.index.Create(t.Context(), shelved+1, s))
		same(t, "found after it is made anew", len(w.search(t, q)), 0)
		must(t, w.index.Drop(t.Context(), shelved+1))
	},
}, {
	name:     "k is given whole at every number of permitted passages",
	contract: "retrieval/ports.go: fewer than K only when fewer match",
	run: func(t *testing.T, w *world) {
		for i := range 35 {
			w.apply(t, nil, w.plain(i%7))
		}
		for refused := range 8 {
			if refused > 0 {
				w.say(t, w.people[refused-1:refused], consent.Revoked)
			}
			for _, k := range []int{1, 4, 5, 6, 34, 35, 36, 1000} {
				q := w.everything()
				q.K = k
				same(t, fmt.Sprintf("k %d, %d refused", k, refused), len(w.search(t, q)), min(k, 35-5*refused))
			}
		}
	},
}, {
	name:     "ties at the edge of k are broken by document id",
	contract: "retrieval/ports.go: ranked by DESIGN §5's formulas, ties by document id bytewise, then passage number",
	run: func(t *testing.T, w *world) {
		var all [][]retrieval.IndexPassage
		for i := range 150 {
			v := w.plain(i % 7)
			v[0].Head.DocID = fmt.Sprint("tied", (i*67)%150+1000)
			v[0].Vector = []float32{0, 1, 0, 0, 0, 0, 0, 0}
			v[0].Head.Codes = retrieval.Quantise(v[0].Vector)
			all = append(all, v)
		}
		w.apply(t, nil, all...)
		for _, k := range []int{1, 3, 10} {
			q := w.everything()
			q.K = k
			p := w.permit(t)
			same(t, "the first", w.search(t, q), w.expect(p, q))
		}
	},
}, {
	name:     "a revocation holds for the search that begins after it, and a grant too",
	contract: "DESIGN P2: A retrieval that begins after a revocation was acknowledged returns nothing of that person for that purpose",
	run: func(t *testing.T, w *world) {
		w.apply(t, nil, w.plain(0), w.plain(1))
		for range 10 {
			same(t, "found", len(w.search(t, w.everything())), 2)
			w.say(t, w.people[:1], consent.Revoked)
			same(t, "found after a revocation", len(w.search(t, w.everything())), 1)
			w.say(t, w.people[:1], consent.Granted)
		}
	},
}, {
	name:     "retention ends by the permit's clock",
	contract: "retrieval/ports.go: retention (against Permit.Now)",
	run: func(t *testing.T, w *world) {
		v := w.plain(0)
		v[0].RetainUntil = w.now() + 1
		w.apply(t, nil, v)
		same(t, "found before", len(w.search(t, w.everything())), 1)
		w.clock.move(1)
		same(t, "found at its end", len(w.search(t, w.everything())), 0)
	},
}, {
	name:     "what is removed is found by nothing",
	contract: "retrieval/ports.go: When Apply returns, every Search that begins later sees it. Removing what is absent is not an error",
	run: func(t *testing.T, w *world) {
		keep, gone := w.plain(0), w.plain(1)
		must(t, w.index.Apply(t.Context(), shelved, retrieval.Change{Remove: []retrieval.DocNum{gone[0].Head.Ref.Doc}}))
		w.apply(t, nil, keep, gone)
		for range 2 {
			w.apply(t, []retrieval.DocNum{gone[0].Head.Ref.Doc})
			for _, filter := range []string{"", `{"field":"lang","op":"eq","value":"en"}`} {
				q := w.everything()
				q.Vector = gone[0].Vector
				if filter != "" {
					q.Filter = parse(t, filter)
				}
				found := w.search(t, q)
				if len(found) != 1 || found[0].Ref != keep[0].Head.Ref {
					t.Errorf("found %v", found)
				}
			}
		}
	},
}, {
	name:     "what is removed while others search and write is not found by a search that begins later",
	contract: "retrieval/ports.go: All methods are safe for concurrent use",
	run: func(t *testing.T, w *world) {
		var all [][]retrieval.IndexPassage
		for i := range 24 {
			all = append(all, w.plain(i%7))
		}
		w.apply(t, nil, all...)
		p, q := w.permit(t), w.everything()
		var wg sync.WaitGroup
		for part := range slices.Chunk(all, 8) {
			wg.Go(func() {
				for _, v := range part {
					num := v[0].Head.Ref.Doc
					w.corpus.mu.Lock()
					delete(w.corpus.live, num)
					w.corpus.mu.Unlock()
					if err := w.index.Apply(t.Context(), shelved, retrieval.Change{Remove: []retrieval.DocNum{num}}); err != nil {
						t.Error(err)
						return
					}
					found, err := w.index.Search(t.Context(), p, q)
					if err != nil {
						t.Error(err)
						return
					}
					for _, f := range found {
						if f.Ref.Doc == num {
							t.Error("a removed version was found")
						}
					}
				}
			})
		}
		wg.Wait()
		same(t, "found at the end", len(w.search(t, q)), 0)
	},
}, {
	name:     "a search whose caller went away ends with an error",
	contract: "retrieval/ports.go: An error means no result, never a partial one",
	run: func(t *testing.T, w *world) {
		w.apply(t, nil, w.plain(0))
		ctx, cancel := context.WithCancel(t.Context())
		p := w.permit(t)
		cancel()
		found, err := w.index.Search(ctx, p, w.everything())
		if !errors.Is(err, context.Canceled) || found != nil {
			t.Errorf("found %d, error %v", len(found), err)
		}
	},
}}

// plain is a version of one passage that everyone may see, of one person.
func (w *world) plain(person int) []retrieval.IndexPassage {
	w.next++
	v := w.vector()
	return []retrieval.IndexPassage{{
		Head: retrieval.Head{
			Ref: retrieval.PassageRef{Doc: w.next * 7919}, DocID: fmt.Sprint("plain", w.next), Personal: true,
			Visibility: retrieval.Visibility{Level: retrieval.TenantWide}, Codes: retrieval.Quantise(v),
			Values: map[string]retrieval.Value{"lang": retrieval.StringValue("en")},
		},
		Owners: w.nums[person : person+1], Vector: v,
	}}
}

// everything asks for all that anyone in the tenant may see.
func (w *world) everything() retrieval.Query {
	return retrieval.Query{Collection: shelved, K: 1000, Mode: retrieval.ModeVector, Vector: w.vector()}
}
