package storetest

import (
	"math"
	"sync"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

var ledgerConflictCases = []testCase{{
	name:     "prepare may read and sees every committed row",
	contract: "consent/ports.go: prepare may read through the Store's other methods: it sees every committed row",
	run: func(t *testing.T, f *fixture) {
		first := consent.Batch{Subjects: []consent.SubjectRow{subject(1)}, Rows: []consent.Row{entry(1, subject(1).Num)}, Remember: []consent.Remembered{remembered(1)}}
		must(t, f.Append(f.ctx, tenantA, func(consent.Head) (consent.Batch, error) { return first, nil }))
		must(t, f.Append(f.ctx, tenantA, func(h consent.Head) (consent.Batch, error) {
			same(t, "head", f.head(t, tenantA), h)
			same(t, "rows", f.rows(t, tenantA, 0), first.Rows)
			same(t, "subjects", len(f.subjects(t, tenantA)), 1)
			_, found, err := f.SubjectByLookup(f.ctx, tenantA, subject(1).Lookup)
			must(t, err)
			same(t, "subject by lookup", found, true)
			by, err := f.SubjectsBy(f.ctx, tenantA, []consent.SubjectNum{subject(1).Num})
			must(t, err)
			same(t, "subjects by number", by, first.Subjects)
			rows, err := f.History(f.ctx, tenantA, subject(1).Num, 0, 2)
			must(t, err)
			same(t, "history", rows, first.Rows)
			_, found, err = f.Recall(f.ctx, tenantA, remembered(1).Key)
			must(t, err)
			same(t, "recalled", found, true)
			return consent.Batch{Rows: []consent.Row{entry(2, 1)}}, nil
		}))
	},
}, {
	name:     "concurrent appends take turns without gaps",
	contract: "consent/ports.go: Append locks t's head, calls prepare with it, and commits the batch it returns, durably, in one transaction",
	run: func(t *testing.T, f *fixture) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 10 {
					var last consent.Position
					err := f.Append(f.ctx, tenantA, func(h consent.Head) (consent.Batch, error) {
						last = h.Position + 2
						return consent.Batch{Rows: []consent.Row{entry(h.Position+1, 1), entry(h.Position+2, 1)}}, nil
					})
					if err != nil {
						t.Error(err)
						return
					}
					// Head: a read that is sent after the call sees what was acknowledged.
					if h, err := f.Head(f.ctx, tenantA); err != nil || h.Position < last {
						t.Errorf("head %d after %d was acknowledged, error %v", h.Position, last, err)
					}
				}
			})
		}
		wg.Wait()
		for i, p := range positions(f.rows(t, tenantA, 0)) {
			if p != consent.Position(i+1) {
				t.Fatalf("entry %d has position %d", i+1, p)
			}
		}
		same(t, "head", f.head(t, tenantA).Position, consent.Position(160))
	},
}, {
	name:     "a subject made meanwhile is reported and nothing is kept",
	contract: "consent/ports.go: ErrSubjectExists and ErrRemembered report unique conflicts",
	run: func(t *testing.T, f *fixture) {
		put := func(rows []consent.Row, s ...consent.SubjectRow) error {
			return f.Append(f.ctx, tenantA, func(consent.Head) (consent.Batch, error) { return consent.Batch{Subjects: s, Rows: rows}, nil })
		}
		must(t, put(nil, subject(1)))
		sameLookup, sameNum := subject(2), subject(3)
		sameLookup.Lookup, sameNum.Num = subject(1).Lookup, subject(1).Num
		for _, s := range []consent.SubjectRow{sameLookup, sameNum} {
			wantErr(t, put([]consent.Row{entry(1, 1)}, subject(4), s), consent.ErrSubjectExists)
		}
		same(t, "subjects", f.subjects(t, tenantA), map[consent.SubjectNum]consent.SubjectRow{subject(1).Num: subject(1)})
		same(t, "head", f.head(t, tenantA).Position, consent.Position(0))
		must(t, put([]consent.Row{entry(1, 1)}, subject(4)))
	},
}, {
	name:     "a lookup that is to be nobody's and is somebody's is reported and nothing is kept",
	contract: "consent/ports.go: ErrSubjectExists, also of a Free lookup that is not",
	run: func(t *testing.T, f *fixture) {
		put := func(rows []consent.Row, free [32]byte, s ...consent.SubjectRow) error {
			return f.Append(f.ctx, tenantA, func(consent.Head) (consent.Batch, error) {
				return consent.Batch{Subjects: s, Rows: rows, Free: [][32]byte{free}}, nil
			})
		}
		must(t, put(nil, subject(2).Lookup, subject(1)))
		wantErr(t, put([]consent.Row{entry(1, 1)}, subject(1).Lookup), consent.ErrSubjectExists)
		same(t, "head", f.head(t, tenantA).Position, consent.Position(0))
		must(t, put([]consent.Row{entry(1, 1)}, subject(2).Lookup))
	},
}, {
	name:     "a key used meanwhile is reported and nothing is kept",
	contract: "consent/ports.go: ErrRemembered: Store.Append met an idempotency key that another request stored meanwhile",
	run: func(t *testing.T, f *fixture) {
		put := func(rows []consent.Row, r ...consent.Remembered) error {
			return f.Append(f.ctx, tenantA, func(consent.Head) (consent.Batch, error) { return consent.Batch{Remember: r, Rows: rows}, nil })
		}
		first, second := remembered(1), remembered(2)
		first.At = f.head(t, tenantA).Now
		second.Key = first.Key
		must(t, put([]consent.Row{entry(1, 1)}, first))
		wantErr(t, put([]consent.Row{entry(2, 1)}, remembered(3), second), consent.ErrRemembered)
		same(t, "head", f.head(t, tenantA).Position, consent.Position(1))
		got, found, err := f.Recall(f.ctx, tenantA, first.Key)
		if err != nil || !found {
			t.Fatalf("found %v, error %v", found, err)
		}
		same(t, "recalled", got, first)
		_, found, err = f.Recall(f.ctx, tenantA, remembered(3).Key)
		if err != nil || found {
			t.Errorf("rolled back, yet found %v, error %v", found, err)
		}
	},
}, {
	name:     "an outcome is recalled for 24 hours and its key is free after",
	contract: "consent/ports.go: Recall returns what Append, or a commit of the catalogue, remembered under a key in the last 24 hours",
	run: func(t *testing.T, f *fixture) {
		r := remembered(1)
		r.At = f.head(t, tenantA).Now
		put := func() error {
			return f.Append(f.ctx, tenantA, func(consent.Head) (consent.Batch, error) {
				return consent.Batch{Remember: []consent.Remembered{r}}, nil
			})
		}
		recall := func() bool {
			_, found, err := f.Recall(f.ctx, tenantA, r.Key)
			must(t, err)
			return found
		}
		must(t, put())
		f.clock.move(24*time.Hour - 1)
		same(t, "recalled just before 24 hours", recall(), true)
		wantErr(t, put(), consent.ErrRemembered)
		f.clock.move(2)
		same(t, "recalled just after 24 hours", recall(), false)
		r.At += consent.Time(25 * time.Hour)
		must(t, put())
		same(t, "recalled again", recall(), true)
		// What is remembered as of a time to come is kept until then, and longer.
		r = remembered(2)
		r.At = math.MaxInt64
		must(t, put())
		f.clock.move(1000 * 24 * time.Hour)
		wantErr(t, put(), consent.ErrRemembered)
		same(t, "recalled after three years", recall(), true)
	},
}, {
	name:     "an outcome of the catalogue is recalled",
	contract: "consent/ports.go: Recall returns what Append, or a commit of the catalogue, remembered under a key in the last 24 hours",
	run: func(t *testing.T, f *fixture) {
		r := remembered(1)
		r.At, r.Outcome = f.head(t, tenantA).Now, nil
		_, _, err := f.commit(tenantA, retrieval.Intake{Remember: []consent.Remembered{r}})
		must(t, err)
		got, found, err := f.Recall(f.ctx, tenantA, r.Key)
		must(t, err)
		same(t, "found", found, true)
		same(t, "recalled", got, r)
		_, _, err = f.commit(tenantA, retrieval.Intake{Remember: []consent.Remembered{r}})
		wantErr(t, err, consent.ErrRemembered)
	},
}}
