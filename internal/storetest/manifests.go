package storetest

import (
	"fmt"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/retrieval"
	"github.com/assent-gateway/assent/training"
)

func manifest(i int, s training.State) training.ManifestRow {
	return training.ManifestRow{
		ID: fmt.Sprintf("m_%d", i), State: s, Holder: "here", Inputs: mac("inputs", i), Key: ref(2_000_000 + i),
		CreatedAt: consent.Time(1000 + i), Sealed: box("manifest", i),
	}
}

func (f *fixture) manifest(t *testing.T, tenant consent.TenantID, row training.ManifestRow) {
	t.Helper()
	must(t, f.AddManifest(f.ctx, tenant, row, nil))
}

func ids(rows []training.ManifestRow) (out []string) {
	for _, r := range rows {
		out = append(out, r.ID)
	}
	return out
}

var manifestCases = []testCase{{
	name:     "a manifest comes back as it was added, and as it was saved last",
	contract: "training/ports.go: AddManifest inserts a manifest; SaveManifest replaces state, inputs, key and what is sealed, where state and key are still those of was",
	run: func(t *testing.T, f *fixture) {
		row := manifest(1, training.Building)
		f.manifest(t, tenantA, row)
		wantErr(t, f.AddManifest(f.ctx, tenantA, row, nil), training.ErrConflict)
		wantErr(t, f.AddManifest(f.ctx, nowhere, row, nil), consent.ErrUnknownTenant)
		got, found, err := f.Manifest(f.ctx, tenantA, row.ID)
		must(t, err)
		same(t, "added", got, row)
		same(t, "found", found, true)
		for _, absent := range []struct {
			t  consent.TenantID
			id string
		}{{tenantB, row.ID}, {tenantA, "M_1"}, {tenantA, ""}} {
			if _, found, err := f.Manifest(f.ctx, absent.t, absent.id); found || err != nil {
				t.Errorf("found what is absent: %v", err)
			}
		}
		was := row
		row.State, row.Inputs, row.Key, row.Sealed = training.Ready, mac("inputs", 2), seal.Ref{}, box("saved", 1)
		for range 2 { // repeatable
			must(t, f.SaveManifest(f.ctx, tenantA, row, was))
			got, _, err = f.Manifest(f.ctx, tenantA, row.ID)
			must(t, err)
			same(t, "saved", got, row)
		}
		wantErr(t, f.SaveManifest(f.ctx, tenantB, row, was), training.ErrNotFound)
		another := row
		another.Key, another.Sealed = was.Key, box("another", 1)
		otherKey := row
		otherKey.Key = manifest(2, training.Ready).Key
		for _, stale := range []training.ManifestRow{was, {State: training.Building}, {State: row.State, Key: was.Key}, otherKey} {
			wantErr(t, f.SaveManifest(f.ctx, tenantA, another, stale), training.ErrConflict)
		}
		got, _, err = f.Manifest(f.ctx, tenantA, row.ID)
		must(t, err)
		same(t, "what was not overwritten", got, row)
		must(t, f.SaveManifest(f.ctx, tenantA, another, row)) // from no key to one
		wantErr(t, f.SaveManifest(f.ctx, tenantA, row, otherKey), training.ErrConflict)
		next := another
		next.Sealed = box("next", 1)
		must(t, f.SaveManifest(f.ctx, tenantA, next, another)) // from the same key
		got, _, err = f.Manifest(f.ctx, tenantA, row.ID)
		must(t, err)
		same(t, "saved by its key", got, next)
	},
}, {
	name:     "documents of a manifest and those that were erased come back, each tenant's own",
	contract: "training/ports.go: PutDocuments inserts or replaces the list of a shard's documents; AddErased notes documents that were erased; Erased returns them, ascending; DropErased forgets them",
	run: func(t *testing.T, f *fixture) {
		first, second := manifest(1, training.Building), manifest(2, training.Ready)
		f.manifest(t, tenantA, first)
		f.manifest(t, tenantA, second)
		all, err := f.AllManifests(f.ctx, tenantA)
		must(t, err)
		same(t, "all", all, []training.ManifestRow{first, second})
		all, err = f.AllManifests(f.ctx, tenantB)
		must(t, err)
		same(t, "all of another tenant", len(all), 0)
		for range 2 { // repeatable
			must(t, f.PutDocuments(f.ctx, tenantA, first.ID, training.PartRow{Part: 1, Sealed: box("documents", 1)}))
			must(t, f.PutDocuments(f.ctx, tenantA, first.ID, training.PartRow{Part: 0, Sealed: box("documents", 9)}))
			must(t, f.AddErased(f.ctx, tenantA, first.ID, []int64{9, 1 << 62, 3}))
			must(t, f.AddErased(f.ctx, tenantA, "e1", []int64{3}))
			must(t, f.AddErased(f.ctx, tenantB, first.ID, nil))
		}
		must(t, f.PutDocuments(f.ctx, tenantA, first.ID, training.PartRow{Part: 0, Sealed: box("documents", 0)}))
		parts, err := f.DocumentsOf(f.ctx, tenantA, first.ID)
		must(t, err)
		same(t, "documents", parts, []training.PartRow{{Part: 0, Sealed: box("documents", 0)}, {Part: 1, Sealed: box("documents", 1)}})
		erased := func(tenant consent.TenantID, of string) []int64 {
			t.Helper()
			nums, err := f.Erased(f.ctx, tenant, of)
			must(t, err)
			return nums
		}
		same(t, "erased", erased(tenantA, first.ID), []int64{3, 9, 1 << 62})
		same(t, "erased of another", len(erased(tenantA, second.ID)), 0)
		same(t, "erased in another tenant", len(erased(tenantB, first.ID)), 0)
		must(t, f.DropErased(f.ctx, tenantA, first.ID))
		must(t, f.DropErased(f.ctx, tenantA, first.ID))
		same(t, "forgotten", len(erased(tenantA, first.ID)), 0)
		same(t, "another's", erased(tenantA, "e1"), []int64{3})
	},
}, {
	name:     "an outcome is remembered with the manifest, or neither",
	contract: "training/ports.go: consent.ErrRemembered, and nothing changed, as in consent.Store's Append",
	run: func(t *testing.T, f *fixture) {
		once := []consent.Remembered{remembered(1)}
		must(t, f.AddManifest(f.ctx, tenantA, manifest(1, training.Building), once))
		wantErr(t, f.AddManifest(f.ctx, tenantA, manifest(2, training.Building), once), consent.ErrRemembered)
		if _, found, _ := f.Manifest(f.ctx, tenantA, "m_2"); found {
			t.Error("the second was added")
		}
		_, found, err := f.Recall(f.ctx, tenantA, once[0].Key)
		must(t, err)
		same(t, "remembered", found, true)
	},
}, {
	name:     "a holder's unfinished manifests come oldest first, of every tenant",
	contract: "training/ports.go: Unfinished returns what a holder is building, or what failed there, of every tenant, oldest first",
	run: func(t *testing.T, f *fixture) {
		f.manifest(t, tenantB, manifest(2, training.Building))
		f.manifest(t, tenantA, manifest(3, training.Building))
		f.manifest(t, tenantA, manifest(1, training.Building))
		f.manifest(t, tenantA, manifest(4, training.Ready))
		f.manifest(t, tenantA, manifest(5, training.Failed))
		other := manifest(0, training.Building)
		other.Holder = "there"
		f.manifest(t, tenantA, other)
		held, err := f.Unfinished(f.ctx, "here", training.Building)
		must(t, err)
		same(t, "held", held, []training.Held{
			{Tenant: tenantA, Row: manifest(1, training.Building)}, {Tenant: tenantB, Row: manifest(2, training.Building)},
			{Tenant: tenantA, Row: manifest(3, training.Building)},
		})
		held, err = f.Unfinished(f.ctx, "here", training.Failed)
		must(t, err)
		same(t, "failed", held, []training.Held{{Tenant: tenantA, Row: manifest(5, training.Failed)}})
	},
}, {
	name:     "ready manifests of the same inputs come newest first",
	contract: "training/ports.go: ManifestsLike returns the ready manifests of some inputs, newest first",
	run: func(t *testing.T, f *fixture) {
		for i, s := range []training.State{training.Ready, training.Building, training.Ready, training.Failed} {
			row := manifest(i, s)
			row.Inputs = mac("inputs", 7)
			f.manifest(t, tenantA, row)
			f.manifest(t, tenantB, row)
		}
		f.manifest(t, tenantA, manifest(9, training.Ready))
		rows, err := f.ManifestsLike(f.ctx, tenantA, mac("inputs", 7))
		must(t, err)
		same(t, "ids", ids(rows), []string{"m_2", "m_0"})
	},
}, {
	name:     "parts are replaced, come by number, and go",
	contract: "training/ports.go: PutPart inserts or replaces a part. Parts returns them, ascending; DropParts forgets them",
	run: func(t *testing.T, f *fixture) {
		f.manifest(t, tenantA, manifest(1, training.Building))
		f.manifest(t, tenantA, manifest(2, training.Building))
		for _, p := range []training.PartRow{{Part: 10, Sealed: box("part", 10)}, {Part: 2, Sealed: box("old", 2)}, {Part: 2, Sealed: box("part", 2)}} {
			must(t, f.PutPart(f.ctx, tenantA, "m_1", p))
		}
		parts, err := f.Parts(f.ctx, tenantA, "m_1")
		must(t, err)
		same(t, "parts", parts, []training.PartRow{{Part: 2, Sealed: box("part", 2)}, {Part: 10, Sealed: box("part", 10)}})
		if f.PutPart(f.ctx, tenantB, "m_1", training.PartRow{}) == nil {
			t.Error("a part of no manifest was taken")
		}
		must(t, f.DropParts(f.ctx, tenantA, "m_2"))
		must(t, f.DropParts(f.ctx, tenantA, "m_1"))
		must(t, f.DropParts(f.ctx, tenantA, "m_1"))
		parts, err = f.Parts(f.ctx, tenantA, "m_1")
		must(t, err)
		same(t, "parts after", len(parts), 0)
	},
}, {
	name:     "the manifests of a person are found, however often they were recorded",
	contract: "training/ports.go: AddMembers records that a manifest holds people. Repeatable",
	run: func(t *testing.T, f *fixture) {
		for i := range 3 {
			f.manifest(t, tenantA, manifest(i, training.Ready))
			f.manifest(t, tenantB, manifest(i, training.Ready))
		}
		must(t, f.AddMembers(f.ctx, tenantA, "m_2", []consent.SubjectNum{5, 6}))
		must(t, f.AddMembers(f.ctx, tenantA, "m_2", []consent.SubjectNum{6, 7}))
		must(t, f.AddMembers(f.ctx, tenantA, "m_0", []consent.SubjectNum{6}))
		must(t, f.AddMembers(f.ctx, tenantA, "m_0", nil))
		must(t, f.AddMembers(f.ctx, tenantB, "m_1", []consent.SubjectNum{6}))
		for who, want := range map[consent.SubjectNum][]string{5: {"m_2"}, 6: {"m_0", "m_2"}, 7: {"m_2"}, 8: nil} {
			rows, err := f.ManifestsOf(f.ctx, tenantA, who)
			must(t, err)
			same(t, fmt.Sprint("of ", who), ids(rows), want)
		}
	},
}, {
	name:     "a run is bound once, and stays as it was bound",
	contract: "training/ports.go: One that is bound already stays as it is and is returned, with false",
	run: func(t *testing.T, f *fixture) {
		f.manifest(t, tenantA, manifest(1, training.Ready))
		run := func(i, at int) training.RunRow {
			return training.RunRow{Manifest: "m_1", Lookup: mac("run", i), Position: consent.Position(at), Sealed: box("run", at)}
		}
		for _, c := range []struct {
			give, want training.RunRow
			made       bool
		}{{run(1, 9), run(1, 9), true}, {run(2, 8), run(2, 8), true}, {run(1, 10), run(1, 9), false}} {
			got, made, err := f.AddRun(f.ctx, tenantA, c.give)
			must(t, err)
			same(t, "run", got, c.want)
			same(t, "made", made, c.made)
		}
		runs, err := f.RunsOf(f.ctx, tenantA, "m_1")
		must(t, err)
		same(t, "runs", runs, []training.RunRow{run(2, 8), run(1, 9)})
		runs, err = f.RunsOf(f.ctx, tenantB, "m_1")
		must(t, err)
		same(t, "another tenant's", len(runs), 0)
	},
}, {
	name:     "what is recorded about a run is of one that is bound, and comes in order",
	contract: "training/ports.go: AddRunNote records something about a run that is bound; ErrNotFound. Repeatable",
	run: func(t *testing.T, f *fixture) {
		f.manifest(t, tenantA, manifest(1, training.Ready))
		note := func(run, at int) training.RunRow {
			return training.RunRow{Manifest: "m_1", Lookup: mac("run", run), Position: consent.Position(at), Sealed: box("note", at)}
		}
		for _, run := range []int{1, 2} {
			_, _, err := f.AddRun(f.ctx, tenantA, training.RunRow{Manifest: "m_1", Lookup: mac("run", run), Position: 9, Sealed: box("run", run)})
			must(t, err)
		}
		wantErr(t, f.AddRunNote(f.ctx, tenantA, note(3, 20)), training.ErrNotFound)
		wantErr(t, f.AddRunNote(f.ctx, tenantB, note(1, 20)), training.ErrNotFound)
		for _, n := range []training.RunRow{note(1, 12), note(2, 11), note(1, 10), note(1, 12)} {
			must(t, f.AddRunNote(f.ctx, tenantA, n))
		}
		got, err := f.RunNotesOf(f.ctx, tenantA, "m_1")
		must(t, err)
		same(t, "notes", got, []training.RunRow{note(1, 10), note(2, 11), note(1, 12)})
		got, err = f.RunNotesOf(f.ctx, tenantB, "m_1")
		must(t, err)
		same(t, "another tenant's", len(got), 0)
	},
}, {
	name:     "the keys of manifests whose files are kept are named",
	contract: "retrieval/ports.go: every vault slot that a row names: and those of manifests whose files are kept",
	run: func(t *testing.T, f *fixture) {
		kept, gone := manifest(1, training.Ready), manifest(2, training.Ready)
		f.manifest(t, tenantA, kept)
		f.manifest(t, tenantB, gone)
		had := gone
		gone.Key = seal.Ref{}
		must(t, f.SaveManifest(f.ctx, tenantB, gone, had))
		same(t, "keys", f.keyRefs(t), map[seal.Ref]int{kept.Key: 1})
	},
}}

