package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// Outside checks retrieval.Outside.
func Outside(t *testing.T, a Adapter) { run(t, a, "Outside", outsideCases) }

var outsideCases = []testCase{{
	name:     "a reserved version becomes live and ends its reservation",
	contract: "retrieval/outside.go: Commit with Intake.Outside ends the reservation and makes it live",
	run: func(t *testing.T, f *fixture) {
		v := version(1, 0)
		f.reserve(t, tenantA, time.Minute, v.Num)
		same(t, "held while reserved", f.held(t, tenantA, v.Num), []retrieval.DocNum{v.Num})
		same(t, "held in another tenant", len(f.held(t, tenantB, v.Num)), 0)
		in := intake(v)
		in.Outside = true
		f.ingest(t, tenantA, in)
		same(t, "held while live", f.held(t, tenantA, v.Num, 99), []retrieval.DocNum{v.Num})
		f.clock.move(time.Hour)
		same(t, "debts", len(f.debts(t, tenantA)), 0)
		wantErr(t, f.Reserve(f.ctx, tenantA, books, []retrieval.DocNum{v.Num}, time.Minute), retrieval.ErrConflict)
	},
}, {
	name:     "a version without a reservation is a conflict and nothing is kept",
	contract: "retrieval/ports.go: every new version was reserved and ends its reservation, ErrConflict when the lease has ended",
	run: func(t *testing.T, f *fixture) {
		one, two := version(1, 0), version(2, 0)
		f.reserve(t, tenantA, time.Minute, one.Num)
		in := intake(one, two)
		in.Outside = true
		must(t, f.PutCollection(f.ctx, tenantA, collection(books), nil, nil))
		_, _, err := f.commit(tenantA, in)
		wantErr(t, err, retrieval.ErrConflict)
		same(t, "live", len(f.live(t, tenantA)), 0)
		f.reserve(t, tenantA, time.Minute, two.Num)
		f.ingest(t, tenantA, in)
	},
}, {
	name:     "a reservation whose lease ended is a debt and can no longer be committed",
	contract: "retrieval/outside.go: Debts: A reservation that it returns can no longer be committed",
	run: func(t *testing.T, f *fixture) {
		v := version(1, 0)
		f.reserve(t, tenantA, time.Minute, v.Num)
		same(t, "debts within the lease", len(f.debts(t, tenantA)), 0)
		f.clock.move(time.Minute)
		same(t, "held after it", len(f.held(t, tenantA, v.Num)), 0)
		same(t, "debts after it", f.debts(t, tenantA), []retrieval.Debt{{Num: v.Num, Collection: books}})
		same(t, "debts of another tenant", len(f.debts(t, tenantB)), 0)
		in := intake(v)
		in.Outside = true
		must(t, f.PutCollection(f.ctx, tenantA, collection(books), nil, nil))
		_, _, err := f.commit(tenantA, in)
		wantErr(t, err, retrieval.ErrConflict)
		wantErr(t, f.Reserve(f.ctx, tenantA, books, []retrieval.DocNum{v.Num}, time.Minute), retrieval.ErrConflict)
		must(t, f.Settle(f.ctx, tenantB, []retrieval.DocNum{v.Num}))
		same(t, "debts after another's settlement", len(f.debts(t, tenantA)), 1)
		must(t, f.Settle(f.ctx, tenantA, []retrieval.DocNum{v.Num, 99}))
		same(t, "debts after settlement", len(f.debts(t, tenantA)), 0)
	},
}, {
	name:     "a retired version is a debt until it is settled",
	contract: "retrieval/outside.go: What is retired by such a commit is a debt until Settle",
	run: func(t *testing.T, f *fixture) {
		old, again := version(1, 0), version(1, 1)
		f.ingest(t, tenantA, intake(old)) // as before the index moved out
		f.reserve(t, tenantA, time.Minute, again.Num)
		in := intake(again)
		in.Outside, in.Retire = true, []retrieval.DocNum{old.Num}
		f.ingest(t, tenantA, in)
		for range 2 { // reading does not pay
			same(t, "debts", f.debts(t, tenantA), []retrieval.Debt{{Num: old.Num, Collection: books}})
		}
		same(t, "held", f.held(t, tenantA, old.Num, again.Num), []retrieval.DocNum{again.Num})
		must(t, f.Settle(f.ctx, tenantA, []retrieval.DocNum{old.Num, again.Num}))
		same(t, "debts after settlement", len(f.debts(t, tenantA)), 0)
		f.ingest(t, tenantA, retrieval.Intake{Retire: []retrieval.DocNum{again.Num}})
		same(t, "debts of a retirement in memory", len(f.debts(t, tenantA)), 0)
	},
}, {
	name:     "people's documents come in pages, each once",
	contract: "retrieval/outside.go: DocsOf returns at most limit live versions of a collection that any of the people owns or is mentioned in, with numbers above after, ascending",
	run: func(t *testing.T, f *fixture) {
		must(t, f.PutCollection(f.ctx, tenantA, collection(books+1), nil, nil))
		var docs []retrieval.DocRow
		for i := range 9 {
			d := version(i, 0)
			d.Owners, d.Mentions = []consent.SubjectNum{consent.SubjectNum(1 + i%3)}, []consent.SubjectNum{consent.SubjectNum(1 + i%2), 1000}
			docs = append(docs, d)
		}
		other := version(20, 0)
		other.Owners, other.Collection = []consent.SubjectNum{1}, books+1
		f.ingest(t, tenantA, intake(append(slices.Clone(docs), other)...))
		f.ingest(t, tenantA, retrieval.Intake{Retire: []retrieval.DocNum{docs[3].Num}})
		for i := range docs {
			docs[i].From = retrieval.CorpusPosition(i + 1)
		}
		var want, got []retrieval.DocRow
		for i, d := range docs {
			if i != 3 && (slices.Contains(d.Owners, 1) || slices.Contains(d.Mentions, 1)) {
				want = append(want, d)
			}
		}
		for after := retrieval.DocNum(0); ; {
			page, err := f.DocsOf(f.ctx, tenantA, books, []consent.SubjectNum{1, 77}, after, 2)
			must(t, err)
			if len(page) == 0 {
				break
			}
			if len(page) > 2 {
				t.Fatalf("a page of %d", len(page))
			}
			got, after = append(got, page...), page[len(page)-1].Num
		}
		same(t, "documents", got, want)
		none, err := f.DocsOf(f.ctx, tenantB, books, []consent.SubjectNum{1}, 0, 10)
		must(t, err)
		same(t, "in another tenant", len(none), 0)
	},
}, {
	name:     "beliefs come in the order in which they changed",
	contract: "retrieval/outside.go: Beliefs returns what changed after a sequence number, ascending",
	run: func(t *testing.T, f *fixture) {
		must2(t)(f.Elect(f.ctx, tenantA, "x", time.Minute))
		b := func(s consent.SubjectNum, v string) retrieval.Belief {
			return retrieval.Belief{Collection: books, Subject: s, Verdicts: []byte(v)}
		}
		must(t, f.Believe(f.ctx, tenantA, "x", []retrieval.Belief{b(1, "a"), b(2, "b")}))
		first := f.beliefs(t, tenantA, 0)
		same(t, "first", len(first), 2)
		must(t, f.Believe(f.ctx, tenantA, "x", []retrieval.Belief{b(1, "")}))
		later := f.beliefs(t, tenantA, first[1].Seq)
		same(t, "later", len(later), 1)
		same(t, "who changed", later[0].Subject, consent.SubjectNum(1))
		same(t, "verdicts under change", len(later[0].Verdicts), 0)
		all := f.beliefs(t, tenantA, 0)
		same(t, "in order", []consent.SubjectNum{all[0].Subject, all[1].Subject}, []consent.SubjectNum{2, 1})
		same(t, "kept", string(all[0].Verdicts), "b")
		same(t, "of another tenant", len(f.beliefs(t, tenantB, 0)), 0)
	},
}, {
	name:     "one holder at a time may change beliefs",
	contract: "retrieval/outside.go: Elect gives the tenant's lease to holder, or renews it, unless another holds it",
	run: func(t *testing.T, f *fixture) {
		elect := func(who string, want bool) {
			t.Helper()
			ok, err := f.Elect(f.ctx, tenantA, who, time.Minute)
			must(t, err)
			same(t, "elected", ok, want)
		}
		one := []retrieval.Belief{{Collection: books, Subject: 1, Verdicts: []byte("v")}}
		wantErr(t, f.Believe(f.ctx, tenantA, "x", one), retrieval.ErrConflict)
		elect("x", true)
		elect("y", false)
		wantErr(t, f.Believe(f.ctx, tenantA, "y", one), retrieval.ErrConflict)
		f.clock.move(40 * time.Second)
		elect("x", true)
		f.clock.move(40 * time.Second)
		elect("y", false)
		must(t, f.Believe(f.ctx, tenantA, "x", one))
		f.clock.move(time.Minute)
		wantErr(t, f.Believe(f.ctx, tenantA, "x", one), retrieval.ErrConflict)
		elect("y", true)
		elect("x", false)
		_, err := f.Elect(f.ctx, nowhere, "x", time.Minute)
		wantErr(t, err, consent.ErrUnknownTenant)
	},
}}

func must2(t *testing.T) func(bool, error) {
	return func(_ bool, err error) { t.Helper(); must(t, err) }
}

func (f *fixture) reserve(t *testing.T, tenant consent.TenantID, lease time.Duration, nums ...retrieval.DocNum) {
	t.Helper()
	must(t, f.Reserve(f.ctx, tenant, books, nums, lease))
}

func (f *fixture) held(t *testing.T, tenant consent.TenantID, nums ...retrieval.DocNum) []retrieval.DocNum {
	t.Helper()
	held, err := f.Held(f.ctx, tenant, nums)
	must(t, err)
	return held
}

func (f *fixture) debts(t *testing.T, tenant consent.TenantID) []retrieval.Debt {
	t.Helper()
	debts, err := f.Debts(f.ctx, tenant, 10)
	must(t, err)
	return debts
}

func (f *fixture) beliefs(t *testing.T, tenant consent.TenantID, after uint64) []retrieval.Belief {
	t.Helper()
	b, err := f.Beliefs(f.ctx, tenant, after)
	must(t, err)
	return b
}
