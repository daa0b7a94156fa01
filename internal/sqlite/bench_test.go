package sqlite

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// noise is where benchmarks take sealed bytes from: boxes do not compress.
var noise = func() []byte {
	b := make([]byte, 1<<16)
	for i := 0; i < len(b); i += 8 {
		binary.NativeEndian.PutUint64(b[i:], rand.Uint64())
	}
	return b
}()

func random(n int) []byte { i := rand.IntN(len(noise) - n); return noise[i : i+n] }

func random32() (b [32]byte) {
	for i := 0; i < len(b); i += 8 {
		binary.NativeEndian.PutUint64(b[i:], rand.Uint64())
	}
	return b
}

// BenchmarkAppend commits batches of 500 entries about random subjects.
func BenchmarkAppend(b *testing.B) {
	const batch = 500
	db := open(b, filepath.Join(b.TempDir(), "db"), Options{})
	prepare(b, db)
	for b.Loop() {
		err := appendBatch(db, func(h consent.Head) consent.Batch {
			rows := make([]consent.Row, batch)
			for i := range rows {
				rows[i] = consent.Row{Position: h.Position + consent.Position(i) + 1, Kind: consent.KindConsent,
					Subject: consent.SubjectNum(rand.Int64()), Type: consent.Type{Purpose: "rag_retrieval", Major: 1},
					Status: consent.Granted, Jurisdiction: "DE", RecordedAt: h.Now, Sealed: random(250), Leaf: random32(), MAC: random32()}
			}
			return consent.Batch{Rows: rows}
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(batch*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// fill commits batches of 200 documents of one passage and one owner.
func fill(b *testing.B, db *DB, passages int) {
	const batch = 200
	var in retrieval.Intake
	for range batch {
		d := retrieval.DocRow{Num: retrieval.DocNum(rand.Int64()), Collection: 1, Lookup: random32(), Digest: random32(), Source: random32(),
			Owners: []consent.SubjectNum{consent.SubjectNum(rand.Int64())}, Personal: true, Passages: uint32(passages), Sealed: random(200)}
		in.Docs = append(in.Docs, d)
		for n := range d.Passages {
			at := retrieval.PassageRef{Doc: d.Num, N: n}
			in.Heads = append(in.Heads, retrieval.PartRow{Ref: at, Sealed: random(1200)})
			in.Bodies = append(in.Bodies, retrieval.PartRow{Ref: at, Sealed: random(2700)})
		}
	}
	if err := commit(db, in); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkCommit(b *testing.B) {
	db := open(b, filepath.Join(b.TempDir(), "db"), Options{})
	prepare(b, db)
	for b.Loop() {
		fill(b, db, 1)
	}
	b.ReportMetric(200*float64(b.N)/b.Elapsed().Seconds(), "docs/s")
}

// BenchmarkLive reads a corpus as at the start of a gateway; ASSENT_BENCH_DOCS
// sets its size.
func BenchmarkLive(b *testing.B) {
	docs, err := strconv.Atoi(os.Getenv("ASSENT_BENCH_DOCS"))
	if err != nil {
		docs = 20_000
	}
	for _, passages := range []int{1, 10} {
		b.Run(fmt.Sprintf("%d passages a document", passages), func(b *testing.B) {
			db := open(b, filepath.Join(b.TempDir(), "db"), Options{})
			prepare(b, db)
			for i := 0; i < docs; i += 200 * passages {
				fill(b, db, passages)
			}
			heads := 0
			for b.Loop() {
				err := db.Live(context.Background(), "t", func(_ retrieval.DocRow, h []retrieval.PartRow) error {
					heads += len(h)
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(heads)/b.Elapsed().Seconds(), "heads/s")
		})
	}
}

// BenchmarkBodies opens the bodies of ten passages, as a search does.
func BenchmarkBodies(b *testing.B) {
	db := open(b, filepath.Join(b.TempDir(), "db"), Options{})
	prepare(b, db)
	for range 50 {
		fill(b, db, 1)
	}
	var refs []retrieval.PassageRef
	err := db.Live(context.Background(), "t", func(d retrieval.DocRow, _ []retrieval.PartRow) error {
		refs = append(refs, retrieval.PassageRef{Doc: d.Num})
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		i := rand.IntN(len(refs) - 10)
		if found, err := db.Bodies(context.Background(), "t", refs[i:i+10]); err != nil || len(found) != 10 {
			b.Fatal(len(found), err)
		}
	}
}
