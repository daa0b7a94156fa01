package embedded

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// people is a ledger for tests: verdicts that change, behind Sync's contract.
type people struct {
	mu         sync.Mutex
	tenant     consent.TenantID
	purpose    string
	now        consent.Time
	unknown    consent.Verdict
	of         map[consent.SubjectNum]consent.Verdict
	log        []consent.SubjectNum
	generation int
	seen       map[*consent.Cursor][2]int // generation and place in log
	visits     int
}

func newPeople(unknown consent.Verdict) *people {
	return &people{
		tenant: "t", purpose: "rag_retrieval", now: 100, unknown: unknown, generation: 1,
		of: map[consent.SubjectNum]consent.Verdict{}, seen: map[*consent.Cursor][2]int{},
	}
}

func (p *people) Tenant() consent.TenantID { return p.tenant }
func (p *people) Purpose() string          { return p.purpose }
func (p *people) Now() consent.Time        { return p.now }

func (p *people) Sync(_ consent.Jurisdiction, c *consent.Cursor, reset func(consent.Verdict), visit func(consent.SubjectNum, consent.Verdict)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.seen[c]
	if at[0] != p.generation {
		reset(p.unknown)
		for s, v := range p.of {
			visit(s, v)
		}
	} else {
		for _, s := range p.log[at[1]:] {
			visit(s, p.verdict(s))
			p.visits++
		}
	}
	p.seen[c] = [2]int{p.generation, len(p.log)}
}

func (p *people) verdict(s consent.SubjectNum) consent.Verdict {
	if v, ok := p.of[s]; ok {
		return v
	}
	return p.unknown
}

func (p *people) set(s consent.SubjectNum, v consent.Verdict) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.of[s] = v
	p.log = append(p.log, s)
}

// restart makes every reader start anew; nobody is known any longer.
func (p *people) restart(unknown consent.Verdict) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unknown = unknown
	clear(p.of)
	p.generation++
	p.log = nil
}

// store is the Vectors port over a map.
type store struct {
	mu      sync.Mutex
	vectors map[retrieval.PassageRef][]float32
	calls   int
	before  func() // runs before an answer, outside any lock
}