var pastCases = []testCase{{
	name:     "versions that were live at a position come back, ended ones without what was sealed",
	contract: "retrieval/ports.go: VersionsAt returns versions in some collections that were live at a corpus position",
	run: func(t *testing.T, f *fixture) {
		f.ingest(t, tenantA, intake(version(1, 1), version(2, 1))) // 1, 2
		f.ingest(t, tenantA, intake(version(3, 1)))                // 3
		again := intake(version(1, 2))                             // 4 ends it, 5
		again.Retire = []retrieval.DocNum{version(1, 1).Num}
		f.ingest(t, tenantA, again)
		at := func(p retrieval.CorpusPosition, after int64, limit int) []retrieval.Version {
			v, err := f.VersionsAt(f.ctx, tenantA, []retrieval.CollectionID{books, books + 1}, p, after, limit)
			must(t, err)
			return v
		}
		nums := func(vs []retrieval.Version) (out []retrieval.DocNum) {
			for _, v := range vs {
				out = append(out, v.Num)
			}
			return out
		}
		one, two, three, four := version(1, 1).Num, version(2, 1).Num, version(3, 1).Num, version(1, 2).Num
		for p, want := range map[retrieval.CorpusPosition][]retrieval.DocNum{
			0: nil, 1: {one}, 2: {one, two}, 3: {one, two, three}, 4: {two, three}, 5: {two, three, four}, 99: {two, three, four},
		} {
			same(t, fmt.Sprint("at ", p), nums(at(p, 0, 10)), want)
		}
		all := at(3, 0, 10)
		ended := all[0]
		same(t, "people of an ended one", ended.Owners, version(1, 1).Owners)
		if ended.To != 4 || len(ended.Sealed)+len(ended.Bodies) > 0 || ended.Passages != 2 {
			t.Errorf("an ended one: %+v", ended)
		}
		want := version(2, 1)
		want.From = 2
		same(t, "a live one", all[1].DocRow, want)
		same(t, "its bodies", all[1].Bodies, []retrieval.PartRow{parts(want, "body")[1], parts(want, "body")[0]})
		var paged []retrieval.DocNum
		for mark := int64(0); ; {
			page := at(3, mark, 1)
			if len(page) == 0 {
				break
			}
			paged, mark = append(paged, page[0].Num), page[0].Mark
		}
		same(t, "in pages", paged, []retrieval.DocNum{one, two, three})
		v, err := f.VersionsAt(f.ctx, tenantA, []retrieval.CollectionID{books + 1}, 3, 0, 9)
		must(t, err)
		same(t, "of another collection", len(v), 0)
		v, err = f.VersionsAt(f.ctx, tenantB, []retrieval.CollectionID{books}, 3, 0, 9)
		must(t, err)
		same(t, "of another tenant", len(v), 0)
	},
}}
