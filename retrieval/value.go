package retrieval

import (
	"cmp"
	"fmt"
	"math"
)

// Kind says what a Value holds. The numbers are on disk.
type Kind uint8

// The kinds. KindNone is the zero Value's; no metadata has it.
const (
	KindNone   Kind = 0
	KindString Kind = 1
	KindInt    Kind = 2
	KindFloat  Kind = 3
	KindBool   Kind = 4
	KindList   Kind = 5
)

// A Value is one value of metadata: a string, an int64, a finite float64, a
// bool, or a list of these. It is immutable. The zero Value is no value.
//
// A Value never prints, not even where it is an unexported field of another
// struct, which fmt reads without calling Format: fmt follows a pointer there
// under verbs that do not suit pointers (%s), but never two in a row.
type Value struct{ p **value }

type value struct {
	kind Kind
	bits uint64 // the int64, the float64's bits, or 1 for true
	str  string
	list []Value
}

func hold(v value) Value {
	p := &v
	return Value{&p}
}

// get returns what v holds, nil for the zero Value.
func (v Value) get() *value {
	if v.p == nil {
		return nil
	}
	return *v.p
}

// StringValue returns a string value.
func StringValue(s string) Value { return hold(value{kind: KindString, str: s}) }

// IntValue returns an integer value.
func IntValue(n int64) Value { return hold(value{kind: KindInt, bits: uint64(n)}) }

// FloatValue returns a number; the zero Value when f is not finite.
func FloatValue(f float64) Value {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return Value{}
	}
	return hold(value{kind: KindFloat, bits: math.Float64bits(f)})
}

// BoolValue returns a truth value.
func BoolValue(b bool) Value {
	v := value{kind: KindBool}
	if b {
		v.bits = 1
	}
	return hold(v)
}

// ListValue returns a list of scalars; the zero Value when an element is a
// list or no value.
func ListValue(elements ...Value) Value {
	list := make([]Value, len(elements))
	for i, e := range elements {
		if e.Kind() == KindNone || e.Kind() == KindList {
			return Value{}
		}
		list[i] = e
	}
	return hold(value{kind: KindList, list: list})
}

// Kind says what v holds.
func (v Value) Kind() Kind {
	if in := v.get(); in != nil {
		return in.kind
	}
	return KindNone
}

// Text returns the string, "" for other kinds.
func (v Value) Text() string {
	if in := v.get(); in != nil {
		return in.str
	}
	return ""
}

// Int returns the integer, 0 for other kinds.
func (v Value) Int() int64 {
	if v.Kind() != KindInt {
		return 0
	}
	return int64(v.get().bits)
}

// Float returns the float, 0 for other kinds.
func (v Value) Float() float64 {
	if v.Kind() != KindFloat {
		return 0
	}
	return math.Float64frombits(v.get().bits)
}

// Bool returns the truth value, false for other kinds.
func (v Value) Bool() bool { return v.Kind() == KindBool && v.get().bits == 1 }

// Len is the number of elements of a list, 0 for other kinds.
func (v Value) Len() int {
	if in := v.get(); in != nil {
		return len(in.list)
	}
	return 0
}

// At returns element i of a list, 0 ≤ i < Len.
func (v Value) At(i int) Value { return v.get().list[i] }

// Format keeps every verb from printing what v holds.
func (v Value) Format(f fmt.State, _ rune) { fmt.Fprint(f, "retrieval.Value(redacted)") }

// Equal reports whether v and w are the same value. Numbers are compared
// exactly, whatever their kinds; lists element by element, in order.
func (v Value) Equal(w Value) bool {
	if v.Kind() != KindList || w.Kind() != KindList {
		return v.Kind() == KindNone && w.Kind() == KindNone || equalScalar(v, w)
	}
	if v.Len() != w.Len() {
		return false
	}
	for i, e := range v.get().list {
		if !equalScalar(e, w.get().list[i]) {
			return false
		}
	}
	return true
}

// equalScalar is false for lists and for no value.
func equalScalar(v, w Value) bool {
	a, ok := v.scalar()
	b, also := w.scalar()
	return ok && also && a == b
}

// A scalarKey is a scalar in a form in which equal values are identical: an
// integral float64 that fits becomes the int64 it equals.
type scalarKey struct {
	kind Kind
	bits uint64
	str  string
}

// scalar returns v's key; false for a list or no value.
func (v Value) scalar() (scalarKey, bool) {
	switch v.Kind() {
	case KindString, KindInt, KindBool:
		return scalarKey{v.get().kind, v.get().bits, v.get().str}, true
	case KindFloat:
		f := v.Float()
		if f >= -(1<<63) && f < 1<<63 && f == math.Trunc(f) {
			return scalarKey{KindInt, uint64(int64(f)), ""}, true
		}
		return scalarKey{KindFloat, v.get().bits, ""}, true
	}
	return scalarKey{}, false
}

// order compares two strings bytewise or two numbers exactly; false for
// anything else, which has no order.
func order(v, w Value) (int, bool) {
	a, b := v.Kind(), w.Kind()
	switch {
	case a == KindString && b == KindString:
		return cmp.Compare(v.get().str, w.get().str), true
	case a == KindInt && b == KindInt:
		return cmp.Compare(v.Int(), w.Int()), true
	case a == KindFloat && b == KindFloat:
		return cmp.Compare(v.Float(), w.Float()), true
	case a == KindInt && b == KindFloat:
		return compareIntFloat(v.Int(), w.Float()), true
	case a == KindFloat && b == KindInt:
		return -compareIntFloat(w.Int(), v.Float()), true
	}
	return 0, false
}

// compareIntFloat compares without rounding: converting the integer to
// float64 would make 9007199254740993 equal to 9007199254740992.
func compareIntFloat(n int64, f float64) int {
	switch {
	case f >= 1<<63:
		return -1
	case f < -(1 << 63):
		return 1
	}
	whole := math.Trunc(f)
	if c := cmp.Compare(n, int64(whole)); c != 0 {
		return c
	}
	return cmp.Compare(whole, f)
}
