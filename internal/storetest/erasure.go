package storetest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/retrieval"
)

func erasureRow(i int) consent.ErasureRow {
	return consent.ErasureRow{
		ID: "e" + string(rune('a'+i)), Name: mac("erasure", i), State: uint8(erasure.Suppressed), Open: true, Version: 1, Position: 1,
		Created: 1_767_323_045_123_456_789 + consent.Time(i), Due: 1_800_000_000_000_000_001, Key: ref(2_000_000 + i),
		Sealed: box("job", i), Archive: box("archive", i), ArchiveUntil: 1_900_000_000_000_000_001, Receipt: nil,
	}
}

// begin commits erasures with nothing else.
func (f *fixture) begin(tenant consent.TenantID, rows ...consent.ErasureRow) error {
	return f.Append(f.ctx, tenant, func(consent.Head) (consent.Batch, error) { return consent.Batch{Erasures: rows}, nil })
}

func (f *fixture) erasure(t *testing.T, tenant consent.TenantID, id string) (consent.ErasureRow, bool) {
	t.Helper()
	e, found, err := f.Erasure(f.ctx, tenant, id)
	must(t, err)
	return e, found
}

var erasureCases = []testCase{{
	name:     "an erasure comes back as it was",
	contract: "consent/ports.go: Append commits the batch it returns, durably, in one transaction; Erasures of Version 1: new ones",
	run: func(t *testing.T, f *fixture) {
		want := erasureRow(1)
		must(t, f.begin(tenantA, want))
		got, found := f.erasure(t, tenantA, want.ID)
		same(t, "found", found, true)
		same(t, "erasure", got, want)
		open, found, err := f.OpenErasure(f.ctx, tenantA, want.Name)
		must(t, err)
		same(t, "open", []any{found, open}, []any{true, want})
		_, elsewhere := f.erasure(t, tenantB, want.ID)
		same(t, "in another tenant", elsewhere, false)
		if n := f.keyRefs(t)[want.Key]; n != 1 {
			t.Errorf("its key is named %d times", n)
		}
	},
}, {
	name:     "of one name one is open and nothing else is written",
	contract: "consent/ports.go: ErrErasureOpen reports a unique conflict; all or nothing",
	run: func(t *testing.T, f *fixture) {
		first := erasureRow(1)
		must(t, f.begin(tenantA, first))
		must(t, f.begin(tenantB, first)) // tenants never meet
		second := erasureRow(2)
		second.Name = first.Name
		err := f.Append(f.ctx, tenantA, func(h consent.Head) (consent.Batch, error) {
			return consent.Batch{Subjects: []consent.SubjectRow{subject(1)}, Rows: []consent.Row{entry(h.Position+1, subject(1).Num)}, Erasures: []consent.ErasureRow{second}}, nil
		})
		wantErr(t, err, consent.ErrErasureOpen)
		same(t, "entries", len(f.rows(t, tenantA, 0)), 0)
		same(t, "people", len(f.subjects(t, tenantA)), 0)
		first.Version, first.Open, first.State = 2, false, uint8(erasure.Completed)
		must(t, f.ChangeErasure(f.ctx, tenantA, first))
		must(t, f.begin(tenantA, second))
	},
}, {
	name:     "an erasure changes from the version before alone",
	contract: "erasure/ports.go: ChangeErasure replaces the row of the version before; ErrErasureChanged, and nothing changed, when that is not the stored one",
	run: func(t *testing.T, f *fixture) {
		e := erasureRow(1)
		must(t, f.begin(tenantA, e))
		for _, v := range []uint64{0, 1, 3} {
			bad := e
			bad.Version, bad.State = v, uint8(erasure.Held)
			wantErr(t, f.ChangeErasure(f.ctx, tenantA, bad), consent.ErrErasureChanged)
		}
		e.Version, e.State, e.Open, e.Key.ID, e.Archive = 2, uint8(erasure.Completed), false, [16]byte{}, nil
		e.Sealed, e.Receipt = box("job", 9), []byte("receipt")
		must(t, f.ChangeErasure(f.ctx, tenantA, e))
		wantErr(t, f.ChangeErasure(f.ctx, tenantA, e), consent.ErrErasureChanged)
		wantErr(t, f.ChangeErasure(f.ctx, tenantB, e), consent.ErrErasureChanged)
		got, _ := f.erasure(t, tenantA, e.ID)
		same(t, "erasure", got, e)
		_, open, err := f.OpenErasure(f.ctx, tenantA, e.Name)
		must(t, err)
		same(t, "open", open, false)
		same(t, "named keys", len(f.keyRefs(t)), 0)
	},
}, {
	name:     "one of two who change an erasure at once wins",
	contract: "erasure/ports.go: ChangeErasure replaces the row of the version before",
	run: func(t *testing.T, f *fixture) {
		e := erasureRow(1)
		must(t, f.begin(tenantA, e))
		var mu sync.Mutex
		var wg sync.WaitGroup
		won := 0
		for range 8 {
			wg.Go(func() {
				next := e
				next.Version = 2
				err := f.ChangeErasure(f.ctx, tenantA, next)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					won++
				case !errors.Is(err, consent.ErrErasureChanged):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		same(t, "winners", won, 1)
	},
}, {
	name:     "one holder carries an erasure out until its lease ends or is given back",
	contract: "erasure/ports.go: HoldErasure gives the lease of an open erasure to a holder, or renews it, by the database's clock; false when another's has not ended, or when there is no open erasure of that id",
	run: func(t *testing.T, f *fixture) {
		e := erasureRow(1)
		must(t, f.begin(tenantA, e))
		one, other := [16]byte{1}, [16]byte{2}
		hold := func(what string, tenant consent.TenantID, id string, holder [16]byte, lease time.Duration, want bool) {
			t.Helper()
			got, err := f.HoldErasure(f.ctx, tenant, id, holder, lease)
			must(t, err)
			same(t, what, got, want)
		}
		hold("free", tenantA, e.ID, one, time.Hour, true)
		hold("another's", tenantA, e.ID, other, time.Hour, false)
		hold("renewed", tenantA, e.ID, one, time.Hour, true)
		hold("another's, to give back", tenantA, e.ID, other, 0, false)
		hold("given back", tenantA, e.ID, one, 0, true)
		hold("free again, for no time", tenantA, e.ID, other, 0, true)
		hold("ended", tenantA, e.ID, one, time.Hour, true)
		hold("absent", tenantA, "eabsent", one, time.Hour, false)
		hold("another tenant's", tenantB, e.ID, one, time.Hour, false)
		got, _ := f.erasure(t, tenantA, e.ID)
		same(t, "erasure", got, e)
		e.Version, e.Open = 2, false
		must(t, f.ChangeErasure(f.ctx, tenantA, e))
		hold("closed", tenantA, e.ID, one, time.Hour, false)
	},
}, {
	name:     "an entry and the changed row of an erasure are committed together",
	contract: "consent/ports.go: Append: all or nothing; Erasures: else replace the version before",
	run: func(t *testing.T, f *fixture) {
		e := erasureRow(1)
		must(t, f.begin(tenantA, e))
		follow := func(v uint64) error {
			return f.Append(f.ctx, tenantA, func(h consent.Head) (consent.Batch, error) {
				next := e
				next.Version = v
				row := entry(h.Position+1, 0)
				row.Kind = consent.KindErased
				return consent.Batch{Rows: []consent.Row{row}, Erasures: []consent.ErasureRow{next}}, nil
			})
		}
		wantErr(t, follow(3), consent.ErrErasureChanged)
		same(t, "entries", len(f.rows(t, tenantA, 0)), 0)
		must(t, follow(2))
		same(t, "entries", len(f.rows(t, tenantA, 0)), 1)
	},
}, {
	name:     "erasures are listed in pages, oldest first",
	contract: "erasure/ports.go: Erasures returns a page, by time of creation and id",
	run: func(t *testing.T, f *fixture) {
		var all []consent.ErasureRow
		for i := range 5 {
			e := erasureRow(i)
			if i == 3 {
				e.Open, e.State = false, uint8(erasure.Completed)
			}
			all = append(all, e)
		}
		must(t, f.begin(tenantA, all[4], all[0], all[2], all[3], all[1]))
		list := func(p erasure.Page) []consent.ErasureRow {
			t.Helper()
			rows, err := f.Erasures(f.ctx, tenantA, p)
			must(t, err)
			return rows
		}
		same(t, "first page", list(erasure.Page{Limit: 2}), all[:2])
		same(t, "second page", list(erasure.Page{Limit: 2, After: erasure.Cursor{Created: all[1].Created, ID: all[1].ID}}), all[2:4])
		same(t, "open", list(erasure.Page{Limit: 9, OpenOnly: true}), []consent.ErasureRow{all[0], all[1], all[2], all[4]})
		same(t, "completed", list(erasure.Page{Limit: 9, State: erasure.Completed}), all[3:4])
		same(t, "none", len(list(erasure.Page{})), 0)
	},
}, {
	name:     "a person gets another row under the same number",
	contract: "consent/ports.go: Rekey replace the rows of people who are there, by number; of a Rekey that names nobody nothing is written: ErrNoPerson",
	run: func(t *testing.T, f *fixture) {
		must(t, f.Append(f.ctx, tenantA, func(consent.Head) (consent.Batch, error) {
			return consent.Batch{Subjects: []consent.SubjectRow{subject(1), subject(2)}}, nil
		}))
		erased := consent.SubjectRow{Num: subject(1).Num, Lookup: mac("mark", 1), LookupVersion: 2, Sealed: box("mac", 1)}
		rekey := func(tenant consent.TenantID, rows ...consent.SubjectRow) error {
			return f.Append(f.ctx, tenant, func(consent.Head) (consent.Batch, error) { return consent.Batch{Rekey: rows}, nil })
		}
		must(t, rekey(tenantA, erased))
		same(t, "people", f.subjects(t, tenantA), map[consent.SubjectNum]consent.SubjectRow{erased.Num: erased, subject(2).Num: subject(2)})
		_, found, err := f.SubjectByLookup(f.ctx, tenantA, subject(1).Lookup)
		must(t, err)
		same(t, "found by the old lookup", found, false)
		same(t, "named keys", len(f.keyRefs(t)), 1)
		wantErr(t, rekey(tenantB, erased), consent.ErrNoPerson)
		must(t, rekey(tenantA, subject(1)))
		same(t, "people again", f.subjects(t, tenantA)[erased.Num], subject(1))
	},
}, {
	name:     "a sweep goes over all parts and leaves those that live",
	contract: "retrieval/ports.go: SweepParts looks at heads and bodies that come after a mark, at most limit of each, and deletes those of no live version",
	run: func(t *testing.T, f *fixture) {
		one, two, three := version(1, 0), version(2, 0), version(3, 0)
		f.ingest(t, tenantA, intake(one, two))
		f.ingest(t, tenantB, intake(three))
		f.ingest(t, tenantA, retrieval.Intake{Retire: []retrieval.DocNum{one.Num}})
		before := f.live(t, tenantA)
		looks := 0
		for mark := int64(0); ; looks++ {
			deleted, next, err := f.SweepParts(f.ctx, mark, 1)
			must(t, err)
			same(t, "deleted", deleted, 0)
			if next == 0 {
				break
			}
			if next <= mark {
				t.Fatalf("from %d it goes on at %d", mark, next)
			}
			mark = next
		}
		same(t, "looks before the last", looks, int(two.Passages+three.Passages))
		same(t, "live", f.live(t, tenantA), before)
	},
}, {
	name:     "condemned documents are found by person, name, source, collection and age",
	contract: "retrieval/ports.go: Condemned returns at most limit live versions that w selects, in the order of their ingest. A document of several people comes once",
	run: func(t *testing.T, f *fixture) {
		one, two, three := version(1, 0), version(2, 0), version(3, 0)
		two.RetainUntil, three.RetainUntil, three.DecidedAt = 50, 0, 99
		f.ingest(t, tenantA, intake(one, two, three))
		one.From, two.From, three.From = 1, 2, 3
		find := func(w retrieval.Which, limit int) []retrieval.DocRow {
			t.Helper()
			if w.Before == 0 {
				w.Before = 1000
			}
			rows, err := f.Condemned(f.ctx, tenantA, w, limit)
			must(t, err)
			return rows
		}
		same(t, "owner", find(retrieval.Which{Subject: 3}, 9), []retrieval.DocRow{one, two, three}) // 3 owns 1 and 2, is mentioned in 3
		same(t, "limit", find(retrieval.Which{Subject: 3}, 2), []retrieval.DocRow{one, two})
		same(t, "after", find(retrieval.Which{Subject: 3, After: 1}, 1), []retrieval.DocRow{two})
		same(t, "before", find(retrieval.Which{Subject: 3, Before: 99}, 9), []retrieval.DocRow{one, two})
		same(t, "nothing named", len(find(retrieval.Which{}, 9)), 0)
		same(t, "stranger", len(find(retrieval.Which{Subject: 77}, 9)), 0)
		same(t, "lookup", find(retrieval.Which{Collection: books, Lookup: two.Lookup}, 9), []retrieval.DocRow{two})
		same(t, "source", find(retrieval.Which{Source: mac("source", 3)}, 9), []retrieval.DocRow{three})
		same(t, "elsewhere", len(find(retrieval.Which{Collection: books + 1}, 9)), 0)
		same(t, "collection", find(retrieval.Which{Collection: books}, 9), []retrieval.DocRow{one, two, three})
		same(t, "age", find(retrieval.Which{ExpiredAt: 50}, 9), []retrieval.DocRow{two})
		same(t, "younger", len(find(retrieval.Which{ExpiredAt: 49}, 9)), 0)
		heads, err := f.Heads(f.ctx, tenantA, refs(one, two, one))
		must(t, err)
		sameSet(t, "heads", heads, append(parts(one, "head"), parts(two, "head")...), byRef)
		f.ingest(t, tenantA, retrieval.Intake{Retire: []retrieval.DocNum{one.Num}})
		same(t, "after it ended", find(retrieval.Which{Subject: 3}, 9), []retrieval.DocRow{two, three})
		elsewhere, err := f.Condemned(f.ctx, tenantB, retrieval.Which{Subject: 3, Before: 1000}, 9)
		must(t, err)
		same(t, "in another tenant", len(elsewhere), 0)
	},
}, {
	name:     "condemned documents are gone through in pages, while they end",
	contract: "retrieval/ports.go: Pass lets w go on behind a version; Behind is the version that came at After, live or ended",
	run: func(t *testing.T, f *fixture) {
		docs := []retrieval.DocRow{version(9, 0), version(4, 0), version(7, 0), version(5, 0), version(6, 0)} // numbers are in no order
		for i := range docs {
			docs[i].Owners = append(docs[i].Owners, 3)
			docs[i].Source, docs[i].RetainUntil = mac("source", 1), 50-consent.Time(i)
			f.ingest(t, tenantB, intake(version(20+i, 0))) // positions of others, and ids between
			f.ingest(t, tenantA, intake(docs[i]))
			docs[i].From = retrieval.CorpusPosition(i + 1)
		}
		rest := docs
		for _, w := range []retrieval.Which{{Subject: 3}, {Collection: books}, {Source: mac("source", 1)}, {ExpiredAt: 50}} {
			w.Before = 1000
			var found []retrieval.DocRow
			for {
				rows, err := f.Condemned(f.ctx, tenantA, w, 1)
				must(t, err)
				if len(rows) == 0 {
					break
				}
				found = append(found, rows...)
				w.Pass(&rows[0])
				if len(found) == 1 { // the one that was seen ends
					f.ingest(t, tenantA, retrieval.Intake{Retire: []retrieval.DocNum{rows[0].Num}})
				}
			}
			same(t, "all pages", found, rest)
			rest = rest[1:]
		}
	},
}, {
	name:     "a person is unlinked from what ended",
	contract: "retrieval/ports.go: Unlink forgets which ended versions, decided before a position, a person had to do with. Repeatable",
	run: func(t *testing.T, f *fixture) {
		gone, stays := version(1, 0), version(2, 0)
		f.ingest(t, tenantA, intake(gone, stays))
		f.ingest(t, tenantA, retrieval.Intake{Retire: []retrieval.DocNum{gone.Num}})
		linked := func(num consent.SubjectNum) int {
			t.Helper()
			n, err := f.Linked(f.ctx, tenantA, num, 1000)
			must(t, err)
			return n
		}
		same(t, "before", []int{linked(3), linked(1)}, []int{2, 1})
		for range 2 {
			must(t, f.Unlink(f.ctx, tenantA, 3, 1000))
			same(t, "after", []int{linked(3), linked(1)}, []int{1, 1}) // of the live one, and of another person
		}
		must(t, f.Unlink(f.ctx, tenantB, 1, 1000))
		must(t, f.Unlink(f.ctx, tenantA, 1, 7))
		same(t, "another tenant's, and a later one", linked(1), 1)
	},
}, {
	name:     "verification counts what is left, by queries of its own",
	contract: "DESIGN §7: Verification shares no code with deletion: count by owner, fetch each known id",
	run: func(t *testing.T, f *fixture) {
		d := version(1, 0)
		f.ingest(t, tenantA, intake(d))
		traces := func() int {
			t.Helper()
			n, err := f.Traces(f.ctx, tenantA, []retrieval.DocNum{d.Num, 99})
			must(t, err)
			return n
		}
		same(t, "before: a live row, five columns, two heads, two bodies", traces(), 10)
		f.ingest(t, tenantA, retrieval.Intake{Retire: []retrieval.DocNum{d.Num}})
		same(t, "after", traces(), 0)
		must(t, f.Append(f.ctx, tenantA, func(consent.Head) (consent.Batch, error) {
			return consent.Batch{Subjects: []consent.SubjectRow{subject(1)}}, nil
		}))
		for lookup, want := range map[[32]byte]bool{subject(1).Lookup: true, subject(2).Lookup: false} {
			named, err := f.Named(f.ctx, tenantA, lookup)
			must(t, err)
			same(t, "named", named, want)
		}
	},
}}
