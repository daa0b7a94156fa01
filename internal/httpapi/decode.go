package httpapi

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/assent-gateway/assent/retrieval"
)

// maxDepth bounds nesting; the deepest request is a filter.
const maxDepth = 64

var errSyntax = errors.New("httpapi: not well-formed")

func invalid(field, reason string) error { return retrieval.Invalid(field, reason) }

const notSubject = "is not a subject: 1 to 512 bytes of UTF-8 without control characters"

// decode reads one JSON value strictly: no unknown member, no name twice, no
// null, valid UTF-8 without lone surrogates, nothing behind it, and bounded
// depth. Nothing that the decoder says is passed on, since it quotes: the error
// is an InputError with the offending field.
func decode(raw []byte, into any) error {
	if err := scan(raw, nullsRefused); err != nil {
		return err
	}
	return explain(json.Unmarshal(raw, into, json.RejectUnknownMembers(true)))
}

// explain makes a decoder's error one that may be told.
func explain(err error) error {
	if err == nil {
		return nil
	}
	var semantic *json.SemanticError
	var syntactic *jsontext.SyntacticError
	switch {
	case errors.As(err, &semantic) && errors.Is(semantic.Err, json.ErrUnknownName):
		return invalid(fieldOf(semantic.JSONPointer), "is not a member of this request")
	case errors.As(err, &semantic):
		return invalid(fieldOf(semantic.JSONPointer), "has the wrong type or is out of range")
	case errors.As(err, &syntactic) && errors.Is(syntactic.Err, jsontext.ErrDuplicateName):
		return invalid(fieldOf(syntactic.JSONPointer), "is there twice")
	case errors.As(err, &syntactic):
		return invalid(fieldOf(syntactic.JSONPointer), "is not valid JSON")
	}
	return invalid("", "is not valid JSON")
}

// fieldOf writes a JSON pointer as a path, "documents[0].passages[1].vector",
// and ends it before the first name that a client may have made up.
func fieldOf(p jsontext.Pointer) string {
	var b strings.Builder
	for token := range p.Tokens() {
		switch {
		case b.Len() > maxField:
			return b.String()
		case isIndex(token):
			b.WriteString("[" + token + "]")
		case ours(token):
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(token)
			if token == "metadata" {
				return b.String() // what comes next is a document's own
			}
		default:
			return b.String()
		}
	}
	return b.String()
}

// maxField is where a path is cut, when a client nested more than it may.
const maxField = 120

func isIndex(s string) bool {
	return s != "" && len(s) <= 7 && strings.Trim(s, "0123456789") == ""
}

// ours reports whether a name is short and plain enough to be repeated.
func ours(s string) bool {
	return s != "" && len(s) <= 40 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// Whether null is looked for. No member of the contract may be null: a filter that
// a client's mistake made null must not become no filter. Extensions of an event
// are none of the contract's.
const (
	nullsRefused = false
	nullsAllowed = true
)

// scan looks for too much depth, and for null.
func scan(raw []byte, nulls bool) error {
	depth, quoted := 0, false
	for i := 0; i < len(raw); i++ {
		switch b := raw[i]; {
		case quoted && b == '\\':
			i++
		case b == '"':
			quoted = !quoted
		case quoted:
		case b == '{' || b == '[':
			if depth++; depth > maxDepth {
				return invalid("", "is nested too deeply")
			}
		case b == '}' || b == ']':
			depth--
		case b == 'n' && !nulls:
			return findNull(raw)
		}
	}
	return nil
}

// findNull names the field that is null, or what is wrong before it.
func findNull(raw []byte) error {
	d := jsontext.NewDecoder(bytes.NewReader(raw))
	for {
		token, err := d.ReadToken()
		switch {
		case err == io.EOF:
			return invalid("", "is not valid JSON")
		case err != nil:
			return explain(err)
		case token.Kind() == 'n':
			return invalid(fieldOf(d.StackPointer()), "is null")
		}
	}
}
