package retrieval

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"

	"github.com/assent-gateway/assent/consent"
)

// A Redaction keeps documents of several people without one of them.
type Redaction struct {
	Which Which // Subject is the person
	Names Names // what names them in texts
	// Late: it was tried long enough. What cannot be embedded again is left to
	// be removed.
	Late bool
}

// Redact writes those of the documents anew whose collection keeps them without
// an erased person, and that have another owner: without the passages that the
// ingest said are by the person or name them, and with RedactionMark wherever
// else a text, title, metadata or audience names them; embedded and sealed again
// under the keys of the others alone. What is left is to be removed, by Erase:
// documents of others' collections, of nobody else, whose id or source names
// the person, whose other people do not permit it to be embedded. Of supplied
// vectors those are kept whose passage did not change; the others cannot be
// made again, and their passages go.
//
// An embedder that fails is an error, and the repeat tries again, until it is
// Late.
func (s *Service) Redact(ctx context.Context, t consent.TenantID, r Redaction) (Erased, error) {
	if r.Which.Subject == 0 || r.Names.Empty() {
		return Erased{}, nil
	}
	return s.rewrite(ctx, t, rewriting{which: r.Which, wanted: r.shared, version: r.version, late: r.Late})
}

// shared reports whether a version is to be kept for others. Most of what a person
// has is theirs alone, and need not be opened.
func (r *Redaction) shared(col *Collection, row *DocRow) bool {
	return col.Spec.OnErasure == Redact && len(r.others(row.Owners)) > 0
}

// version makes what is kept of a version; nil when nothing is.
func (r *Redaction) version(col *Collection, w *was) *job {
	owners := r.others(w.row.Owners)
	doc, by := r.document(&w.meta, w.bodies, col.Embedder.Name == ClientEmbedder)
	if doc == nil {
		return nil
	}
	doc.RetainUntil = w.row.RetainUntil.Time()
	meta := w.meta
	meta.Redacted, meta.Stripped = true, false
	j := &job{doc: doc, owners: owners, mentions: r.others(w.row.Mentions), by: by, was: &meta}
	rand.Read(j.digest[:]) // nothing that is ingested is this
	return j
}

// others are the people without the person.
func (r *Redaction) others(nums []consent.SubjectNum) []consent.SubjectNum {
	return slices.DeleteFunc(sorted(nums), func(num consent.SubjectNum) bool { return num == r.Which.Subject })
}

func (r *Redaction) document(m *DocMeta, bodies []Body, supplied bool) (*Document, []Attribution) {
	if r.Names.In(m.ID) || r.Names.In(m.Source) {
		return nil, nil
	}
	title, renamed := r.Names.Cut(m.Title)
	doc := &Document{
		ID: m.ID, Title: title, Metadata: r.Names.metadata(m.Metadata), Visibility: r.Names.visibility(m.Visibility), Source: m.Source,
	}
	if !m.Supplied {
		doc.Text, _ = r.Names.Cut(stitch(bodies))
		if strings.TrimSpace(doc.Text) == "" {
			return nil, nil
		}
		return doc, nil
	}
	var by []Attribution
	for _, b := range bodies {
		text, changed := r.Names.Cut(b.Text)
		if b.By.of(r.Which.Subject) || supplied && (changed || renamed) {
			continue
		}
		p := Passage{Text: text}
		if supplied {
			p.Vector = b.Vector
		}
		doc.Passages, by = append(doc.Passages, p), append(by, b.By)
	}
	if len(doc.Passages) == 0 {
		return nil, nil
	}
	return doc, by
}
