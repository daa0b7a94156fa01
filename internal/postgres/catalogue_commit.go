package postgres

import (
	"context"
	"slices"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// Commit implements retrieval.Catalogue. confirm is called between locks and
// writes; it may read through the DB and must not write. It is called again
// after a conflict with another transaction. See Append for why a revocation
// that overtakes it wins.
//
// A new version in a collection that has no row (dropped meanwhile), and a
// Collection to replace that has none, are ErrConflict. The rows returned are
// as they were while they were live.
func (db *DB) Commit(ctx context.Context, t consent.TenantID, subjects []consent.SubjectNum,
	confirm func(consent.Head) (retrieval.Intake, error)) (retrieval.CorpusPosition, []retrieval.DocRow, error) {
	var head retrieval.CorpusPosition
	var retired []retrieval.DocRow
	err := db.write(ctx, "commit documents", func(x *tx) error {
		var m mark
		b := x.batch()
		b.lockCorpus(t, &head)
		b.lockSubjects(t, subjects)
		b.readLedger(t, &m) // sees whatever was committed when the locks were had
		b.clock()
		if err := b.send(); err != nil {
			return err
		}
		in, err := confirm(m.at(x.now))
		if err != nil {
			return err
		}
		if empty(in) {
			return errNothing
		}
		retired, head, err = x.take(t, in, head)
		return err
	})
	if err != nil {
		return 0, nil, err
	}
	return head, retired, nil
}

func empty(in retrieval.Intake) bool {
	return len(in.Subjects)+len(in.Docs)+len(in.Heads)+len(in.Bodies)+len(in.Retire)+len(in.Remember) == 0 && in.Collection == nil
}

// take writes an intake: three messages, since what is retired must be known
// before it goes, and the ids of what is new before its parts come.
func (x *tx) take(t consent.TenantID, in retrieval.Intake, head retrieval.CorpusPosition) ([]retrieval.DocRow, retrieval.CorpusPosition, error) {
	var found []storedDoc
	b := x.batch()
	b.remember(t, in.Remember)
	b.addSubjects(t, in.Subjects)
	b.docs(&found, docsByNum, t, ints(in.Retire))
	if err := b.send(); err != nil {
		return nil, 0, err
	}
	old, err := inOrder(found, in.Retire)
	if err != nil {
		return nil, 0, err
	}
	before := head
	ids := make(map[retrieval.DocNum]int64, len(in.Docs))
	b = x.batch()
	b.retire(old, head)
	head += retrieval.CorpusPosition(len(old))
	b.replaceCollection(t, in.Collection)
	b.addDocs(t, in.Docs, head, ids)
	head += retrieval.CorpusPosition(len(in.Docs))
	if err := b.send(); err != nil {
		return nil, 0, err
	}
	if len(ids) != len(in.Docs) {
		return nil, 0, retrieval.ErrConflict
	}
	b = x.batch()
	b.addDocSubjects(in.Docs, ids)
	b.place(t, in, old)
	b.setCorpusHead(t, before, head)
	if err := b.send(); err != nil {
		return nil, 0, err
	}
	if err := x.addParts("heads", ids, in.Heads); err != nil {
		return nil, 0, err
	}
	return rowsOf(old), head, x.addParts("bodies", ids, in.Bodies)
}

// inOrder returns the versions with these numbers, which must all be there,
// each once.
func inOrder(found []storedDoc, nums []retrieval.DocNum) ([]storedDoc, error) {
	at := make(map[retrieval.DocNum]storedDoc, len(found))
	for _, d := range found {
		at[d.Num] = d
	}
	docs := make([]storedDoc, len(nums))
	for i, num := range nums {
		d, live := at[num]
		if !live {
			return nil, retrieval.ErrConflict
		}
		delete(at, num)
		docs[i] = d
	}
	return docs, nil
}

func (b *batch) setCorpusHead(t consent.TenantID, before, p retrieval.CorpusPosition) {
	if p != before {
		b.exec(nil, `UPDATE corpus_heads SET position = $2 WHERE tenant = $1`, t, int64(p))
	}
}

// AdvanceCorpus implements retrieval.Catalogue.
func (db *DB) AdvanceCorpus(ctx context.Context, t consent.TenantID, p retrieval.CorpusPosition) error {
	return db.write(ctx, "advance the corpus head", func(x *tx) error {
		var head retrieval.CorpusPosition
		b := x.batch()
		b.lockCorpus(t, &head)
		if err := b.send(); err != nil || head >= p {
			return err
		}
		b = x.batch()
		b.setCorpusHead(t, head, p)
		return b.send()
	})
}

// retire ends live versions, each at the next position after head. What is
// sealed, and every MAC, leaves the row; numbers and the subjects' numbers
// stay. Old row versions rest in the files until the server vacuums: what they
// hold is closed by then, its key destroyed.
func (b *batch) retire(docs []storedDoc, head retrieval.CorpusPosition) {
	if len(docs) == 0 {
		return
	}
	ids, positions := make([]int64, len(docs)), make([]int64, len(docs))
	for i, d := range docs {
		ids[i], positions[i] = d.id, int64(head)+int64(i)+1
	}
	b.exec(nil, `UPDATE documents d SET lookup = NULL, digest = NULL, source = NULL, key_slot = NULL,
		key_id = NULL, sealed = NULL, retain_until = 0, to_pos = r.to_pos
		FROM unnest($1::bigint[], $2::bigint[]) AS r (id, to_pos) WHERE d.id = r.id`, ids, positions)
	for _, d := range docs { // a range each, for which there is no worse plan
		b.exec(nil, `DELETE FROM heads WHERE id BETWEEN $1 AND $2`, partID(d.id, 0), partID(d.id, partMask))
		b.exec(nil, `DELETE FROM bodies WHERE id BETWEEN $1 AND $2`, partID(d.id, 0), partID(d.id, partMask))
	}
}

// collectionsOf are the distinct collections of versions.
func collectionsOf(docs []retrieval.DocRow) []int64 {
	var ids []int64
	for i := range docs {
		ids = append(ids, int64(docs[i].Collection))
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
