package retrieval

import (
	"math"
	"slices"

	"github.com/assent-gateway/assent/consent"
)

// A Body is the large part of a passage, opened on demand: its text, where it
// stands in its document's text, and its unit vector.
type Body struct {
	Text       string
	Start, End uint32    // bytes in the document's text; both 0 where passages were supplied
	Vector     []float32 // unit length; nil where it has none, or has none any more
	By         Attribution
}

// An Attribution says who wrote a passage (0: nobody says) and who is named in
// it, by number, ascending.
type Attribution struct {
	Author   consent.SubjectNum
	Mentions []consent.SubjectNum
}

func (a Attribution) empty() bool { return a.Author == 0 && len(a.Mentions) == 0 }

// of reports whether a passage is by a person or names them, as its ingest said.
func (a Attribution) of(num consent.SubjectNum) bool {
	return num != 0 && (a.Author == num || slices.Contains(a.Mentions, num))
}

// attributedVersion is of bodies that say who wrote them.
const attributedVersion = 2

func (w *writer) attribution(a Attribution) {
	w.uint64(uint64(a.Author))
	w.count(len(a.Mentions), MaxPeople)
	for i, num := range a.Mentions {
		if num <= 0 || i > 0 && num <= a.Mentions[i-1] {
			w.fail()
		}
		w.uint64(uint64(num))
	}
	if a.Author < 0 {
		w.fail()
	}
}

func (r *reader) attribution() (a Attribution) {
	a.Author = consent.SubjectNum(r.uint64())
	for i := range r.count(MaxPeople, 8) {
		num := consent.SubjectNum(r.uint64())
		if num <= 0 || i > 0 && num <= a.Mentions[i-1] {
			r.fail()
			break
		}
		a.Mentions = append(a.Mentions, num)
	}
	if a.Author < 0 || a.empty() {
		r.fail()
	}
	return a
}

// AppendBinary appends b's one encoding; ErrRecord when b does not fit it.
func (b Body) AppendBinary(dst []byte) ([]byte, error) {
	w := &writer{b: dst}
	if b.By.empty() {
		w.byte(recordVersion)
	} else {
		w.byte(attributedVersion)
	}
	if b.End < b.Start {
		w.fail()
	}
	w.uint(uint64(b.Start))
	w.uint(uint64(b.End))
	w.string(b.Text, maxRecordString)
	w.count(len(b.Vector), maxRecordVector)
	for _, x := range b.Vector {
		if x-x != 0 {
			w.fail()
		}
		w.float(x)
	}
	if !b.By.empty() {
		w.attribution(b.By)
	}
	return w.done(dst)
}

// DecodeBody reads what AppendBinary wrote, whole; else ErrRecord.
func DecodeBody(b []byte) (Body, error) {
	r := &reader{b: b}
	version := r.byte(attributedVersion)
	if version < recordVersion {
		r.fail()
	}
	var out Body
	out.Start, out.End = uint32(r.uint(math.MaxUint32)), uint32(r.uint(math.MaxUint32))
	if out.End < out.Start {
		r.fail()
	}
	out.Text = r.string(maxRecordString)
	if n := r.count(maxRecordVector, 4); n > 0 {
		out.Vector = make([]float32, n)
		for i := range out.Vector {
			out.Vector[i] = r.float()
		}
	}
	if version == attributedVersion {
		out.By = r.attribution()
	}
	if err := r.done(); err != nil {
		return Body{}, err
	}
	return out, nil
}

// Provenance says where a version came from; written once.
type Provenance struct {
	Writer   string       // id of the key that ingested it
	At       consent.Time // ledger clock at ingest
	Batch    string
	Embedder EmbedderPin
}

// Flags of a DocMeta. On disk.
const (
	metaSupplied = 1 << iota
	metaNobody
	metaRedacted
	metaStripped
)

// DocMeta is what a version keeps of its document besides passages. People are
// not in it: its row has their numbers.
type DocMeta struct {
	ID         string
	Title      string
	Metadata   map[string]Value
	Visibility Visibility
	Source     string
	Provenance Provenance
	Nobody     bool // attested to be about nobody
	Supplied   bool // passages were supplied, not cut from a text
	Redacted   bool // one of its people was erased, and it was kept without them
	Stripped   bool // kept without vectors, which nobody permits any more: in no index
}

// AppendBinary appends m's one encoding; ErrRecord when m does not fit it.
func (m DocMeta) AppendBinary(dst []byte) ([]byte, error) {
	w := &writer{b: dst}
	w.byte(recordVersion)
	w.string(m.ID, maxRecordName)
	w.string(m.Title, maxRecordString)
	w.values(m.Metadata)
	w.visibility(m.Visibility)
	w.string(m.Source, maxRecordName)
	p := m.Provenance
	w.string(p.Writer, maxRecordName)
	w.uint64(uint64(p.At))
	w.string(p.Batch, maxRecordName)
	w.string(p.Embedder.Name, maxRecordName)
	w.string(p.Embedder.Model, maxRecordName)
	w.string(p.Embedder.Revision, maxRecordName)
	if p.Embedder.Dimensions < 0 {
		w.fail()
	}
	w.count(p.Embedder.Dimensions, maxRecordVector)
	flags := byte(0)
	if m.Supplied {
		flags |= metaSupplied
	}
	if m.Nobody {
		flags |= metaNobody
	}
	if m.Redacted {
		flags |= metaRedacted
	}
	if m.Stripped {
		flags |= metaStripped
	}
	w.byte(flags)
	return w.done(dst)
}

// DecodeDocMeta reads what AppendBinary wrote, whole; else ErrRecord.
func DecodeDocMeta(b []byte) (DocMeta, error) {
	r := &reader{b: b}
	r.version()
	m := DocMeta{
		ID:         r.string(maxRecordName),
		Title:      r.string(maxRecordString),
		Metadata:   r.values(),
		Visibility: r.visibility(),
		Source:     r.string(maxRecordName),
		Provenance: Provenance{
			Writer: r.string(maxRecordName),
			At:     consent.Time(r.uint64()),
			Batch:  r.string(maxRecordName),
			Embedder: EmbedderPin{
				Name:       r.string(maxRecordName),
				Model:      r.string(maxRecordName),
				Revision:   r.string(maxRecordName),
				Dimensions: int(r.uint(maxRecordVector)),
			},
		},
	}
	flags := r.byte(metaSupplied | metaNobody | metaRedacted | metaStripped)
	m.Supplied, m.Nobody = flags&metaSupplied != 0, flags&metaNobody != 0
	m.Redacted, m.Stripped = flags&metaRedacted != 0, flags&metaStripped != 0
	if err := r.done(); err != nil {
		return DocMeta{}, err
	}
	return m, nil
}
