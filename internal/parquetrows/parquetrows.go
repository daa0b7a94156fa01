// Package parquetrows writes rows of training manifests as Apache Parquet.
//
// The bytes are a function of the rows and columns: everything that the library
// would choose by itself (its own version, sizes of pages and groups, codec) is
// fixed here, and a new version of the library that writes other bytes is a new
// version of the manifests' form. A test holds it to digests.
package parquetrows

import (
	"encoding/hex"
	"io"
	"reflect"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/assent-gateway/assent/training"
)

// Format is the format of Parquet files.
type Format struct{ codec *zstd.Codec }

// New returns the format with an encoder that its files share, which may be written
// side by side: one for each file was a quarter of all memory that a large build asked
// for, and what it left behind made the peak grow with the number of shards.
func New() Format { return Format{newCodec()} }

func newCodec() *zstd.Codec { return &zstd.Codec{Level: zstd.SpeedFastest, Concurrency: 1} }

// Name implements training.Format.
func (Format) Name() string { return "parquet" }

// batchRows are given to the library at a time.
const batchRows = 256

// groupRows is how many rows a row group has: it is held in memory whole.
func groupRows(c training.Columns) int64 {
	if c.Text {
		return 8 << 10
	}
	return 32 << 10
}

// NewWriter implements training.Format.
func (f Format) NewWriter(w io.Writer, c training.Columns) training.RowWriter {
	if f.codec == nil {
		f.codec = newCodec()
	}
	schema := parquet.SchemaOf(reflect.New(columns(c)).Interface())
	out := &writer{columns: c, w: parquet.NewGenericWriter[any](w, schema,
		parquet.CreatedBy("assent", "1", "manifest"), parquet.Compression(f.codec),
		parquet.DataPageVersion(1), parquet.PageBufferSize(256<<10), parquet.WriteBufferSize(0), parquet.DataPageStatistics(true))}
	out.values = make([][]parquet.Value, len(out.w.ColumnWriters()))
	return out
}

// columns is a struct of the columns, in the order of the lines' members.
func columns(c training.Columns) reflect.Type {
	text, list := reflect.TypeFor[string](), reflect.TypeFor[[]string]()
	var fields []reflect.StructField
	add := func(name, column string, typ reflect.Type) {
		fields = append(fields, reflect.StructField{Name: name, Type: typ, Tag: reflect.StructTag(`parquet:"` + column + `"`)})
	}
	add("Row", "row", text)
	add("Document", "document", text)
	add("Source", "source,dict", text)
	add("ContentDigest", "content_digest", text)
	add("Subjects", "subjects,list", list)
	add("ConsentTypes", "consent_types,list", list)
	add("LawfulBasis", "lawful_basis,dict", text)
	add("Split", "split,dict", text)
	if c.Text {
		add("Text", "text", text)
	}
	if c.Linkable {
		add("PassageID", "passage_id", text)
		add("DocumentID", "document_id", text)
		add("ContentSHA256", "content_sha256", text)
	}
	return reflect.StructOf(fields)
}

// A writer gathers rows as the library's values, by column. What they point to
// is the batch's own memory.
type writer struct {
	w       *parquet.GenericWriter[any]
	columns training.Columns
	values  [][]parquet.Value
	column  int   // the next of the row in hand
	n       int   // rows of the batch
	group   int64 // rows of the group in hand
	bytes   []byte
}

// Write implements training.RowWriter.
func (w *writer) Write(r *training.Row) error {
	w.column = 0
	w.add(w.hex(r.Token[:]))
	w.add(w.hex(r.Document[:]))
	if r.Source == (training.Token{}) {
		w.add(nil)
	} else {
		w.add(w.hex(r.Source[:]))
	}
	w.add(w.hex(r.Content[:]))
	w.list(len(r.Subjects), func(i int) []byte { return w.hex(r.Subjects[i][:]) })
	w.list(len(r.Types), func(i int) []byte { return w.text(r.Types[i]) })
	w.add(w.text(r.Basis))
	w.add(w.text(r.Split))
	if w.columns.Text {
		w.add(w.text(r.Text))
	}
	if w.columns.Linkable {
		w.add(w.text(r.PassageID))
		w.add(w.text(r.DocumentID))
		w.add(w.hex(r.SHA256[:]))
	}
	if w.n++; w.n < batchRows {
		return nil
	}
	return w.flush()
}

func (w *writer) add(b []byte) { w.put(b, 0, 0) }

// list adds a list: an element is defined, one behind the first repeats.
func (w *writer) list(n int, of func(int) []byte) {
	if n == 0 {
		w.values[w.column] = append(w.values[w.column], parquet.NullValue().Level(0, 0, w.column))
		w.column++
		return
	}
	column := w.column
	for i := range n {
		w.column = column
		w.put(of(i), min(i, 1), 1)
	}
}

func (w *writer) put(b []byte, repetition, definition int) {
	v := parquet.ByteArrayValue(b).Level(repetition, definition, w.column)
	w.values[w.column] = append(w.values[w.column], v)
	w.column++
}

// hex and text put a value into the batch's memory. When that grows, values
// given before keep the old one.
func (w *writer) hex(b []byte) []byte {
	from := len(w.bytes)
	w.bytes = hex.AppendEncode(w.bytes, b)
	return w.bytes[from:len(w.bytes):len(w.bytes)]
}

func (w *writer) text(s string) []byte {
	from := len(w.bytes)
	w.bytes = append(w.bytes, s...)
	return w.bytes[from:len(w.bytes):len(w.bytes)]
}

// flush gives the batch to the library, and ends a group that is full.
func (w *writer) flush() error {
	for i, c := range w.w.ColumnWriters() {
		if _, err := c.WriteRowValues(w.values[i]); err != nil {
			return err
		}
		w.values[i] = w.values[i][:0]
	}
	w.group += int64(w.n)
	w.n, w.bytes = 0, w.bytes[:0]
	if w.group < groupRows(w.columns) {
		return nil
	}
	w.group = 0
	return w.w.Flush()
}

// Close implements training.RowWriter.
func (w *writer) Close() error {
	if w.n > 0 {
		if err := w.flush(); err != nil {
			return err
		}
	}
	return w.w.Close()
}
