package weaviate

import (
	"encoding/hex"
	"fmt"
	"math"

	"github.com/assent-gateway/assent/retrieval"
)

// Metadata rests in two text properties per declared field: a list of all its
// elements, for equality, and the value itself where it is one string or
// number, for order. The text of a value begins with its kind, and the bytewise
// order of texts of a kind is the order of the values, exactly: strings in hex
// (the store trims white space), numbers as the nearest float64 in its sortable
// form and what an integer differs from it.

func scalarText(v retrieval.Value) (string, bool) {
	switch v.Kind() {
	case retrieval.KindString:
		return "s" + hex.EncodeToString([]byte(v.Text())), true
	case retrieval.KindInt:
		return intText(v.Int()), true
	case retrieval.KindFloat:
		return floatText(v.Float()), true
	case retrieval.KindBool:
		if v.Bool() {
			return "b1", true
		}
		return "b0", true
	}
	return "", false
}

func intText(n int64) string {
	f := float64(n) // rounds to the nearest: off by 512 at most
	rest := int64(0)
	if f >= 1<<63 { // int64(f) would overflow
		rest = n - math.MaxInt64 - 1
	} else {
		rest = n - int64(f)
	}
	return fmt.Sprintf("n%016x%04x", sortable(f), rest+1<<15)
}

func floatText(f float64) string { return fmt.Sprintf("n%016x%04x", sortable(f), 1<<15) }

// sortable maps float64 to uint64 in the same order; -0 is 0.
func sortable(f float64) uint64 {
	b := math.Float64bits(f + 0)
	if f == 0 {
		b = 0
	}
	if b>>63 != 0 {
		return ^b
	}
	return b | 1<<63
}

// texts are what stands in the two properties of a field.
func texts(v retrieval.Value) (elements []string, whole string) {
	if s, ok := scalarText(v); ok {
		if v.Kind() != retrieval.KindBool {
			whole = s
		}
		return []string{s}, whole
	}
	for i := range v.Len() {
		if s, ok := scalarText(v.At(i)); ok {
			elements = append(elements, s)
		}
	}
	return elements, ""
}
