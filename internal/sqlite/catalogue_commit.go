package sqlite

import (
	"context"
	"slices"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// The low bits of a part's id hold the passage's number.
const (
	partBits = 20
	partMask = 1<<partBits - 1
)

// role says what a subject is to a document. The numbers are on disk.
type role int

const (
	owns      role = 0
	mentioned role = 1
)

// Commit implements retrieval.Catalogue. subjects need no locks of their own:
// no other write is in progress. confirm is called once, inside the write
// transaction; it may read through the DB and must not write.
//
// A new version in a collection that has no row (dropped meanwhile), and a
// Collection to replace that has none, are ErrConflict. The rows returned are
// as they were while they were live.
func (db *DB) Commit(ctx context.Context, t consent.TenantID, subjects []consent.SubjectNum,
	confirm func(consent.Head) (retrieval.Intake, error)) (retrieval.CorpusPosition, []retrieval.DocRow, error) {
	var head retrieval.CorpusPosition
	var retired []retrieval.DocRow
	err := db.write(ctx, "commit documents", func(x *tx) error {
		var err error
		if head, err = x.corpusHead(ctx, t); err != nil {
			return err
		}
		m, err := readMark(ctx, x, x.doing, t)
		if err != nil {
			return err
		}
		in, err := confirm(m.at(db.clock()))
		if err != nil {
			return err
		}
		if empty(in) {
			return errNothing
		}
		if err := x.remember(t, in.Remember); err != nil {
			return err
		}
		if err := x.addSubjects(t, in.Subjects); err != nil {
			return err
		}
		if retired, head, err = x.retire(ctx, t, in.Retire, head); err != nil {
			return err
		}
		if in.Collection != nil {
			if err := x.replaceCollection(t, in.Collection); err != nil {
				return err
			}
		}
		if head, err = x.addDocs(ctx, t, in, head); err != nil {
			return err
		}
		if err := x.place(t, in, retired); err != nil {
			return err
		}
		if err := x.setCorpusHead(t, head); err != nil {
			return err
		}
		return x.prune()
	})
	if err != nil {
		return 0, nil, err
	}
	return head, retired, nil
}

func empty(in retrieval.Intake) bool {
	return len(in.Subjects)+len(in.Docs)+len(in.Heads)+len(in.Bodies)+len(in.Retire)+len(in.Remember) == 0 && in.Collection == nil
}

func (x *tx) corpusHead(ctx context.Context, t consent.TenantID) (retrieval.CorpusPosition, error) {
	return readCorpusHead(ctx, x, x.doing, t)
}

func readCorpusHead(ctx context.Context, from source, doing string, t consent.TenantID) (p retrieval.CorpusPosition, err error) {
	found, err := one(ctx, from, doing, `SELECT corpus_head FROM tenants WHERE id = ?`, []any{t}, into(&p))
	if err == nil && !found {
		err = consent.ErrUnknownTenant
	}
	return p, err
}

func (x *tx) setCorpusHead(t consent.TenantID, p retrieval.CorpusPosition) error {
	_, err := x.change(`UPDATE tenants SET corpus_head = ? WHERE id = ? AND corpus_head <> ?1`, p, t)
	return err
}

// AdvanceCorpus implements retrieval.Catalogue.
func (db *DB) AdvanceCorpus(ctx context.Context, t consent.TenantID, p retrieval.CorpusPosition) error {
	return db.write(ctx, "advance the corpus head", func(x *tx) error {
		head, err := x.corpusHead(ctx, t)
		if err != nil || head >= p {
			return err
		}
		return x.setCorpusHead(t, p)
	})
}

func (x *tx) replaceCollection(t consent.TenantID, c *retrieval.CollectionRow) error {
	r, err := x.exec(`UPDATE collections SET lookup = ?, sealed = ? WHERE tenant = ? AND id = ?`,
		c.Lookup[:], c.Sealed, t, c.ID)
	if isUnique(err) {
		return retrieval.ErrConflict
	}
	if err != nil {
		return fail(x.doing, err)
	}
	if n, err := r.RowsAffected(); err != nil || n == 0 {
		return orConflict(fail(x.doing, err))
	}
	return nil
}

func orConflict(err error) error {
	if err == nil {
		return retrieval.ErrConflict
	}
	return err
}

// retire ends live versions, each at the next position, and returns them as
// they were. What is sealed, and every MAC, leaves the row; numbers and the
// subjects' numbers stay.
func (x *tx) retire(ctx context.Context, t consent.TenantID, nums []retrieval.DocNum, head retrieval.CorpusPosition) ([]retrieval.DocRow, retrieval.CorpusPosition, error) {
	if len(nums) == 0 {
		return nil, head, nil
	}
	at := make(map[retrieval.DocNum]storedDoc, len(nums))
	err := eachDoc(ctx, x, x.doing, docsByNums, []any{t, list(nums)}, func(found storedDoc) error {
		at[found.Num] = found
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	ids, retired := make([]int64, len(nums)), make([]retrieval.DocRow, len(nums))
	for i, num := range nums {
		d, live := at[num]
		if !live {
			return nil, 0, retrieval.ErrConflict
		}
		delete(at, num) // each once
		ids[i], retired[i] = d.id, d.DocRow
	}
	return retired, head + retrieval.CorpusPosition(len(nums)), x.end(ids, head)
}

// end takes what is sealed from versions that end at the positions after head.
//
// One statement for all rows, and one for the parts of each run of neighbours: an
// erasure ends them by the thousand, and what a person wrote in one go has ids in
// a row.
func (x *tx) end(ids []int64, head retrieval.CorpusPosition) error {
	n, err := x.change(`UPDATE documents SET lookup = NULL, digest = NULL, source = NULL, key_slot = NULL,
		key_id = NULL, sealed = NULL, retain_until = 0, to_pos = ?2 + 1 + r.key
		FROM json_each(?1) r WHERE documents.id = r.value`, list(ids), int64(head))
	if err == nil && n != int64(len(ids)) {
		err = &failure{doing: x.doing, kind: ErrCorrupt}
	}
	ids = slices.Sorted(slices.Values(ids))
	for len(ids) > 0 && err == nil {
		n := 1
		for n < len(ids) && ids[n] == ids[n-1]+1 {
			n++
		}
		for _, table := range []string{"heads", "bodies"} {
			if err == nil {
				_, err = x.change(`DELETE FROM `+table+` WHERE id BETWEEN ? AND ?`, partID(ids[0], 0), partID(ids[n-1], partMask))
			}
		}
		ids = ids[n:]
	}
	return err
}

// addDocs inserts new versions, each at the next position, and their parts.
func (x *tx) addDocs(ctx context.Context, t consent.TenantID, in retrieval.Intake, head retrieval.CorpusPosition) (retrieval.CorpusPosition, error) {
	ids := make(map[retrieval.DocNum]int64, len(in.Docs))
	present := map[retrieval.CollectionID]bool{}
	for i := range in.Docs {
		d := &in.Docs[i]
		if !present[d.Collection] {
			found, err := one(ctx, x, x.doing, `SELECT 1 FROM collections WHERE tenant = ? AND id = ?`, []any{t, d.Collection}, new(int))
			if err != nil || !found {
				return 0, orConflict(err)
			}
			present[d.Collection] = true
		}
		head++
		id, err := x.addDoc(t, d, head)
		if err != nil {
			return 0, err
		}
		ids[d.Num] = id
	}
	if err := x.addParts("heads", ids, in.Heads); err != nil {
		return 0, err
	}
	return head, x.addParts("bodies", ids, in.Bodies)
}

func (x *tx) addDoc(t consent.TenantID, d *retrieval.DocRow, from retrieval.CorpusPosition) (int64, error) {
	r, err := x.exec(`INSERT INTO documents (tenant, num, collection, lookup, digest, source, key_slot, key_id,
		personal, retain_until, passages, decided_at, from_pos, sealed)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		string(t), int64(d.Num), int64(d.Collection), d.Lookup[:], d.Digest[:], d.Source[:], int64(d.Key.Slot), d.Key.ID[:],
		d.Personal, int64(d.RetainUntil), int64(d.Passages), int64(d.DecidedAt), int64(from), d.Sealed)
	if isUnique(err) {
		return 0, retrieval.ErrConflict
	}
	if err != nil {
		return 0, fail(x.doing, err)
	}
	id, err := r.LastInsertId()
	if err != nil {
		return 0, fail(x.doing, err)
	}
	if err := x.addDocSubjects(id, owns, d.Owners); err != nil {
		return 0, err
	}
	return id, x.addDocSubjects(id, mentioned, d.Mentions)
}

func (x *tx) addDocSubjects(doc int64, as role, subjects []consent.SubjectNum) error {
	for i, s := range subjects {
		_, err := x.change(`INSERT INTO document_subjects (doc, role, ordinal, subject) VALUES (?, ?, ?, ?)`,
			doc, int64(as), int64(i), int64(s))
		if err != nil {
			return err
		}
	}
	return nil
}

// addParts inserts heads or bodies of the versions made in this transaction.
func (x *tx) addParts(table string, ids map[retrieval.DocNum]int64, parts []retrieval.PartRow) error {
	query := `INSERT INTO ` + table + ` (id, sealed) VALUES (?, ?)`
	for i := range parts {
		p := &parts[i]
		doc, known := ids[p.Ref.Doc]
		if !known || p.Ref.N > partMask {
			return &failure{doing: "commit documents: a part belongs to no new version, or its number is too high", kind: ErrOther}
		}
		if _, err := x.change(query, partID(doc, p.Ref.N), p.Sealed); err != nil {
			return err
		}
	}
	return nil
}

func partID(doc int64, n uint32) int64 { return doc<<partBits | int64(n) }
