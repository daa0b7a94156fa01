package storetest

import (
	"sync"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/retrieval"
)

var commitCases = []testCase{{
	name:     "confirm is given the ledger's head",
	contract: "retrieval/ports.go: Commit calls confirm with the ledger's head as it is under those locks",
	run: func(t *testing.T, f *fixture) {
		must(t, f.PutCollection(f.ctx, tenantA, collection(books), nil, nil))
		for n := range consent.Position(3) {
			_, _, err := f.Commit(f.ctx, tenantA, []consent.SubjectNum{3, 1, 2}, func(h consent.Head) (retrieval.Intake, error) {
				same(t, "head", h, consent.Head{Position: n, Now: consent.TimeOf(f.clock.Now())})
				return intake(version(int(n), 0)), nil
			})
			must(t, err)
			f.append(t, tenantA, 1, 1)
		}
	},
}, {
	name:     "an error of confirm rolls back",
	contract: "retrieval/ports.go: An error of confirm rolls back",
	run: func(t *testing.T, f *fixture) {
		f.ingest(t, tenantA, intake(version(1, 0)))
		_, _, err := f.Commit(f.ctx, tenantA, nil, func(consent.Head) (retrieval.Intake, error) {
			in := intake(version(1, 1))
			in.Retire = []retrieval.DocNum{version(1, 0).Num}
			return in, errOurs
		})
		wantErr(t, err, errOurs)
		same(t, "live", len(f.live(t, tenantA)), 1)
		same(t, "corpus head", f.corpusHead(t, tenantA), retrieval.CorpusPosition(1))
	},
}, {
	name:     "an empty intake changes nothing",
	contract: "retrieval/ports.go: What confirm returns is written. It returns the corpus head after it",
	run: func(t *testing.T, f *fixture) {
		f.ingest(t, tenantA, intake(version(1, 0)))
		head, retired, err := f.commit(tenantA, retrieval.Intake{})
		must(t, err)
		same(t, "corpus head", head, retrieval.CorpusPosition(1))
		same(t, "retired", len(retired), 0)
	},
}, {
	name:     "a corpus head is raised, never lowered, and the next change is above it",
	contract: "retrieval/ports.go: AdvanceCorpus raises the corpus head to at least p: the next change takes a position above it",
	run: func(t *testing.T, f *fixture) {
		f.ingest(t, tenantA, intake(version(1, 0)))
		must(t, f.AdvanceCorpus(f.ctx, tenantA, 1<<40))
		must(t, f.AdvanceCorpus(f.ctx, tenantA, 7))
		same(t, "corpus head", f.corpusHead(t, tenantA), retrieval.CorpusPosition(1<<40))
		f.ingest(t, tenantA, intake(version(2, 0)))
		same(t, "corpus head", f.corpusHead(t, tenantA), retrieval.CorpusPosition(1<<40+1))
		same(t, "another tenant's", f.corpusHead(t, tenantB), retrieval.CorpusPosition(0))
		wantErr(t, f.AdvanceCorpus(f.ctx, nowhere, 1), consent.ErrUnknownTenant)
	},
}, {
	name:     "a corpus is of a tenant",
	contract: "retrieval/types.go: CorpusPosition numbers changes of documents in a tenant: from 1",
	run: func(t *testing.T, f *fixture) {
		same(t, "corpus head", f.corpusHead(t, tenantA), retrieval.CorpusPosition(0))
		_, err := f.CorpusHead(f.ctx, nowhere)
		wantErr(t, err, consent.ErrUnknownTenant)
		_, _, err = f.commit(nowhere, intake(version(1, 0)))
		wantErr(t, err, consent.ErrUnknownTenant)
		_, err = f.DropCollection(f.ctx, nowhere, books, 1)
		wantErr(t, err, consent.ErrUnknownTenant)
	},
}, {
	name:     "a second live version of a document is a conflict",
	contract: "retrieval/ports.go: a new version of a document (same collection and lookup) while another is live and not retired, is ErrConflict",
	run: func(t *testing.T, f *fixture) {
		f.ingest(t, tenantA, intake(version(1, 0)))
		in := intake(version(2, 0), version(1, 1))
		in.Remember, in.Subjects = []consent.Remembered{remembered(1)}, []consent.SubjectRow{subject(1)}
		_, _, err := f.commit(tenantA, in)
		wantErr(t, err, retrieval.ErrConflict)
		f.wantNothing(t)
		_, _, err = f.commit(tenantA, intake(version(3, 0), version(3, 1)))
		wantErr(t, err, retrieval.ErrConflict)
		same(t, "live", len(f.live(t, tenantA)), 1)
		same(t, "corpus head", f.corpusHead(t, tenantA), retrieval.CorpusPosition(1))

		must(t, f.PutCollection(f.ctx, tenantA, collection(books+1), nil, nil))
		elsewhere := version(1, 2)
		elsewhere.Collection++
		f.ingest(t, tenantA, intake(elsewhere)) // the same lookup in another collection
		same(t, "live", len(f.live(t, tenantA)), 2)
	},
}, {
	name:     "a document number is used once",
	contract: "retrieval/types.go: DocNum is never used again",
	run: func(t *testing.T, f *fixture) {
		f.ingest(t, tenantA, intake(version(1, 0)))
		f.ingest(t, tenantA, retrieval.Intake{Retire: []retrieval.DocNum{version(1, 0).Num}})
		again := version(2, 0)
		again.Num = version(1, 0).Num
		_, _, err := f.commit(tenantA, intake(again))
		wantErr(t, err, retrieval.ErrConflict)
	},
}, {
	name:     "a part of no new version is refused",
	contract: "retrieval/ports.go: Intake is one transaction's worth of corpus changes",
	run: func(t *testing.T, f *fixture) {
		f.ingest(t, tenantA, intake(version(1, 0)))
		for _, in := range []retrieval.Intake{
			{Heads: parts(version(2, 0), "head")},
			{Bodies: []retrieval.PartRow{{Ref: retrieval.PassageRef{Doc: version(1, 0).Num, N: 7}}}}, // not new
		} {
			if _, _, err := f.commit(tenantA, in); err == nil {
				t.Error("was accepted")
			}
		}
	},
}, {
	name:     "new people of an intake are kept or reported",
	contract: "retrieval/ports.go: Intake.Subjects: new people, known by no ledger entry",
	run: func(t *testing.T, f *fixture) {
		in := intake(version(1, 0))
		in.Subjects = []consent.SubjectRow{subject(1)}
		f.ingest(t, tenantA, in)
		same(t, "subjects", f.subjects(t, tenantA), map[consent.SubjectNum]consent.SubjectRow{subject(1).Num: subject(1)})
		in = intake(version(2, 0))
		late := subject(2)
		late.Lookup = subject(1).Lookup
		in.Subjects = []consent.SubjectRow{late}
		_, _, err := f.commit(tenantA, in)
		wantErr(t, err, consent.ErrSubjectExists)
		same(t, "live", len(f.live(t, tenantA)), 1)
		same(t, "ledger head", f.head(t, tenantA).Position, consent.Position(0))
	},
}, {
	name:     "the first document pins its collection",
	contract: "retrieval/ports.go: Collection, when not nil, replaces that collection's row",
	run: func(t *testing.T, f *fixture) {
		must(t, f.PutCollection(f.ctx, tenantA, collection(books+1), nil, nil))
		pinned := collection(books)
		pinned.Sealed = box("pinned", 1)
		in := intake(version(1, 0))
		in.Collection = &pinned
		f.ingest(t, tenantA, in)
		got, _, err := f.CollectionByLookup(f.ctx, tenantA, pinned.Lookup)
		must(t, err)
		same(t, "collection", got, pinned)
		taken, absent := pinned, collection(77)
		taken.Lookup = collection(books + 1).Lookup
		for _, c := range []retrieval.CollectionRow{taken, absent} {
			_, _, err = f.commit(tenantA, retrieval.Intake{Collection: &c})
			wantErr(t, err, retrieval.ErrConflict)
		}
	},
}, {
	name:     "concurrent commits take turns without gaps",
	contract: "retrieval/ports.go: Commit locks the tenant's corpus head; every new or retired version takes one corpus position",
	run: func(t *testing.T, f *fixture) {
		must(t, f.PutCollection(f.ctx, tenantA, collection(books), nil, nil))
		var wg sync.WaitGroup
		for w := range 6 {
			wg.Go(func() {
				for i := range 8 {
					if _, _, err := f.commit(tenantA, intake(version(w*100+i, 0))); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		taken := map[retrieval.CorpusPosition]bool{}
		for _, d := range f.live(t, tenantA) {
			taken[d.Doc.From] = true
		}
		for p := range retrieval.CorpusPosition(48) {
			if !taken[p+1] {
				t.Errorf("no version has position %d", p+1)
			}
		}
		same(t, "corpus head", f.corpusHead(t, tenantA), retrieval.CorpusPosition(48))
	},
}, {
	name:     "key references are those of subjects and live documents",
	contract: "retrieval/ports.go: KeyRefs calls f with every vault slot that a row of any tenant names: subjects' and live documents'",
	run: func(t *testing.T, f *fixture) {
		in := intake(version(1, 0), version(2, 0))
		in.Subjects = []consent.SubjectRow{subject(1)}
		f.ingest(t, tenantA, in)
		f.ingest(t, tenantB, intake(version(3, 0)))
		f.ingest(t, tenantA, retrieval.Intake{Retire: []retrieval.DocNum{version(2, 0).Num}})
		same(t, "references", f.keyRefs(t), map[seal.Ref]int{subject(1).Key: 1, version(1, 0).Key: 1, version(3, 0).Key: 1})
		if err := f.KeyRefs(f.ctx, func(seal.Ref) error { return errOurs }); err != errOurs {
			t.Errorf("error is %v, want f's own", err)
		}
	},
}}
