package embedded

import "sync/atomic"

// A budget bounds the bytes of vectors kept by all collections together.
type budget struct {
	limit int64
	used  atomic.Int64
}

// take reserves n bytes; false when they are not left.
func (b *budget) take(n int64) bool {
	for {
		used := b.used.Load()
		if used+n > b.limit {
			return false
		}
		if b.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

func (b *budget) give(n int64) { b.used.Add(-n) }
