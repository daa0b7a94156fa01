package training

import (
	"bufio"
	"encoding/hex"
	"io"
	"unicode/utf8"
)

// AppendLine appends a row as JSON, in one encoding: members in this order, no
// white space, strings with no more escapes than JSON demands. Its leaf in the
// manifest's tree is over these bytes.
func (r *Row) AppendLine(b []byte, c Columns) []byte {
	b = appendToken(append(b, `{"row":"`...), r.Token)
	b = appendToken(append(b, `","document":"`...), r.Document)
	b = append(b, `","source":"`...)
	if r.Source != (Token{}) {
		b = appendToken(b, r.Source)
	}
	b = hex.AppendEncode(append(b, `","content_digest":"`...), r.Content[:])
	b = append(b, `","subjects":[`...)
	for i, s := range r.Subjects {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendToken(append(b, '"'), s), '"')
	}
	b = append(b, `],"consent_types":[`...)
	for i, t := range r.Types {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, t)
	}
	b = appendString(append(b, `],"lawful_basis":`...), r.Basis)
	b = appendString(append(b, `,"split":`...), r.Split)
	if c.Text {
		b = appendString(append(b, `,"text":`...), r.Text)
	}
	if c.Linkable {
		b = appendString(append(b, `,"passage_id":`...), r.PassageID)
		b = appendString(append(b, `,"document_id":`...), r.DocumentID)
		b = hex.AppendEncode(append(b, `,"content_sha256":"`...), r.SHA256[:])
		b = append(b, '"')
	}
	return append(b, '}')
}

func appendToken(b []byte, t Token) []byte { return hex.AppendEncode(b, t[:]) }

// appendString appends a JSON string. Texts are valid UTF-8; a byte that is
// not becomes U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				b = append(append(b, s[from:i]...), "\ufffd"...)
				from = i + 1
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		b = append(b, s[from:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			b = append(b, '\\', 'u', '0', '0', "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
		}
		i++
		from = i
	}
	return append(append(b, s[from:]...), '"')
}

// JSONL is the format of one row a line.
type JSONL struct{}

// Name implements Format.
func (JSONL) Name() string { return "jsonl" }

// NewWriter implements Format.
func (JSONL) NewWriter(w io.Writer, c Columns) RowWriter {
	return &lines{w: bufio.NewWriterSize(w, 64<<10), columns: c}
}

type lines struct {
	w       *bufio.Writer
	columns Columns
	buf     []byte
}

func (l *lines) Write(r *Row) error {
	l.buf = append(r.AppendLine(l.buf[:0], l.columns), '\n')
	_, err := l.w.Write(l.buf)
	return err
}

func (l *lines) Close() error { return l.w.Flush() }
