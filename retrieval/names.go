package retrieval

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/assent-gateway/assent/consent"
)

// RedactionMark stands where a text named a person who was erased.
const RedactionMark = "[redacted]"

// Names finds in texts what names a person: each of their identifiers, with
// and without its namespace, in any letter case, composed or decomposed, as
// whole words. Other ways to name somebody it does not know.
type Names struct {
	forms map[rune][][]rune // folded, by their first rune, the longest first
}

// NamesOf are the forms of some identifiers.
func NamesOf(who []consent.Subject) Names {
	n := Names{forms: map[rune][][]rune{}}
	for _, w := range who {
		full := w.Reveal()
		_, bare, _ := strings.Cut(full, ":")
		for _, form := range []string{full, bare} {
			n.add(norm.NFC.String(form))
			n.add(norm.NFD.String(form))
			n.add(norm.NFC.String(cases.Fold().String(form))) // letters that have no single capital: ß and SS
		}
	}
	return n
}

func (n Names) add(form string) {
	var folded []rune
	for _, r := range form {
		folded = append(folded, fold(r))
	}
	if len(folded) == 0 {
		return
	}
	same := n.forms[folded[0]]
	at := 0
	for at < len(same) && len(same[at]) >= len(folded) {
		if string(same[at]) == string(folded) {
			return
		}
		at++
	}
	same = append(same, nil)
	copy(same[at+1:], same[at:])
	same[at] = folded
	n.forms[folded[0]] = same
}

// Empty reports whether there is nothing to find.
func (n Names) Empty() bool { return len(n.forms) == 0 }

// In reports whether a text names the person.
func (n Names) In(text string) bool {
	for at := 0; at < len(text); {
		if _, found := n.at(text, at); found {
			return true
		}
		_, size := utf8.DecodeRuneInString(text[at:])
		at += size
	}
	return false
}

// Cut puts RedactionMark in place of every name, and reports whether it did.
func (n Names) Cut(text string) (string, bool) {
	spans := n.spans(text)
	return blot(text, spans), len(spans) > 0
}

// spans are where names stand in a text, ascending.
func (n Names) spans(text string) (out []Span) {
	for at := 0; at < len(text); {
		if end, found := n.at(text, at); found {
			out = append(out, Span{at, end})
			at = end
			continue
		}
		_, size := utf8.DecodeRuneInString(text[at:])
		at += size
	}
	return out
}

// at reports whether a name begins at a place in a text, and where it ends.
func (n Names) at(text string, at int) (end int, found bool) {
	first, _ := utf8.DecodeRuneInString(text[at:])
	forms := n.forms[fold(first)]
	if len(forms) == 0 {
		return 0, false
	}
	before, _ := utf8.DecodeLastRuneInString(text[:at])
	if at > 0 && joined(before, first) {
		return 0, false
	}
	for _, form := range forms {
		end, ok := begins(text, at, form)
		if !ok {
			continue
		}
		last, _ := utf8.DecodeLastRuneInString(text[:end])
		after, _ := utf8.DecodeRuneInString(text[end:])
		if end == len(text) || !joined(last, after) {
			return end, true
		}
	}
	return 0, false
}

func begins(text string, at int, form []rune) (end int, ok bool) {
	for _, want := range form {
		r, size := utf8.DecodeRuneInString(text[at:])
		if size == 0 || fold(r) != want {
			return 0, false
		}
		at += size
	}
	return at, true
}

// spaceless are scripts in which the neighbours of a word say nothing of its ends.
var spaceless = []*unicode.RangeTable{
	unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar,
}

// joined reports whether two neighbouring runes are of one word. A mark belongs
// to what it stands on, in every script.
func joined(a, b rune) bool {
	return inWord(a) && inWord(b) && (unicode.IsMark(b) || !unicode.In(a, spaceless...) && !unicode.In(b, spaceless...))
}

// inWord reports whether a rune is a part of a word.
func inWord(r rune) bool {
	return r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r)
}

// fold gives all letter cases of a rune one form: the smallest of them.
func fold(r rune) rune {
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	return least
}

// metadata is metadata without what names the person: texts are cut, a field or
// number that is a name goes.
func (n Names) metadata(m map[string]Value) map[string]Value {
	out := make(map[string]Value, len(m))
	for name, v := range m {
		if n.In(name) {
			continue
		}
		if v, ok := n.value(v); ok {
			out[name] = v
		}
	}
	return out
}

func (n Names) value(v Value) (Value, bool) {
	switch v.Kind() {
	case KindString:
		text, _ := n.Cut(v.Text())
		return StringValue(text), true
	case KindInt, KindFloat:
		digits, err := v.MarshalJSON()
		return v, err == nil && !n.In(string(digits))
	case KindList:
		var kept []Value
		for i := range v.Len() {
			if e, ok := n.value(v.At(i)); ok {
				kept = append(kept, e)
			}
		}
		return ListValue(kept...), true
	}
	return v, true
}

// visibility is who may see a document without the person: whoever is named as
// they are no longer may.
func (n Names) visibility(v Visibility) Visibility {
	out := Visibility{Level: v.Level}
	for _, u := range v.Users {
		if !n.In(u.Reveal()) {
			out.Users = append(out.Users, u)
		}
	}
	for _, g := range v.Groups {
		if !n.In(g) {
			out.Groups = append(out.Groups, g)
		}
	}
	return out
}
