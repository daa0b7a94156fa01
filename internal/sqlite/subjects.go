package sqlite

import (
	"context"
	"encoding/json"

	"github.com/assent-gateway/assent/consent"
)

func (x *tx) addSubjects(t consent.TenantID, subjects []consent.SubjectRow) error {
	for i := range subjects {
		s := &subjects[i]
		err := x.insert(consent.ErrSubjectExists, `INSERT INTO subjects
			(tenant, num, lookup, lookup_version, key_slot, key_id, sealed) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			string(t), int64(s.Num), s.Lookup[:], int64(s.LookupVersion), int64(s.Key.Slot), s.Key.ID[:], s.Sealed)
		if err != nil {
			return err
		}
	}
	return nil
}

// unnamed checks that nobody has a row under some lookups.
func (x *tx) unnamed(ctx context.Context, t consent.TenantID, lookups [][32]byte) error {
	for i := range lookups {
		var num consent.SubjectNum
		found, err := one(ctx, x, x.doing, `SELECT num FROM subjects WHERE tenant = ? AND lookup = ?`, []any{t, lookups[i][:]}, into(&num))
		if err != nil {
			return err
		}
		if found {
			return consent.ErrSubjectExists
		}
	}
	return nil
}

const subjectColumns = `num, lookup, lookup_version, key_slot, key_id, sealed`

func subjectDst(s *consent.SubjectRow) []any {
	return []any{into(&s.Num), fixed(s.Lookup[:]), into(&s.LookupVersion), into(&s.Key.Slot), fixed(s.Key.ID[:]), &s.Sealed}
}

// Subjects implements consent.Store.
func (db *DB) Subjects(ctx context.Context, t consent.TenantID, f func(consent.SubjectRow) error) error {
	const doing = "read subjects"
	var refused error
	err := db.reading(doing, func() error {
		var s consent.SubjectRow
		dst := subjectDst(&s)
		return each(ctx, db.readers, doing, `SELECT `+subjectColumns+` FROM subjects WHERE tenant = ?`,
			[]any{t}, func(read scan) error {
				if err := read(dst...); err != nil {
					return err
				}
				refused = f(s)
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
	const doing = "read subjects by number"
	if len(nums) == 0 {
		return nil, nil
	}
	var found []consent.SubjectRow
	err := db.reading(doing, func() error {
		return each(ctx, db.readers, doing, `SELECT `+subjectColumns+` FROM subjects
			WHERE tenant = ? AND num IN (SELECT value FROM json_each(?))`,
			[]any{t, list(nums)}, func(read scan) error {
				var s consent.SubjectRow
				err := read(subjectDst(&s)...)
				found = append(found, s)
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
	const doing = "look a subject up"
	var s consent.SubjectRow
	var found bool
	err := db.reading(doing, func() (err error) {
		found, err = one(ctx, db.readers, doing, `SELECT `+subjectColumns+` FROM subjects
			WHERE tenant = ? AND lookup = ?`, []any{t, lookup[:]}, subjectDst(&s)...)
		return err
	})
	if err != nil {
		return consent.SubjectRow{}, false, ledgerError(err)
	}
	return s, found, nil
}

// list is a JSON array, the form in which one statement takes any number of
// values: SELECT value FROM json_each(?). SQLite reads integers of 64 bits
// from it exactly.
func list[T any](values []T) string {
	b, err := json.Marshal(values)
	if err != nil {
		panic("sqlite: " + err.Error()) // integers and strings always marshal
	}
	return string(b)
}
