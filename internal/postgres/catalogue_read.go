package postgres

import (
	"context"
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

func rowsOf(docs []storedDoc) []retrieval.DocRow {
	var rows []retrieval.DocRow
	for _, d := range docs {
		rows = append(rows, d.DocRow)
	}
	return rows
}

// docSelect reads live versions, each with its people in the order given.
const docSelect = `SELECT d.id, d.num, d.collection, d.lookup, d.digest, d.source, d.key_slot, d.key_id, d.personal,
	d.retain_until, d.passages, d.decided_at, d.from_pos, d.to_pos, d.sealed,
	ARRAY(SELECT s.subject FROM document_subjects s WHERE s.doc = d.id AND s.role = 0 ORDER BY s.ordinal),
	ARRAY(SELECT s.subject FROM document_subjects s WHERE s.doc = d.id AND s.role = 1 ORDER BY s.ordinal)
	FROM documents d WHERE `

// The live are those with to_pos = 0. Said like this it lets partial indexes
// be used; the search by number says it otherwise, so that they are not.
const (
	docsByNum    = docSelect + `d.tenant = $1 AND d.num = ANY ($2) AND NOT d.to_pos > 0`
	docsByLookup = docSelect + `d.tenant = $1 AND d.to_pos = 0 AND d.collection = $2 AND d.lookup = ANY ($3)`
	docsIn       = docSelect + `d.tenant = $1 AND d.to_pos = 0 AND d.collection = $2 LIMIT $3`
	docsLive     = docSelect + `d.tenant || '' = $1 AND d.to_pos = 0 AND d.id > $2 ORDER BY d.id LIMIT $3`
)

func readDoc(read scan) (d storedDoc, err error) {
	var owners, mentions []int64
	err = read(&d.id, into(&d.Num), into(&d.Collection), fixed(d.Lookup[:]), fixed(d.Digest[:]), fixed(d.Source[:]),
		into(&d.Key.Slot), fixed(d.Key.ID[:]), &d.Personal, into(&d.RetainUntil), into(&d.Passages), into(&d.DecidedAt),
		into(&d.From), into(&d.To), &d.Sealed, &owners, &mentions)
	d.Owners, d.Mentions = numbers(owners), numbers(mentions)
	return d, err
}

func numbers(from []int64) []consent.SubjectNum {
	var nums []consent.SubjectNum
	for _, n := range from {
		nums = append(nums, consent.SubjectNum(n))
	}
	return nums
}

// docs adds a query of live versions to a write.
func (b *batch) docs(into *[]storedDoc, query string, args ...any) {
	b.each(func(read scan) error {
		d, err := readDoc(read)
		*into = append(*into, d)
		return err
	}, query, args...)
}

func (s *session) docs(ctx context.Context, query string, args ...any) (found []storedDoc, err error) {
	err = s.each(ctx, query, args, func(read scan) error {
		d, err := readDoc(read)
		found = append(found, d)
		return err
	})
	return found, err
}

func (db *DB) docs(ctx context.Context, doing, query string, args ...any) ([]retrieval.DocRow, error) {
	var found []storedDoc
	err := db.reading(ctx, doing, func(s *session) (err error) {
		found, err = s.docs(ctx, query, args...)
		return err
	})
	if err != nil {
		return nil, err
	}
	return rowsOf(found), nil
}

// DocsByLookup implements retrieval.Catalogue.
func (db *DB) DocsByLookup(ctx context.Context, t consent.TenantID, c retrieval.CollectionID, lookups [][32]byte) ([]retrieval.DocRow, error) {
	if len(lookups) == 0 {
		return nil, nil
	}
	keys := make([][]byte, len(lookups))
	for i := range lookups {
		keys[i] = lookups[i][:]
	}
	return db.docs(ctx, "look documents up", docsByLookup, t, int64(c), keys)
}

// Docs implements retrieval.Catalogue.
func (db *DB) Docs(ctx context.Context, t consent.TenantID, nums []retrieval.DocNum) ([]retrieval.DocRow, error) {
	if len(nums) == 0 {
		return nil, nil
	}
	return db.docs(ctx, "read documents", docsByNum, t, ints(nums))
}

// CorpusHead implements retrieval.Catalogue.
func (db *DB) CorpusHead(ctx context.Context, t consent.TenantID) (p retrieval.CorpusPosition, err error) {
	err = db.reading(ctx, "read the corpus head", func(s *session) error {
		found, err := s.one(ctx, `SELECT position FROM corpus_heads WHERE tenant = $1`, []any{t}, into(&p))
		if err == nil && !found {
			err = consent.ErrUnknownTenant
		}
		return err
	})
	return p, err
}

// bodiesSQL goes from each passage asked for to its version to its body: the
// limits keep the planner from joining whole tables when it knows little.
const bodiesSQL = `SELECT r.num, r.n, b.sealed FROM unnest($2::bigint[], $3::bigint[]) AS r (num, n)
	CROSS JOIN LATERAL (SELECT id FROM documents WHERE tenant = $1 AND num = r.num AND NOT to_pos > 0 LIMIT 1) d
	CROSS JOIN LATERAL (SELECT sealed FROM bodies WHERE id = (d.id << 20) + r.n LIMIT 1) b`

// Bodies implements retrieval.Catalogue.
func (db *DB) Bodies(ctx context.Context, t consent.TenantID, refs []retrieval.PassageRef) ([]retrieval.PartRow, error) {
	refs = slices.DeleteFunc(slices.Clone(refs), func(r retrieval.PassageRef) bool { return r.N > partMask })
	slices.SortFunc(refs, byRef)
	refs = slices.Compact(refs)
	if len(refs) == 0 {
		return nil, nil
	}
	nums, ns := make([]int64, len(refs)), make([]int64, len(refs))
	for i, r := range refs {
		nums[i], ns[i] = int64(r.Doc), int64(r.N)
	}
	var found []retrieval.PartRow
	err := db.reading(ctx, "read bodies", func(s *session) error {
		return s.each(ctx, bodiesSQL, []any{t, nums, ns}, func(read scan) error {
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
	return db.streaming(ctx, "read key references", func(s *session) error {
		return s.each(ctx, `SELECT key_slot, key_id FROM subjects WHERE lookup_version <> 2 AND key_id <> decode(repeat('00', 16), 'hex')
			UNION ALL SELECT key_slot, key_id FROM documents WHERE to_pos = 0
			UNION ALL SELECT key_slot, key_id FROM manifests WHERE key_id IS NOT NULL
			UNION ALL SELECT key_slot, key_id FROM erasures WHERE open AND key_id <> decode(repeat('00', 16), 'hex')`, nil, func(read scan) error {
			var r seal.Ref
			if err := read(into(&r.Slot), fixed(r.ID[:])); err != nil {
				return err
			}
			return f(r)
		})
	})
}
