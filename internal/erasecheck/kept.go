package erasecheck

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/retrieval"
)

// joint is a document of several people, which may be kept without the one who
// is erased: then its keyed lookup stays, as that of what is kept.
type joint struct {
	Num        retrieval.DocNum
	Collection retrieval.CollectionID
	Lookup     [32]byte
}

func (m *material) addJoint(r *retrieval.DocRow) {
	if len(r.Owners)+len(r.Mentions) > 1 || m.Stripping {
		m.Joint = append(m.Joint, joint{r.Num, r.Collection, r.Lookup})
	}
}

// kept is what there is in place of documents of several people.
type kept struct {
	documents, passages uint64
	redacted, stripped  uint64
	found               uint64 // that still name the person, or have vectors
	control             bool
}

// kept opens what lives in place of documents that several people had, and reads
// it for the person's names. Its keyed lookups are no traces of the person, and
// are not looked for in files.
func (c *Checker) kept(ctx context.Context, o erasure.Order, m *material) (k kept, err error) {
	k.control = true
	if len(m.Joint) == 0 {
		return k, nil
	}
	names := namesFrom(m.Names)
	k.control = m.Stripping || len(m.Names) == 0 || names.in("before "+m.Names[0]+", after")
	of, old := map[retrieval.CollectionID][][32]byte{}, map[retrieval.DocNum]bool{}
	for _, j := range m.Joint {
		of[j.Collection], old[j.Num] = append(of[j.Collection], j.Lookup), true
	}
	stays := &material{}
	for id, lookups := range of {
		for part := range slices.Chunk(lookups, 200) {
			living, err := c.Corpus.Living(ctx, o.Tenant, id, part)
			if err != nil {
				return k, err
			}
			for i := range living {
				s := &living[i]
				if old[s.Row.Num] || slices.Contains(append(slices.Clone(s.Row.Owners), s.Row.Mentions...), o.Subject) {
					continue // it is still what it was, and is found as such
				}
				stays.needle(lookup, s.Row.Lookup[:])
				k.take(s, names, m.Stripping)
			}
		}
	}
	living := map[string]bool{}
	for _, n := range stays.Needles {
		living[string(n.Data)] = true
	}
	m.Needles = slices.DeleteFunc(m.Needles, func(n needle) bool { return n.Kind == lookup && living[string(n.Data)] })
	return k, nil
}

func (k *kept) take(s *retrieval.Specimen, names names, stripping bool) {
	switch {
	case s.Meta.Stripped && stripping:
		k.stripped++
	case s.Meta.Redacted && !stripping:
		k.redacted++
	default:
		return // came later, from outside
	}
	k.documents++
	k.passages += uint64(len(s.Passages))
	texts := []string{s.Meta.ID, s.Meta.Title, s.Meta.Source}
	for name, v := range s.Meta.Metadata {
		texts = append(texts, name)
		if v.Kind() == retrieval.KindString {
			texts = append(texts, v.Text())
		}
	}
	for _, u := range s.Meta.Visibility.Users {
		texts = append(texts, u.Reveal())
	}
	texts = append(texts, s.Meta.Visibility.Groups...)
	whole := s.Opened
	for i := range s.Passages {
		p := &s.Passages[i]
		whole = whole && p.Opened
		texts = append(texts, p.Body.Text)
		if stripping && (len(p.Body.Vector) > 0 || len(p.SealedHead) > 0) {
			k.found++
		}
	}
	if !whole || slices.ContainsFunc(texts, names.in) {
		k.found++
	}
}

// names find identifiers in texts, another way than what takes them out.
type names []*regexp.Regexp

func namesFrom(ids []string) (out names) {
	for _, id := range ids {
		_, bare, _ := strings.Cut(id, ":")
		for _, form := range []string{id, bare} {
			if re, err := regexp.Compile("(?i:" + regexp.QuoteMeta(form) + ")"); err == nil && form != "" {
				out = append(out, re)
			}
		}
	}
	return out
}

func (n names) in(text string) bool {
	for _, re := range n {
		for _, at := range re.FindAllStringIndex(text, -1) {
			before, _ := utf8.DecodeLastRuneInString(text[:at[0]])
			first, _ := utf8.DecodeRuneInString(text[at[0]:])
			last, _ := utf8.DecodeLastRuneInString(text[:at[1]])
			after, _ := utf8.DecodeRuneInString(text[at[1]:])
			if !(at[0] > 0 && joins(before, first)) && !(at[1] < len(text) && joins(last, after)) {
				return true
			}
		}
	}
	return false
}

// joins reports whether two neighbouring runes are of one word.
func joins(a, b rune) bool {
	word := func(r rune) bool { return r == '_' || unicode.In(r, unicode.L, unicode.N, unicode.M) }
	if !word(a) || !word(b) {
		return false
	}
	return unicode.Is(unicode.M, b) || !dense(a) && !dense(b)
}

// dense reports whether a rune is of a script whose words stand side by side.
func dense(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}

// addNames keeps what names the person, to be read for in what is kept.
func (m *material) addNames(who []consent.Subject) {
	for _, name := range who {
		m.Names = append(m.Names, name.Reveal())
	}
}