func (s *store) Vectors(_ context.Context, _ retrieval.CollectionID, refs []retrieval.PassageRef) ([][]float32, error) {
	if s.before != nil {
		s.before()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	out := make([][]float32, len(refs))
	for i, r := range refs {
		out[i] = s.vectors[r]
	}
	return out, nil
}

func (s *store) put(ps []retrieval.IndexPassage, vectors [][]float32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, p := range ps {
		s.vectors[p.Head.Ref] = vectors[i]
	}
}

const (
	dims = 8
	coll = retrieval.CollectionID(5)
)

// A world is an index, and beside it plain lists of what should be in it.
type world struct {
	rng    *rand.Rand
	index  *Index
	store  *store
	people *people
	docs   map[retrieval.DocNum][]retrieval.IndexPassage
	next   retrieval.DocNum
}

func newWorld(t testing.TB, seed uint64, cache int64) *world {
	w := &world{
		rng: rand.New(rand.NewPCG(seed, 1)), store: &store{vectors: map[retrieval.PassageRef][]float32{}},
		people: newPeople(0), docs: map[retrieval.DocNum][]retrieval.IndexPassage{},
	}
	w.index = New(w.store, Options{VectorCacheBytes: cache})
	if err := w.index.Create(context.Background(), coll, retrieval.Shape{Dimensions: dims}); err != nil {
		t.Fatal(err)
	}
	return w
}

// vector returns one of few directions, so that scores tie, or one near it.
func (w *world) vector() []float32 {
	for {
		v := make([]float32, dims)
		for i := range v {
			v[i] = float32(w.rng.IntN(3) - 1)
			if w.rng.IntN(10) == 0 {
				v[i] += float32(w.rng.NormFloat64()) * 1e-4
			}
		}
		if u, err := retrieval.Unit(v); err == nil {
			return u
		}
	}
}

var subjects = func() []consent.Subject {
	var out []consent.Subject
	for i := range 6 {
		s, err := consent.ParseSubject(fmt.Sprint("user:", i))
		if err != nil {
			panic(err)
		}
		out = append(out, s)
	}
	return out
}()

var groups = []string{"staff", "eu", "us"}

func pick[T any](r *rand.Rand, from []T, most int) []T {
	out := slices.Clone(from)
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out[:r.IntN(most+1)]
}

var nums = []consent.SubjectNum{1, 2, 3, 4, 5, 6, 7}

// document makes a version; num 0 takes a new number.
func (w *world) document(num retrieval.DocNum) []retrieval.IndexPassage {
	if num == 0 {
		w.next++
		num = w.next*7919%100003 + 1
	}
	r := w.rng
	id := fmt.Sprint("doc", r.IntN(30))
	vis := retrieval.Visibility{Level: retrieval.Level(1 + r.IntN(3))}
	if r.IntN(3) > 0 {
		vis.Level = retrieval.TenantWide
	}
	vis.Users, vis.Groups = pick(r, subjects, 2), pick(r, groups, 2)
	owners, mentions := pick(r, nums, 2), pick(r, nums, 1)
	values := map[string]retrieval.Value{"lang": retrieval.StringValue([]string{"en", "de"}[r.IntN(2)]), "year": retrieval.IntValue(int64(r.IntN(5)))}
	retain := []consent.Time{0, 0, 0, 99, 100, 101}[r.IntN(6)]
	out := make([]retrieval.IndexPassage, 1+r.IntN(4))
	vectors := make([][]float32, len(out))
	for i := range out {
		vectors[i] = w.vector()
		h := retrieval.Head{
			Ref: retrieval.PassageRef{Doc: num, N: uint32(i)}, DocID: id, Personal: r.IntN(6) > 0, Visibility: vis,
			Values: values, Length: uint32(r.IntN(6)), Codes: retrieval.Quantise(vectors[i]),
		}
		if i > 0 {
			h.Personal = out[0].Head.Personal
		}
		for hash := uint64(1); hash <= 6; hash++ {
			if r.IntN(3) == 0 {
				h.Terms = append(h.Terms, retrieval.TermCount{Hash: hash << 40, Count: 1 + r.Uint32N(3)})
				h.Length += h.Terms[len(h.Terms)-1].Count
			}
		}
		out[i] = retrieval.IndexPassage{Head: h, Owners: owners, Mentions: mentions, RetainUntil: retain}
		if r.IntN(2) == 0 {
			out[i].Vector = vectors[i]
		}
	}
	w.store.put(out, vectors)
	return out
}

// change applies a random change to the index and to the lists.
func (w *world) change(t testing.TB) {
	var ch retrieval.Change
	live := slices.Sorted(maps.Keys(w.docs))
	for range w.rng.IntN(4) {
		if len(live) > 0 {
			ch.Remove = append(ch.Remove, live[w.rng.IntN(len(live))])
		}
	}
	ch.Remove = append(ch.Remove, 999_999_999) // absent
	for _, num := range ch.Remove {
		delete(w.docs, num)
	}
	for range w.rng.IntN(8) {
		num := retrieval.DocNum(0)
		if len(live) > 0 && w.rng.IntN(4) == 0 {
			num = live[w.rng.IntN(len(live))] // replaces, or comes back
		}
		if slices.ContainsFunc(ch.Add, func(p retrieval.IndexPassage) bool { return p.Head.Ref.Doc == num }) {
			continue
		}
		v := w.document(num)
		w.docs[v[0].Head.Ref.Doc] = v
		ch.Add = append(ch.Add, v...)
	}
	w.rng.Shuffle(len(ch.Add), func(i, j int) { ch.Add[i], ch.Add[j] = ch.Add[j], ch.Add[i] })
	if err := w.index.Apply(context.Background(), coll, ch); err != nil {
		t.Fatal(err)
	}
}

var someVerdicts = []consent.Verdict{0, consent.Allow, consent.Allow, consent.Block, consent.Block | consent.Erased}

func (w *world) decide() {
	for range w.rng.IntN(3) {
		w.people.set(nums[w.rng.IntN(len(nums))], someVerdicts[w.rng.IntN(len(someVerdicts))])
	}
	if w.rng.IntN(15) == 0 {
		w.people.restart(someVerdicts[w.rng.IntN(2)])
	}
}

func (w *world) query(t testing.TB) retrieval.Query {
	r := w.rng
	q := retrieval.Query{
		Collection: coll, K: 1 + r.IntN(12), Mode: retrieval.Mode(1 + r.IntN(3)), Vector: w.vector(),
		Rule:      consent.Rule{Joint: consent.Joint(r.IntN(2)), Mentions: consent.MentionPolicy(r.IntN(2))},
		Principal: retrieval.Principal{Groups: pick(r, groups, 2)},
	}
	if r.IntN(2) == 0 {
		q.Principal.Subject = subjects[r.IntN(len(subjects))]
	}
	if r.IntN(2) == 0 {
		q.PrincipalNum = nums[r.IntN(len(nums))]
	}
	for _, n := range pick(r, []uint64{1, 2, 3, 4, 5, 6, 7}, 4) {
		q.Terms = append(q.Terms, n<<40)
	}
	if r.IntN(3) == 0 {
		f, err := retrieval.ParseFilter(fmt.Appendf(nil, `{"or":[{"field":"lang","op":"eq","value":"en"},{"field":"year","op":"lt","value":%d}]}`, r.IntN(4)), nil)
		if err != nil {
			t.Fatal(err)
		}
		q.Filter = f
	}
	return q
}

// expect answers a query from the lists, by the words of the contract.
func (w *world) expect(q retrieval.Query) []retrieval.Found {
	type scored struct {
		retrieval.Found
		id string
	}
	var allowed []retrieval.IndexPassage
	for _, v := range w.docs {
		if w.allows(q, v[0]) {
			allowed = append(allowed, v...)
		}
	}
	rank := func(all []scored, k int) []scored {
		slices.SortFunc(all, func(a, b scored) int {
			return cmp.Or(cmp.Compare(b.Score, a.Score), strings.Compare(a.id, b.id), cmp.Compare(a.Ref.N, b.Ref.N), cmp.Compare(a.Ref.Doc, b.Ref.Doc))
		})
		return all[:min(k, len(all))]
	}
	near := func(k int) []scored {
		var all []scored
		for _, p := range allowed {
			s := 0.0
			for i, x := range w.store.vectors[p.Head.Ref] {
				s += float64(float64(q.Vector[i]) * float64(x))
			}
			all = append(all, scored{retrieval.Found{Ref: p.Head.Ref, Score: s}, p.Head.DocID})
		}
		return rank(all, k)
	}
	words := func(k int) []scored {
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
			s, any := 0.0, false
			for _, hash := range q.Terms {
				for _, t := range p.Head.Terms {
					if t.Hash != hash {
						continue
					}
					any = true
					idf := math.Log(1 + (float64(n-df[hash])+0.5)/(float64(df[hash])+0.5))
					tf, dl, avg := float64(t.Count), float64(p.Head.Length), float64(total)/float64(n)
					s += float64(idf * tf * 2.2 / (tf + float64(1.2*(0.25+float64(0.75*dl/avg)))))
				}
			}
			if any {
				all = append(all, scored{retrieval.Found{Ref: p.Head.Ref, Score: s}, p.Head.DocID})
			}
		}
		return rank(all, k)
	}
	var best []scored
	switch q.Mode {
	case retrieval.ModeVector:
		best = near(q.K)
	case retrieval.ModeKeyword:
		best = words(q.K)
	default:
		sums := map[retrieval.PassageRef]scored{}
		for _, list := range [][]scored{near(max(100, 5*q.K)), words(max(100, 5*q.K))} {
			for i, s := range list {
				sum := sums[s.Ref]
				sums[s.Ref] = scored{retrieval.Found{Ref: s.Ref, Score: sum.Score + 1/float64(60+i+1)}, s.id}
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

func (w *world) allows(q retrieval.Query, p retrieval.IndexPassage) bool {
	var owners, mentions []consent.Verdict
	for _, s := range p.Owners {
		owners = append(owners, w.people.verdict(s))
	}
	for _, s := range p.Mentions {
		mentions = append(mentions, w.people.verdict(s))
	}
	if p.Head.Personal && !q.Rule.Permits(owners, mentions) {
		return false
	}
	vis := p.Head.Visibility
	sees := vis.Level == retrieval.TenantWide || q.PrincipalNum != 0 && slices.Contains(p.Owners, q.PrincipalNum)
	if vis.Level == retrieval.Listed {
		sees = sees || slices.Contains(vis.Users, q.Principal.Subject)
		for _, g := range q.Principal.Groups {
			sees = sees || slices.Contains(vis.Groups, g)
		}
	}
	return sees && (p.RetainUntil == 0 || p.RetainUntil > w.people.now) && q.Filter.Match(p.Head.Values)
}
