package postgres

import (
	"github.com/jackc/pgx/v5"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// The low bits of a part's id hold the passage's number.
const (
	partBits = 20
	partMask = 1<<partBits - 1
)

func partID(doc int64, n uint32) int64 { return doc<<partBits | int64(n) }

// addDocsSQL takes each column as an array. Ids are drawn in the order given.
const addDocsSQL = `INSERT INTO documents (tenant, num, collection, lookup, digest, source, key_slot, key_id,
		personal, retain_until, passages, decided_at, from_pos, sealed)
	SELECT $1, num, collection, lookup, digest, source, key_slot, key_id, personal, retain_until, passages, decided_at, from_pos, sealed
	FROM unnest($2::bigint[], $3::bigint[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bigint[], $8::bytea[],
		$9::boolean[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bytea[]) WITH ORDINALITY
		AS d (num, collection, lookup, digest, source, key_slot, key_id, personal, retain_until, passages, decided_at, from_pos, sealed, ord)
	ORDER BY ord ON CONFLICT DO NOTHING RETURNING num, id`

// addDocs adds new versions, each at the next position after head, in
// collections that are there; ids is filled with what they got. One whose
// number was used, or whose document has a live version, gets none.
func (b *batch) addDocs(t consent.TenantID, docs []retrieval.DocRow, head retrieval.CorpusPosition, ids map[retrieval.DocNum]int64) {
	n := len(docs)
	if n == 0 {
		return
	}
	in := collectionsOf(docs)
	b.exec(all(len(in), retrieval.ErrConflict), `SELECT FROM collections WHERE tenant = $1 AND id = ANY ($2)`, t, in)
	num, collection, slot := make([]int64, n), make([]int64, n), make([]int64, n)
	lookup, digest, source := make([][]byte, n), make([][]byte, n), make([][]byte, n)
	id, sealed, personal := make([][]byte, n), make([][]byte, n), make([]bool, n)
	retain, passages, decided, from := make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
	for i := range docs {
		d := &docs[i]
		num[i], collection[i], slot[i] = int64(d.Num), int64(d.Collection), int64(d.Key.Slot)
		lookup[i], digest[i], source[i], id[i] = d.Lookup[:], d.Digest[:], d.Source[:], d.Key.ID[:]
		personal[i], retain[i], passages[i] = d.Personal, int64(d.RetainUntil), int64(d.Passages)
		decided[i], from[i], sealed[i] = int64(d.DecidedAt), int64(head)+int64(i)+1, d.Sealed
	}
	b.each(func(read scan) error {
		var num retrieval.DocNum
		var id int64
		err := read(into(&num), &id)
		ids[num] = id
		return err
	}, addDocsSQL, t, num, collection, lookup, digest, source, slot, id, personal, retain, passages, decided, from, sealed)
}

// role says what a subject is to a document. The numbers are on disk.
type role int16

const (
	owns      role = 0
	mentioned role = 1
)

// addDocSubjects adds who owns and who is mentioned in new versions.
func (b *batch) addDocSubjects(docs []retrieval.DocRow, ids map[retrieval.DocNum]int64) {
	var doc, ordinal, subject []int64
	var as []int16
	add := func(id int64, r role, subjects []consent.SubjectNum) {
		for i, s := range subjects {
			doc, as, ordinal, subject = append(doc, id), append(as, int16(r)), append(ordinal, int64(i)), append(subject, int64(s))
		}
	}
	for i := range docs {
		add(ids[docs[i].Num], owns, docs[i].Owners)
		add(ids[docs[i].Num], mentioned, docs[i].Mentions)
	}
	if len(doc) > 0 {
		b.exec(nil, `INSERT INTO document_subjects (doc, role, ordinal, subject)
			SELECT * FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::bigint[])`, doc, as, ordinal, subject)
	}
}

// addParts inserts heads or bodies of the versions made in this transaction.
func (x *tx) addParts(table string, ids map[retrieval.DocNum]int64, parts []retrieval.PartRow) error {
	for i := range parts {
		if _, known := ids[parts[i].Ref.Doc]; !known || parts[i].Ref.N > partMask {
			return &failure{doing: "commit documents: a part belongs to no new version, or its number is too high", kind: ErrOther}
		}
	}
	if len(parts) == 0 {
		return nil
	}
	_, err := x.c.CopyFrom(x.ctx, pgx.Identifier{table}, []string{"id", "sealed"},
		pgx.CopyFromSlice(len(parts), func(i int) ([]any, error) {
			p := &parts[i]
			return []any{partID(ids[p.Ref.Doc], p.Ref.N), p.Sealed}, nil
		}))
	return x.fail(err)
}
