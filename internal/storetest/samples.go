package storetest

import (
	"bytes"
	order "cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/retrieval"
)

// mac is a different, reproducible 32 bytes for every name and number.
func mac(name string, i int) [32]byte { return sha256.Sum256(fmt.Appendf(nil, "%s %d", name, i)) }

func ref(i int) seal.Ref {
	m := mac("key", i)
	return seal.Ref{Slot: uint32(i), ID: [16]byte(m[:])}
}

// box stands for something sealed: it holds NUL and bytes that are not UTF-8.
func box(name string, i int) []byte { return fmt.Appendf(nil, "\x00\xff%s\x00%d\x00", name, i) }

func subject(i int) consent.SubjectRow {
	return consent.SubjectRow{Num: consent.SubjectNum(1<<62 + i), Lookup: mac("subject", i), LookupVersion: 1, Key: ref(i), Sealed: box("subject", i)}
}

func entry(p consent.Position, s consent.SubjectNum) consent.Row {
	return consent.Row{
		Position: p, Kind: consent.KindConsent, Subject: s,
		Type: consent.Type{Purpose: "rag_retrieval", Major: 1}, Status: consent.Granted, Jurisdiction: "DE",
		RecordedAt: 1_767_323_045_123_456_789 + consent.Time(p),
		Sealed:     box("entry", int(p)), Leaf: mac("leaf", int(p)), MAC: mac("mac", int(p)),
	}
}

func remembered(i int) consent.Remembered {
	return consent.Remembered{Key: mac("idempotency", i), Body: mac("body", i), Outcome: box("outcome", i)}
}

// append adds n entries about a subject and returns the head before.
func (f *fixture) append(t *testing.T, tenant consent.TenantID, s consent.SubjectNum, n int) consent.Head {
	t.Helper()
	var head consent.Head
	must(t, f.Append(f.ctx, tenant, func(h consent.Head) (consent.Batch, error) {
		head = h
		var b consent.Batch
		for i := range n {
			r := entry(h.Position+consent.Position(i)+1, s)
			r.RecordedAt = h.Now
			b.Rows = append(b.Rows, r)
		}
		return b, nil
	}))
	return head
}

func (f *fixture) head(t *testing.T, tenant consent.TenantID) consent.Head {
	t.Helper()
	h, err := f.Head(f.ctx, tenant)
	must(t, err)
	return h
}

func (f *fixture) rows(t *testing.T, tenant consent.TenantID, after consent.Position) []consent.Row {
	t.Helper()
	var rows []consent.Row
	must(t, f.Rows(f.ctx, tenant, after, func(r consent.Row) error {
		rows = append(rows, r)
		return nil
	}))
	return rows
}

func (f *fixture) subjects(t *testing.T, tenant consent.TenantID) map[consent.SubjectNum]consent.SubjectRow {
	t.Helper()
	all := map[consent.SubjectNum]consent.SubjectRow{}
	must(t, f.Subjects(f.ctx, tenant, func(s consent.SubjectRow) error {
		all[s.Num] = s
		return nil
	}))
	return all
}

func positions(rows []consent.Row) []consent.Position {
	var ps []consent.Position
	for _, r := range rows {
		ps = append(ps, r.Position)
	}
	return ps
}

const books retrieval.CollectionID = 1<<61 + 1

func collection(id retrieval.CollectionID) retrieval.CollectionRow {
	return retrieval.CollectionRow{ID: id, Lookup: mac("collection", int(id)), Sealed: box("collection", int(id))}
}

// version v of document d, with subjects of its own and two passages.
func version(d, v int) retrieval.DocRow {
	i := d*1000 + v
	return retrieval.DocRow{
		Num: retrieval.DocNum(1<<62 + i), Collection: books,
		Lookup: mac("document", d), Digest: mac("digest", i), Source: mac("source", d), Key: ref(1_000_000 + i),
		Owners: []consent.SubjectNum{consent.SubjectNum(d + 2), consent.SubjectNum(d + 1)}, Mentions: []consent.SubjectNum{consent.SubjectNum(d)},
		Personal: true, RetainUntil: 1_800_000_000_000_000_001, Passages: 2, DecidedAt: 7, Sealed: box("document", i),
	}
}

