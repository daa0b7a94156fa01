package vault

import (
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assent-gateway/assent/internal/seal"
)

func newKeys(n int) []NewKey {
	parent := seal.NewKey()
	keys := make([]NewKey, n)
	for i := range keys {
		keys[i] = NewKey{Key: seal.NewKey(), Parent: &parent}
	}
	return keys
}

// The tests' directory may be in memory or on a disk that lies about flushes:
// BenchmarkSync says what a sync costs here.
func BenchmarkSync(b *testing.B) {
	v, _ := newVault(b)
	put(b, v, newKeys(1)...)
	for b.Loop() {
		if _, err := v.slots.file.WriteAt(emptySlot[:], slotAt(9)); err != nil {
			b.Fatal(err)
		}
		if err := datasync(v.slots.file); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPut1(b *testing.B)   { benchmarkPut(b, 1) }
func BenchmarkPut500(b *testing.B) { benchmarkPut(b, 500) }

func benchmarkPut(b *testing.B, n int) {
	v, _ := newVault(b)
	keys := newKeys(n)
	b.ReportAllocs()
	for b.Loop() {
		put(b, v, keys...)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/key")
}

func BenchmarkDestroy500(b *testing.B) {
	v, _ := newVault(b)
	keys := newKeys(500)
	for b.Loop() {
		b.StopTimer()
		refs := put(b, v, keys...)
		b.StartTimer()
		if err := v.Destroy(refs...); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend1(b *testing.B)   { benchmarkAppend(b, 1) }
func BenchmarkAppend500(b *testing.B) { benchmarkAppend(b, 500) }

func benchmarkAppend(b *testing.B, n uint64) {
	v, _ := newVault(b)
	payload := make([]byte, 100)
	b.ReportAllocs()
	for next := uint64(1); b.Loop(); next += n {
		recs := make([]Record, n)
		for i := range recs {
			recs[i] = Record{Tenant: "t", Position: next + uint64(i), Payload: payload}
		}
		appendTo(b, v, recs...)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(uint64(b.N)*n), "µs/record")
}

func BenchmarkKey(b *testing.B) {
	v, _ := newVault(b)
	keys := newKeys(1000)
	refs := put(b, v, keys...)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := v.Key(refs[i%1000], keys[0].Parent); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkKeyParallel(b *testing.B) {
	v, _ := newVault(b)
	keys := newKeys(1000)
	refs := put(b, v, keys...)
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if _, err := v.Key(refs[i%1000], keys[0].Parent); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkLeaf(b *testing.B) {
	v, _ := newVault(b)
	appendTo(b, v, records("t", 1, 200)...)
	b.ReportAllocs()
	for i := uint64(0); b.Loop(); i++ {
		if _, ok, err := v.Leaf("t", i%200+1); !ok || err != nil {
			b.Fatal(err)
		}
	}
}

// Open of a vault of this many keys and records: what the gateway's start
// waits for.
func BenchmarkOpen100k(b *testing.B) {
	v, _ := newVault(b)
	const n = 100_000
	put(b, v, newKeys(n)...)
	recs := make([]Record, n)
	for i := range recs {
		recs[i] = Record{Tenant: "t", Position: uint64(i) + 1, Payload: make([]byte, 50)}
	}
	appendTo(b, v, recs...)
	appendTo(b, v, Record{Tenant: "t", Position: n + 1})
	v.Close()
	for b.Loop() {
		v, err := Open(v.Dir(), Options{})
		if err != nil {
			b.Fatal(err)
		}
		v.Close()
	}
}

// BenchmarkRotate100k also says how long the longest Put beside it took.
func BenchmarkRotate100k(b *testing.B) {
	v, _ := newVault(b)
	put(b, v, newKeys(100_000)...)
	var longest atomic.Int64
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		keys := newKeys(1)
		for {
			select {
			case <-done:
				return
			case <-time.After(2 * time.Millisecond):
			}
			began := time.Now()
			refs, err := v.Put(keys)
			if err != nil {
				b.Error(err)
				return
			}
			longest.Store(max(longest.Load(), int64(time.Since(began))))
			if err := v.Destroy(refs...); err != nil {
				b.Error(err)
			}
		}
	})
	for b.Loop() {
		if err := v.Rotate(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	close(done)
	wg.Wait()
	b.ReportMetric(float64(longest.Load())/1e6, "ms-longest-put")
}

func BenchmarkBackup100k(b *testing.B) {
	v, _ := newVault(b)
	put(b, v, newKeys(100_000)...)
	for b.Loop() {
		if _, err := v.Backup(io.Discard, []byte("a long passphrase")); err != nil {
			b.Fatal(err)
		}
	}
}
