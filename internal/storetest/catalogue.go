package storetest

import (
	"cmp"
	"sync"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

var catalogueCases = []testCase{{
	name:     "collections are listed, found and replaced",
	contract: "retrieval/ports.go: PutCollection inserts a row (was is empty), or puts it in place of that of its ID",
	run: func(t *testing.T, f *fixture) {
		one, two := collection(1), collection(1<<62)
		two.Sealed = nil
		must(t, f.PutCollection(f.ctx, tenantA, one, nil, nil))
		must(t, f.PutCollection(f.ctx, tenantA, two, nil, nil))
		old, was := one.Lookup, one.Sealed
		one.Lookup, one.Sealed = mac("renamed", 1), box("renamed", 1)
		must(t, f.PutCollection(f.ctx, tenantA, one, was, nil))
		all, err := f.Collections(f.ctx, tenantA)
		must(t, err)
		sameSet(t, "collections", all, []retrieval.CollectionRow{one, two}, func(a, b retrieval.CollectionRow) int { return cmp.Compare(a.ID, b.ID) })
		got, found, err := f.CollectionByLookup(f.ctx, tenantA, one.Lookup)
		must(t, err)
		same(t, "found by lookup", found, true)
		same(t, "by lookup", got, one)
		_, found, err = f.CollectionByLookup(f.ctx, tenantA, old)
		must(t, err)
		same(t, "found by the old lookup", found, false)
	},
}, {
	name:     "a collection's name is taken once",
	contract: "retrieval/ports.go: PutCollection: ErrConflict when another row has the lookup",
	run: func(t *testing.T, f *fixture) {
		one, two := collection(1), collection(2)
		two.Lookup = one.Lookup
		r := remembered(1)
		must(t, f.PutCollection(f.ctx, tenantA, one, nil, nil))
		wantErr(t, f.PutCollection(f.ctx, tenantA, two, nil, []consent.Remembered{r}), retrieval.ErrConflict)
		f.wantNothing(t)
		must(t, f.PutCollection(f.ctx, tenantA, one, one.Sealed, []consent.Remembered{r}))
		wantErr(t, f.PutCollection(f.ctx, tenantA, collection(3), nil, []consent.Remembered{r}), consent.ErrRemembered)
		all, err := f.Collections(f.ctx, tenantA)
		must(t, err)
		same(t, "collections", all, []retrieval.CollectionRow{one})
		wantErr(t, f.PutCollection(f.ctx, nowhere, one, nil, nil), consent.ErrUnknownTenant)
	},
}, {
	name:     "of two that change a collection one changes it",
	contract: "retrieval/ports.go: PutCollection: if what is sealed there is was: otherwise another gateway changed it meanwhile, which is ErrConflict",
	run: func(t *testing.T, f *fixture) {
		one := collection(1)
		must(t, f.PutCollection(f.ctx, tenantA, one, nil, nil))
		wantErr(t, f.PutCollection(f.ctx, tenantA, one, nil, nil), retrieval.ErrConflict)
		wantErr(t, f.PutCollection(f.ctx, tenantA, collection(2), one.Sealed, nil), retrieval.ErrConflict) // was dropped
		wantErr(t, f.PutCollection(f.ctx, tenantB, one, one.Sealed, nil), retrieval.ErrConflict)
		results := make(chan error, 2)
		for i := range 2 {
			mine := one
			mine.Sealed = box("mine", i)
			go func() { results <- f.PutCollection(f.ctx, tenantA, mine, one.Sealed, nil) }()
		}
		first, second := <-results, <-results
		if (first == nil) == (second == nil) {
			t.Fatalf("errors are %v and %v, want one", first, second)
		}
		wantErr(t, cmp.Or(first, second), retrieval.ErrConflict)
		all, err := f.Collections(f.ctx, tenantA)
		must(t, err)
		same(t, "collections", len(all), 1)
	},
}, {
	name:     "versions come back as they were written",
	contract: "retrieval/ports.go: A DocRow is one version of a document as stored",
	run: func(t *testing.T, f *fixture) {
		full, bare := version(1, 0), version(2, 0)
		bare.Owners, bare.Mentions, bare.Personal, bare.RetainUntil, bare.Passages, bare.Sealed = nil, nil, false, 0, 0, []byte{}
		many := version(3, 0)
		many.Owners, many.Mentions, many.Passages = nil, nil, 300
		for i := range 50 {
			many.Mentions = append(many.Mentions, consent.SubjectNum(1<<62-i*i))
		}
		in := intake(full, bare, many)
		in.Bodies[0].Sealed = nil
		in.Bodies[1].Sealed = make([]byte, 100_000) // pages of zeros
		head, retired := f.ingest(t, tenantA, in)
		same(t, "corpus head", head, retrieval.CorpusPosition(3))
		same(t, "retired", len(retired), 0)
		full.From, bare.From, many.From = 1, 2, 3
		want := []retrieval.DocRow{full, bare, many}

		byLookup, err := f.DocsByLookup(f.ctx, tenantA, books, [][32]byte{many.Lookup, full.Lookup, bare.Lookup, full.Lookup, mac("document", 9)})
		must(t, err)
		sameSet(t, "by lookup", byLookup, want, byNum)
		byNumber, err := f.Docs(f.ctx, tenantA, []retrieval.DocNum{many.Num, full.Num, bare.Num, full.Num, 9})
		must(t, err)
		sameSet(t, "by number", byNumber, want, byNum)
		bodies, err := f.Bodies(f.ctx, tenantA, append(refs(want...), retrieval.PassageRef{Doc: full.Num, N: 2}, retrieval.PassageRef{Doc: 9},
			retrieval.PassageRef{Doc: bare.Num}, retrieval.PassageRef{Doc: bare.Num, N: 1 << 20}, retrieval.PassageRef{Doc: full.Num, N: 1<<32 - 1}, refs(full)[0]))
		must(t, err)
		sameSet(t, "bodies", bodies, in.Bodies, byRef)
		live := f.live(t, tenantA)
		same(t, "live", len(live), 3)
		for _, d := range want {
			same(t, "live document", live[d.Num].Doc, d)
		}
	},
}, {
	name:     "looking for nothing finds nothing",
	contract: "retrieval/ports.go: DocsByLookup returns the live versions with these lookups",
	run: func(t *testing.T, f *fixture) {
		f.ingest(t, tenantA, intake(version(1, 0)))
		byLookup, err := f.DocsByLookup(f.ctx, tenantA, books, nil)
		must(t, err)
		byNumber, err := f.Docs(f.ctx, tenantA, nil)
		must(t, err)
		bodies, err := f.Bodies(f.ctx, tenantA, nil)
		must(t, err)
		elsewhere, err := f.DocsByLookup(f.ctx, tenantA, books+1, [][32]byte{version(1, 0).Lookup})
		must(t, err)
		same(t, "found", len(byLookup)+len(byNumber)+len(bodies)+len(elsewhere), 0)
	},
}, {
	name:     "live versions come with their heads in order, to keep",
	contract: "retrieval/ports.go: Live calls f with every live version of t and its heads, ascending by passage number. f may keep what it is given",
	run: func(t *testing.T, f *fixture) {
		var docs []retrieval.DocRow
		for i := range 40 {
			d := version(i, 0)
			d.Num = retrieval.DocNum(1 + (i*17)%40) // not in the order of ingest
			d.Passages = uint32(i % 4)              // some without any
			docs = append(docs, d)
		}
		f.ingest(t, tenantA, intake(docs[:20]...))
		f.ingest(t, tenantA, intake(docs[20:]...))
		f.ingest(t, tenantA, retrieval.Intake{Retire: []retrieval.DocNum{docs[3].Num, docs[39].Num}})
		live := f.live(t, tenantA) // compared after the stream ended
		same(t, "live", len(live), 38)
		for i, d := range docs {
			if i == 3 || i == 39 {
				continue
			}
			d.From = retrieval.CorpusPosition(i + 1)
			heads := parts(d, "head")
			for l, r := 0, len(heads)-1; l < r; l, r = l+1, r-1 {
				heads[l], heads[r] = heads[r], heads[l]
			}
			same(t, "document and heads", live[d.Num], liveDoc{d, heads})
		}
		calls := 0
		err := f.Live(f.ctx, tenantA, func(retrieval.DocRow, []retrieval.PartRow) error { calls++; return errOurs })
		if err != errOurs || calls != 1 {
			t.Errorf("error %v after %d calls, want f's own after 1", err, calls)
		}
	},
}, {
	name:     "a version that comes or goes while the stream runs comes whole or not at all",
	contract: "retrieval/ports.go: Live calls f with every live version of t and its heads",
	run: func(t *testing.T, f *fixture) {
		f.ingest(t, tenantA, intake(version(1, 0)))
		var wg sync.WaitGroup
		done := make(chan struct{})
		wg.Go(func() {
			defer close(done)
			for v := range 300 {
				in := intake(version(1, v+1))
				in.Retire = []retrieval.DocNum{version(1, v).Num}
				if _, _, err := f.commit(tenantA, in); err != nil {
					t.Error(err)
					return
				}
			}
		})
		for running := true; running; {
			select {
			case <-done:
				running = false
			default:
			}
			calls := 0
			must(t, f.Live(f.ctx, tenantA, func(d retrieval.DocRow, heads []retrieval.PartRow) error {
				calls++
				same(t, "heads", len(heads), 2)
				return nil
			}))
			same(t, "live versions", calls, 1)
		}
		wg.Wait()
	},
}}
