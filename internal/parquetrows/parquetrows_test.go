package parquetrows_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"sync"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/assent-gateway/assent/internal/parquetrows"
	"github.com/assent-gateway/assent/training"
)

// invented rows, the same every time.
func invented(n int) []training.Row {
	rows := make([]training.Row, n)
	for i := range rows {
		h := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
		r := training.Row{
			Token: training.Token(h[:16]), Document: training.Token(h[16:]), Content: h, SHA256: h,
			Types: []string{"model_training_v1.0"}, Basis: "consent", Split: "train",
			Text: fmt.Sprintf("text \"%d\"\nof ünicode", i), PassageID: "p", DocumentID: fmt.Sprint("d", i),
		}
		for s := range i % 4 {
			r.Subjects = append(r.Subjects, training.Token{byte(s), byte(i)})
		}
		if i%3 == 0 {
			r.Source, r.Types = training.Token{1}, nil
		}
		rows[i] = r
	}
	return rows
}

func write(t testing.TB, rows []training.Row, c training.Columns) []byte {
	t.Helper()
	return writeBy(t, parquetrows.Format{}, rows, c)
}

func writeBy(t testing.TB, f parquetrows.Format, rows []training.Row, c training.Columns) []byte {
	t.Helper()
	var out bytes.Buffer
	w := f.NewWriter(&out, c)
	for i := range rows {
		if err := w.Write(&rows[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// What the library writes of the same rows is part of the manifests' form.
func TestTheBytesAreTheseAndNoOthers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rows    int
		columns training.Columns
		want    string
	}{
		"none":           {0, training.Columns{}, "db02e0611858876beb1e5832baa03983060747085cf610667cc150222e49efeb"},
		"plain":          {40_000, training.Columns{}, "6c4b078b9f2f77189dca15a95e48921fc16b3fa5053730c59bb172e9687f45f5"},
		"text, linkable": {20_000, training.Columns{Text: true, Linkable: true}, "6bbbb55a45661fb21ca46b0694b286ba80da8d63d21e1e4326dd43846a0be8a7"},
	} {
		for range 2 {
			sum := sha256.Sum256(write(t, invented(c.rows), c.columns))
			if got := hex.EncodeToString(sum[:]); got != c.want {
				t.Errorf("%s: %s", name, got)
			}
		}
	}
}

// Files that share an encoder, one behind the other and side by side, are what each
// would be alone.
func TestFilesThatShareAnEncoderAreTheSame(t *testing.T) {
	t.Parallel()
	f, c := parquetrows.New(), training.Columns{Text: true}
	all := [][]training.Row{invented(3000), invented(40), invented(20_000)}
	var want [][]byte
	for _, rows := range all {
		want = append(want, write(t, rows, c))
	}
	var files sync.WaitGroup
	for range 4 {
		files.Go(func() {
			for i, rows := range all {
				if !bytes.Equal(writeBy(t, f, rows, c), want[i]) {
					t.Errorf("%d rows: other bytes", len(rows))
				}
			}
		})
	}
	files.Wait()
}

// Read back by the library's reader, the rows are those that were written.
func TestRowsComeBack(t *testing.T) {
	t.Parallel()
	type row struct {
		Row       string   `parquet:"row"`
		Document  string   `parquet:"document"`
		Source    string   `parquet:"source"`
		Content   string   `parquet:"content_digest"`
		Subjects  []string `parquet:"subjects,list"`
		Types     []string `parquet:"consent_types,list"`
		Basis     string   `parquet:"lawful_basis"`
		Split     string   `parquet:"split"`
		Text      string   `parquet:"text"`
		PassageID string   `parquet:"passage_id"`
		ID        string   `parquet:"document_id"`
		SHA256    string   `parquet:"content_sha256"`
	}
	want := invented(10_000)
	file := write(t, want, training.Columns{Text: true, Linkable: true})
	got, err := parquet.Read[row](bytes.NewReader(file), int64(len(file)))
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d rows of %d: %v", len(got), len(want), err)
	}
	for i, w := range want {
		g := got[i]
		var subjects []string
		for _, s := range w.Subjects {
			subjects = append(subjects, s.String())
		}
		source := ""
		if w.Source != (training.Token{}) {
			source = w.Source.String()
		}
		a := fmt.Sprintf("%v|%v|%v|%v|%v|%v|%v|%v|%v|%v|%v|%v", g.Row, g.Document, g.Source, g.Content, g.Subjects, g.Types, g.Basis, g.Split, g.Text, g.PassageID, g.ID, g.SHA256)
		b := fmt.Sprintf("%v|%v|%v|%v|%v|%v|%v|%v|%v|%v|%v|%v", w.Token, w.Document, source, hex.EncodeToString(w.Content[:]), subjects, w.Types, w.Basis, w.Split, w.Text, w.PassageID, w.DocumentID, hex.EncodeToString(w.SHA256[:]))
		if a != b {
			t.Fatalf("row %d:\n%s\n%s", i, a, b)
		}
	}
}

func BenchmarkRows(b *testing.B) {
	rows := invented(100_000)
	for name, format := range map[string]training.Format{"parquet": parquetrows.Format{}, "jsonl": training.JSONL{}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				w := format.NewWriter(&counter{}, training.Columns{})
				for i := range rows {
					if err := w.Write(&rows[i]); err != nil {
						b.Fatal(err)
					}
				}
				if err := w.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(rows))*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

type counter struct{ n int }

func (c *counter) Write(p []byte) (int, error) { c.n += len(p); return len(p), nil }
