package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/credential"
	"github.com/assent-gateway/assent/internal/sqlite"
	"github.com/assent-gateway/assent/internal/storetest"
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

const benchTenants = 16

// both runs a benchmark on this adapter and, as the peer, on SQLite. There are
// as many tenants as writers, "t0" and on.
func both(b *testing.B, f func(*testing.B, storetest.Store)) {
	run := func(open func(*testing.B) storetest.Store) func(*testing.B) {
		return func(b *testing.B) {
			s := open(b)
			for i := range benchTenants {
				t := consent.TenantID(fmt.Sprint("t", i))
				if err := s.AddTenant(b.Context(), credential.TenantRow{ID: t, CreatedAt: 1}, nil, nil); err != nil {
					b.Fatal(err)
				}
				if err := s.PutCollection(b.Context(), t, retrieval.CollectionRow{ID: 1, Lookup: [32]byte{1}}, nil, nil); err != nil {
					b.Fatal(err)
				}
			}
			f(b, s)
		}
	}
	b.Run("postgres", run(func(b *testing.B) storetest.Store {
		return open(b, database(b), Options{Writers: benchTenants})
	}))
	b.Run("sqlite", run(func(b *testing.B) storetest.Store {
		db, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "db"), sqlite.Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { db.Close() })
		return db
	}))
}

// appendRows commits n entries about random people.
func appendRows(s consent.Store, t consent.TenantID, n int) error {
	return s.Append(context.Background(), t, func(h consent.Head) (consent.Batch, error) {
		rows := make([]consent.Row, n)
		for i := range rows {
			rows[i] = consent.Row{Position: h.Position + consent.Position(i) + 1, Kind: consent.KindConsent,
				Subject: consent.SubjectNum(rand.Int64()), Type: consent.Type{Purpose: "rag_retrieval", Major: 1},
				Status: consent.Granted, Jurisdiction: "DE", RecordedAt: h.Now, Sealed: random(250), Leaf: random32(), MAC: random32()}
		}
		return consent.Batch{Rows: rows}, nil
	})
}

// BenchmarkAppend commits entries: one at a time, by one writer, by sixteen to
// one tenant, by sixteen to a tenant each; and five hundred at a time.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct{ rows, writers, tenants int }{{1, 1, 1}, {1, 16, 1}, {1, 16, 16}, {500, 1, 1}} {
		b.Run(fmt.Sprintf("rows=%d/writers=%d/tenants=%d", c.rows, c.writers, c.tenants), func(b *testing.B) {
			both(b, func(b *testing.B, s storetest.Store) {
				var left atomic.Int64
				left.Store(int64(b.N))
				b.ResetTimer()
				var wg sync.WaitGroup
				for w := range c.writers {
					t := consent.TenantID(fmt.Sprint("t", w%c.tenants))
					wg.Go(func() {
						for left.Add(-1) >= 0 {
							if err := appendRows(s, t, c.rows); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(c.rows*b.N)/b.Elapsed().Seconds(), "rows/s")
			})
		})
	}
}

// BenchmarkHead is what every search pays in a cluster.
func BenchmarkHead(b *testing.B) {
	both(b, func(b *testing.B, s storetest.Store) {
		for b.Loop() {
			if _, err := s.Head(context.Background(), "t0"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// fill commits 200 documents of one passage and one owner.
func fill(b testing.TB, s retrieval.Catalogue, t consent.TenantID) []retrieval.PassageRef {
	const n = 200
	var in retrieval.Intake
	var refs []retrieval.PassageRef
	for range n {
		d := retrieval.DocRow{Num: retrieval.DocNum(rand.Int64()), Collection: 1, Lookup: random32(), Digest: random32(), Source: random32(),
			Owners: []consent.SubjectNum{consent.SubjectNum(rand.Int64())}, Personal: true, Passages: 1, Sealed: random(200)}
		at := retrieval.PassageRef{Doc: d.Num}
		in.Docs, refs = append(in.Docs, d), append(refs, at)
		in.Heads = append(in.Heads, retrieval.PartRow{Ref: at, Sealed: random(1200)})
		in.Bodies = append(in.Bodies, retrieval.PartRow{Ref: at, Sealed: random(2700)})
	}
	_, _, err := s.Commit(context.Background(), t, nil, func(consent.Head) (retrieval.Intake, error) { return in, nil })
	if err != nil {
		b.Fatal(err)
	}
	return refs
}

func BenchmarkCommit(b *testing.B) {
	both(b, func(b *testing.B, s storetest.Store) {
		for b.Loop() {
			fill(b, s, "t0")
		}
		b.ReportMetric(200*float64(b.N)/b.Elapsed().Seconds(), "docs/s")
	})
}

// BenchmarkLive reads 20 000 documents as at the start of a gateway.
func BenchmarkLive(b *testing.B) {
	both(b, func(b *testing.B, s storetest.Store) {
		for range 100 {
			fill(b, s, "t0")
		}
		heads := 0
		for b.Loop() {
			err := s.Live(context.Background(), "t0", func(_ retrieval.DocRow, h []retrieval.PartRow) error {
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

// BenchmarkBodies opens the bodies of ten passages, as a search does.
func BenchmarkBodies(b *testing.B) {
	both(b, func(b *testing.B, s storetest.Store) {
		var refs []retrieval.PassageRef
		for range 50 {
			refs = append(refs, fill(b, s, "t0")...)
		}
		for b.Loop() {
			i := rand.IntN(len(refs) - 10)
			if found, err := s.Bodies(context.Background(), "t0", refs[i:i+10]); err != nil || len(found) != 10 {
				b.Fatal(len(found), err)
			}
		}
	})
}
