package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/retrieval"
)

// The chapter of deletion: what ended is found by nothing, whatever was asked.
var deletionCases = []testCase{{
	name:     "a replacement takes two positions, the retired version first",
	contract: "retrieval/ports.go: every new or retired version takes one corpus position, retired ones first",
	run: func(t *testing.T, f *fixture) {
		f.ingest(t, tenantA, intake(version(1, 0), version(2, 0), version(3, 0)))
		in := intake(version(1, 1), version(2, 1), version(4, 0))
		in.Retire = []retrieval.DocNum{version(2, 0).Num, version(3, 0).Num, version(1, 0).Num}
		head, retired := f.ingest(t, tenantA, in)
		same(t, "corpus head", head, retrieval.CorpusPosition(9)) // 3, then 3 retired, then 3 new
		same(t, "stored head", f.corpusHead(t, tenantA), head)
		var got []retrieval.CorpusPosition
		live := f.live(t, tenantA)
		for _, d := range in.Docs {
			got = append(got, live[d.Num].Doc.From)
		}
		same(t, "positions of the new", got, []retrieval.CorpusPosition{7, 8, 9})
		same(t, "retired", len(retired), 3)
	},
}, {
	name:     "retired versions are returned as they were",
	contract: "retrieval/ports.go: Commit returns the rows of the versions retired",
	run: func(t *testing.T, f *fixture) {
		one, two := version(1, 0), version(2, 0)
		f.ingest(t, tenantA, intake(one, two))
		one.From, two.From = 1, 2
		_, retired := f.ingest(t, tenantA, retrieval.Intake{Retire: []retrieval.DocNum{two.Num, one.Num}})
		sameSet(t, "retired", retired, []retrieval.DocRow{one, two}, byNum)
	},
}, {
	name:     "a retired version is found by nothing",
	contract: "retrieval/ports.go: retired versions lose heads, bodies, sealed parts, lookup and digest and keep numbers and positions",
	run: func(t *testing.T, f *fixture) {
		gone, stays := version(1, 0), version(2, 0)
		f.ingest(t, tenantA, intake(gone, stays))
		stays.From = 2
		f.ingest(t, tenantA, retrieval.Intake{Retire: []retrieval.DocNum{gone.Num}})
		f.wantOnly(t, tenantA, []retrieval.DocRow{gone}, []retrieval.DocRow{stays})
		f.ingest(t, tenantA, intake(version(1, 1))) // the document may come again, as another version
		again := version(1, 1)
		again.From = 4
		f.wantOnly(t, tenantA, []retrieval.DocRow{gone}, []retrieval.DocRow{stays, again})
	},
}, {
	name:     "versions that are retired together take nothing of those between them",
	contract: "retrieval/ports.go: retired versions lose heads, bodies, sealed parts, lookup and digest and keep numbers and positions",
	run: func(t *testing.T, f *fixture) {
		var docs, gone, stay []retrieval.DocRow
		for d := range 9 {
			docs = append(docs, version(d+1, 0))
		}
		f.ingest(t, tenantA, intake(docs...))
		in := retrieval.Intake{}
		for i := range docs {
			docs[i].From = retrieval.CorpusPosition(i + 1)
			if i == 1 || i == 4 || i == 7 { // between them, and at the ends, some stay
				stay = append(stay, docs[i])
				continue
			}
			gone = append(gone, docs[i])
			in.Retire = append([]retrieval.DocNum{docs[i].Num}, in.Retire...)
		}
		_, retired := f.ingest(t, tenantA, in)
		sameSet(t, "retired", retired, gone, byNum)
		f.wantOnly(t, tenantA, gone, stay)
	},
}, {
	name:     "retiring the absent is a conflict and nothing is kept",
	contract: "retrieval/ports.go: A Retire of what is not live is ErrConflict",
	run: func(t *testing.T, f *fixture) {
		one, two := version(1, 0), version(2, 0)
		f.ingest(t, tenantA, intake(one, two))
		f.ingest(t, tenantA, retrieval.Intake{Retire: []retrieval.DocNum{two.Num}})
		one.From = 1
		for _, nums := range [][]retrieval.DocNum{{99}, {two.Num}, {one.Num, two.Num}, {one.Num, one.Num}} {
			in := intake(version(3, 0))
			in.Retire, in.Remember = nums, []consent.Remembered{remembered(1)}
			_, retired, err := f.commit(tenantA, in)
			wantErr(t, err, retrieval.ErrConflict)
			same(t, "retired", len(retired), 0)
			f.wantNothing(t)
			f.wantOnly(t, tenantA, []retrieval.DocRow{two, version(3, 0)}, []retrieval.DocRow{one})
		}
		same(t, "corpus head", f.corpusHead(t, tenantA), retrieval.CorpusPosition(3))
	},
}, {
	name:     "replacing and retiring at once leaves at most one live version",
	contract: "retrieval/ports.go: ErrConflict: the caller looks again and repeats",
	run: func(t *testing.T, f *fixture) {
		must(t, f.PutCollection(f.ctx, tenantA, collection(books), nil, nil))
		lookup := version(1, 0).Lookup
		step := func(replacement ...retrieval.DocRow) {
			found, err := f.DocsByLookup(f.ctx, tenantA, books, [][32]byte{lookup})
			if err != nil || len(found) > 1 {
				t.Errorf("%d live versions, error %v", len(found), err)
			}
			in := intake(replacement...)
			for _, d := range found {
				in.Retire = append(in.Retire, d.Num)
			}
			if _, _, err := f.commit(tenantA, in); err != nil && !errors.Is(err, retrieval.ErrConflict) {
				t.Error(err)
			}
		}
		var wg sync.WaitGroup
		for w := range 3 {
			wg.Go(func() {
				for i := range 20 {
					step(version(1, w*100+i))
				}
			})
			wg.Go(func() {
				for range 10 {
					step()
				}
			})
		}
		wg.Wait()
		step()
		same(t, "live after the last retirement", len(f.live(t, tenantA)), 0)
		same(t, "key references", len(f.keyRefs(t)), 0)
	},
}, {
	name:     "a collection is dropped in bounded steps",
	contract: "retrieval/ports.go: DropCollection retires every live version in a collection (at most limit per call; call until it returns none) and, when none is left, removes the collection's row",
	run: func(t *testing.T, f *fixture) {
		must(t, f.PutCollection(f.ctx, tenantA, collection(books+1), nil, nil))
		stays := version(9, 0)
		stays.Collection++
		f.ingest(t, tenantA, intake(version(1, 0), version(2, 0), version(3, 0), version(4, 0), version(5, 0), stays))
		stays.From = 6
		present := func() bool {
			_, found, err := f.CollectionByLookup(f.ctx, tenantA, collection(books).Lookup)
			must(t, err)
			return found
		}
		var gone []retrieval.DocRow
		for i, want := range []int{2, 2, 1, 0, 0} {
			retired, err := f.DropCollection(f.ctx, tenantA, books, 2)
			must(t, err)
			same(t, fmt.Sprintf("retired by call %d", i+1), len(retired), want)
			gone = append(gone, retired...)
			if i < 2 {
				same(t, "the row is there while versions live", present(), true)
			}
		}
		same(t, "the row is there at the end", present(), false)
		same(t, "corpus head", f.corpusHead(t, tenantA), retrieval.CorpusPosition(11))
		slices.SortFunc(gone, func(a, b retrieval.DocRow) int { return int(a.Num - b.Num) })
		for i, d := range gone {
			want := version(i+1, 0)
			want.From = retrieval.CorpusPosition(i + 1)
			same(t, "retired row", d, want)
		}
		f.wantOnly(t, tenantA, gone, []retrieval.DocRow{stays})
		_, err := f.DropCollection(f.ctx, tenantA, books+1, 1) // exactly the limit: none is left
		must(t, err)
		_, found, err := f.CollectionByLookup(f.ctx, tenantA, collection(books+1).Lookup)
		must(t, err)
		same(t, "the other row is there at the end", found, false)
	},
}, {
	name:     "an empty collection is dropped at once and the absent is not an error",
	contract: "retrieval/ports.go: DropCollection, when none is left, removes the collection's row",
	run: func(t *testing.T, f *fixture) {
		must(t, f.PutCollection(f.ctx, tenantA, collection(books), nil, nil))
		for range 2 {
			retired, err := f.DropCollection(f.ctx, tenantA, books, 10)
			must(t, err)
			same(t, "retired", len(retired), 0)
			all, err := f.Collections(f.ctx, tenantA)
			must(t, err)
			same(t, "collections", len(all), 0)
		}
	},
}, {
	name:     "a document that comes after its collection was dropped is a conflict",
	contract: "DESIGN P6: the old data does not come back: not by a late or retried ingest",
	run: func(t *testing.T, f *fixture) {
		f.ingest(t, tenantA, intake(version(1, 0)))
		_, err := f.DropCollection(f.ctx, tenantA, books, 10)
		must(t, err)
		_, _, err = f.commit(tenantA, intake(version(2, 0)))
		wantErr(t, err, retrieval.ErrConflict)
		same(t, "live", len(f.live(t, tenantA)), 0)
		same(t, "key references", len(f.keyRefs(t)), 0)
	},
}}

