package postgres

import (
	"context"
	"slices"

	"github.com/assent-gateway/assent/consent"
)

// Append implements consent.Store. Three messages go to the server: lock and
// read the head; lock the people and write; COMMIT. prepare is called between
// the first two and may read through the DB: readers have connections of
// their own. It must not write through it: that would wait for this lock.
//
// # Why a revocation that overtakes an ingest wins
//
// An ingest (Commit) locks its people's rows, then reads the ledger's head and
// decides, then commits. This locks the rows of the people it writes about
// before it writes, and both hold their locks until their commit is visible.
// For one person, one of the two is therefore first as a whole: either this
// one's entry is committed when the ingest reads the head, and the ingest
// decides by it; or the ingest is committed before this entry is, and so
// before it is acknowledged, and the entry governs a document that is there.
// People without a row yet are made by one of the two, under a unique lookup,
// where the other waits, is told ErrSubjectExists, and begins anew.
//
// A policy or a consent type changes how everyone is judged: it locks the
// corpus head, and with it waits for every ingest that has decided already. So
// does what takes an identifier without leaving a row under it, which an ingest
// that makes the person would meet: a further identifier, and the suppression of
// somebody whom nobody knew.
func (db *DB) Append(ctx context.Context, t consent.TenantID, prepare func(consent.Head) (consent.Batch, error)) error {
	var refused error
	err := db.write(ctx, "append entries", func(x *tx) error {
		refused = nil
		var m mark
		b := x.batch()
		b.lockLedger(t, &m)
		b.clock()
		if err := b.send(); err != nil {
			return err
		}
		batch, err := prepare(m.at(x.now))
		if err != nil {
			refused = err
			return err
		}
		if len(batch.Subjects)+len(batch.Rekey)+len(batch.Rows)+len(batch.Remember)+len(batch.Erasures) == 0 {
			return errNothing
		}
		return x.append(t, m, batch)
	})
	if refused != nil {
		return refused
	}
	return ledgerError(err)
}

func (x *tx) append(t consent.TenantID, m mark, entries consent.Batch) error {
	for i, r := range entries.Rows {
		if r.Position != m.position+consent.Position(i)+1 {
			return &failure{doing: "append entries: positions do not continue the head", kind: ErrOther}
		}
		m.recorded = max(m.recorded, r.RecordedAt)
	}
	b := x.batch()
	if slices.ContainsFunc(entries.Rows, changesRules) || len(entries.Free) > 0 || renames(entries) {
		b.exec(nil, `SELECT FROM corpus_heads WHERE tenant = $1 FOR UPDATE`, t)
	}
	b.lockSubjects(t, people(entries))
	b.remember(t, entries.Remember)
	b.unnamed(t, entries.Free)
	b.addSubjects(t, entries.Subjects)
	b.rekey(t, entries.Rekey)
	b.putErasures(t, entries.Erasures)
	if n := len(entries.Rows); n > 0 {
		m.position += consent.Position(n)
		b.addRows(t, entries.Rows)
		b.exec(nil, `UPDATE ledger_heads SET position = $2, clock = $3 WHERE tenant = $1`, t, int64(m.position), int64(m.recorded))
		x.then = func() { x.db.waker.tell(t, m.position) }
	}
	return b.send()
}

// changesRules also tells the erasure of documents, which any ingest may be of.
func changesRules(r consent.Row) bool {
	return r.Kind == consent.KindPolicy || r.Kind == consent.KindType || r.Kind == consent.KindRemoval
}

// renames reports whether a batch makes somebody and takes their name at once.
func renames(b consent.Batch) bool {
	return slices.ContainsFunc(b.Rekey, func(now consent.SubjectRow) bool {
		return slices.ContainsFunc(b.Subjects, func(s consent.SubjectRow) bool { return s.Num == now.Num })
	})
}

// people are those whom entries are about, or who get another row.
func people(b consent.Batch) []consent.SubjectNum {
	var nums []consent.SubjectNum
	for i := range b.Rows {
		if b.Rows[i].Subject != 0 {
			nums = append(nums, b.Rows[i].Subject)
		}
	}
	for i := range b.Rekey {
		nums = append(nums, b.Rekey[i].Num)
	}
	slices.Sort(nums)
	return slices.Compact(nums)
}

// addRowsSQL takes each column as an array, so that one statement serves any
// number of entries.
const addRowsSQL = `INSERT INTO ledger (tenant, ` + rowColumns + `)
	SELECT $1, * FROM unnest($2::bigint[], $3::smallint[], $4::bigint[], $5::text[], $6::integer[], $7::integer[], $8::smallint[],
		$9::text[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bytea[], $14::bytea[], $15::bytea[])`

func (b *batch) addRows(t consent.TenantID, rows []consent.Row) {
	n := len(rows)
	position, subject := make([]int64, n), make([]int64, n)
	kind, status := make([]int16, n), make([]int16, n)
	purpose, jurisdiction := make([]string, n), make([]string, n)
	major, minor := make([]int32, n), make([]int32, n)
	acted, recorded, expires := make([]int64, n), make([]int64, n), make([]int64, n)
	sealed, leaf, mac := make([][]byte, n), make([][]byte, n), make([][]byte, n)
	for i := range rows {
		r := &rows[i]
		position[i], kind[i], subject[i] = int64(r.Position), int16(r.Kind), int64(r.Subject)
		purpose[i], major[i], minor[i] = r.Type.Purpose, int32(r.Type.Major), int32(r.Type.Minor)
		status[i], jurisdiction[i] = int16(r.Status), string(r.Jurisdiction)
		acted[i], recorded[i], expires[i] = int64(r.ActedAt), int64(r.RecordedAt), int64(r.ExpiresAt)
		sealed[i], leaf[i], mac[i] = r.Sealed, r.Leaf[:], r.MAC[:]
	}
	b.exec(nil, addRowsSQL, t, position, kind, subject, purpose, major, minor, status, jurisdiction, acted, recorded,
		expires, sealed, leaf, mac)
}
