package training

import (
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"github.com/assent-gateway/assent/consent"
)

const benchRows = 1 << 17

// Judging rows by verdicts at hand: of 20 000 people 30 % opted out.
func BenchmarkFilter(b *testing.B) {
	v := &verdicts{of: map[consent.SubjectNum]consent.Verdict{}}
	for i := range 20_000 {
		verdict := consent.Allow
		if i%10 < 3 {
			verdict = consent.Block
		}
		v.of[consent.SubjectNum(1<<40+i*7919)] = verdict
	}
	st := &standing{by: map[consent.Jurisdiction]*verdicts{"": v}, rules: [][]consent.Rule{{{}}}}
	entries := make([]entry, benchRows)
	for i := range entries {
		entries[i].owners = []consent.SubjectNum{consent.SubjectNum(1<<40 + i%20_000*7919)}
	}
	left := 0
	for b.Loop() {
		for i := range entries {
			if st.why(&entries[i]) == "" {
				left++
			}
		}
	}
	if left != b.N*benchRows*7/10 && left < b.N*benchRows*6/10 {
		b.Fatal(left)
	}
	b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
}

// Lines, leaves and the tree over them.
func BenchmarkHash(b *testing.B) {
	rows := make([]Row, 1024)
	for i := range rows {
		h := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
		rows[i] = Row{Token: Token(h[:16]), Document: Token(h[16:]), Content: h, Subjects: []Token{Token(h[8:24])},
			Types: []string{"model_training_v1.0"}, Basis: "consent", Split: "train"}
	}
	var line []byte
	for b.Loop() {
		var t tree
		for i := range benchRows {
			line = rows[i%len(rows)].AppendLine(append(line[:0], 0), Columns{})
			t.add(sha256.Sum256(line))
		}
		t.root()
	}
	b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
}
