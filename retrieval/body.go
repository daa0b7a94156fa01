package retrieval

import (
	"math"

	"github.com/assent-gateway/assent/consent"
)

// A Body is the large part of a passage, opened on demand: its text, where it
// stands in its document's text, and its unit vector.
type Body struct {
	Text       string
	Start, End uint32    // bytes in the document's text; both 0 where passages were supplied
	Vector     []float32 // unit length; nil where the collection has none
}

// AppendBinary appends b's one encoding; ErrRecord when b does not fit it.
func (b Body) AppendBinary(dst []byte) ([]byte, error) {
	w := &writer{b: dst}
	w.byte(recordVersion)
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
	return w.done(dst)
}

// DecodeBody reads what AppendBinary wrote, whole; else ErrRecord.
func DecodeBody(b []byte) (Body, error) {
	r := &reader{b: b}
	r.version()
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
	flags := r.byte(metaSupplied | metaNobody)
	m.Supplied, m.Nobody = flags&metaSupplied != 0, flags&metaNobody != 0
	if err := r.done(); err != nil {
		return DocMeta{}, err
	}
	return m, nil
}
