package retrieval

import (
	"encoding/binary"
	"math"
	"unicode/utf8"

	"github.com/assent-gateway/assent/consent"
)

// A reader takes fields; after the first that is not there or not in form, err
// is set and everything reads as zero.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail() { r.b, r.err = nil, ErrRecord }

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.fail()
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) byte(most byte) byte {
	b := r.take(1)
	if b == nil || b[0] > most {
		r.fail()
		return 0
	}
	return b[0]
}

func (r *reader) version() {
	if r.byte(recordVersion) != recordVersion {
		r.fail()
	}
}

func (r *reader) uint(most uint64) uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 || n > most || size > 1 && r.b[size-1] == 0 {
		r.fail()
		return 0
	}
	r.b = r.b[size:]
	return n
}

// count reads a number of things of at least size bytes each that follow.
func (r *reader) count(limit, size int) int {
	n := int(r.uint(uint64(limit)))
	if n > len(r.b)/size {
		r.fail()
		return 0
	}
	return n
}

func (r *reader) string(limit int) string {
	s := string(r.take(r.count(limit, 1)))
	if !utf8.ValidString(s) {
		r.fail()
		return ""
	}
	return s
}

// float reads a finite float32.
func (r *reader) float() float32 {
	b := r.take(4)
	if b == nil {
		return 0
	}
	f := math.Float32frombits(binary.LittleEndian.Uint32(b))
	if f-f != 0 {
		r.fail()
		return 0
	}
	return f
}

func (r *reader) uint64() uint64 {
	b := r.take(8)
	if b == nil {
		return 0
	}
	return binary.LittleEndian.Uint64(b)
}

func (r *reader) visibility() Visibility {
	v := Visibility{Level: Level(r.byte(byte(TenantWide)))}
	for range r.count(maxRecordList, 1) {
		name := r.string(maxRecordName)
		s, err := consent.ParseSubject(name)
		if r.err != nil || err != nil || s.Reveal() != name {
			r.fail()
			break
		}
		v.Users = append(v.Users, s)
	}
	for range r.count(maxRecordList, 1) {
		v.Groups = append(v.Groups, r.string(maxRecordName))
	}
	return v
}

func (r *reader) values() map[string]Value {
	n := r.count(maxRecordList, 2)
	if n == 0 {
		return nil
	}
	m, last := make(map[string]Value), ""
	for i := range n {
		name := r.string(maxRecordName)
		if i > 0 && name <= last {
			r.fail()
		}
		last = name
		m[name] = r.value(KindList)
		if r.err != nil {
			return nil
		}
	}
	return m
}

func (r *reader) value(most Kind) Value {
	var v Value
	switch Kind(r.byte(byte(most))) {
	case KindString:
		return StringValue(r.string(maxRecordString))
	case KindInt:
		return IntValue(int64(r.uint64()))
	case KindFloat:
		v = FloatValue(math.Float64frombits(r.uint64()))
	case KindBool:
		return BoolValue(r.byte(1) == 1)
	case KindList:
		list := make([]Value, r.count(maxRecordList, 2))
		for i := range list {
			list[i] = r.value(KindBool)
		}
		v = ListValue(list...)
	}
	if v.Kind() == KindNone {
		r.fail()
	}
	return v
}

// done returns the error, also when something is left over.
func (r *reader) done() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail()
	}
	return r.err
}
