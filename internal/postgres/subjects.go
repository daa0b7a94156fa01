package postgres

import (
	"bytes"
	"context"
	"slices"

	"github.com/assent-gateway/assent/consent"
)

// addSubjects adds new people, in the order of their lookups: two writes that
// make some of the same do not wait for each other in a circle.
func (b *batch) addSubjects(t consent.TenantID, subjects []consent.SubjectRow) {
	n := len(subjects)
	if n == 0 {
		return
	}
	rows := slices.Clone(subjects)
	slices.SortFunc(rows, func(a, b consent.SubjectRow) int { return bytes.Compare(a.Lookup[:], b.Lookup[:]) })
	num, slot, version := make([]int64, n), make([]int64, n), make([]int16, n)
	lookup, id, sealed := make([][]byte, n), make([][]byte, n), make([][]byte, n)
	for i := range rows {
		s := &rows[i]
		num[i], lookup[i], version[i] = int64(s.Num), s.Lookup[:], int16(s.LookupVersion)
		slot[i], id[i], sealed[i] = int64(s.Key.Slot), s.Key.ID[:], s.Sealed
	}
	b.exec(all(n, consent.ErrSubjectExists), `INSERT INTO subjects (tenant, `+subjectColumns+`)
		SELECT $1, * FROM unnest($2::bigint[], $3::bytea[], $4::smallint[], $5::bigint[], $6::bytea[], $7::bytea[])
		ON CONFLICT DO NOTHING`, t, num, lookup, version, slot, id, sealed)
}

// unnamed checks that nobody has a row under some lookups.
func (b *batch) unnamed(t consent.TenantID, lookups [][32]byte) {
	if len(lookups) == 0 {
		return
	}
	names := make([][]byte, len(lookups))
	for i := range lookups {
		names[i] = lookups[i][:]
	}
	b.exec(all(0, consent.ErrSubjectExists), `SELECT FROM subjects WHERE tenant = $1 AND lookup = ANY ($2)`, t, names)
}

const subjectColumns = `num, lookup, lookup_version, key_slot, key_id, sealed`

func subjectDst(s *consent.SubjectRow) []any {
	return []any{into(&s.Num), fixed(s.Lookup[:]), into(&s.LookupVersion), into(&s.Key.Slot), fixed(s.Key.ID[:]), &s.Sealed}
}

// Subjects implements consent.Store.
func (db *DB) Subjects(ctx context.Context, t consent.TenantID, f func(consent.SubjectRow) error) error {
	var refused error
	err := db.streaming(ctx, "read subjects", func(s *session) error {
		var row consent.SubjectRow
		dst := subjectDst(&row)
		return s.each(ctx, `SELECT `+subjectColumns+` FROM subjects WHERE tenant = $1`, []any{t}, func(read scan) error {
			if err := read(dst...); err != nil {
				return err
			}
			refused = f(row)
			return refused
		})
	})
	if refused != nil {
		return refused
	}
	return ledgerError(err)
}

// SubjectsBy implements consent.Store.
func (db *DB) SubjectsBy(ctx context.Context, t consent.TenantID, nums []consent.SubjectNum) ([]consent.SubjectRow, error) {
	if len(nums) == 0 {
		return nil, nil
	}
	var found []consent.SubjectRow
	err := db.reading(ctx, "read subjects by number", func(s *session) error {
		return s.each(ctx, `SELECT `+subjectColumns+` FROM subjects WHERE tenant = $1 AND num = ANY ($2)`,
			[]any{t, ints(nums)}, func(read scan) error {
				var row consent.SubjectRow
				err := read(subjectDst(&row)...)
				found = append(found, row)
				return err
			})
	})
	if err != nil {
		return nil, ledgerError(err)
	}
	return found, nil
}

// SubjectByLookup implements consent.Store.
func (db *DB) SubjectByLookup(ctx context.Context, t consent.TenantID, lookup [32]byte) (consent.SubjectRow, bool, error) {
	var row consent.SubjectRow
	var found bool
	err := db.reading(ctx, "look a subject up", func(s *session) (err error) {
		found, err = s.one(ctx, `SELECT `+subjectColumns+` FROM subjects WHERE tenant = $1 AND lookup = $2`,
			[]any{t, lookup[:]}, subjectDst(&row)...)
		return err
	})
	if err != nil {
		return consent.SubjectRow{}, false, ledgerError(err)
	}
	return row, found, nil
}
