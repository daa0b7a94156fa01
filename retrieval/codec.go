package retrieval

import (
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"slices"
	"unicode/utf8"
)

// ErrRecord: a sealed record is not in the form that this version writes, or
// what is to be written does not fit the form. It never says what it held.
var ErrRecord = errors.New("retrieval: a sealed record is not well-formed")

// Records have one encoding each: a version byte, then fields in a fixed
// order; numbers as uvarints in their shortest form or little-endian, strings
// and lists behind their length, maps ascending by key. Decoding what encodes
// differently is ErrRecord, so that equal records have equal bytes.
const recordVersion = 1

// Limits of records, beyond what ingest accepts. They bound what a decoder
// allocates for a damaged record together with the record's own length.
const (
	maxRecordString = 64 << 20
	maxRecordName   = 4096 // identifiers, groups, sources
	maxRecordList   = 1 << 20
	maxRecordVector = 1 << 16
)

// A writer appends fields; after the first that does not fit, err is set.
type writer struct {
	b   []byte
	err error
}

func (w *writer) fail() { w.err = ErrRecord }

func (w *writer) byte(b byte) { w.b = append(w.b, b) }

func (w *writer) uint(n uint64) { w.b = binary.AppendUvarint(w.b, n) }

func (w *writer) count(n, limit int) {
	if n > limit {
		w.fail()
	}
	w.uint(uint64(n))
}

func (w *writer) string(s string, limit int) {
	if !utf8.ValidString(s) {
		w.fail()
	}
	w.count(len(s), limit)
	w.b = append(w.b, s...)
}

func (w *writer) float(f float32) {
	w.b = binary.LittleEndian.AppendUint32(w.b, math.Float32bits(f))
}

func (w *writer) uint64(n uint64) { w.b = binary.LittleEndian.AppendUint64(w.b, n) }

func (w *writer) visibility(v Visibility) {
	if v.Level > TenantWide {
		w.fail()
	}
	w.byte(byte(v.Level))
	w.count(len(v.Users), maxRecordList)
	for _, u := range v.Users {
		w.string(u.Reveal(), maxRecordName)
	}
	w.count(len(v.Groups), maxRecordList)
	for _, g := range v.Groups {
		w.string(g, maxRecordName)
	}
}

func (w *writer) values(m map[string]Value) {
	w.count(len(m), maxRecordList)
	for _, name := range slices.Sorted(maps.Keys(m)) {
		w.string(name, maxRecordName)
		w.value(m[name])
	}
}

func (w *writer) value(v Value) {
	w.byte(byte(v.Kind()))
	switch v.Kind() {
	case KindString:
		w.string(v.Text(), maxRecordString)
	case KindInt, KindFloat:
		w.uint64(v.get().bits)
	case KindBool:
		w.byte(byte(v.get().bits))
	case KindList:
		w.count(v.Len(), maxRecordList)
		for i := range v.Len() {
			w.value(v.At(i))
		}
	default:
		w.fail()
	}
}

// done returns what was written behind dst, or dst and the error.
func (w *writer) done(dst []byte) ([]byte, error) {
	if w.err != nil {
		return dst, w.err
	}
	return w.b, nil
}
