package retrieval

import (
	"unicode"
	"unicode/utf8"
)

// Limits of a document's metadata.
const (
	MaxMetadataFields = 64   // fields of one document
	MaxFieldName      = 128  // bytes of a field's name
	MaxStringValue    = 4096 // bytes of a string value
	MaxListValue      = 256  // elements of a list value
)

// ValidateMetadata checks a document's metadata against the limits above.
// Names are valid UTF-8 without control characters; strings are valid UTF-8
// without NUL. The error is an InputError that names neither field nor value.
func ValidateMetadata(m map[string]Value) error {
	if len(m) > MaxMetadataFields {
		return Invalid("metadata", "has more than 64 fields")
	}
	for name, v := range m {
		if !validFieldName(name) {
			return Invalid("metadata", "has a field name that is not 1 to 128 bytes of UTF-8 without control characters")
		}
		if v.Kind() == KindNone {
			return Invalid("metadata", "has a value that is not a string, number, boolean or list of these")
		}
		if v.Len() > MaxListValue {
			return Invalid("metadata", "has a list of more than 256 elements")
		}
		ok := validText(v.Text())
		for i := range v.Len() {
			ok = ok && validText(v.At(i).Text())
		}
		if !ok {
			return Invalid("metadata", "has a string that is not at most 4096 bytes of UTF-8 without NUL")
		}
	}
	return nil
}

func validFieldName(s string) bool {
	if s == "" || len(s) > MaxFieldName || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return false
		}
	}
	return true
}

func validText(s string) bool {
	if len(s) > MaxStringValue || !utf8.ValidString(s) {
		return false
	}
	for i := range len(s) {
		if s[i] == 0 {
			return false
		}
	}
	return true
}
