package storetest

import (
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

const p11 = "DESIGN P11: Tenants never meet. Ledger, log and positions are per tenant"

var ledgerTenantCases = []testCase{{
	name:     "tenants with the same numbers and lookups do not meet in the ledger",
	contract: p11,
	run: func(t *testing.T, f *fixture) {
		r, s := remembered(1), subject(1)
		r.At = f.head(t, tenantA).Now
		put := func(tenant consent.TenantID, n int, outcome string) consent.Batch {
			b := consent.Batch{Subjects: []consent.SubjectRow{s}, Remember: []consent.Remembered{r}}
			b.Subjects[0].Sealed, b.Remember[0].Outcome = box(outcome, 1), box(outcome, 2)
			for i := range n {
				b.Rows = append(b.Rows, entry(consent.Position(i+1), s.Num))
				b.Rows[i].Sealed = box(outcome, i)
			}
			must(t, f.Append(f.ctx, tenant, func(h consent.Head) (consent.Batch, error) {
				same(t, "head", h.Position, consent.Position(0))
				return b, nil
			}))
			return b
		}
		want := map[consent.TenantID]consent.Batch{tenantA: put(tenantA, 3, "a"), tenantB: put(tenantB, 2, "b")}
		want[nowhere] = consent.Batch{}
		for tenant, b := range want {
			n := len(b.Rows)
			same(t, "rows", f.rows(t, tenant, 0), b.Rows)
			if tenant != nowhere {
				same(t, "head", f.head(t, tenant).Position, consent.Position(n))
			}
			history, err := f.History(f.ctx, tenant, s.Num, 0, 10)
			must(t, err)
			same(t, "history", len(history), n)
			by, err := f.SubjectsBy(f.ctx, tenant, []consent.SubjectNum{s.Num})
			must(t, err)
			same(t, "by number", by, b.Subjects)
			same(t, "subjects", len(f.subjects(t, tenant)), len(b.Subjects))
			one, found, err := f.SubjectByLookup(f.ctx, tenant, s.Lookup)
			must(t, err)
			same(t, "found by lookup", found, n > 0)
			outcome, found, err := f.Recall(f.ctx, tenant, r.Key)
			must(t, err)
			same(t, "recalled", found, n > 0)
			if n > 0 {
				same(t, "by lookup", one, b.Subjects[0])
				same(t, "outcome", outcome, b.Remember[0])
			}
		}
	},
}}

var catalogueTenantCases = []testCase{{
	name:     "tenants with the same numbers and lookups do not meet in the catalogue",
	contract: p11,
	run: func(t *testing.T, f *fixture) {
		d := version(1, 0)
		want := map[consent.TenantID]retrieval.Intake{tenantA: intake(d), tenantB: intake(d)}
		for tenant, in := range want {
			for i := range in.Bodies {
				in.Heads[i].Sealed, in.Bodies[i].Sealed = box("head "+string(tenant), i), box("body "+string(tenant), i)
			}
			in.Docs[0].Sealed, in.Docs[0].Owners = box(string(tenant), 1), []consent.SubjectNum{consent.SubjectNum(len(want)), 9}
			head, _ := f.ingest(t, tenant, in)
			same(t, "corpus head", head, retrieval.CorpusPosition(1))
			in.Docs[0].From = 1
		}
		for tenant, in := range want {
			f.wantOnlyIn(t, tenant, d, in)
		}
		f.wantOnlyIn(t, nowhere, d, retrieval.Intake{})

		// What one tenant retires, replaces or drops, the other keeps.
		f.ingest(t, tenantA, retrieval.Intake{Retire: []retrieval.DocNum{d.Num}})
		f.wantOnlyIn(t, tenantB, d, want[tenantB])
		_, err := f.DropCollection(f.ctx, tenantA, books, 10)
		must(t, err)
		f.wantOnlyIn(t, tenantB, d, want[tenantB])
		all, err := f.Collections(f.ctx, tenantB)
		must(t, err)
		same(t, "collections of the other", all, []retrieval.CollectionRow{collection(books)})
		same(t, "corpus head of the other", f.corpusHead(t, tenantB), retrieval.CorpusPosition(1))
	},
}, {
	name:     "a tenant cannot retire, pin or fill what is another's",
	contract: p11,
	run: func(t *testing.T, f *fixture) {
		f.ingest(t, tenantA, intake(version(1, 0)))
		c := collection(books)
		for _, in := range []retrieval.Intake{
			{Retire: []retrieval.DocNum{version(1, 0).Num}}, {Collection: &c}, intake(version(2, 0)),
		} {
			_, _, err := f.commit(tenantB, in)
			wantErr(t, err, retrieval.ErrConflict)
		}
		retired, err := f.DropCollection(f.ctx, tenantB, books, 10)
		must(t, err)
		same(t, "retired", len(retired), 0)
		same(t, "live", len(f.live(t, tenantA)), 1)
		_, found, err := f.CollectionByLookup(f.ctx, tenantB, c.Lookup)
		must(t, err)
		same(t, "found by lookup", found, false)
	},
}}

// wantOnlyIn checks that what a tenant reads about d is its own.
func (f *fixture) wantOnlyIn(t *testing.T, tenant consent.TenantID, d retrieval.DocRow, want retrieval.Intake) {
	t.Helper()
	byLookup, err := f.DocsByLookup(f.ctx, tenant, books, [][32]byte{d.Lookup})
	must(t, err)
	same(t, "by lookup", byLookup, want.Docs)
	byNumber, err := f.Docs(f.ctx, tenant, []retrieval.DocNum{d.Num})
	must(t, err)
	same(t, "by number", byNumber, want.Docs)
	bodies, err := f.Bodies(f.ctx, tenant, refs(d))
	must(t, err)
	sameSet(t, "bodies", bodies, want.Bodies, byRef)
	var heads []retrieval.PartRow
	for _, l := range f.live(t, tenant) {
		heads = append(heads, l.Heads...)
	}
	sameSet(t, "heads", heads, want.Heads, byRef)
}
