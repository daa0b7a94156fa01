package consent

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
	"unique"

	"golang.org/x/text/unicode/norm"
)

// ErrInvalidSubject reports an identifier that is not of the form
// [a-z][a-z0-9_-]*:rest, 1 to 512 bytes of valid UTF-8 without control
// characters. It never carries the identifier.
var ErrInvalidSubject = errors.New("consent: identifier of a subject is not valid")

// maxIdentifier is the longest identifier in bytes, after normalisation.
const maxIdentifier = 512

// DefaultNamespace is the namespace of an identifier that names none.
const DefaultNamespace = "user"

// A Subject is a person's identifier in its normal form: namespace, colon,
// rest, in Unicode NFC; email: is lower-cased, nothing else is folded or
// trimmed. It is comparable and usable as a map key.
//
// A Subject never prints: it holds a handle, not a string, so no formatting
// verb at any depth shows it. Reveal is the one way out.
type Subject struct{ h unique.Handle[string] }

// ParseSubject returns the normal form of s. A bare id means "user:".
func ParseSubject(s string) (Subject, error) {
	if s == "" || !utf8.ValidString(s) {
		return Subject{}, ErrInvalidSubject
	}
	s = norm.NFC.String(s)
	namespace, rest, ok := cutNamespace(s)
	if !ok {
		namespace, rest = DefaultNamespace, s
	}
	if namespace == "email" {
		// Lower-casing can leave NFC; normalise again.
		rest = norm.NFC.String(strings.ToLower(rest))
	}
	full := namespace + ":" + rest
	if rest == "" || len(full) > maxIdentifier {
		return Subject{}, ErrInvalidSubject
	}
	for _, r := range rest {
		if unicode.IsControl(r) {
			return Subject{}, ErrInvalidSubject
		}
	}
	return Subject{unique.Make(full)}, nil
}

// cutNamespace splits s after a well-formed namespace and its colon.
func cutNamespace(s string) (namespace, rest string, ok bool) {
	namespace, rest, ok = strings.Cut(s, ":")
	if !ok || namespace == "" || namespace[0] < 'a' || namespace[0] > 'z' {
		return "", "", false
	}
	for i := 1; i < len(namespace); i++ {
		c := namespace[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-') {
			return "", "", false
		}
	}
	return namespace, rest, true
}

// IsZero reports whether s is the zero Subject, which names nobody.
func (s Subject) IsZero() bool { return s == Subject{} }

// Reveal returns the identifier in full, for sealing, keyed lookup and for
// answers to the caller who named it. Never for logs, metrics or errors.
func (s Subject) Reveal() string {
	if s.IsZero() {
		return ""
	}
	return s.h.Value()
}

// Namespace returns the part before the colon, which is no secret.
func (s Subject) Namespace() string {
	ns, _, _ := strings.Cut(s.Reveal(), ":")
	return ns
}

// Format keeps every verb from printing even the handle's address.
func (s Subject) Format(f fmt.State, _ rune) { fmt.Fprint(f, "consent.Subject(redacted)") }

// Compare orders subjects bytewise by their normal form.
func (s Subject) Compare(t Subject) int { return strings.Compare(s.Reveal(), t.Reveal()) }
