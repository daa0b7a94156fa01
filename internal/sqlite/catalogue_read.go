package sqlite

import (
	"context"
	"encoding/hex"
	"slices"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/retrieval"
)

// A storedDoc is a live version with its row's id.
type storedDoc struct {
	id int64
	retrieval.DocRow
}

// docQuery reads live versions joined with their subjects: a version without
// subjects is one row, one with three is three, next to each other.
// The index is named: left to itself the planner walks all live documents of
// the tenant rather than sort ten rows.
const docQuery = `SELECT d.id, d.num, d.collection, d.lookup, d.digest, d.source, d.key_slot, d.key_id, d.personal,
	d.retain_until, d.passages, d.decided_at, d.from_pos, d.to_pos, d.sealed, s.role, s.subject
	FROM documents d INDEXED BY `

const docWhere = ` LEFT JOIN document_subjects s ON s.doc = d.id
	WHERE d.tenant = ?1 AND d.to_pos = 0 `

const docOrder = ` ORDER BY d.id, s.role, s.ordinal`

const (
	docsByNums   = docQuery + `documents_num` + docWhere + `AND d.num IN (SELECT value FROM json_each(?2))` + docOrder
	docsByLookup = docQuery + `documents_lookup` + docWhere + `AND d.collection = ?2 AND d.lookup IN (SELECT unhex(value) FROM json_each(?3))` + docOrder
	docsLive     = docQuery + `documents_live` + docWhere + docOrder
)

// eachDoc calls f with every version that a docQuery finds.
func eachDoc(ctx context.Context, from source, doing, query string, args []any, f func(storedDoc) error) error {
	var cur, d storedDoc // being gathered; of the current row
	var as, subject *int64
	dst := []any{into(&d.id), into(&d.Num), into(&d.Collection), fixed(d.Lookup[:]), fixed(d.Digest[:]), fixed(d.Source[:]),
		into(&d.Key.Slot), fixed(d.Key.ID[:]), &d.Personal, into(&d.RetainUntil), into(&d.Passages), into(&d.DecidedAt),
		into(&d.From), into(&d.To), &d.Sealed, &as, &subject}
	err := each(ctx, from, doing, query, args, func(read scan) error {
		if err := read(dst...); err != nil {
			return err
		}
		if cur.id != d.id {
			if cur.id != 0 {
				if err := f(cur); err != nil {
					return err
				}
			}
			cur = d
		}
		if as == nil || subject == nil {
			return nil
		}
		switch role(*as) {
		case owns:
			cur.Owners = append(cur.Owners, consent.SubjectNum(*subject))
		case mentioned:
			cur.Mentions = append(cur.Mentions, consent.SubjectNum(*subject))
		default: // whoever this is must not be overlooked
			return &failure{doing: doing, kind: ErrCorrupt}
		}
		return nil
	})
	if err == nil && cur.id != 0 {
		err = f(cur)
	}
	return err
}

// CorpusHead implements retrieval.Catalogue.
func (db *DB) CorpusHead(ctx context.Context, t consent.TenantID) (p retrieval.CorpusPosition, err error) {
	const doing = "read the corpus head"
	err = db.reading(doing, func() error {
		p, err = readCorpusHead(ctx, db.readers, doing, t)
		return err
	})
	return p, err
}

func (db *DB) docs(ctx context.Context, doing, query string, args ...any) ([]retrieval.DocRow, error) {
	var found []retrieval.DocRow
	err := db.reading(doing, func() error {
		return eachDoc(ctx, db.readers, doing, query, args, func(d storedDoc) error {
			found = append(found, d.DocRow)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// DocsByLookup implements retrieval.Catalogue.
func (db *DB) DocsByLookup(ctx context.Context, t consent.TenantID, c retrieval.CollectionID, lookups [][32]byte) ([]retrieval.DocRow, error) {
	if len(lookups) == 0 {
		return nil, nil
	}
	texts := make([]string, len(lookups))
	for i, l := range lookups {
		texts[i] = hex.EncodeToString(l[:])
	}
	return db.docs(ctx, "look documents up", docsByLookup, t, c, list(texts))
}

// Docs implements retrieval.Catalogue.
func (db *DB) Docs(ctx context.Context, t consent.TenantID, nums []retrieval.DocNum) ([]retrieval.DocRow, error) {
	if len(nums) == 0 {
		return nil, nil
	}
	return db.docs(ctx, "read documents", docsByNums, t, list(nums))
}

// Bodies implements retrieval.Catalogue.
func (db *DB) Bodies(ctx context.Context, t consent.TenantID, refs []retrieval.PassageRef) ([]retrieval.PartRow, error) {
	const doing = "read bodies"
	if len(refs) == 0 {
		return nil, nil
	}
	pairs := make([][2]int64, len(refs))
	for i, r := range refs {
		pairs[i] = [2]int64{int64(r.Doc), int64(r.N)}
	}
	slices.SortFunc(pairs, func(a, b [2]int64) int { return slices.Compare(a[:], b[:]) })
	pairs = slices.Compact(pairs)
	var found []retrieval.PartRow
	err := db.reading(doing, func() error {
		return each(ctx, db.readers, doing, `SELECT d.num, r.value ->> 1, b.sealed
			FROM json_each(?2) r
			CROSS JOIN documents d ON d.tenant = ?1 AND d.num = r.value ->> 0 AND d.to_pos = 0
			CROSS JOIN bodies b ON b.id = (d.id << 20) + (r.value ->> 1)
			WHERE r.value ->> 1 < 1 << 20`, []any{t, list(pairs)}, func(read scan) error {
			var p retrieval.PartRow
			err := read(into(&p.Ref.Doc), into(&p.Ref.N), &p.Sealed)
			found = append(found, p)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// KeyRefs implements retrieval.Catalogue.
func (db *DB) KeyRefs(ctx context.Context, f func(seal.Ref) error) error {
	const doing = "read key references"
	return db.reading(doing, func() error {
		return each(ctx, db.readers, doing, `SELECT key_slot, key_id FROM subjects WHERE lookup_version <> 2 AND key_id <> zeroblob(16)
			UNION ALL SELECT key_slot, key_id FROM documents WHERE to_pos = 0
			UNION ALL SELECT key_slot, key_id FROM manifests WHERE key_id IS NOT NULL
			UNION ALL SELECT key_slot, key_id FROM erasures WHERE open = 1 AND key_id <> zeroblob(16)`, nil, func(read scan) error {
			var r seal.Ref
			if err := read(into(&r.Slot), fixed(r.ID[:])); err != nil {
				return err
			}
			return f(r)
		})
	})
}