// parts are the heads or bodies of a version, the last first.
func parts(d retrieval.DocRow, what string) []retrieval.PartRow {
	var ps []retrieval.PartRow
	for n := d.Passages; n > 0; n-- {
		r := retrieval.PassageRef{Doc: d.Num, N: n - 1}
		ps = append(ps, retrieval.PartRow{Ref: r, Sealed: box(what, int(d.Num)+int(n-1))})
	}
	return ps
}

func refs(docs ...retrieval.DocRow) []retrieval.PassageRef {
	var rs []retrieval.PassageRef
	for _, d := range docs {
		for n := range d.Passages {
			rs = append(rs, retrieval.PassageRef{Doc: d.Num, N: n})
		}
	}
	return rs
}

func intake(docs ...retrieval.DocRow) retrieval.Intake {
	in := retrieval.Intake{Docs: docs}
	for _, d := range docs {
		in.Heads = append(in.Heads, parts(d, "head")...)
		in.Bodies = append(in.Bodies, parts(d, "body")...)
	}
	return in
}

// ingest makes the collection of version() unless it is there, and commits.
func (f *fixture) ingest(t *testing.T, tenant consent.TenantID, in retrieval.Intake) (retrieval.CorpusPosition, []retrieval.DocRow) {
	t.Helper()
	if err := f.PutCollection(f.ctx, tenant, collection(books), nil, nil); !errors.Is(err, retrieval.ErrConflict) {
		must(t, err)
	}
	p, retired, err := f.commit(tenant, in)
	must(t, err)
	return p, retired
}

func (f *fixture) commit(tenant consent.TenantID, in retrieval.Intake) (retrieval.CorpusPosition, []retrieval.DocRow, error) {
	return f.Commit(f.ctx, tenant, nil, func(consent.Head) (retrieval.Intake, error) { return in, nil })
}

func (f *fixture) corpusHead(t *testing.T, tenant consent.TenantID) retrieval.CorpusPosition {
	t.Helper()
	p, err := f.CorpusHead(f.ctx, tenant)
	must(t, err)
	return p
}

type liveDoc struct {
	Doc   retrieval.DocRow
	Heads []retrieval.PartRow
}

func (f *fixture) live(t *testing.T, tenant consent.TenantID) map[retrieval.DocNum]liveDoc {
	t.Helper()
	all := map[retrieval.DocNum]liveDoc{}
	must(t, f.Live(f.ctx, tenant, func(d retrieval.DocRow, heads []retrieval.PartRow) error {
		all[d.Num] = liveDoc{d, heads}
		return nil
	}))
	return all
}

func (f *fixture) keyRefs(t *testing.T) map[seal.Ref]int {
	t.Helper()
	all := map[seal.Ref]int{}
	must(t, f.KeyRefs(f.ctx, func(r seal.Ref) error {
		all[r]++
		return nil
	}))
	return all
}

// same compares; a nil slice or map equals an empty one, order counts.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if reflect.DeepEqual(got, want) { // much faster than a diff
		return
	}
	boxes := cmp.FilterValues(func(a, b []byte) bool { return len(a)+len(b) > 0 }, cmp.Comparer(bytes.Equal)) // whole, not byte by byte
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty(), boxes); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// sameSet compares without order.
func sameSet[T any](t *testing.T, what string, got, want []T, by func(a, b T) int) {
	t.Helper()
	same(t, what, slices.SortedFunc(slices.Values(got), by), slices.SortedFunc(slices.Values(want), by))
}

func byNum(a, b retrieval.DocRow) int { return order.Compare(a.Num, b.Num) }

func byRef(a, b retrieval.PartRow) int {
	return order.Or(order.Compare(a.Ref.Doc, b.Ref.Doc), order.Compare(a.Ref.N, b.Ref.N))
}
