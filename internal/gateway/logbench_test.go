package gateway_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/sqlite"
	"github.com/assent-gateway/assent/internal/vault"
)

// BenchmarkConsentWrites is durable writes with the log on: by one caller, by
// sixteen, and in bulk; and for each the time from acknowledgement to a signed
// checkpoint that covers the entry. "without" is the same ledger without a log.
func BenchmarkConsentWrites(b *testing.B) {
	for _, c := range []struct {
		name          string
		writers, each int
		log           bool
	}{
		{"1 writer", 1, 1, true}, {"1 writer without", 1, 1, false}, {"16 writers", 16, 1, true}, {"16 writers without", 16, 1, false},
		{"bulk of 1000", 1, 1000, true}, {"bulk of 1000 without", 1, 1000, false},
	} {
		b.Run(c.name, func(b *testing.B) {
			dir := filepath.Join(b.TempDir(), "data")
			g := openGateway(b, gateway.Config{DataDir: dir})
			ledger := g.Ledger
			if !c.log {
				g.Close()
				ledger = logless(b, dir)
			}
			typ, err := consent.ParseType(rag)
			if err != nil {
				b.Fatal(err)
			}
			before := size(b, dir)
			var n, entries atomic.Int64
			var mu sync.Mutex
			var waits []time.Duration
			var waiting, writing sync.WaitGroup
			for b.Loop() {
				// A round: every writer writes 8 times.
				for range c.writers {
					writing.Go(func() {
						for i := range 8 {
							var batch []consent.Entry
							for range c.each {
								batch = append(batch, consent.Entry{Subject: subject(b, fmt.Sprint("u", n.Add(1))), Type: typ, Status: consent.Granted, Audit: consent.Audit{Source: "bench"}})
							}
							out, err := ledger.Record(context.Background(), gateway.DefaultTenant, batch, consent.Once{})
							if err != nil || out[len(out)-1].Err != nil {
								b.Error(err, out)
								return
							}
							entries.Add(int64(c.each))
							if !c.log || i != 3 { // who waits costs, too: one in eight
								continue
							}
							p, at := out[len(out)-1].Position, time.Now()
							waiting.Go(func() {
								if _, err := g.Tree.Await(context.Background(), gateway.DefaultTenant, p); err != nil {
									b.Error(err)
								}
								mu.Lock()
								waits = append(waits, time.Since(at))
								mu.Unlock()
							})
						}
					})
				}
				writing.Wait()
			}
			b.StopTimer()
			waiting.Wait()
			b.ReportMetric(float64(entries.Load())/b.Elapsed().Seconds(), "entries/s")
			b.ReportMetric(0, "ns/op")
			if !c.log {
				return
			}
			slices.Sort(waits)
			b.ReportMetric(float64(waits[len(waits)/2].Milliseconds()), "p50-ms")
			b.ReportMetric(float64(waits[len(waits)*99/100].Milliseconds()), "p99-ms")
			g.Close()
			b.ReportMetric(float64(size(b, dir)-before)/float64(entries.Load()), "B/entry")
		})
	}
}

// logless opens the default tenant's ledger without a log.
func logless(b *testing.B, dir string) *consent.Ledger {
	b.Helper()
	db, err := sqlite.Open(b.Context(), filepath.Join(dir, "assent.db"), sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	v, err := vault.Open(dir+".vault", vault.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { v.Close() })
	l := consent.NewLedger(db, v.Consent(), consent.Options{})
	if err := l.Open(b.Context(), gateway.DefaultTenant); err != nil {
		b.Fatal(err)
	}
	return l
}

// size is that of data directory and vault.
func size(b *testing.B, dir string) (total int64) {
	b.Helper()
	for _, root := range []string{dir, dir + ".vault"} {
		err := filepath.Walk(root, func(_ string, info os.FileInfo, err error) error {
			if err == nil && !info.IsDir() {
				total += info.Size()
			}
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return total
}
