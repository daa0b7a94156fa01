package storetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/assent-gateway/assent/consent"
)

var errOurs = errors.New("storetest: the caller's own")

var ledgerCases = []testCase{{
	name:     "an unknown tenant is told apart",
	contract: "consent/ports.go: Append locks t's head (ErrUnknownTenant when absent)",
	run: func(t *testing.T, f *fixture) {
		_, err := f.Head(f.ctx, nowhere)
		wantErr(t, err, consent.ErrUnknownTenant)
		err = f.Append(f.ctx, nowhere, func(consent.Head) (consent.Batch, error) {
			t.Error("prepare was called")
			return consent.Batch{}, nil
		})
		wantErr(t, err, consent.ErrUnknownTenant)
	},
}, {
	name:     "a new ledger is at position 0 and the clock is the database's",
	contract: "consent/ports.go: A Head is the newest committed position and the database's clock, read together",
	run: func(t *testing.T, f *fixture) {
		h := f.head(t, tenantA)
		same(t, "head", h, consent.Head{Position: 0, Now: consent.TimeOf(f.clock.Now())})
		same(t, "rows", f.rows(t, tenantA, 0), []consent.Row(nil))
	},
}, {
	name:     "entries come back as they were written",
	contract: "consent/ports.go: A Row is an entry as stored",
	run: func(t *testing.T, f *fixture) {
		large := bytes.Repeat([]byte("\x00policy\xfe"), 20_000)
		rows := []consent.Row{
			entry(1, 1), // nanoseconds, NUL in the box
			{Position: 2, Kind: consent.KindPolicy, RecordedAt: 1_767_323_045_999_999_999, Sealed: large, Leaf: mac("l", 2), MAC: mac("m", 2)},
			{Position: 3, Kind: math.MaxUint8, Subject: math.MaxInt64, Status: math.MaxUint8,
				Type:         consent.Type{Purpose: "Ångström", Major: math.MaxUint16, Minor: math.MaxUint16},
				Jurisdiction: "A\u030angstro\u0308m", ActedAt: math.MinInt64, RecordedAt: 1_767_323_046_000_000_000, ExpiresAt: math.MaxInt64},
			{Position: 4, Sealed: []byte{}, RecordedAt: 1_767_323_046_000_000_000},
			{Position: 5, Sealed: []byte{0}, RecordedAt: 1_767_323_046_000_000_001},
		}
		must(t, f.Append(f.ctx, tenantA, func(consent.Head) (consent.Batch, error) { return consent.Batch{Rows: rows}, nil }))
		same(t, "rows", f.rows(t, tenantA, 0), rows)
		for _, r := range rows[:1] {
			h, err := f.History(f.ctx, tenantA, r.Subject, 0, 10)
			must(t, err)
			same(t, "history", h, []consent.Row{r})
		}
	},
}, {
	name:     "each batch continues the head and prepare is given it",
	contract: "consent/ports.go: Append locks t's head, calls prepare with it, and commits the batch it returns",
	run: func(t *testing.T, f *fixture) {
		same(t, "first head", f.append(t, tenantA, 1, 3).Position, consent.Position(0))
		same(t, "second head", f.append(t, tenantA, 1, 2).Position, consent.Position(3))
		same(t, "head", f.head(t, tenantA).Position, consent.Position(5))
		same(t, "positions", positions(f.rows(t, tenantA, 0)), []consent.Position{1, 2, 3, 4, 5})
	},
}, {
	name:     "rows that do not continue the head are refused and nothing is kept",
	contract: "consent/ports.go: Rows must continue the head without a gap",
	run: func(t *testing.T, f *fixture) {
		f.append(t, tenantA, 1, 2)
		for _, ps := range [][]consent.Position{{4}, {2}, {0}, {3, 5}, {4, 3}, {3, 3}} {
			err := f.Append(f.ctx, tenantA, func(consent.Head) (consent.Batch, error) {
				b := consent.Batch{Subjects: []consent.SubjectRow{subject(1)}, Remember: []consent.Remembered{remembered(1)}}
				for _, p := range ps {
					b.Rows = append(b.Rows, entry(p, 1))
				}
				return b, nil
			})
			if err == nil {
				t.Errorf("positions %v after 2 were accepted", ps)
			}
		}
		same(t, "positions", positions(f.rows(t, tenantA, 0)), []consent.Position{1, 2})
		f.wantNothing(t)
		f.append(t, tenantA, 1, 1) // and the ledger goes on
	},
}, {
	name:     "an error of prepare rolls back and comes back as it is",
	contract: "consent/ports.go: An error of prepare rolls back and is returned as it is",
	run: func(t *testing.T, f *fixture) {
		err := f.Append(f.ctx, tenantA, func(h consent.Head) (consent.Batch, error) {
			return consent.Batch{Subjects: []consent.SubjectRow{subject(1)}, Rows: []consent.Row{entry(1, 1)}}, errOurs
		})
		if err != errOurs {
			t.Errorf("error is %v, want prepare's own", err)
		}
		f.wantNothing(t)
		same(t, "head", f.head(t, tenantA).Position, consent.Position(0))
		f.append(t, tenantA, 1, 1)
	},
}, {
	name:     "a panic of prepare leaves the ledger usable",
	contract: "consent/ports.go: A Batch is what one Append commits, all or nothing",
	run: func(t *testing.T, f *fixture) {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_ = f.Append(f.ctx, tenantA, func(consent.Head) (consent.Batch, error) { panic("prepare") })
		}()
		f.append(t, tenantA, 1, 1)
	},
}, {
	name:     "an empty batch commits nothing",
	contract: "consent/ports.go: An empty batch commits nothing",
	run: func(t *testing.T, f *fixture) {
		must(t, f.Append(f.ctx, tenantA, func(consent.Head) (consent.Batch, error) { return consent.Batch{}, nil }))
		same(t, "head", f.head(t, tenantA).Position, consent.Position(0))
	},
}, {
	name:     "a batch without rows keeps subjects and outcomes",
	contract: "consent/ports.go: A Batch is what one Append commits, all or nothing",
	run: func(t *testing.T, f *fixture) {
		must(t, f.Append(f.ctx, tenantA, func(consent.Head) (consent.Batch, error) {
			return consent.Batch{Subjects: []consent.SubjectRow{subject(1)}, Remember: []consent.Remembered{remembered(1)}}, nil
		}))
		same(t, "subjects", len(f.subjects(t, tenantA)), 1)
		_, found, err := f.Recall(f.ctx, tenantA, remembered(1).Key)
		must(t, err)
		same(t, "recalled", found, true)
	},
}, {
	name:     "a context that ends before the commit commits nothing",
	contract: "consent/ports.go: A Batch is what one Append commits, all or nothing",
	run: func(t *testing.T, f *fixture) {
		for _, early := range []bool{true, false} {
			ctx, cancel := context.WithCancel(f.ctx)
			if early {
				cancel()
			}
			err := f.Append(ctx, tenantA, func(consent.Head) (consent.Batch, error) {
				cancel()
				return consent.Batch{Rows: []consent.Row{entry(1, 1)}}, nil
			})
			wantErr(t, err, consent.ErrUnavailable)
		}
		same(t, "head", f.head(t, tenantA).Position, consent.Position(0))
		f.append(t, tenantA, 1, 1)
	},
}, {
	name:     "rows after a position are ascending and complete",
	contract: "consent/ports.go: Rows calls f with every committed entry after a position, ascending",
	run: func(t *testing.T, f *fixture) {
		for i := range 4 {
			f.append(t, tenantA, consent.SubjectNum(9-i), 3)
		}
		for after := range consent.Position(14) {
			var want []consent.Position
			for p := after + 1; p <= 12; p++ {
				want = append(want, p)
			}
			same(t, fmt.Sprintf("positions after %d", after), positions(f.rows(t, tenantA, after)), want)
		}
		calls := 0
		err := f.Rows(f.ctx, tenantA, 0, func(consent.Row) error { calls++; return errOurs })
		if err != errOurs || calls != 1 {
			t.Errorf("error %v after %d calls, want f's own after 1", err, calls)
		}
	},
}, {
	name:     "a history is one subject's, newest first, in pages",
	contract: "consent/ports.go: History returns at most limit entries of a subject with a position below before (0: from the newest), newest first",
	run: func(t *testing.T, f *fixture) {
		for range 5 { // subject 1 has 1, 3, 5, 7, 9
			f.append(t, tenantA, 1, 1)
			f.append(t, tenantA, 2, 1)
		}
		for _, c := range []struct {
			subject consent.SubjectNum
			before  consent.Position
			limit   int
			want    []consent.Position
		}{
			{1, 0, 4, []consent.Position{9, 7, 5, 3}},
			{1, 0, 5, []consent.Position{9, 7, 5, 3, 1}},
			{1, 0, 6, []consent.Position{9, 7, 5, 3, 1}},
			{1, 3, 5, []consent.Position{1}},
			{1, 4, 5, []consent.Position{3, 1}},
			{1, 9, 1, []consent.Position{7}},
			{1, 10, 1, []consent.Position{9}},
			{1, 1, 5, nil},
			{1, math.MaxInt64, 1, []consent.Position{9}},
			{1, 0, 0, nil},
			{3, 0, 5, nil},
		} {
			rows, err := f.History(f.ctx, tenantA, c.subject, c.before, c.limit)
			must(t, err)
			same(t, fmt.Sprintf("subject %d before %d limit %d", c.subject, c.before, c.limit), positions(rows), c.want)
		}
	},
}, {
	name:     "subjects are found by number, by lookup and all together",
	contract: "consent/ports.go: SubjectsBy returns the subjects of t with these numbers; absent ones are left out",
	run: func(t *testing.T, f *fixture) {
		var all []consent.SubjectRow
		var nums []consent.SubjectNum
		for i := range 3000 { // more than databases take as parameters
			all = append(all, subject(i))
			nums = append(nums, all[i].Num)
		}
		all[1].Sealed, all[2].Key = nil, ref(-1)
		must(t, f.Append(f.ctx, tenantA, func(consent.Head) (consent.Batch, error) { return consent.Batch{Subjects: all}, nil }))
		byNum := func(a, b consent.SubjectRow) int { return cmp.Compare(a.Num, b.Num) }
		var streamed []consent.SubjectRow
		must(t, f.Subjects(f.ctx, tenantA, func(s consent.SubjectRow) error { streamed = append(streamed, s); return nil }))
		sameSet(t, "all", streamed, all, byNum)
		by, err := f.SubjectsBy(f.ctx, tenantA, append(nums, 5, 6))
		must(t, err)
		sameSet(t, "by number", by, all, byNum)
		by, err = f.SubjectsBy(f.ctx, tenantA, []consent.SubjectNum{nums[1], 5, nums[1]})
		must(t, err)
		same(t, "one by number", by, all[1:2])
		by, err = f.SubjectsBy(f.ctx, tenantA, nil)
		must(t, err)
		same(t, "none by number", len(by), 0)
		one, found, err := f.SubjectByLookup(f.ctx, tenantA, all[2].Lookup)
		if err != nil || !found {
			t.Fatalf("found %v, error %v", found, err)
		}
		same(t, "by lookup", one, all[2])
		_, found, err = f.SubjectByLookup(f.ctx, tenantA, mac("nobody", 1))
		if err != nil || found {
			t.Errorf("absent lookup: found %v, error %v", found, err)
		}
		err = f.Subjects(f.ctx, tenantA, func(consent.SubjectRow) error { return errOurs })
		if err != errOurs {
			t.Errorf("error is %v, want f's own", err)
		}
	},
}, {
	name:     "the clock never goes behind the newest entry",
	contract: "consent/ports.go: RecordedAt is the ledger database's clock at commit, never decreasing",
	run: func(t *testing.T, f *fixture) {
		f.append(t, tenantA, 1, 1)
		newest := f.rows(t, tenantA, 0)[0].RecordedAt
		f.clock.move(-1 << 40)
		same(t, "head", f.head(t, tenantA), consent.Head{Position: 1, Now: newest})
		same(t, "prepare's head", f.append(t, tenantA, 1, 1), consent.Head{Position: 1, Now: newest})
		same(t, "another tenant's clock", f.head(t, tenantB).Now, consent.TimeOf(f.clock.Now()))
		rows := f.rows(t, tenantA, 0)
		if !slices.IsSortedFunc(rows, func(a, b consent.Row) int { return int(a.RecordedAt - b.RecordedAt) }) {
			t.Error("recorded times decrease")
		}
	},
}}

// wantNothing checks that subject(1) and remembered(1) were not kept.
func (f *fixture) wantNothing(t *testing.T) {
	t.Helper()
	same(t, "subjects", len(f.subjects(t, tenantA)), 0)
	_, found, err := f.Recall(f.ctx, tenantA, remembered(1).Key)
	must(t, err)
	same(t, "recalled", found, false)
}