// wantOnly checks by every way of looking that gone are gone and live are there.
func (f *fixture) wantOnly(t *testing.T, tenant consent.TenantID, gone, live []retrieval.DocRow) {
	t.Helper()
	var lookups [][32]byte
	var nums []retrieval.DocNum
	var bodies []retrieval.PartRow
	wantRefs := map[seal.Ref]int{}
	all := append(slices.Clone(gone), live...)
	for _, d := range all {
		lookups, nums = append(lookups, d.Lookup), append(nums, d.Num)
	}
	for _, d := range live {
		bodies = append(bodies, parts(d, "body")...)
		wantRefs[d.Key]++
	}
	var found []retrieval.DocRow
	for _, c := range []retrieval.CollectionID{books, books + 1} {
		docs, err := f.DocsByLookup(f.ctx, tenant, c, lookups)
		must(t, err)
		found = append(found, docs...)
	}
	sameSet(t, "by lookup", found, live, byNum)
	found, err := f.Docs(f.ctx, tenant, nums)
	must(t, err)
	sameSet(t, "by number", found, live, byNum)
	gotBodies, err := f.Bodies(f.ctx, tenant, refs(all...))
	must(t, err)
	sameSet(t, "bodies", gotBodies, bodies, byRef)
	stream := f.live(t, tenant)
	same(t, "number of live versions", len(stream), len(live))
	for _, d := range live {
		same(t, "live version", stream[d.Num].Doc, d)
		same(t, "its heads", len(stream[d.Num].Heads), int(d.Passages))
	}
	same(t, "key references", f.keyRefs(t), wantRefs)
}
